// Clients that leave at awkward moments: with much open, with requests on every list, on shared workers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';

const NEVER = { openLingerMs: 600000 };
const OVERLOADED = [-32001, 'Server overloaded; retry later.'];

/** A client whose thread is idle after a turn. */
async function idleThread(daemon, worker, name) {
    const client = await PoolClient.open(daemon, { name });
    const threadId = await client.startThread();
    await client.startTurn(threadId);
    await client.next('turn/started');
    worker.turn(threadId).complete();
    await client.turnCompleted(threadId);
    return { client, threadId };
}

/** A client in a turn. */
async function runningThread(daemon, name) {
    const client = await PoolClient.open(daemon, { name });
    const threadId = await client.startThread();
    await client.startTurn(threadId);
    await client.next('turn/started');
    return { client, threadId };
}

const allIdle = (daemon) =>
    daemon.untilStatus((s) => s.workers.every((w) => w.state === 'idle' && w.threads === 0), 'all is quiet');

/** The methods that end a thread, as the worker was sent them. */
const endings = (worker, threadId) => worker.log
    .filter((m) => /interrupt|unsubscribe|goal/.test(m.method) && m.params.threadId === threadId)
    .map((m) => m.method);

test('with queued items the interrupt stands before the unsubscribe', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runningThread(daemon, 'a');
    await client.request('thread/queue/add', { threadId, input: [] });
    await worker.expect('thread/queue/list');
    await client.close();
    await worker.expect('thread/unsubscribe');
    assert.deepEqual(endings(worker, threadId), ['turn/interrupt', 'thread/unsubscribe']);
    await allIdle(daemon);
});

test('so it does for each of more threads than a worker may have requests unanswered', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 0 } });
    const client = await PoolClient.open(daemon);
    const ids = [];
    for (let i = 0; i < 90; i++) ids.push(await client.startThread());
    // Nothing is answered until the window is full.
    const held = [];
    worker.on('turn/interrupt', (r) => held.push(r)).on('thread/unsubscribe', (r) => held.push(r));
    await client.close();
    await worker.expect('thread/unsubscribe', () => held.length >= 127);
    for (const method of ['turn/interrupt', 'thread/unsubscribe']) worker.handlers.delete(method);
    for (const request of held) worker.default(request);
    await allIdle(daemon);
    for (const id of ids) assert.deepEqual(endings(worker, id).slice(0, 2), ['turn/interrupt', 'thread/unsubscribe']);
});

test('its thread is interrupted although requests of others wait for room at the worker', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { client, threadId } = await runningThread(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.hold('thread/list');
    const reads = Array.from({ length: 120 }, () => b.request('thread/list'));
    await worker.expect('thread/list', () => worker.received('thread/list').length === 100);
    await client.close();
    await worker.expect('thread/unsubscribe', (p) => p.threadId === threadId);
    worker.handlers.delete('thread/list');
    for (const request of worker.received('thread/list')) worker.default(request);
    await Promise.all(reads);
});

test('with a watch on one worker and a request that waits for it, while another worker is idle', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { ...NEVER, moves: 'never' } });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const first = await a.startThread();
    const worker = daemon.fake.owner(first);
    await a.startTurn(first);
    await a.next('turn/started');
    const { thread: second } = await a.request('thread/fork', { threadId: first });
    await a.request('fs/watch', { threadId: first, watchId: 'w', path: '/tmp' });
    a.startTurn(second.id);
    await daemon.untilStatus((s) => s.queue.length === 1, 'its second turn waits');
    await a.close();
    await worker.exited;
    await daemon.untilStatus((s) => s.clients.length === 1 && s.pool.ready === 2 && s.pool.busy === 0, 'all is quiet');
    assert.equal(daemon.fake.workers.some((w) => w.received('turn/start', (p) => p.threadId === second.id).length), false,
        'nothing was sent for the one that left');
});

test('a resume that waits for room at the worker leaves no trace of its thread', async (t) => {
    const [daemon, worker] = await startPool(t);
    daemon.fake.disk.add('known');
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.hold('thread/list');
    const reads = Array.from({ length: 101 }, () => b.request('thread/list'));
    await worker.expect('thread/list', () => worker.received('thread/list').length === 100);
    const a = await PoolClient.open(daemon, { name: 'a' });
    a.request('thread/resume', { threadId: 'known' });
    await daemon.untilStatus((s) => s.pool.busy === 1, 'it has the worker');
    await a.close();
    await daemon.untilStatus((s) => s.pool.busy === 0 && s.workers[0].threads === 0, 'the thread is forgotten');
    const c = await PoolClient.open(daemon, { name: 'c' });
    const resumed = c.request('thread/resume', { threadId: 'known', cwd: '/' });
    worker.handlers.delete('thread/list');
    for (const request of worker.received('thread/list')) worker.default(request);
    await Promise.all(reads);
    assert.equal((await resumed).cold, true);
    assert.equal(worker.received('thread/resume').length, 1);
});

