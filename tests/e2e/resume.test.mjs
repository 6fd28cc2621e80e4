// A thread that goes from one client to another, or is asked for by several at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn, sent, settled, waitInLine } from '../lib/scenes.mjs';

// Turns that still run when a test is over are not waited for.
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };
const SOON = { openLingerMs: 0, drainTimeoutMs: 0 };

/** A thread on disk that no worker has loaded. */
async function stored(daemon) {
    const { client, threadId } = await converse(daemon, 'past');
    await client.close();
    await daemon.untilStatus((s) => s.workers.every((w) => w.threads === 0), 'it is unloaded');
    return threadId;
}

/** Answers an unsubscribe without unloading: the test does that. */
const keepLoaded = (worker) => worker.on('thread/unsubscribe', (r) => {
    worker.reply(r, { status: 'unsubscribed' });
});

test('from the moment that a resume is sent its worker is the owner', async (t) => {
    const [daemon, ...workers] = await startPool(t, 2, { config: SOON });
    const threadId = await stored(daemon);
    for (const worker of workers) worker.hold('thread/resume');
    const a = await PoolClient.open(daemon, { name: 'a' });
    const first = a.resumeThread(threadId);
    const owner = await Promise.race(workers.map((w) => w.expect('thread/resume').then(() => w)));
    const b = await PoolClient.open(daemon, { name: 'b' });
    for (let i = 0; i < 3; i++) await b.request('thread/read', { threadId });
    assert.equal(owner.received('thread/read').length, 3);
    const second = b.resumeThread(threadId);
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits for the same worker');
    for (const worker of workers) worker.handlers.clear();
    owner.default(owner.received('thread/resume')[0]);
    assert.deepEqual(await Promise.all([first, second]), [threadId, threadId]);
    assert.deepEqual((await b.request('thread/loaded/list')).data, [threadId]);
    assert.deepEqual((await a.request('thread/loaded/list')).data, []);
});

test('a refused resume leaves the thread to whoever asks next, on any worker', async (t) => {
    const [daemon, ...workers] = await startPool(t, 2, { config: NEVER });
    const threadId = await stored(daemon);
    for (const worker of workers) worker.on('thread/resume', (r) => worker.refuse(r, -32602, 'no'));
    const a = await PoolClient.open(daemon, { name: 'a' });
    await assert.rejects(a.resumeThread(threadId), { code: -32602, message: 'no' });
    for (const worker of workers) worker.handlers.clear();
    const { worker: id } = await a.request('pool/acquire');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.resumeThread(threadId);
    assert.notEqual(daemon.fake.owner(threadId).number, id, 'the one that is free');
    assert.deepEqual((await a.request('thread/loaded/list')).data, []);
});

test('a refused rejoin leaves the thread with its subscriber', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread({ ephemeral: true });
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.on('thread/resume', (r) => worker.refuse(r, -32600, `no rollout found for thread id ${threadId}`));
    await assert.rejects(b.resumeThread(threadId), { message: /^no rollout found/ });
    await a.startTurn(threadId);
    await a.next('turn/started');
    assert.equal(b.has('turn/started'), false);
    const stranger = b.request('turn/interrupt', { threadId, turnId: '' });
    await assert.rejects(stranger, { message: `thread not found: ${threadId}` });
});

test('a turn that began before a rejoin was answered is whose the thread is, with all that is asked in it', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const threadId = await a.startThread({ ephemeral: true });
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.hold('thread/resume');
    const rejoin = b.resumeThread(threadId);
    const held = await worker.expect('thread/resume');
    const turn = worker.begin(threadId);
    turn.delta('not for b');
    worker.lastAsk = 5; // so that the worker's id is not by chance the one that `a` is given
    const approval = worker.ask('item/commandExecution/requestApproval', { threadId, turnId: turn.id, itemId: 'i' });
    const asked = await a.next('item/commandExecution/requestApproval');
    a.send({ id: asked.id, result: { decision: 'accept' } });
    assert.deepEqual((await approval).result, { decision: 'accept' });
    worker.notify('serverRequest/resolved', { threadId, requestId: approval.id });
    worker.notify('error', { threadId, turnId: turn.id, willRetry: true, error: { message: 'reconnecting' } });
    worker.refuse(held, -32600, `no rollout found for thread id ${threadId}`);
    await assert.rejects(rejoin, { message: /^no rollout found/ });
    turn.complete();
    await a.turnCompleted(threadId);
    await settled(b);
    for (const method of ['turn/started', 'item/agentMessage/delta', 'serverRequest/resolved', 'error'])
        assert.deepEqual([a.has(method), b.has(method)], [true, false], method);
    assert.equal(b.has('item/commandExecution/requestApproval'), false);
    assert.equal((await a.next('serverRequest/resolved')).params.requestId, asked.id);
});

test('a resume right after the thread\'s client has left waits for the unload', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runTurn(daemon);
    keepLoaded(worker);
    await client.close();
    await worker.expect('thread/unsubscribe');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.request('thread/resume', { threadId });
    await settled(b);
    assert.equal(worker.received('thread/resume').length, 0);
    worker.handlers.clear();
    worker.unload(threadId);
    assert.equal((await resumed).cold, true);
});

test('a client that leaves in its turn while another waits to resume the thread', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.request('thread/resume', { threadId });
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    await client.close();
    assert.equal((await resumed).cold, true);
    await b.startTurn(threadId);
    await b.next('turn/started');
    assert.equal(b.lines.some((line) => line.includes(`"${turn.id}"`)), false, 'nothing of the turn before');
    assert.deepEqual(worker.received('turn/interrupt').map((m) => m.params.turnId), ['']);
});

