// How long a worker is one client's: the beginning and the end of a lease.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';

const NEVER = { openLingerMs: 600000 };

/** A client with a running turn on the one worker, and another that waits for it. */
async function runningAndWaiting(t, config = {}) {
    const [daemon, worker] = await startPool(t, 1, { config });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    return { daemon, worker, a, b, threadId, waiting, served: () => worker.received('thread/start').length === 2 };
}

/** All that the worker has said so far has been seen by the daemon, and what follows from it is done. */
async function settled(client) {
    await client.request('model/list');
    await client.request('pool/ping');
}

test('a lease goes on while a sub-agent runs after turn/completed', async (t) => {
    const { worker, a, threadId, waiting, served } = await runningAndWaiting(t, NEVER);
    worker.load('child');
    const child = worker.begin('child');
    await a.next('turn/started', (p) => p.threadId === 'child');
    worker.turn(threadId).complete();
    await a.turnCompleted(threadId);
    await settled(a);
    assert.equal(served(), false, 'the sub-agent still runs');
    child.delta('from the child');
    await a.next('item/agentMessage/delta', (p) => p.threadId === 'child');
    child.complete();
    await waiting;
});

test('a sub-agent that is known by its status alone keeps the lease, too', async (t) => {
    const { worker, a, threadId, waiting, served } = await runningAndWaiting(t, NEVER);
    worker.status('child', 'active');
    worker.turn(threadId).complete();
    await a.turnCompleted(threadId);
    await settled(a);
    assert.equal(served(), false);
    worker.status('child', 'idle');
    await waiting;
});

test('another thread\'s turn/completed ends nothing', async (t) => {
    const { worker, a, waiting, served } = await runningAndWaiting(t, NEVER);
    worker.load('child');
    worker.begin('child').complete();
    await a.turnCompleted('child');
    await settled(a);
    assert.equal(served(), false);
    worker.turn().complete();
    await waiting;
});

test('a failed turn ends the lease, its thread being in systemError', async (t) => {
    const { worker, a, threadId, waiting } = await runningAndWaiting(t, NEVER);
    worker.turn().fail();
    assert.equal((await a.turnCompleted(threadId)).params.turn.status, 'failed');
    await waiting;
});

test('an unanswered approval keeps the lease', async (t) => {
    const { worker, a, threadId, waiting, served } = await runningAndWaiting(t, NEVER);
    const answered = worker.ask('item/commandExecution/requestApproval', { threadId, turnId: 'x', itemId: 'y' });
    const ask = await a.next('item/commandExecution/requestApproval');
    await settled(a);
    assert.equal(served(), false);
    a.send({ id: ask.id, result: { decision: 'accept' } });
    assert.deepEqual((await answered).result, { decision: 'accept' });
    worker.turn().complete();
    await waiting;
});

test('an active goal keeps the lease between its turns, and a goal that is met ends it', async (t) => {
    const { worker, a, threadId, waiting, served } = await runningAndWaiting(t, NEVER);
    worker.notify('thread/goal/updated', { threadId, turnId: 'x', goal: { threadId, status: 'active' } });
    worker.turn().complete();
    await a.turnCompleted(threadId);
    await settled(a);
    assert.equal(served(), false, 'between two turns of a goal');
    const second = worker.begin(threadId);
    await a.next('turn/started');
    worker.notify('thread/goal/updated', { threadId, turnId: second.id, goal: { threadId, status: 'complete' } });
    second.complete();
    await waiting;
});

test('a queued item keeps the lease until its turn has run', async (t) => {
    const { worker, a, threadId, waiting, served } = await runningAndWaiting(t, NEVER);
    await a.request('thread/queue/add', { threadId, input: [] });
    await worker.expect('thread/queue/list');
    worker.turn().complete();
    await a.turnCompleted(threadId);
    await settled(a);
    assert.equal(served(), false, 'the item has not begun');
    worker.threads.get(threadId).queue.length = 0;
    worker.notify('thread/queue/changed', { threadId });
    await worker.expect('thread/queue/list');
    await settled(a);
    assert.equal(served(), false, 'the item is on its way');
    worker.begin(threadId).complete();
    await waiting;
});

for (const method of ['thread/compact/start', 'review/start', 'thread/shellCommand']) {
    test(`${method} is answered before its turn exists: the lease waits for the turn`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: NEVER });
        const a = await PoolClient.open(daemon);
        const threadId = await a.startThread();
        await a.startTurn(threadId);
        await a.next('turn/started');
        worker.turn().complete();
        await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'that lease is over');
        await a.request(method, { threadId });
        const b = await PoolClient.open(daemon);
        const waiting = b.request('thread/start');
        await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
        await settled(a);
        assert.equal(worker.received('thread/start').length, 1);
        const turn = worker.begin(threadId, 'another-id');
        await a.next('turn/started', (p) => p.turn.id === 'another-id');
        await settled(a);
        assert.equal(worker.received('thread/start').length, 1);
        turn.complete();
        await waiting;
    });
}

