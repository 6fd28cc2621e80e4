// A client that leaves, at every moment: what it had ends, and only a clean worker goes to the next.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { until } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000 };

/** A client in a turn, and one that waits for its worker. */
async function turnAndWaiter(t, config = {}) {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, ...config } });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    return { daemon, worker, a, threadId, ...await waiter(daemon) };
}

async function waiter(daemon) {
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    return { b, waiting };
}

/** What the worker was told between two clients' streams, by method. */
const told = (worker) => worker.log.map((m) => m.method).filter((m) => m && !/initialize/.test(m));

/** The next client has the worker, nothing of the last is loaded or locked, and it hears nothing of it. */
async function clean({ daemon, worker, b, waiting }) {
    const { thread } = await waiting;
    assert.deepEqual([...worker.threads.keys()], [thread.id]);
    assert.deepEqual([...daemon.fake.locks.keys()], [thread.id]);
    const methods = told(worker);
    assert.deepEqual(methods.slice(-2), ['thread/loaded/list', 'thread/start'], 'verified before it was given on');
    const foreign = b.notifications.filter((m) => m.params?.threadId && m.params.threadId !== thread.id);
    assert.deepEqual(foreign, []);
}

test('in the middle of a turn: interrupted by the empty id, then unsubscribed', async (t) => {
    const all = await turnAndWaiter(t);
    all.worker.turn().delta('some');
    await all.a.next('item/agentMessage/delta');
    await all.a.close();
    await clean(all);
    const ends = all.worker.log.filter((m) => /interrupt|unsubscribe/.test(m.method));
    assert.deepEqual(ends.map((m) => [m.method, m.params]), [
        ['turn/interrupt', { threadId: all.threadId, turnId: '' }],
        ['thread/unsubscribe', { threadId: all.threadId }],
    ]);
});

test('the end of its input is a client\'s disconnect', async (t) => {
    const all = await turnAndWaiter(t);
    all.a.end();
    await all.a.ended;
    await clean(all);
});

test('between opening a thread and its turn', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon);
    await a.startThread();
    const rest = await waiter(daemon);
    await a.close();
    await clean({ daemon, worker, ...rest });
});

test('before thread/start is answered: the thread that the late answer opens is let go', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.hold('thread/start');
    const a = await PoolClient.open(daemon);
    a.request('thread/start');
    const request = await worker.expect('thread/start');
    const rest = await waiter(daemon);
    await a.close();
    await daemon.untilStatus((s) => s.workers[0].state === 'aborting', 'it is being cleaned');
    worker.handlers.delete('thread/start');
    worker.default(request);
    await worker.expect('thread/unsubscribe');
    await clean({ daemon, worker, ...rest });
});

test('before thread/resume is answered, with success or without', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    daemon.fake.disk.add('known');
    for (const id of ['known', 'unknown']) {
        worker.hold('thread/resume');
        const a = await PoolClient.open(daemon);
        a.request('thread/resume', { threadId: id });
        const request = await worker.expect('thread/resume');
        const rest = await waiter(daemon);
        await a.close();
        await daemon.untilStatus((s) => s.workers[0].state === 'aborting', 'it is being cleaned');
        worker.default(request);
        await clean({ daemon, worker, ...rest });
        await rest.b.close();
    }
});

test('before turn/start is answered', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.hold('turn/start');
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    a.startTurn(threadId);
    const request = await worker.expect('turn/start');
    const rest = await waiter(daemon);
    await a.close();
    await worker.expect('thread/unsubscribe');
    worker.reply(request, { turn: { id: 'late', items: [], status: 'inProgress' } });
    await clean({ daemon, worker, ...rest });
});

for (const method of ['item/commandExecution/requestApproval', 'item/tool/call']) {
    test(`while ${method} is open: nobody answers it, and nobody needs to`, async (t) => {
        const all = await turnAndWaiter(t);
        all.worker.ask(method, { threadId: all.threadId, turnId: 'x', itemId: 'y', callId: 'z' });
        const ask = await all.a.next(method);
        all.b.send({ id: ask.id, result: { decision: 'accept' } });
        await all.a.close();
        await clean(all);
        assert.equal(all.worker.log.some((m) => !m.method), false, 'no answer reached the worker');
    });
}

test('while a sub-agent runs: it is ended by its own id', async (t) => {
    const all = await turnAndWaiter(t);
    all.worker.load('child');
    all.worker.begin('child');
    await all.a.next('turn/started', (p) => p.threadId === 'child');
    all.worker.turn(all.threadId).complete();
    await all.a.turnCompleted(all.threadId);
    await all.a.close();
    await clean(all);
    assert.equal(all.worker.received('turn/interrupt', (p) => p.threadId === 'child').length, 1);
});

test('with an active goal: paused first, interrupted once more last', async (t) => {
    const all = await turnAndWaiter(t);
    all.worker.notify('thread/goal/updated', { threadId: all.threadId, turnId: 'x', goal: { status: 'active' } });
    await all.a.next('thread/goal/updated');
    await all.a.close();
    await clean(all);
    const ends = all.worker.log.filter((m) => /goal|interrupt|unsubscribe/.test(m.method));
    assert.deepEqual(ends.map((m) => m.method), ['thread/goal/set', 'turn/interrupt', 'thread/unsubscribe', 'turn/interrupt']);
    assert.equal(ends[0].params.status, 'paused');
});

test('without thread/closed the worker is asked again', async (t) => {
    const all = await turnAndWaiter(t);
    let asked = 0;
    all.worker.on('thread/unsubscribe', (r) => {
        if (++asked === 1) all.worker.refuse(r, -32001, 'Server overloaded; retry later.');
        else all.worker.default(r);
    });
    all.worker.on('turn/interrupt', (r) => {
        if (asked) all.worker.default(r);
        else all.worker.refuse(r, -32001, 'Server overloaded; retry later.');
    });
    await all.a.close();
    await clean(all);
    assert.ok(asked >= 2);
});

