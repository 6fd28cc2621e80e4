// Pools of four workers with conversations of one or more clients, of the scripted and of the real Codex.
import { setTimeout as sleep } from 'node:timers/promises';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { startRig } from '../real/rig.mjs';
import { Driver } from './driver.mjs';
import { percentile } from './figures.mjs';

export const WORKERS = 4;
const FIRST_TURN_MS = 10;
const CALIBRATION_TURNS = 20;

const say = (ms) => `${ms.toFixed(1)} ms`;
const asked = (text) => parseFloat(text);

async function startScripted(t, config, options) {
    const [daemon] = await startPool(t, WORKERS, { config, ...options });
    const start = function start(request) {
        const { threadId, input } = request.params;
        this.default(request);
        const turn = this.turn(threadId);
        setTimeout(() => turn.complete(), asked(input[0].text));
    };
    for (const worker of daemon.fake.workers) worker.on('turn/start', start);
    return { daemon, params: {} };
}

async function startReal(t, config, options) {
    const { daemon, model, home } = await startRig(t, { poolSize: WORKERS, config, ...options });
    model.on('', (answer, request) => answer.text((async function* speak() {
        yield 'thinking';
        await Promise.race([sleep(asked(request.prompt)), request.ended]);
        yield ' done';
    })()));
    return { daemon, params: { cwd: home.cwd } };
}

export const kinds = { scripted: startScripted, real: startReal };

/** A driver of a pool whose conversations have all had a turn. */
export async function openPool(t, { codex, moves, clients, conversations, logLevel }) {
    const { daemon, params } = await kinds[codex](t, { moves }, { args: ['--log-level', logLevel] });
    const connected = [];
    for (let i = 0; i < clients; i++) {
        const client = await PoolClient.open(daemon, { name: `client ${i + 1}` });
        await client.request('pool/subscribe', { events: ['queue', 'moves'] });
        connected.push(client);
    }
    const driver = new Driver(connected, { workers: WORKERS, say, watch: moves === 'auto' });
    await driver.all(WORKERS, conversations, (i) => driver.open(connected[i % clients], params, FIRST_TURN_MS));
    return { daemon, driver };
}

/** What a turn takes at its worker beside what it is told to take, in milliseconds. A thread's first turn takes longer. */
export async function measureOverhead(driver, count = CALIBRATION_TURNS) {
    const turns = await driver.all(1, count, (i) => driver.turn(i, FIRST_TURN_MS));
    return percentile(turns.map(({ assigned, completed, ms }) => completed - assigned - ms), 50);
}
