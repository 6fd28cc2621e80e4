#!/usr/bin/env node
// How soon a stream of the real Codex can be used, and a whole turn: a process for each connection, and the pool.
// `make bench-real`; real.mjs [--rounds N] [--json]
import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { parseArgs } from 'node:util';
import { PoolClient } from '../../lib/client.mjs';
import { codexBinary, makeCodexHome } from '../../lib/codex-home.mjs';
import { say } from '../../lib/model-server.mjs';
import { startRig } from '../../real/rig.mjs';
import { describeMachine } from '../report.mjs';
import { atMost, medians, summary, table } from './report.mjs';
import { Scope, progress } from './scope.mjs';

const ROUNDS = { slow: 15, fast: 2 };
const ARGS = ['-c', 'thread_unload_delay_secs=0', 'app-server'];
const WORDS = 20;

const time = (title, goals = []) => ({ title, shown: { ms: 1 }, goals });
const FIVE_TIMES_SOONER = [atMost('ms', 0.2, 'process')];
const rows = {
    initialize: time('until initialize is answered', FIVE_TIMES_SOONER),
    thread: time('until thread/start is answered, too', FIVE_TIMES_SOONER),
    turn: time(`then a turn of ${WORDS} words`),
    whole: time('all of it'),
};

/** A Codex of one's own, spoken to by its pipes. */
async function openProcess(home) {
    const child = spawn(codexBinary(), ARGS, { env: { ...process.env, ...home.env }, stdio: ['pipe', 'pipe', 'ignore'] });
    const exited = new Promise((done) => child.once('close', done));
    const client = new PoolClient(Duplex.from({ writable: child.stdin, readable: child.stdout }), 'process');
    const close = async () => {
        child.kill('SIGKILL');
        await exited;
    };
    return { client, cwd: home.cwd, close };
}

async function openPool(rig) {
    const client = await PoolClient.connect(rig.daemon.socket, 'pool');
    const close = async () => {
        await client.close();
        await rig.untilClean();
    };
    return { client, cwd: rig.home.cwd, close };
}

/** By row, the milliseconds of one connection from nothing to the end of its first turn. */
async function measure(open) {
    const began = performance.now();
    const since = (from) => ({ ms: performance.now() - from });
    const { client, cwd, close } = await open();
    try {
        await client.initialize();
        const initialize = since(began);
        const id = await client.startThread({ cwd });
        const thread = since(began);
        const turnBegan = performance.now();
        await client.startTurn(id);
        const { params } = await client.turnCompleted(id);
        const [turn, whole] = [since(turnBegan), since(began)];
        const deltas = client.notifications.filter(({ method }) => method === 'item/agentMessage/delta').length;
        if (params.turn.status !== 'completed' || deltas !== WORDS) {
            throw new Error(`a turn is not whole: ${params.turn.status}, ${deltas} of ${WORDS} words`);
        }
        return { initialize, thread, turn, whole };
    } finally {
        await close();
    }
}

async function main({ rounds, json }) {
    const scope = new Scope().endOnSignals();
    const results = Object.fromEntries(Object.keys(rows).map((row) => [row, { process: [], pool: [] }]));
    try {
        const rig = await startRig(scope, { poolSize: 1 });
        rig.model.on('', say('word '.repeat(WORDS), { deltas: WORDS }));
        const home = makeCodexHome({ model: rig.model.url });
        scope.after(() => home.dispose());
        const ways = { process: () => openProcess(home), pool: () => openPool(rig) };
        // The first of each makes files that the others find.
        for (let round = 0; round <= rounds; round++) {
            progress(round ? `round ${round} of ${rounds}` : 'once to warm up');
            for (const [name, open] of Object.entries(ways)) {
                const took = await measure(open);
                if (round) for (const row of Object.keys(rows)) results[row][name].push(took[row]);
            }
        }
    } finally {
        await scope.end();
    }
    if (json) console.log(JSON.stringify({ machine: describeMachine(), results, medians: medians(results) }));
    else console.log(`${describeMachine()}\n\n${table(rows, results, ['pool'], ['process'])}\n\n${summary(rows, results, 'pool')}`);
}

const { values } = parseArgs({ options: { rounds: { type: 'string' }, json: { type: 'boolean' } } });
const rounds = Number(values.rounds ?? (Number(process.env.FAST) ? ROUNDS.fast : ROUNDS.slow));
await main({ rounds, json: values.json });
