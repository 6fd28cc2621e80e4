// Many clients do what they like, workers fail as they like, and everything is answered and cleaned up.
//
// CHAOS_SEED and CHAOS_SESSIONS repeat or prolong a run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { until } from '../lib/wait.mjs';

const SEED = Number(process.env.CHAOS_SEED ?? 1);
const SESSIONS = Number(process.env.CHAOS_SESSIONS ?? 150);
const AT_ONCE = 12;

const APPROVAL = 'item/commandExecution/requestApproval';
const SLOW = ['turn/interrupt', 'thread/loaded/list', 'thread/read', 'thread/goal/set', 'thread/fork'];

/** Numbers that are the same for the same seed (mulberry32). */
function random(seed) {
    let a = seed >>> 0;
    const next = () => {
        a = (a + 0x6D2B79F5) >>> 0;
        let x = Math.imul(a ^ (a >>> 15), a | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
    };
    return {
        chance: (p) => next() < p,
        below: (n) => Math.floor(next() * n),
        pick: (list) => list[Math.floor(next() * list.length)],
    };
}

const later = (ms, then) => setTimeout(then, ms).unref();

/** What it would have done at once, unless it has died meanwhile. */
const defaultLater = (worker, ms, request) => later(ms, () => worker.gone || worker.default(request));

/** What a turn of a worker may do before it ends by itself. */
function liveTurn(worker, threadId, rng) {
    const thread = worker.threads.get(threadId);
    const turn = thread?.turn;
    if (!turn) return;
    turn.delta('x'.repeat(rng.below(2000)));
    if (rng.chance(0.2)) worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i' });
    if (rng.chance(0.15)) {
        const child = `${threadId}.${rng.below(1e9)}`;
        worker.load(child);
        const agent = worker.begin(child);
        later(rng.below(60), () => agent.complete());
    }
    later(rng.below(60), () => (rng.chance(0.2) ? turn.fail() : turn.complete()));
    if (rng.chance(0.1)) pursueGoal(worker, threadId, rng, 1 + rng.below(4));
}

/** A goal is active and starts a turn after each one that has completed, some times. */
function pursueGoal(worker, threadId, rng, times) {
    const goal = (status) => worker.notify('thread/goal/updated', {
        threadId, turnId: null, goal: { threadId, status },
    });
    goal('active');
    const step = () => {
        const thread = worker.threads.get(threadId);
        if (worker.gone || !thread || thread.closing || thread.goal?.status === 'paused') return;
        if (!thread.turn && times-- <= 0) {
            goal('complete');
            return;
        }
        if (!thread.turn) {
            const turn = worker.begin(threadId);
            later(rng.below(30), () => turn.complete());
        }
        later(5 + rng.below(40), step);
    };
    step();
}

function misbehave(host, rng) {
    host.on('turn/start', function start(request) {
        const { threadId } = request.params;
        const begin = () => {
            if (this.gone) return;
            this.default(request);
            liveTurn(this, threadId, rng);
        };
        if (rng.chance(0.2)) later(rng.below(20), begin);
        else begin();
    });
    for (const method of SLOW) {
        host.on(method, function slowly(request) {
            if (rng.chance(0.2)) defaultLater(this, rng.below(20), request);
            else this.default(request);
        });
    }
    host.on('thread/unsubscribe', function unsubscribe(request) {
        if (rng.chance(0.05)) this.refuse(request, -32001, 'Server overloaded; retry later.');
        else if (rng.chance(0.2)) defaultLater(this, rng.below(30), request);
        else this.default(request);
    });
    host.on('thread/resume', function resume(request) {
        if (rng.chance(0.1)) this.refuse(request, -32600, 'thread is closing; retry');
        else if (rng.chance(0.2)) defaultLater(this, rng.below(20), request);
        else this.default(request);
    });
    host.on('thread/start', function open(request) {
        if (rng.chance(0.3)) defaultLater(this, rng.below(20), request);
        else this.default(request);
    });
    host.on('command/exec', function run(request) {
        later(rng.below(40), () => {
            if (!request.done) this.reply(request, { exitCode: 0 });
            request.done = true;
        });
    });
    host.on('command/exec/terminate', function terminate(request) { this.reply(request, {}); });
    host.on('model/list', function list(request) {
        if (rng.chance(0.03)) this.die(rng.pick(['SIGKILL', 'SIGSEGV', 0, 1]));
        else if (rng.chance(0.1)) this.raw('neither {json\n');
        this.reply(request, { data: [] });
    });
}

/** One client's life: some requests, awaited or not, and then it leaves in some way. */
async function live(daemon, rng, known, number) {
    const client = await PoolClient.open(daemon, { name: `c${number}` });
    const own = [];
    const open = [];
    client.onRequest(APPROVAL, () => (rng.chance(0.7) ? { decision: 'accept' } : new Promise(() => {})));
    const thread = () => (own.length && rng.chance(0.7) ? rng.pick(own) : rng.pick(known) ?? 'none');
    const ask = (method, params) => {
        const answer = client.request(method, params);
        open.push({ method, params, answer });
        answer.then(({ thread: opened }) => {
            if (!opened) return;
            own.push(opened.id);
            known.push(opened.id);
        }, () => {});
        return answer.catch(() => {});
    };
    const acts = [
        () => ask('thread/start', { ephemeral: rng.chance(0.1) }),
        () => ask('thread/resume', { threadId: thread() }),
        () => ask('thread/resume', { threadId: thread(), sandbox: 'read-only' }),
        () => ask('thread/fork', { threadId: thread() }),
        () => ask('turn/start', { threadId: thread(), input: [] }),
        () => ask('turn/start', { threadId: thread(), input: [] }),
        () => ask('turn/interrupt', { threadId: thread(), turnId: '' }),
        () => ask('thread/unsubscribe', { threadId: thread() }),
        () => ask('thread/archive', { threadId: thread() }),
        () => ask('thread/read', { threadId: thread() }),
        () => ask('thread/name/set', { threadId: thread(), name: 'n' }),
        () => ask('thread/loaded/list', {}),
        () => ask('thread/compact/start', { threadId: thread() }),
        () => ask('thread/goal/set', { threadId: thread(), status: rng.pick(['active', 'paused']) }),
        () => ask('thread/queue/add', { threadId: thread(), input: [] }),
        () => ask('command/exec', { command: ['x'], processId: `p${rng.below(3)}` }),
        () => ask('model/list', {}),
        () => ask('pool/cancel', { id: rng.below(20) }),
    ];
    if (rng.chance(0.1)) ask('pool/acquire', { timeoutMs: 50 + rng.below(100) });
    if (rng.chance(0.03)) ask('fs/watch', { path: '/x', watchId: 'w' });
    for (let i = rng.below(10); i >= 0; i--) {
        const answered = rng.pick(acts)();
        const aWhile = new Promise((resolve) => later(rng.below(80), resolve));
        if (rng.chance(0.6)) await Promise.race([answered, aWhile]);
    }
    if (rng.chance(0.4)) {
        await client.request('pool/release');
        // A watch holds its worker for good: what waits for it would wait for its own client.
        if (!open.some((o) => o.method === 'fs/watch')) await everythingAnswered(open);
    }
    if (rng.chance(0.3)) client.end();
    await client.close();
}

/** No request is forgotten, and none is answered with what a Codex of one's own would not say. */
async function everythingAnswered(open) {
    for (const { method, params, answer } of open) {
        const error = await answer.then(() => null, (e) => e);
        if (!error) continue;
        assert.ok(error.code, `${method} ${JSON.stringify(params)}: ${error.message}`);
        assert.notEqual(error.code, -32603, error.message);
        if (method === 'thread/resume') assert.doesNotMatch(error.message, /active writer|is closing/);
    }
}

test(`whatever ${SESSIONS} clients do, all is answered and nothing is left (seed ${SEED})`, async (t) => {
    const rng = random(SEED);
    const config = { openLingerMs: 20, interruptTimeoutMs: 2000, drainTimeoutMs: 0, maxStreamsPerWorker: 60 };
    const [daemon, ...workers] = await startPool(t, 3, { config });
    const fds = daemon.fds().length;
    misbehave(daemon.fake, rng);
    for (const worker of workers) worker.handlers = new Map(daemon.fake.handlers);
    const known = [];
    let number = 0;
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (number < SESSIONS) await live(daemon, rng, known, ++number);
    }));
    await daemon.untilStatus((s) => s.queue.length === 0 && s.clients.length === 1 && s.pool.ready === 3 &&
        s.workers.every((w) => w.state === 'idle' && w.threads === 0), 'all is quiet');
    assert.deepEqual([...daemon.fake.locks.keys()], []);
    await until(() => daemon.fds().length <= fds, 'no descriptor is left');
    const last = await PoolClient.open(daemon, { name: 'last' });
    await Promise.all([1, 2, 3].map(() => last.startThread()));
    assert.equal((await daemon.status()).pool.busy, 3, 'every worker serves');
});
