// What the run did, and what went wrong in it: counts, progress, the last events of who is concerned.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const began = Date.now();
const seconds = () => ((Date.now() - began) / 1000).toFixed(3);

/** The last things that somebody said or heard. */
export class Events {
    constructor(kept = 250) {
        this.kept = kept;
        this.lines = [];
    }

    add(direction, text) {
        this.lines.push(`${seconds()} ${direction} ${text.slice(0, text.includes("/delta\"") ? 120 : 300).trimEnd()}`);
        if (this.lines.length > 2 * this.kept) this.lines.splice(0, this.kept);
    }

    toString() { return this.lines.slice(-this.kept).join('\n'); }
}

/** The end of a text that goes on for an hour. */
export class Tail {
    constructor(bytes) {
        this.bytes = bytes;
        this.chunks = [];
        this.length = 0;
    }

    add(text) {
        this.chunks.push(text);
        this.length += text.length;
        while (this.length - this.chunks[0].length > this.bytes) this.length -= this.chunks.shift().length;
    }

    toString() { return this.chunks.join(''); }
}

export class Report {
    constructor({ seed, directory }) {
        Object.assign(this, { seed, directory });
        this.counts = new Map();
        this.log = new Tail(64 << 20);
        this.failures = [];
        this.failed = new Promise((resolve) => { this.#tellFailed = resolve; });
    }

    #tellFailed;

    count(what, n = 1) {
        this.counts.set(what, (this.counts.get(what) ?? 0) + n);
    }

    get(what) { return this.counts.get(what) ?? 0; }

    /** An invariant does not hold. `who`: {client, worker, others}, whose last events are saved. */
    fail(invariant, message, who = {}) {
        if (this.failures.length >= 3) return; // what follows is most likely more of the same
        this.failures.push({ invariant, message, at: seconds() });
        console.error(`FAIL ${invariant}: ${message}`);
        if (this.failures.length === 1) this.#save(message, who);
        this.#tellFailed();
    }

    #save(message, { client, worker, others = [] }) {
        const name = (each) => (each?.name ? `client ${each.name}` : `worker ${each?.number}`);
        const who = [client, worker, ...others].filter((each) => each?.events);
        this.saved = [message, ...who.map((each) => `--- ${name(each)}\n${each.events}`)].join('\n\n');
    }

    progress(status) {
        const { pool, queue, counters } = status;
        console.error(`${String(Math.round((Date.now() - began) / 1000)).padStart(5)} s  ${counters.clients} clients, ` +
            `${this.get('turns')} turns, ${counters.aborted} aborted, ${counters.moves} moves, ${this.get('workers killed')} killed, ` +
            `${this.get('workers that died')} died, ${pool.ready}/${pool.size} ready, ${queue.length} wait, RSS ${this.rss?.() ?? '?'} MB`);
    }

    /** What was done, as a table. */
    table() {
        const width = Math.max(...[...this.counts.keys()].map((each) => each.length));
        return [...this.counts].sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([what, n]) => `  ${what.padEnd(width)} ${String(n).padStart(9)}`).join('\n');
    }

    /** Prints the end, and the command that repeats it; true where all is well. */
    end(repeat) {
        console.log(this.table());
        if (!this.failures.length) {
            console.log(`PASS  seed ${this.seed} (${repeat})`);
            return true;
        }
        mkdirSync(this.directory, { recursive: true });
        const events = join(this.directory, 'events.txt');
        const log = join(this.directory, 'daemon.log');
        writeFileSync(events, `${this.failures.map((f) => `${f.at} ${f.invariant}: ${f.message}`).join('\n')}\n\n${this.saved}\n`);
        writeFileSync(log, this.log.toString());
        for (const { invariant, message } of this.failures) console.log(`${invariant}: ${message}`);
        console.log(`the last events: ${events}\nthe daemon's log: ${log}`);
        console.log(`FAIL  seed ${this.seed} (${repeat}; the same seed does the same things, at nearly the same times)`);
        return false;
    }
}