test('a turn promised while another ran is waited for from the end of that one on', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 1000 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    await a.request('thread/compact/start', { threadId });
    const b = await PoolClient.open(daemon);
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1 && s.workers[0].turn.runningMs > 1500, 'b has waited for long');
    worker.turn().complete();
    await a.turnCompleted(threadId);
    await settled(a);
    assert.equal(worker.received('thread/start').length, 1, 'the compaction is still to come');
    worker.begin(threadId).complete();
    await waiting;
});

test('the turn of an answered turn/start is waited for, though an older promise has come to nothing', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 1000 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    const goal = (status) => worker.notify('thread/goal/updated', { threadId, turnId: null, goal: { threadId, status } });
    goal('active');
    worker.hold('turn/start');
    worker.turn().complete();
    goal('complete');
    await a.turnCompleted(threadId);
    const started = a.startTurn(threadId);
    const request = await worker.expect('turn/start', () => worker.received('turn/start').length === 2);
    const b = await PoolClient.open(daemon);
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.oldestWaitMs > 1500, 'b has waited for long');
    worker.reply(request, { turn: { id: 'next', items: [], status: 'inProgress', error: null } });
    await started;
    await settled(a);
    assert.equal(worker.received('thread/start').length, 1, 'the turn is on its way');
    worker.begin(threadId, 'next').complete();
    await waiting;
});

test('a promised turn that never comes is not waited for when somebody else waits', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { openLingerMs: 20 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.request('thread/compact/start', { threadId });
    const b = await PoolClient.open(daemon);
    await b.startThread();
});

test('a client that opens a thread and falls silent gives way after openLingerMs, but only to somebody', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 20 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    const [{ state, client }] = (await daemon.status()).workers;
    assert.deepEqual([state, client !== null], ['busy', true]);
    const b = await PoolClient.open(daemon);
    await b.startThread();
    // The thread is still open and a's own: its turn waits for the worker.
    const turn = a.startTurn(threadId);
    await b.close();
    await turn;
    worker.turn(threadId).complete();
    await a.turnCompleted(threadId);
});

test('a refused request ends its lease at once', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.on('thread/start', (request) => worker.refuse(request, -32602, 'no'));
    const a = await PoolClient.open(daemon);
    await assert.rejects(a.request('thread/start'), { code: -32602, message: 'no' });
    assert.equal((await daemon.status()).workers[0].state, 'idle');
});

test('a running turn is steered at once although others wait', async (t) => {
    const { worker, a, threadId, waiting } = await runningAndWaiting(t, NEVER);
    const { turn } = await a.startTurn(threadId, 'more');
    assert.equal(turn.id, worker.turn().id);
    assert.deepEqual(await a.request('turn/steer', { threadId, input: [] }), { turnId: turn.id });
    await a.request('turn/interrupt', { threadId, turnId: turn.id });
    assert.equal((await a.turnCompleted(threadId)).params.turn.status, 'interrupted');
    await waiting;
});

test('a steering answer that comes after its turn has completed holds nothing', async (t) => {
    const { worker, a, threadId, waiting } = await runningAndWaiting(t, NEVER);
    worker.hold('turn/start');
    const turn = worker.turn();
    const steering = a.startTurn(threadId, 'late');
    const request = await worker.expect('turn/start', (p) => p.input[0].text === 'late');
    turn.complete();
    await a.turnCompleted(threadId);
    worker.reply(request, { turn: { id: turn.id, items: [], status: 'inProgress' } });
    await steering;
    await waiting;
});

test('four threads opened at once on one connection run on four workers', async (t) => {
    const [daemon] = await startPool(t, 4);
    const a = await PoolClient.open(daemon);
    const threads = await Promise.all([1, 2, 3, 4].map(() => a.startThread()));
    await Promise.all(threads.map((id) => a.startTurn(id)));
    const status = await daemon.untilStatus((s) => s.workers.every((w) => w.turn), 'four turns run');
    assert.deepEqual(status.workers.map((w) => w.turn.threadId).sort(), [...threads].sort());
    assert.deepEqual(status.clients.find((c) => c.name === 'client').workers, [1, 2, 3, 4]);
    await a.close();
});

test('a slow read holds nothing', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.hold('thread/list');
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    const list = a.request('thread/list');
    const request = await worker.expect('thread/list');
    await a.startTurn(threadId);
    await a.next('turn/started');
    worker.turn().complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'the worker is free');
    worker.reply(request, { data: ['late'] });
    assert.deepEqual(await list, { data: ['late'] });
});

