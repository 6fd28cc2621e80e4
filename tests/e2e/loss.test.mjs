// Workers that die, hang, or talk nonsense: who is concerned learns it, nobody else notices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { isAlive, startDaemon, startPool } from '../lib/daemon.mjs';
import { until } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000 };

async function running(daemon, name = 'a') {
    const client = await PoolClient.open(daemon, { name });
    const threadId = await client.startThread();
    await client.startTurn(threadId);
    await client.next('turn/started');
    return { client, threadId, worker: daemon.fake.owner(threadId) };
}

test('killed in mid-turn: the turn fails in the protocol\'s own words, and the waiter is served by the successor', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER, args: ['--log-level', 'trace'] });
    const { client: a, threadId } = await running(daemon);
    const turnId = worker.turn().id;
    worker.ask('item/commandExecution/requestApproval', { threadId, turnId });
    const ask = await a.next('item/commandExecution/requestApproval');
    worker.hold('thread/list');
    const unanswered = a.request('thread/list');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    worker.stderr('its last words\n');
    await daemon.untilLog(/its last words/);
    const seen = a.notifications.length;
    await worker.die('SIGKILL');
    await assert.rejects(unanswered, (e) => e.code === -32013 && e.data.reason === 'workerLost' &&
        e.message === 'Worker exited (signal 9 (Killed): its last words)');
    await a.next('thread/closed');
    const end = a.notifications.slice(seen);
    assert.deepEqual(end.map((m) => m.method), ['error', 'turn/completed', 'serverRequest/resolved', 'thread/status/changed', 'thread/closed']);
    assert.equal(end[0].params.willRetry, false);
    assert.match(end[0].params.error.message, /signal 9/);
    assert.deepEqual([end[1].params.turn.id, end[1].params.turn.status], [turnId, 'failed']);
    assert.deepEqual(end[2].params, { threadId, requestId: ask.id });
    assert.equal(end[3].params.status.type, 'notLoaded');
    assert.equal(new Set(end.map((m) => m.params.threadId)).size, 1);
    await daemon.fake.worker();
    await waiting;
    assert.equal((await daemon.status()).workers[0].restarts, 1);
    // The conversation goes on where it was persisted.
    await b.close();
    assert.equal(await a.resumeThread(threadId), threadId);
});

test('who has an idle thread there is told that it is closed; who is elsewhere notices nothing', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const a = await running(daemon, 'a');
    a.worker.turn().complete();
    await a.client.turnCompleted(a.threadId);
    const b = await running(daemon, 'b');
    assert.notEqual(a.worker, b.worker);
    const before = b.client.lines.length;
    await a.worker.die(1);
    await a.client.next('thread/closed', (p) => p.threadId === a.threadId);
    assert.equal(a.client.has('error'), false, 'no turn of its was running');
    b.worker.turn().complete();
    await b.client.turnCompleted(b.threadId);
    assert.deepEqual(b.client.lines.slice(before).map((l) => JSON.parse(l).method), ['thread/status/changed', 'turn/completed']);
});

for (const [when, method, ask] of [
    ['between a thread/start and its answer', 'thread/start', (c) => c.request('thread/start')],
    ['between a read and its answer', 'model/list', (c) => c.request('model/list')],
]) {
    test(`dies ${when}`, async (t) => {
        const [daemon, worker] = await startPool(t, 1);
        worker.on(method, () => worker.die(7));
        const a = await PoolClient.open(daemon);
        await assert.rejects(ask(a), (e) => e.code === -32013 && e.message === 'Worker exited (exit code 7)');
        await daemon.fake.worker();
        await a.startThread();
    });
}

test('dies in the middle of a line', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const { client, threadId } = await running(daemon);
    worker.raw('{"method":"item/agentMessage/delta","params":{"threadId":');
    await worker.die(0);
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'failed');
    assert.equal(client.has('item/agentMessage/delta'), false);
});

test('dies while its turn is being interrupted for a client that left', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client } = await running(daemon);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    worker.on('turn/interrupt', () => worker.die('SIGSEGV'));
    await client.close();
    await waiting;
    assert.equal(daemon.fake.workers.length, 2);
});

test('what is no JSON, answers nothing, or answers twice is dropped', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const { client, threadId } = await running(daemon);
    worker.raw('garbage\n{"id":\n\n[]\n{"id":999999,"result":{}}\n{"id":"x","result":{}}\n{"id":1.5,"error":{}}\n');
    worker.on('model/list', (r) => { worker.reply(r, { n: 1 }); worker.reply(r, { n: 2 }); });
    assert.deepEqual(await client.request('model/list'), { n: 1 });
    worker.turn().complete();
    await client.turnCompleted(threadId);
    assert.equal(client.lines.every((line) => JSON.parse(line).n !== 2), true);
    assert.ok((await daemon.status()).counters.droppedMessages >= 6);
});

