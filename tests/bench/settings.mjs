// What `make bench-moves` is told.

const CODEX = { 0: ['scripted'], 1: ['scripted', 'real'], only: ['real'] };
const COMMON = { SEED: '1', CLIENTS: '1,20', REAL: '1', LOG: 'info' };
/** TURN_MS is the mean length of a turn, with all that it takes at the worker: long against a move. */
const OF_CODEX = {
    scripted: { SECONDS: '30', LOADS: '30,60,90', TURN_MS: '400' },
    real: { SECONDS: '120', LOADS: '60', TURN_MS: '3000' },
};
const FAST = { SECONDS: '3', LOADS: '60', CLIENTS: '20', REAL: '0' };

const USAGE = `usage: make bench-moves [SEED=N] [SECONDS=N] [LOADS=30,60,90] [CLIENTS=1,20] [REAL=0|1|only] [TURN_MS=N]
    [FAST=1] [LOG=error|warn|info|debug|trace]`;

const numbers = (text) => text.split(/[ ,]+/).map(Number);
const count = (n, most) => Number.isInteger(n) && n >= 1 && n <= most;

function read(given, codex) {
    const of = (key) => given[key] ?? OF_CODEX[codex][key];
    return { codex, seconds: Number(of('SECONDS')), loads: numbers(of('LOADS')), turnMs: Number(of('TURN_MS')) };
}

/** From the environment, where an empty variable is none. */
export function readSettings(env = process.env) {
    const known = [...Object.keys(COMMON), ...Object.keys(OF_CODEX.real)];
    const own = Object.fromEntries(known.filter((key) => env[key]).map((key) => [key, env[key]]));
    const given = { ...COMMON, ...(Number(env.FAST) && FAST), ...own };
    const settings = {
        given, seed: Number(given.SEED), clients: numbers(given.CLIENTS), logLevel: given.LOG,
        runs: (CODEX[given.REAL] ?? []).map((codex) => read(given, codex)),
    };
    const good = count(settings.seed, 2 ** 31) && settings.runs.length && settings.clients.every((n) => count(n, 100))
        && settings.runs.every(({ seconds, turnMs }) => seconds > 0 && turnMs > 0)
        && settings.runs.every(({ loads }) => loads.every((n) => count(n, 99)));
    if (!good) {
        console.error(USAGE);
        process.exit(64);
    }
    return settings;
}

export function repeatCommand({ given }) {
    const { LOG: _, ...rest } = given;
    return ['make bench-moves', ...Object.entries(rest).map((pair) => pair.join('='))].join(' ');
}
