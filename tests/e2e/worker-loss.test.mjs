// What a worker's death or nonsense meets halfway: requests on every list, messages that contradict each other.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { isAlive, startDaemon, startPool } from '../lib/daemon.mjs';
import { sanitized } from '../lib/memory.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000 };
const LOST = (e) => e.code === -32013 && e.data.reason === 'workerLost';

/** Children of a process that have ended and were not waited for. */
function zombies(parent) {
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
        try {
            const [, state, ppid] = /\) (.) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
            return state === 'Z' && Number(ppid) === parent;
        } catch {
            return false;
        }
    });
}

const parentOf = (pid) => Number(/\) . (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))[1]);

test('what went behind a resume that dies with its worker is served by another', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    daemon.fake.disk.add('known');
    worker.hold('thread/resume');
    const a = await PoolClient.open(daemon, { name: 'a' });
    const resumed = a.request('thread/resume', { threadId: 'known' });
    await worker.expect('thread/resume');
    const read = a.request('thread/read', { threadId: 'known' });
    await a.request('pool/ping');
    await worker.die();
    await assert.rejects(resumed, LOST);
    assert.equal((await read).thread.id, 'known');
    assert.equal(worker.received('thread/read').length, 0);
    assert.equal(await a.resumeThread('known'), 'known');
});

test('what went behind its own rejoin fails with it', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await converse(daemon);
    worker.hold('thread/resume');
    const resumed = client.request('thread/resume', { threadId });
    await worker.expect('thread/resume');
    const reads = [1, 2, 3].map(() => client.request('thread/read', { threadId }));
    await client.request('pool/ping');
    await worker.die();
    await assert.rejects(resumed, LOST);
    const ends = await Promise.all(reads.map((read) => read.then(() => 'read', (e) => LOST(e) && 'lost')));
    assert.ok(ends.every((end) => end === 'read' || end === 'lost'), `${ends}`);
    await client.next('thread/closed');
});

test('requests beyond the worker\'s window fail with those that it had', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.hold('thread/list');
    const a = await PoolClient.open(daemon);
    const reads = Array.from({ length: 150 }, () => a.request('thread/list'));
    await worker.expect('thread/list', () => worker.received('thread/list').length === 100);
    await worker.die('SIGABRT');
    for (const read of reads) await assert.rejects(read, (e) => LOST(e) && /signal 6/.test(e.message));
    assert.equal((await (await daemon.fake.worker(), a.request('model/list'))).data.length, 1);
});

test('a request whose thread was being unloaded first goes to the successor', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { client: a, threadId } = await converse(daemon, 'a');
    worker.on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.request('thread/resume', { threadId, cwd: '/' });
    await worker.expect('thread/unsubscribe');
    await worker.die();
    assert.equal((await resumed).cold, true);
    await a.next('thread/closed');
    assert.equal(daemon.fake.owner(threadId).number, 2);
});

test('a request that waited for its thread to be closed goes on when the worker dies', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { client, threadId } = await converse(daemon);
    worker.on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    await client.request('thread/unsubscribe', { threadId });
    const resumed = client.request('thread/resume', { threadId });
    await client.request('pool/ping');
    await worker.die();
    assert.equal((await resumed).cold, true);
});

test('the holder of pool/acquire loses its worker and may have another', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('pool/acquire');
    const { waiting } = await waitInLine(daemon);
    await worker.die();
    await waiting;
    assert.deepEqual(await a.request('pool/release'), {});
    assert.equal((await daemon.status()).clients.find((c) => c.name === 'a').workers.length, 0);
});

test('sub-agents that ran there end like any thread', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runTurn(daemon);
    worker.load('child');
    worker.begin('child', 'turn-of-child');
    await client.next('turn/started', (p) => p.threadId === 'child');
    await worker.die();
    for (const id of [threadId, 'child']) {
        assert.equal((await client.turnCompleted(id)).params.turn.status, 'failed');
        await client.next('thread/closed', (p) => p.threadId === id);
    }
});

test('a turn that was asked for and not begun fails once, by its request', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    worker.hold('turn/start');
    const started = a.startTurn(threadId);
    await worker.expect('turn/start');
    await worker.die();
    await assert.rejects(started, LOST);
    await a.next('thread/closed');
    assert.equal(a.has('turn/completed') || a.has('error'), false);
});

test('what it wrote before it died is heard before its end', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    // Both the end and much output are there when the daemon looks.
    daemon.signal('SIGSTOP');
    for (let i = 0; i < 500; i++) turn.delta(`${i} ${'x'.repeat(1000)}`);
    turn.complete();
    await worker.die();
    daemon.signal('SIGCONT');
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'completed');
    await client.next('thread/closed');
    assert.equal(client.notifications.filter((m) => m.method === 'item/agentMessage/delta').length, 500);
    assert.equal(client.has('error'), false);
});