test('while its resume waits for room its worker is cleaned, not given on as it is', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    daemon.fake.disk.add('known');
    const { client: a, threadId } = await idleThread(daemon, worker, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.hold('thread/list');
    const reads = Array.from({ length: 101 }, () => b.request('thread/list'));
    await worker.expect('thread/list', () => worker.received('thread/list').length === 100);
    a.request('thread/resume', { threadId: 'known' });
    await daemon.untilStatus((s) => s.pool.busy === 1, 'it has the worker');
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    await a.close();
    await daemon.untilStatus((s) => !s.clients.some((c) => c.name === 'a'), 'a is gone');
    worker.handlers.delete('thread/list');
    for (const request of worker.received('thread/list')) worker.default(request);
    await Promise.all([...reads, waiting]);
    const methods = worker.log.slice(worker.log.findIndex((m) => m.method === 'turn/interrupt')).map((m) => m.method);
    assert.deepEqual(methods.filter((m) => m !== 'thread/list'),
        ['turn/interrupt', 'thread/unsubscribe', 'thread/loaded/list', 'thread/start']);
    assert.equal(worker.received('thread/unsubscribe')[0].params.threadId, threadId);
});

test('what the worker still says of it reaches nobody', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runningThread(daemon, 'a');
    worker.hold('thread/name/set');
    client.request('thread/name/set', { threadId, name: 'x' });
    const late = await worker.expect('thread/name/set');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waiting = b.request('thread/start');
    await client.close();
    const { thread } = await waiting;
    worker.reply(late, {});
    worker.status(threadId, 'active');
    for (const method of ['turn/started', 'turn/completed']) worker.notify(method, { threadId, turn: { id: 'late' } });
    worker.notify('thread/closed', { threadId });
    worker.notify('item/started', { threadId: thread.id, item: {} });
    await b.next('item/started');
    assert.deepEqual(b.notifications.filter((m) => m.params.threadId !== thread.id && m.method !== 'thread/started'), []);
    assert.ok((await daemon.status()).counters.droppedMessages >= 5);
});

test('an approval that an idle thread asks for is not the next client\'s to answer', async (t) => {
    const [daemon, worker] = await startPool(t);
    const idle = await idleThread(daemon, worker, 'a');
    const { client: b, threadId } = await runningThread(daemon, 'b');
    const answer = worker.ask('item/commandExecution/requestApproval', { threadId: idle.threadId, itemId: 'i' });
    worker.turn(threadId).delta('mine');
    await b.next('item/agentMessage/delta');
    assert.equal(b.asked.length, 0);
    assert.equal(b.box.messages.some((m) => m.method === 'item/commandExecution/requestApproval'), false);
    assert.match((await answer).error.message, /no client is there to answer/);
    worker.turn(threadId).complete();
    await b.turnCompleted(threadId);
});

test('a thread that does not close does not disturb who has its worker; the worker is replaced afterwards', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { interruptTimeoutMs: 200 } });
    const idle = await idleThread(daemon, worker, 'a');
    const gone = await idleThread(daemon, worker, 'c');
    await gone.client.close(); // so that it is known to unload threads
    await worker.expect('thread/unsubscribe', (p) => p.threadId === gone.threadId);
    const { client: b, threadId } = await runningThread(daemon, 'b');
    worker.on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    await idle.client.close();
    await daemon.untilLog(/worker 1: will be replaced: a thread there does not close/);
    worker.turn(threadId).complete();
    await b.turnCompleted(threadId);
    const closed = b.next('thread/closed');
    const successor = await daemon.fake.worker();
    await closed;
    assert.equal(b.has('thread/status/changed', (p) => p.status.type === 'notLoaded'), true);
    assert.equal(await b.resumeThread(threadId), threadId);
    assert.equal(daemon.fake.owner(threadId), successor);
});

test('a worker that has to be stopped takes other clients\' idle threads along, and they are told', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { interruptTimeoutMs: 200 } });
    const idle = await idleThread(daemon, worker, 'a');
    const { client: b } = await runningThread(daemon, 'b');
    worker.hold('turn/interrupt').on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    await b.close();
    const { params } = await idle.client.next('thread/status/changed', (p) => p.status.type === 'notLoaded');
    assert.equal(params.threadId, idle.threadId);
    await idle.client.next('thread/closed', (p) => p.threadId === idle.threadId);
    await daemon.fake.worker();
    assert.equal(await idle.client.resumeThread(idle.threadId), idle.threadId);
});

test('a worker too busy to say what it has loaded is asked again', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client } = await runningThread(daemon, 'a');
    worker.load('unseen');
    let refused = 0;
    worker.on('thread/loaded/list', (r) => (++refused <= 3 ? worker.refuse(r, ...OVERLOADED) : worker.default(r)));
    await client.close();
    await worker.expect('thread/unsubscribe', (p) => p.threadId === 'unseen');
    await allIdle(daemon);
});

test('an unsubscribe that is refused holds nobody up', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runningThread(daemon, 'a');
    worker.turn().complete();
    worker.hold('thread/unsubscribe');
    const unsubscribed = client.request('thread/unsubscribe', { threadId });
    const read = client.request('thread/read', { threadId });
    worker.refuse(await worker.expect('thread/unsubscribe'), ...OVERLOADED);
    await assert.rejects(unsubscribed, (e) => e.code === -32001);
    assert.equal((await read).thread.id, threadId);
    worker.handlers.delete('thread/unsubscribe');
});

test('pool/release gives back what was held, not what it makes room for', async (t) => {
    const [daemon] = await startPool(t);
    const a = await PoolClient.open(daemon);
    await a.request('pool/acquire');
    const second = a.request('pool/acquire');
    await daemon.untilStatus((s) => s.queue.length === 1, 'the second waits');
    await a.request('pool/release');
    assert.equal((await second).worker, 1);
    const { pool, clients } = await daemon.status();
    assert.equal(pool.busy, 1);
    assert.deepEqual(clients.find((c) => c.name === 'client').workers, [1]);
});