test('an acquired worker serves its holder one turn after the other, and is given back after the last', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon);
    await a.request('pool/acquire');
    const one = await a.startThread();
    const two = await a.startThread();
    await a.startTurn(one);
    await a.next('turn/started');
    const second = a.startTurn(two);
    await daemon.untilStatus((s) => s.queue.length === 1, 'the second turn waits for the first');
    worker.turn(one).complete();
    await second;
    await a.next('turn/started', (p) => p.threadId === two);
    const b = await PoolClient.open(daemon);
    const waiting = b.request('thread/start');
    await a.request('pool/release');
    await settled(a);
    assert.equal(worker.received('thread/start').length, 2, 'released, but its turn still runs');
    worker.turn(two).complete();
    await waiting;
});

test('a turn that starts by itself on an idle worker leases it to the thread\'s subscriber', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    worker.turn().complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'idle');
    const turn = worker.begin(threadId);
    await a.next('turn/started');
    const { workers, clients } = await daemon.status();
    assert.equal(workers[0].state, 'busy');
    assert.equal(workers[0].client, clients.find((c) => c.name === 'a').id);
    turn.complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'idle again');
});

test('a turn that starts by itself for nobody is interrupted and its thread unsubscribed', async (t) => {
    const [, worker] = await startPool(t, 1);
    worker.load('stray');
    worker.begin('stray');
    await worker.expect('turn/interrupt', (p) => p.threadId === 'stray' && p.turnId === '');
    await worker.expect('thread/unsubscribe', (p) => p.threadId === 'stray');
});

test('maxTurnMs interrupts a turn', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { maxTurnMs: 30 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    assert.equal((await a.turnCompleted(threadId)).params.turn.status, 'interrupted');
});

test('so it does the next one, however long the first had to end after its interrupt', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { maxTurnMs: 30, interruptTimeoutMs: 3600000 } });
    const a = await PoolClient.open(daemon);
    for (let i = 0; i < 2; i++) {
        const threadId = await a.startThread();
        await a.startTurn(threadId);
        assert.equal((await a.turnCompleted(threadId)).params.turn.status, 'interrupted');
    }
});

test('a worker where a turn past a limit does not end is replaced, and its client told', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { turnStallTimeoutMs: 30, interruptTimeoutMs: 30 } });
    worker.hold('turn/interrupt');
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    const { params } = await a.turnCompleted(threadId);
    assert.equal(params.turn.status, 'failed');
    assert.match(params.turn.error.message, /did not end within 30 ms of the interrupt/);
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1 && s.pool.busy === 0, 'another has taken its place');
});

/** A client whose turn has called a tool of its and then says nothing, beyond the limit for silence. */
async function silentToolCall(t) {
    const [daemon, worker] = await startPool(t, 1, { config: { turnStallTimeoutMs: 60 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    worker.on('turn/start', (request) => {
        worker.default(request);
        worker.ask('item/tool/call', { threadId, turnId: 'x', callId: 'y' });
    });
    await a.startTurn(threadId);
    return { daemon, worker, a, threadId };
}

test('turnStallTimeoutMs interrupts a silent turn, but not one that waits for an answer', async (t) => {
    const { daemon, worker, a, threadId } = await silentToolCall(t);
    const ask = await a.next('item/tool/call');
    // Long past the limit by the daemon's own clock.
    await daemon.untilStatus((st) => st.workers[0].turn.lastEventMs > 300, 'the turn has been silent for long');
    assert.equal(worker.received('turn/interrupt').length, 0);
    a.send({ id: ask.id, result: { success: true, contentItems: [] } });
    assert.equal((await a.turnCompleted(threadId)).params.turn.status, 'interrupted');
});

test('a tool call that ends with its turn, unanswered, is nothing that a later turn waits for', async (t) => {
    const { worker, a, threadId } = await silentToolCall(t);
    await a.next('item/tool/call');
    worker.handlers.delete('turn/start');
    await a.request('turn/interrupt', { threadId, turnId: '' });
    await a.turnCompleted(threadId);
    await a.startTurn(threadId);
    assert.equal((await a.turnCompleted(threadId)).params.turn.status, 'interrupted', 'as it was silent');
});

test('a client that has left something on the only worker uses it for its turns, too', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon);
    await a.request('fs/watch', { watchId: 'w', path: '/tmp' });
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    const second = a.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'the second waits for the first');
    worker.turn().complete();
    await second;
    await a.close();
});

test('a promised turn that never comes does not hold up a shutdown', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { openLingerMs: 20, drainTimeoutMs: 600000 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.request('thread/compact/start', { threadId });
    await daemon.stop();
});