test('a thread that was closed while its resume is on the way is still its worker\'s: who comes next has it after that', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 100 } });
    daemon.fake.disk.add('known');
    worker.hold('thread/resume');
    const a = await PoolClient.open(daemon, { name: 'a' });
    const resumedByA = a.request('thread/resume', { threadId: 'known' });
    const request = await worker.expect('thread/resume');
    worker.status('known', 'idle');
    worker.notify('thread/closed', { threadId: 'known' });
    await a.next('thread/closed');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.request('pool/subscribe', { events: ['queue'] });
    const resumedByB = b.request('thread/resume', { threadId: 'known' });
    await b.next('pool/queued');
    worker.default(request);
    assert.equal((await resumedByA).thread.id, 'known');
    const other = await worker.expect('thread/resume');
    worker.default(other);
    assert.equal((await resumedByB).thread.id, 'known');
    assert.deepEqual((await b.request('thread/loaded/list')).data, ['known']);
    assert.deepEqual((await a.request('thread/loaded/list')).data, []);
});

test('a new thread that goes by the id of another worker\'s', async (t) => {
    const [daemon, first, second] = await startPool(t, 2, { config: NEVER });
    const { client: a, threadId } = await converse(daemon, 'a');
    const other = daemon.fake.owner(threadId) === first ? second : first;
    // Requests that wait for the thread's end at its owner are on their way when it gets another one.
    daemon.fake.owner(threadId).on('thread/unsubscribe', () => {});
    a.request('thread/unsubscribe', { threadId });
    const resumed = a.request('thread/resume', { threadId });
    await a.request('pool/ping');
    other.on('thread/start', (r) => other.reply(r, { thread: { id: threadId } }));
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.startThread();
    await resumed.catch((e) => assert.equal(e.code, -32600));
    assert.equal((await daemon.status()).pool.ready, 2);
});

test('a line without end is not kept in memory', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { maxMessageBytes: 4096 } });
    worker.order({ ignoreTerm: true });
    worker.order({ onEof: 'stay' });
    for (let i = 0; i < 64; i++) worker.raw('x'.repeat(1024 * 1024));
    await daemon.untilStatus((s) => s.workers[0].state === 'stopping', 'it is stopped');
    await daemon.fake.worker();
    const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))[1]);
    // The address sanitizer keeps what is freed.
    assert.ok(sanitized || peak < 32 * 1024, `${peak} kB`);
});

test('what a worker has orphaned is reaped', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.order({ orphan: true });
    const { params } = await worker.expect('spawned');
    await until(() => parentOf(params.spawned) === daemon.pid, 'the daemon has inherited it');
    process.kill(params.spawned, 'SIGKILL');
    await until(() => !readdirSync('/proc').includes(String(params.spawned)), 'it is reaped');
    assert.deepEqual(zombies(daemon.pid), []);
    assert.ok(isAlive(worker.pid));
});

test('one that dies at shutdown does not hold it up', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client } = await runTurn(daemon);
    worker.order({ onEof: 'stay' });
    daemon.signal('SIGTERM');
    await daemon.untilLog(/stopping: running turns may finish/);
    await worker.die('SIGKILL');
    await client.next('thread/closed');
    await daemon.stop();
});

test('one that dies as it is started, again and again, is tried ever later', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 2 }, waitReady: false });
    daemon.fake.on('initialize', function die() { this.die(5); });
    await daemon.ready();
    const a = await PoolClient.connect(daemon.socket);
    await assert.rejects(a.initialize(), (e) => e.code === -32015 && /exit code 5/.test(e.message));
    await daemon.untilLog(/next try in 400 ms/);
    daemon.fake.handlers.delete('initialize');
    await daemon.untilStatus((s) => s.pool.ready === 2, 'it heals');
    await a.initialize();
    await a.startThread();
});

test('one after the other that dies leaves nothing in the daemon', async (t) => {
    const [daemon, first] = await startPool(t);
    const a = await PoolClient.open(daemon);
    let worker = first;
    const fds = daemon.fds().length;
    for (let i = 0; i < 4; i++) {
        a.request('thread/start');
        await worker.expect('thread/start');
        await worker.die();
        worker = await daemon.fake.worker();
    }
    await daemon.untilStatus((s) => s.pool.ready === 1 && s.workers[0].threads === 0, 'the last one is ready');
    await until(() => daemon.fds().length <= fds, 'no descriptor is left');
    assert.equal((await daemon.status()).workers[0].restarts, 4);
});
