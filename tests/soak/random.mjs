// Numbers that are the same for the same seed.
//
// Everybody who does something at random has a generator of their own, derived from the seed and their name, so
// that what one does with it changes nothing for the others. What cannot be repeated is time: in which order
// processes get to run decides what a client knows when it acts and which request a worker gets next. So two runs
// with one seed do the same kinds of things, at nearly the same moments, and are similar, not identical.

/** FNV-1a. */
function hash(text) {
    let h = 0x811C9DC5;
    for (const letter of text) h = Math.imul(h ^ letter.codePointAt(0), 0x01000193);
    return h >>> 0;
}

export class Random {
    constructor(...names) {
        this.name = names.join('/');
        this.state = hash(this.name);
    }

    /** One for a part of what its owner does. */
    child(...names) { return new Random(this.name, ...names); }

    /** From 0 up to, not including, 1 (mulberry32). */
    next() {
        this.state = (this.state + 0x6D2B79F5) >>> 0;
        const a = this.state;
        let x = Math.imul(a ^ (a >>> 15), a | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
    }

    chance(p) { return this.next() < p; }
    below(n) { return Math.floor(this.next() * n); }
    between(from, to) { return from + this.below(to - from); }
    pick(list) { return list[this.below(list.length)]; }

    /** One of [weight, value] pairs. */
    weighted(pairs) {
        let at = this.next() * pairs.reduce((sum, [weight]) => sum + weight, 0);
        return pairs.find(([weight]) => (at -= weight) < 0)?.[1] ?? pairs.at(-1)[1];
    }
}
