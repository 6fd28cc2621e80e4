// A worker is killed at every point of every exchange: before its answer, in the middle of the answer's line, right
// after it, and at the points of a turn. Each time the client gets one answer to each request and an end to what it
// had there, another client's turn on another worker goes on, the pool is whole again, and nothing is left.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { runTurn } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 50 };
const LOST = (e) => e.code === -32013 && e.data.reason === 'workerLost';

/** What it would do by itself, but of what it writes only up to its answer, or up to the half of that. */
function writeUpTo(worker, request, whole) {
    const { raw } = worker;
    worker.raw = (text) => {
        const answer = JSON.parse(text).id === request.id;
        if (answer) worker.raw = () => {};
        raw.call(worker, answer && !whole ? text.slice(0, text.length / 2) : text);
    };
    worker.default(request);
}

/** Where the worker dies in an exchange. */
const points = {
    'before its answer': { answered: false, write() {} },
    'in the middle of its answer': { answered: false, write: (worker, request) => writeUpTo(worker, request, false) },
    'right after its answer': { answered: true, write: (worker, request) => writeUpTo(worker, request, true) },
};

/** The exchanges, by what their client has at the worker before. */
const exchanges = {
    nothing: [['thread/start'], ['thread/resume', { threadId: 'known' }]],
    'a lease': [['model/list'], ['fs/watch', { path: '/x', watchId: 'w' }], ['command/exec', { command: ['x'] }]],
    'a thread': [
        ['turn/start', { input: [] }], ['thread/resume'], ['thread/name/set', { name: 'n' }], ['thread/archive'],
        ['thread/unsubscribe'], ['thread/read'], ['review/start'], ['thread/compact/start'],
    ],
    'a turn': [
        ['turn/start', { input: [] }], ['turn/steer', { input: [] }], ['turn/interrupt', { turnId: '' }],
        ['thread/unsubscribe'],
    ],
};

/** Two workers: on one runs a turn of a client that must notice nothing, the other one is to die. */
async function scene(t, setUp) {
    const [daemon, ...workers] = await startPool(t, 2, { config: NEVER });
    const fds = daemon.fds().length;
    daemon.fake.disk.add('known');
    const other = await runTurn(daemon, 'other');
    const worker = workers.find((each) => each !== other.worker);
    const s = { daemon, fds, other, heard: other.client.lines.length, worker };
    if (setUp === 'a thread' || setUp === 'a turn') Object.assign(s, await runTurn(daemon, 'client'));
    else s.client = await PoolClient.open(daemon, { name: 'client' });
    if (setUp === 'a lease') await s.client.request('pool/acquire');
    if (setUp === 'a thread') {
        s.turn.complete();
        await s.client.turnCompleted(s.threadId);
    }
    return s;
}

/** All that its client was told of turns and threads has come to one end. */
function assertEnds({ client }) {
    const ids = client.lines.map((line) => JSON.parse(line)).filter((m) => !m.method).map((m) => m.id);
    assert.deepEqual(ids, [...new Set(ids)], 'no request is answered twice');
    const count = (method) => client.notifications.filter((m) => m.method === method).length;
    assert.equal(count('turn/completed'), count('turn/started'), 'each turn has one end');
    assert.equal(count('thread/closed'), new Set(client.opened).size, 'each thread is closed once');
    assert.equal(client.pending.size, 0);
}

/** The other client has noticed nothing, the pool is whole, and when both have left nothing is there. */
async function assertWhole({ daemon, fds, other, heard, client }) {
    other.turn.delta('undisturbed');
    await other.client.next('item/agentMessage/delta');
    other.turn.complete();
    await other.client.turnCompleted(other.threadId);
    const methods = other.client.lines.slice(heard).map((line) => JSON.parse(line).method);
    assert.deepEqual(methods, ['item/agentMessage/delta', 'thread/status/changed', 'turn/completed']);
    await daemon.untilStatus((s) => s.pool.ready === 2, 'both workers are there');
    if (client) {
        await client.startThread();
        await client.close();
    }
    await other.client.close();
    await daemon.untilStatus((s) => s.clients.length === 1 && s.queue.length === 0 &&
        s.workers.every((w) => w.state === 'idle' && w.threads === 0 && w.turn === null), 'nothing is left');
    await until(() => daemon.fds().length <= fds, 'no descriptor is left');
    await until(() => daemon.fake.locks.size === 0, 'no lock is left');
}

async function exchange(t, setUp, method, params, { answered, write }) {
    const s = await scene(t, setUp);
    const { client, worker, threadId } = s;
    client.opened = threadId ? [threadId] : [];
    if (method === 'command/exec') worker.default = (request) => worker.reply(request, { exitCode: 0 });
    worker.on(method, (request) => {
        write(worker, request);
        worker.die();
    });
    const outcome = await client.request(method, { threadId, ...params })
        .then((result) => ({ result }), (error) => ({ error }));
    assert.equal(!outcome.error, answered, outcome.error?.message ?? 'it was answered');
    if (!answered) assert.ok(LOST(outcome.error), outcome.error.message);
    else if (outcome.result.thread && !threadId) client.opened.push(outcome.result.thread.id);
    await worker.exited;
    await s.daemon.untilStatus((st) => st.counters.workerExits === 1 && st.pool.ready === 2, 'it has a successor');
    await client.request('pool/ping');
    // Whose archiving was answered is told nothing more; what was answered and has not begun has an end, too.
    if (method === 'thread/archive' && answered) client.opened = [];
    if (method === 'turn/start' && answered && setUp === 'a thread') client.notifications.push({ method: 'turn/started' });
    assertEnds(s);
    await assertWhole(s);
}

