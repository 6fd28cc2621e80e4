// Who wants a turn when, and how long it takes: the same for the same seed.

/** Lognormal: the squared coefficient of variation is about 1.6, the longest turn 8 times the mean. */
const SIGMA = 1;
const LONGEST = 8;

/** Numbers in [0, 1), always the same ones for a seed (mulberry32). */
export function seeded(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
}

/** So many lengths with exactly this mean, so that short runs have the load that they are named by. */
function lengths(count, meanMs, random) {
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const longest = LONGEST * Math.exp(SIGMA ** 2 / 2);
    const drawn = Array.from({ length: count }, () => Math.min(Math.exp(SIGMA * normal()), longest));
    const scale = (meanMs * count) / drawn.reduce((sum, each) => sum + each, 0);
    return drawn.map((each) => each * scale);
}

/**
 * Arrivals in order of time: [{ at, conversation, ms }]. A Poisson process, given how many arrive: each at any time
 * alike, on any conversation alike.
 */
export function makePlan({ seed, seconds, load, workers, conversations, meanMs }) {
    const random = seeded(seed);
    const count = Math.max(1, Math.round(((load / 100) * workers * seconds * 1000) / meanMs));
    const times = Array.from({ length: count }, () => random() * seconds * 1000).sort((a, b) => a - b);
    const turns = lengths(count, meanMs, random);
    return times.map((at, i) => ({ at, conversation: Math.floor(random() * conversations), ms: turns[i] }));
}