test('ten clients that resume one thread at once have it one after the other', async (t) => {
    const [daemon] = await startPool(t, 3, { config: SOON });
    const threadId = await stored(daemon);
    const clients = await Promise.all(Array.from({ length: 10 }, () => PoolClient.open(daemon)));
    await Promise.all(clients.map((client) => client.resumeThread(threadId)));
    const lists = await Promise.all(clients.map((client) => client.request('thread/loaded/list')));
    assert.equal(lists.filter(({ data }) => data.includes(threadId)).length, 1, 'one has it');
    assert.equal([...daemon.fake.workers].filter((w) => w.threads.has(threadId)).length, 1);
});

test('a resume whose worker dies while it unloads the thread goes to the next worker', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId } = await converse(daemon);
    keepLoaded(worker);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.request('thread/resume', { threadId });
    await worker.expect('thread/unsubscribe');
    await worker.die('SIGKILL');
    assert.equal((await resumed).cold, true);
    assert.equal(daemon.fake.workers.length, 2);
    await client.next('thread/closed', (p) => p.threadId === threadId);
});

test('a thread that does not close for a resume ends with its worker, and the resume goes on', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...SOON, interruptTimeoutMs: 300 } });
    const { threadId } = await converse(daemon);
    keepLoaded(worker);
    worker.on('turn/interrupt', (r) => { worker.reply(r, {}); worker.status(threadId, 'active'); });
    const b = await PoolClient.open(daemon, { name: 'b' });
    assert.equal(await b.resumeThread(threadId), threadId);
    assert.equal(daemon.fake.workers.length, 2);
});

test('unsubscribed in its turn, a thread is its client\'s until it closes', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    const next = await waitInLine(daemon);
    assert.deepEqual(await client.request('thread/unsubscribe', { threadId }), { status: 'unsubscribed' });
    turn.delta('more');
    await client.next('item/agentMessage/delta');
    await settled(client);
    assert.equal(worker.received('thread/start').length, 1);
    await client.request('turn/interrupt', { threadId, turnId: turn.id });
    await client.next('thread/closed');
    await next.waiting;
});

test('a client that leaves after it unsubscribed in its own turn has that ended', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runTurn(daemon);
    const next = await waitInLine(daemon);
    await client.request('thread/unsubscribe', { threadId });
    await client.close();
    await next.waiting;
    assert.equal(worker.received('turn/interrupt', (p) => p.turnId === '').length, 1);
});

test('a thread that Codex closes by itself is no longer anybody\'s', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId } = await converse(daemon);
    worker.unload(threadId);
    await client.next('thread/closed');
    assert.deepEqual((await client.request('thread/loaded/list')).data, []);
    assert.equal((await client.request('thread/resume', { threadId })).cold, true);
});

test('a fork takes nothing from the client whose thread it copies', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId } = await converse(daemon);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const { thread } = await b.request('thread/fork', { threadId });
    assert.equal(worker.received('thread/unsubscribe').length, 0);
    assert.deepEqual((await client.request('thread/loaded/list')).data, [threadId]);
    assert.deepEqual((await b.request('thread/loaded/list')).data, [thread.id]);
    await b.next('thread/started', (p) => p.thread.id === thread.id);
    assert.equal(client.has('thread/started', (p) => p.thread.id === thread.id), false);
});

test('who waits for a certain worker and who waits for any are served in one order', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const past = await converse(daemon, 'past');
    const holder = await runTurn(daemon, 'holder');
    const first = await waitInLine(daemon, 'first');
    const second = past.client.startTurn(past.threadId, 'second');
    await daemon.untilStatus((s) => s.queue.length === 2, 'two wait');
    const third = await waitInLine(daemon, 'third');
    const from = worker.log.length;
    holder.turn.complete();
    await first.waiting;
    await first.client.close();
    await second;
    worker.turn(past.threadId).complete();
    await third.waiting;
    assert.deepEqual(sent(worker, from).filter((m) => /start/.test(m)), [
        'thread/start', `turn/start ${past.threadId}`, 'thread/start',
    ]);
});

test('while a refused resume waits to be tried again, its worker serves others', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const threadId = await stored(daemon);
    let busy = true;
    worker.on('thread/resume', (r) => {
        if (busy) worker.refuse(r, -32600, `thread ${threadId} already has an active writer`);
        else worker.default(r);
    });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const resumed = a.resumeThread(threadId);
    await worker.expect('thread/resume');
    const b = await converse(daemon, 'b');
    busy = false;
    await resumed;
    await b.client.close();
});

test('what is sent in one write with a resume that has to be tried again goes behind it', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const threadId = await stored(daemon);
    let refusals = 0;
    worker.on('thread/resume', (r) => {
        if (++refusals < 3) worker.refuse(r, -32600, `thread ${threadId} is closing; retry`);
        else worker.default(r);
    });
    const a = await PoolClient.open(daemon, { name: 'a' });
    const answers = [a.resumeThread(threadId), a.startTurn(threadId)];
    await Promise.all(answers);
    await a.next('turn/started');
});

test('a client that leaves while its resume waits to be tried again leaves nothing behind', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const threadId = await stored(daemon);
    worker.on('thread/resume', (r) => worker.refuse(r, -32600, 'thread already has an active writer'));
    const a = await PoolClient.open(daemon, { name: 'a' });
    a.request('thread/resume', { threadId });
    await worker.expect('thread/resume');
    await worker.expect('thread/resume');
    await a.close();
    const quiet = ({ state, threads }) => state === 'idle' && threads === 0;
    await daemon.untilStatus((s) => quiet(s.workers[0]), 'all is quiet');
    worker.handlers.clear();
    const b = await PoolClient.open(daemon, { name: 'b' });
    assert.equal(await b.resumeThread(threadId), threadId);
});