for (const [setUp, list] of Object.entries(exchanges)) {
    for (const [method, params] of list) {
        test(`${method} of a client that has ${setUp} there`, { concurrency: 3 }, (t) =>
            Promise.all(Object.entries(points).map(([point, how]) =>
                t.test(`dies ${point}`, (t2) => exchange(t2, setUp, method, params, how)))));
    }
}

for (const [point, status, act] of [
    ['after turn/started', 'failed', () => {}],
    ['in the middle of a delta', 'failed', (worker, threadId) => {
        worker.raw(`{"method":"item/agentMessage/delta","params":{"threadId":"${threadId}","del`);
    }],
    ['after a delta', 'failed', (worker) => worker.turn().delta('x')],
    ['while an approval is open', 'failed', (worker, threadId) => {
        worker.ask('item/commandExecution/requestApproval', { threadId, turnId: worker.turn().id });
    }],
    ['in the middle of turn/completed', 'failed', (worker, threadId) => {
        worker.raw(`{"method":"turn/completed","params":{"threadId":"${threadId}","turn":{"id":"${worker.turn().id}`);
    }],
    ['after turn/completed', 'completed', (worker) => worker.turn().complete()],
]) {
    test(`in a turn: dies ${point}`, async (t) => {
        const s = await scene(t, 'a turn');
        s.client.opened = [s.threadId];
        act(s.worker, s.threadId);
        s.worker.die();
        assert.equal((await s.client.turnCompleted(s.threadId)).params.turn.status, status);
        await s.client.next('thread/closed');
        await s.daemon.untilStatus((st) => st.counters.workerExits === 1 && st.pool.ready === 2, 'it has a successor');
        assertEnds(s);
        await assertWhole(s);
    });
}

for (const method of ['turn/interrupt', 'thread/unsubscribe', 'thread/loaded/list']) {
    for (const [point, { write }] of Object.entries(points)) {
        test(`cleaned after a client that left: dies at ${method}, ${point}`, async (t) => {
            const s = await scene(t, 'a turn');
            const next = await PoolClient.open(s.daemon, { name: 'next' });
            const waiting = next.startThread();
            await s.daemon.untilStatus((st) => st.queue.length === 1, 'the next one waits');
            s.worker.on(method, (request) => {
                write(s.worker, request);
                s.worker.die();
            });
            await s.client.close();
            // It may have the worker already when that dies.
            const [id, error] = await waiting.then((result) => [result], (e) => [null, e]);
            assert.ok(id || (LOST(error) && method === 'thread/loaded/list'));
            if (!id) await next.startThread();
            await s.worker.exited;
            assert.equal(next.pending.size, 0);
            await next.close();
            await assertWhole({ ...s, client: null });
        });
    }
}

for (const [point, { write }] of Object.entries(points)) {
    test(`started: dies at initialize, ${point}`, async (t) => {
        const daemon = await startDaemon(t, { config: { ...NEVER, poolSize: 2 }, waitReady: false });
        let left = 2;
        daemon.fake.on('initialize', function initialize(request) {
            if (left-- <= 0) return this.default(request);
            write(this, request);
            return this.die();
        });
        await daemon.ready();
        await daemon.untilStatus((s) => s.pool.ready === 2 && left < -1, 'two have lived');
        const client = await PoolClient.open(daemon);
        await Promise.all([client.startThread(), client.startThread()]);
        assert.equal((await daemon.status()).pool.busy, 2);
    });
}

test('dies at spawn: before it reads or writes anything', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 2, codex: { command: '/bin/false' } } });
    await daemon.untilStatus((s) => s.counters.workerExits >= 2 && s.workers[0].lastError, 'it has failed');
    daemon.writeConfig({ codex: {} });
    daemon.signal('SIGHUP');
    await daemon.untilStatus((s) => s.pool.ready === 2, 'the right one is there');
});

for (const [what, order] of [
    ['as its input ends', (worker) => worker.eof.then(() => worker.die('SIGSEGV'))],
    ['at SIGTERM', (worker) => worker.expect('SIGTERM').then(() => worker.die('SIGSEGV'))],
]) {
    test(`stopped: dies ${what}`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: NEVER });
        worker.order({ ignoreTerm: true });
        worker.order({ onEof: 'stay' });
        await (await PoolClient.open(daemon)).request('model/list');
        order(worker);
        await daemon.stop();
        assert.equal(daemon.fake.workers.length, 1);
    });
}