test('a thread that the worker still has loaded, though nobody knew of it, is let go, too', async (t) => {
    const all = await turnAndWaiter(t);
    all.worker.load('unseen');
    await all.a.close();
    await clean(all);
    assert.equal(all.worker.received('thread/unsubscribe', (p) => p.threadId === 'unseen').length, 1);
});

test('a worker whose turn does not end is replaced, and the next in line is served by its successor', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, interruptTimeoutMs: 300 } });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    const { waiting } = await waiter(daemon);
    worker.on('turn/interrupt', (r) => worker.reply(r, {})).on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    await a.close();
    const successor = await daemon.fake.worker();
    await waiting;
    assert.equal(successor.received('thread/start').length, 1);
    assert.equal((await daemon.status()).counters.workersReplaced, 1);
});

test('a worker that answers nothing is not asked for ever', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, interruptTimeoutMs: 2000 } });
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.startTurn(await a.startThread());
    await a.next('turn/started');
    worker.hold('turn/interrupt', 'thread/unsubscribe');
    await a.close();
    await daemon.fake.worker();
    const asked = worker.received('thread/unsubscribe').length;
    assert.ok(asked > 1 && asked < 20, `${asked} times`);
});

test('a Codex that never unloads: interrupt, clean the shells, and idle is enough', async (t) => {
    const all = await turnAndWaiter(t);
    all.worker.on('thread/unsubscribe', (r) => all.worker.reply(r, { status: 'unsubscribed' }));
    await all.a.close();
    await all.worker.expect('thread/backgroundTerminals/clean', (p) => p.threadId === all.threadId);
    await all.waiting;
    assert.equal((await all.daemon.status()).counters.workersReplaced, 0);
    // The thread stays with its worker: whoever resumes it is sent there.
    await all.b.close();
    const c = await PoolClient.open(all.daemon);
    assert.equal(await c.resumeThread(all.threadId), all.threadId);
});


test('a command with a processId is terminated', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon);
    a.request('command/exec', { command: ['sleep', '1000'], processId: 'p"1' });
    await worker.expect('command/exec');
    const rest = await waiter(daemon);
    await a.close();
    await worker.expect('command/exec/terminate', (p) => p.processId === 'p"1');
    await clean({ daemon, worker, ...rest });
});

for (const [what, method, params] of [
    ['a command without a processId', 'command/exec', { command: ['sleep', '1000'] }],
    ['a watch', 'fs/watch', { watchId: 'w', path: '/tmp' }],
]) {
    test(`${what} is ended with its worker, at once`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: NEVER });
        const a = await PoolClient.open(daemon);
        const asked = a.request(method, params);
        if (method === 'fs/watch') await asked;
        else await worker.expect(method);
        const { waiting } = await waiter(daemon);
        await a.close();
        await worker.eof;
        const successor = await daemon.fake.worker();
        await waiting;
        assert.equal(successor.received('thread/start').length, 1);
    });
}

test('its idle thread on a worker that another client has is closed without disturbing that one', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const idle = await a.startThread();
    await a.startTurn(idle);
    await a.next('turn/started');
    worker.turn().complete();
    await a.turnCompleted(idle);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const running = await b.startThread();
    await b.startTurn(running);
    await b.next('turn/started');
    await a.close();
    await worker.expect('thread/unsubscribe', (p) => p.threadId === idle);
    worker.turn(running).delta('undisturbed');
    await b.next('item/agentMessage/delta');
    assert.equal(worker.received('turn/interrupt', (p) => p.threadId === running).length, 0);
    assert.equal(b.notifications.some((m) => m.params.threadId === idle), false);
    await b.close();
});

test('while its resume waits for the thread to be unloaded', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    worker.turn().complete();
    await a.turnCompleted(threadId);
    worker.on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    const b = await PoolClient.open(daemon, { name: 'b' });
    b.request('thread/resume', { threadId });
    await worker.expect('thread/unsubscribe');
    await b.close();
    await daemon.untilStatus((s) => s.workers[0].state === 'aborting', 'its leaving is noticed');
    worker.unload(threadId);
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'the worker is free');
    assert.equal(worker.received('thread/resume').length, 0);
});

test('three hundred clients that leave at every step leave nothing behind', async (t) => {
    const [daemon, ...workers] = await startPool(t, 2, { config: { openLingerMs: 20 } });
    const fds = daemon.fds().length;
    const steps = [
        async () => {},
        async (c) => { c.request('thread/start'); },
        async (c) => { await c.startThread(); },
        async (c) => { c.startTurn(await c.startThread()); },
        async (c) => { await c.startTurn(await c.startThread()); },
        async (c) => { c.request('pool/acquire'); },
        async (c) => { await c.request('pool/acquire'); c.request('thread/start'); },
        async (c) => { c.request('thread/resume', { threadId: 'none' }); c.request('thread/list'); },
    ];
    for (let round = 0; round < 300; round += 20) {
        await Promise.all(Array.from({ length: 20 }, async (_, i) => {
            const client = await PoolClient.open(daemon, { name: `c${round + i}` });
            await Promise.race([steps[(round + i) % steps.length](client), client.ended]);
            await client.close();
        }));
    }
    await daemon.untilStatus((s) => s.queue.length === 0 && s.workers.every((w) => w.state === 'idle' && w.threads === 0), 'all is quiet');
    assert.equal(daemon.fake.locks.size, 0);
    await until(() => daemon.fds().length <= fds, 'no descriptor is left');
    assert.equal(workers.some((w) => w.gone), false);
});