test('a line longer than maxMessageBytes ends its worker', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { maxMessageBytes: 4096 } });
    const { client, threadId } = await running(daemon);
    worker.notify('item/agentMessage/delta', { threadId, delta: 'x'.repeat(5000) });
    const { params } = await client.next('error');
    assert.match(params.error.message, /maxMessageBytes/);
    await daemon.fake.worker();
});

test('one that fails to start is tried again, and who waits is told why', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1 }, args: ['--log-level', 'trace'] });
    const a = await PoolClient.connect(daemon.socket);
    const initialized = a.initialize();
    const first = await daemon.fake.worker();
    first.hold('initialize');
    first.stderr('cannot read the moon\n');
    await daemon.untilLog(/cannot read the moon/);
    first.die(3);
    // The first one may have answered before it was told not to.
    const outcome = await initialized.then(() => 'ready', (e) => e);
    if (outcome !== 'ready') {
        assert.equal(outcome.code, -32015);
        assert.match(outcome.message, /^Cannot start codex: exit code 3: cannot read the moon/);
    }
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it heals by itself');
});

test('failing starts back off and are seen in the status; it heals when the cause goes', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1, codex: { command: '/nonexistent/codex' } } });
    await daemon.untilStatus((s) => s.counters.workerStarts >= 3, 'several starts');
    const { workers, pool } = await daemon.status();
    assert.deepEqual([pool.down, pool.ready], [1, 0]);
    assert.match(workers[0].lastError, /Cannot start codex: .*No such file/);
    const delays = [...daemon.log.matchAll(/next try in (\d+) ms/g)].map((m) => Number(m[1]));
    assert.deepEqual(delays.slice(0, 3), [100, 200, 400]);
    daemon.writeConfig({ codex: { command: daemon.fake.command } });
    daemon.signal('SIGHUP');
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it heals');
});

test('one that ignores the end of its input and SIGTERM is killed at shutdown', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    worker.order({ ignoreTerm: true });
    worker.order({ onEof: 'stay' });
    await (await PoolClient.open(daemon)).request('model/list');
    const { pid } = worker;
    await daemon.stop();
    assert.equal(isAlive(pid), false);
});

test('what a worker has started dies with it, also what has left its process group and holds its pipes', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    worker.order({ spawn: true });
    const { params } = await worker.expect('spawned');
    assert.ok(isAlive(params.spawned));
    await worker.die('SIGKILL');
    await until(() => !isAlive(params.spawned), 'the grandchild is dead');
    await daemon.fake.worker();
});

test('kill -9 of the daemon ends its workers', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 2 }, endsItself: true });
    const pids = [(await daemon.fake.worker()).pid, (await daemon.fake.worker()).pid];
    daemon.signal('SIGKILL');
    await daemon.exited;
    await until(() => !pids.some(isAlive), 'both workers are dead');
});

test('a suspended worker is replaced when its client leaves', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, interruptTimeoutMs: 300 } });
    const { client } = await running(daemon);
    process.kill(worker.pid, 'SIGSTOP');
    await client.close();
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'a new one is ready');
    assert.equal(isAlive(worker.pid), false);
});

test('idle workers are stopped down to minWorkers, and started again when somebody waits', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 3, idleTimeoutMs: 50, minWorkers: 1 } });
    await daemon.untilStatus((s) => s.counters.workerStarts >= 3 && s.pool.ready === 1 && s.pool.down === 2, 'one is left');
    const all = await Promise.all(['a', 'b', 'c'].map((name) => PoolClient.open(daemon, { name })));
    await Promise.all(all.map((c) => c.startThread()));
    assert.equal((await daemon.status()).pool.busy, 3);
});

test('a worker whose thread somebody subscribes to is not idle', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { idleTimeoutMs: 50, minWorkers: 0 } });
    const { client, threadId } = await running(daemon);
    // The first worker may have been idle for so long before.
    daemon.fake.owner(threadId).turn().complete();
    await client.turnCompleted(threadId);
    await daemon.untilStatus((s) => s.workers[0].state === 'idle' && s.workers[0].ageMs > 500, 'long idle');
    await client.close();
    await daemon.untilStatus((s) => s.pool.down === 1, 'now it is stopped');
});

test('with prewarm false the first worker is started by the first who needs one', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 2, prewarm: false } });
    assert.equal((await daemon.status()).counters.workerStarts, 0);
    const a = await PoolClient.open(daemon);
    await a.startThread();
    assert.equal((await daemon.status()).counters.workerStarts, 1);
});

test('maxStreamsPerWorker replaces a worker when it is free', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { maxStreamsPerWorker: 2 } });
    for (let i = 0; i < 2; i++) {
        const client = await PoolClient.open(daemon);
        await client.startThread();
        await client.close();
    }
    await worker.eof;
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'the successor is ready');
});
