// SIGTERM: what still may run and for how long, and what is told to whom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';

// Whoever waits for this in vain runs into the limit of the test.
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 600000 };
const shutDown = (e) => e.code === -32012 && e.data.reason === 'shutdown' &&
    e.message === 'Worker pool has been shut down.';

/** It has heard the signal. */
const stopping = (daemon) => daemon.untilLog(/stopping: running turns/);

for (const [what, occupy] of [
    ['a thread was opened and nothing runs', (c) => c.startThread()],
    ['a worker is held by pool/acquire', (c) => c.request('pool/acquire')],
    ['a worker is pinned', (c) => c.request('fs/watch', { path: '/x', watchId: 'w' })],
    ['a turn was promised that has not come', async (c) => {
        await c.request('thread/compact/start', { threadId: await c.startThread() });
    }],
]) {
    test(`it does not wait where ${what}`, async (t) => {
        const [daemon] = await startPool(t, 1, { config: { ...NEVER, openLingerMs: 50 } });
        const client = await PoolClient.open(daemon);
        await occupy(client);
        await daemon.stop();
        await client.ended;
    });
}

test('it waits for a command and passes its answer on', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const client = await PoolClient.open(daemon);
    const answer = client.request('command/exec', { command: ['x'], processId: 'p' });
    const request = await worker.expect('command/exec');
    daemon.signal('SIGTERM');
    await stopping(daemon);
    worker.reply(request, { exitCode: 0 });
    assert.deepEqual(await answer, { exitCode: 0 });
    await daemon.stop();
});

test('approvals, steering and interrupts still pass', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    daemon.signal('SIGTERM');
    await stopping(daemon);
    const answered = worker.ask('item/tool/call', { threadId, turnId: turn.id, callId: 'c' });
    const ask = await client.next('item/tool/call');
    client.send({ id: ask.id, result: { success: true, contentItems: [] } });
    assert.equal((await answered).result.success, true);
    assert.equal((await client.startTurn(threadId, 'steer')).turn.id, turn.id);
    await client.request('turn/steer', { threadId, input: [] });
    await client.request('turn/interrupt', { threadId, turnId: turn.id });
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'interrupted');
    await daemon.stop();
});

test('a new stream fails although its worker is its client\'s', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const idle = await converse(daemon, 'idle');
    const { client, threadId, turn } = await runTurn(daemon, 'running');
    daemon.signal('SIGTERM');
    await stopping(daemon);
    await assert.rejects(idle.client.startTurn(idle.threadId), shutDown);
    await assert.rejects(client.request('thread/start'), shutDown);
    await assert.rejects(client.request('pool/acquire'), shutDown);
    turn.complete();
    await client.turnCompleted(threadId);
    await daemon.stop();
});

test('who waits for anything is told', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const past = await converse(daemon, 'past');
    await past.client.close();
    const { client, threadId, turn } = await runTurn(daemon);
    const next = await waitInLine(daemon);
    const acquire = next.client.request('pool/acquire');
    const resume = next.client.request('thread/resume', { threadId: past.threadId });
    const behind = [
        next.client.request('turn/start', { threadId: past.threadId }),
        next.client.request('thread/name/set', { threadId: past.threadId, name: 'n' }),
    ];
    await daemon.untilStatus((s) => s.queue.length === 3, 'three wait');
    daemon.signal('SIGTERM');
    for (const waiting of [next.waiting, acquire, resume]) await assert.rejects(waiting, shutDown);
    // What went behind the resume is on its own now.
    await assert.rejects(behind[0], shutDown);
    await behind[1];
    turn.complete();
    await client.turnCompleted(threadId);
    await daemon.stop();
    assert.equal(worker.received('thread/start').length, 2);
});

test('who waits for the first worker is told', async (t) => {
    const daemon = await startDaemon(t, { config: NEVER, waitReady: false });
    daemon.fake.on('initialize', () => {});
    await daemon.ready();
    const client = await PoolClient.open(daemon, { initialize: false });
    const initialized = client.initialize();
    const acquired = client.request('pool/acquire');
    await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
    daemon.signal('SIGTERM');
    await assert.rejects(initialized, shutDown);
    await assert.rejects(acquired, shutDown);
    await daemon.stop();
});

test('a client that leaves while its turn is waited for is not waited for', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client } = await runTurn(daemon);
    daemon.signal('SIGTERM');
    await stopping(daemon);
    await client.close();
    await daemon.stop();
});

test('a worker that dies while its turn is waited for is not started again', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runTurn(daemon);
    daemon.signal('SIGTERM');
    await stopping(daemon);
    await worker.die('SIGKILL');
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'failed');
    await daemon.stop();
    assert.equal(daemon.fake.workers.length, 1);
});

test('an abort that is under way does not hold it up for longer than interruptTimeoutMs', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, interruptTimeoutMs: 100 } });
    const { client } = await runTurn(daemon);
    worker.hold('turn/interrupt', 'thread/unsubscribe');
    await client.close();
    await worker.expect('thread/unsubscribe');
    await daemon.stop();
    assert.equal(daemon.fake.workers.length, 1, 'and it is not replaced');
});

test('a resume that waits for an unload does not hold it up for longer than drainTimeoutMs', async (t) => {
    const config = { ...NEVER, drainTimeoutMs: 50, interruptTimeoutMs: 600000 };
    const [daemon, worker] = await startPool(t, 1, { config });
    const { threadId } = await converse(daemon);
    worker.hold('turn/interrupt', 'thread/unsubscribe', 'thread/resume');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.request('thread/resume', { threadId });
    await worker.expect('thread/unsubscribe');
    await Promise.all([assert.rejects(resumed), daemon.stop()]);
});

test('a connection that comes later is refused, and those that are there end with the daemon', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    const idle = await PoolClient.open(daemon, { name: 'idle' });
    daemon.signal('SIGTERM');
    await stopping(daemon);
    assert.equal((await idle.request('pool/status')).accepting, false);
    await assert.rejects(PoolClient.connect(daemon.socket));
    turn.complete();
    await client.turnCompleted(threadId);
    await Promise.all([idle.ended, client.ended]);
    await daemon.stop();
});
