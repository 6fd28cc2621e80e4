import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient, RpcError } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn } from '../lib/scenes.mjs';

/** Clients that each hold or wait for a worker with a thread/start, in order of arrival. */
async function threadsInLine(daemon, n) {
    const line = [];
    for (let i = 0; i < n; i++) {
        const client = await PoolClient.open(daemon, { name: `c${i + 1}` });
        await client.request('pool/subscribe', { events: ['queue'] });
        const thread = client.request('thread/start', {});
        await client.next(i < 1 ? 'pool/assigned' : 'pool/queued');
        line.push({ client, thread });
    }
    return line;
}

test('two streams on one worker: the second starts after the first is released, and completes', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [a, b] = await threadsInLine(daemon, 2);
    const threadA = (await a.thread).thread.id;
    await a.client.startTurn(threadA);
    await a.client.next('turn/started');
    assert.equal(worker.received('thread/start').length, 1, 'b is not at the worker yet');
    worker.turn().complete();
    await a.client.turnCompleted(threadA);
    const assigned = await b.client.next('pool/assigned');
    assert.equal(assigned.params.worker, 1);
    const threadB = (await b.thread).thread.id;
    await b.client.startTurn(threadB);
    await b.client.next('turn/started');
    worker.turn(threadB).complete();
    await b.client.turnCompleted(threadB);
    const { counters } = await daemon.status();
    assert.equal(counters.streams, 2);
    assert.equal(counters.rejected, 0);
});

test('five clients are served in the order in which they came', async (t) => {
    const [daemon] = await startPool(t);
    const line = await threadsInLine(daemon, 5);
    const served = [];
    for (const { client, thread } of line) {
        await thread;
        served.push(client.name);
        await client.close();
    }
    assert.deepEqual(served, ['c1', 'c2', 'c3', 'c4', 'c5']);
});

test('places in the queue are told, and told anew when somebody leaves', async (t) => {
    const [daemon] = await startPool(t);
    const [, b, c] = await threadsInLine(daemon, 3);
    assert.ok(c.client.has('pool/queued', (p) => p.position === 2 && p.length === 2));
    await b.client.close();
    const { params } = await c.client.next('pool/queued', (p) => p.position === 1);
    assert.equal(params.length, 1);
    assert.equal(params.id, c.thread.id);
});

test('a client that leaves while it waits leaves no waiter', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [a, b, c] = await threadsInLine(daemon, 3);
    await b.client.close();
    await daemon.untilStatus((s) => s.queue.length === 1, 'the waiter is gone');
    await a.client.close();
    await c.thread;
    assert.equal(worker.received('thread/start').length, 2, 'nothing was started for the one that left');
    assert.equal((await daemon.status()).counters.aborted, 2, 'a wait and a stream');
});

test('pool/cancel takes a waiting request out, and only that one', async (t) => {
    const [daemon] = await startPool(t);
    const [a, b, c] = await threadsInLine(daemon, 3);
    assert.deepEqual(await b.client.request('pool/cancel', { id: b.thread.id }), { cancelled: true });
    await assert.rejects(b.thread, (e) => e instanceof RpcError && e.code === -32011 &&
        e.message === 'Worker acquisition aborted while waiting.' && e.data.reason === 'aborted');
    assert.deepEqual(await b.client.request('pool/cancel', { id: b.thread.id }), { cancelled: false });
    assert.deepEqual(await a.client.request('pool/cancel', { id: c.thread.id }), { cancelled: false });
    await a.client.close();
    await c.thread;
});

test('acquireTimeoutMs ends a wait', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { acquireTimeoutMs: 50, openLingerMs: 60000 } });
    const [, b] = await threadsInLine(daemon, 2);
    await assert.rejects(b.thread, (e) => e.code === -32010 && e.data.retryable === true &&
        e.message === 'Worker acquisition timed out after 50 ms.' &&
        e.data.codex_error_info === 'server_overloaded');
    assert.equal((await daemon.status()).queue.length, 0);
});

test('pool/acquire waits in the same queue, by its own timeout, and holds until pool/release', async (t) => {
    const [daemon] = await startPool(t);
    const a = await PoolClient.open(daemon, { initialize: false });
    const b = await PoolClient.open(daemon);
    assert.deepEqual(await a.request('pool/acquire'), { worker: 1, waitedMs: 0 });
    await assert.rejects(b.request('pool/acquire', { timeoutMs: 20 }), (e) => e.code === -32010);
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    assert.deepEqual(await a.request('pool/release'), {});
    await waiting;
});

test('past maxQueue a request fails with words that SDKs retry on', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { maxQueue: 1 } });
    await threadsInLine(daemon, 2);
    const c = await PoolClient.open(daemon);
    await assert.rejects(c.request('thread/start'), (e) => e.code === -32001 &&
        e.message === 'Server overloaded; retry later.' && e.data.reason === 'queueFull' &&
        e.data.codex_error_info === 'server_overloaded');
});

test('a released worker goes to the next in line without becoming idle', async (t) => {
    const [daemon] = await startPool(t);
    const [a, b] = await threadsInLine(daemon, 2);
    const threadA = (await a.thread).thread.id;
    const [worker] = daemon.fake.workers;
    await a.client.startTurn(threadA);
    await a.client.next('turn/started');
    const before = daemon.log.length;
    worker.turn().complete();
    await b.thread;
    assert.doesNotMatch(daemon.log.slice(before), /-> idle/);
});

test('shares of one user in the queue and in the pool', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { maxLeasesPerUid: 1, maxWaitersPerUid: 1, openLingerMs: 60000 } });
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => PoolClient.open(daemon)));
    await a.startThread();
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1 && s.pool.busy === 1, 'b waits beside an idle worker');
    await assert.rejects(c.request('thread/start'), (e) => e.code === -32001);
    await a.close();
    await waiting;
});

test("a user's share that has come back serves who waits for an idle worker's thread", async (t) => {
    const [daemon] = await startPool(t, 2, { config: { maxLeasesPerUid: 1 } });
    const a = await converse(daemon, 'a');
    const b = await runTurn(daemon, 'b');
    assert.notEqual(b.worker, a.worker);
    const waiting = a.client.startTurn(a.threadId);
    await daemon.untilStatus((s) => s.queue.length === 1, 'a waits for its share');
    b.turn.complete();
    await waiting;
    a.worker.turn().complete();
});

test('shutdown fails all who wait, lets the running turn finish, and exits 0', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [a, b, c] = await threadsInLine(daemon, 3);
    const threadA = (await a.thread).thread.id;
    await a.client.startTurn(threadA);
    await a.client.next('turn/started');
    daemon.signal('SIGTERM');
    for (const { thread } of [b, c])
        await assert.rejects(thread, (e) => e.code === -32012 && e.data.retryable === true &&
            e.message === 'Worker pool has been shut down.');
    await assert.rejects(b.client.request('thread/start'), (e) => e.code === -32012);
    worker.turn().delta('last words');
    await a.client.next('item/agentMessage/delta');
    worker.turn().complete();
    await a.client.turnCompleted(threadA);
    await daemon.stop();
});

test('the debug log has the queue length and the wait of each who leaves it', async (t) => {
    const [daemon] = await startPool(t);
    const [a, b] = await threadsInLine(daemon, 2);
    await a.client.close();
    await b.thread;
    await daemon.untilLog(/queue: waits: client \d+ for any worker, queue length 1/);
    await daemon.untilLog(/queue: served: client \d+, queue length 1, waited \d+ ms/);
});
