// The Node.js client: a worker waited for, used, given back; what it is told where any of that fails.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
    AbortedError, AcquireTimeoutError, ClosedError, ForbiddenError, NoDaemonError, PoolError, ProtocolError, QueueFullError,
    ShutdownError, WorkerLostError, WorkerStartError, connect,
} from '../../client/node/src/index.js';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { converse, greet, open } from '../lib/node-client.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';
import { Mailbox, within } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };

const rejects = (promise, Class, fields) => assert.rejects(within(promise, Class.name), (error) => {
    assert.ok(error instanceof Class && error instanceof PoolError && error instanceof Error, `${error.stack}`);
    const { code, reason, retryable } = error;
    assert.deepEqual({ code, reason, retryable }, fields);
    return true;
});

/** Starts to wait: { promise, place, abort }, when it has its first place. */
async function waiting(daemon, options = {}) {
    const places = new Mailbox('places');
    const abort = new AbortController();
    const promise = connect({
        socket: daemon.socket, signal: abort.signal, onQueue: (place) => places.put(place), ...options,
    });
    promise.catch(() => {});
    const next = (position) => places.take((p) => p.position === position, `place ${position}`);
    return { promise, place: next, abort, first: await places.take(() => true, 'a place') };
}

test('a worker, a thread, a turn; closing gives it back', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const transport = await open(t, daemon);
    assert.equal(transport.worker, 1);
    assert.equal(transport.waitedMs, 0);
    const threadId = await converse(transport);
    worker.turn(threadId).delta('so');
    assert.equal((await transport.next('item/agentMessage/delta')).params.delta, 'so');
    worker.turn(threadId).complete();
    assert.equal((await transport.next('turn/completed')).params.turn.status, 'completed');
    transport.close();
    await daemon.untilStatus((s) => s.clients.length === 1 && s.pool.busy === 0, 'it is given back');
    await rejects(transport.send({ method: 'initialized' }), ClosedError,
        { code: -32022, reason: 'closed', retryable: false });
});

test('messages of one\'s own ids go both ways as they are', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const transport = await open(t, daemon);
    await transport.send({ id: 'x', method: 'initialize', params: { clientInfo: { name: 'n', version: '1' } } });
    assert.match((await transport.answer('x')).result.userAgent, /0\.169/);
    await transport.send({ method: 'initialized' });
    await transport.send({ id: 1, method: 'thread/start', params: {} });
    const threadId = (await transport.answer(1)).result.thread.id;
    await transport.send({ id: 2, method: 'turn/start', params: { threadId, input: [] } });
    await transport.answer(2);
    const answered = worker.ask('item/tool/call', { threadId, turnId: 'x', callId: 'c' });
    const { id } = await transport.next('item/tool/call');
    await transport.send({ id, result: { success: true } });
    assert.deepEqual((await answered).result, { success: true });
    transport.close();
});

test('the place in the queue, until it is one\'s turn', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const first = await open(t, daemon);
    const second = await waiting(daemon);
    const third = await waiting(daemon);
    assert.deepEqual([second.first.position, third.first.position], [1, 2]);
    first.close();
    const transport = await second.promise;
    assert.equal((await second.place(0)).worker, 1);
    assert.ok(transport.waitedMs >= 0);
    assert.equal((await third.place(1)).length, 1);
    transport.close();
    (await third.promise).close();
});

test('who is served at once hears of no place', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const places = [];
    const transport = await open(t, daemon, { onQueue: (place) => places.push(place) });
    await converse(transport);
    assert.deepEqual(places, []);
    transport.close();
});

test('a signal ends the wait at once', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    await open(t, daemon);
    const { promise, abort } = await waiting(daemon);
    abort.abort(new Error('the user left'));
    await rejects(promise, AbortedError, { code: -32011, reason: 'aborted', retryable: false });
    const error = await promise.catch((reason) => reason);
    assert.equal(error.name, 'AbortError');
    assert.equal(error.cause.message, 'the user left');
    await daemon.untilStatus((s) => s.queue.length === 0, 'it has left the queue');
    assert.equal((await daemon.status()).pool.busy, 1, 'the other has its worker still');
});

test('a signal that has come before', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const promise = connect({ socket: daemon.socket, signal: AbortSignal.abort() });
    await rejects(promise, AbortedError, { code: -32011, reason: 'aborted', retryable: false });
    assert.equal((await daemon.status()).counters.streams, 0);
});

test('a signal ends the wait for a daemon that answers nothing', async (t) => {
    const daemon = await PlayedDaemon.start(t, { 'pool/subscribe': () => {}, 'pool/acquire': () => {} });
    for (const onQueue of [undefined, () => {}]) {
        const abort = new AbortController();
        const promise = connect({ socket: daemon.socket, signal: abort.signal, onQueue });
        const refused = rejects(promise, AbortedError, { code: -32011, reason: 'aborted', retryable: false });
        const peer = await daemon.peer(onQueue ? 1 : 0);
        await peer.next(onQueue ? 'pool/subscribe' : 'pool/acquire');
        abort.abort();
        await refused;
        await peer.gone();
    }
});

test('a signal ends the turn, and whoever waits for its end hears of it', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const abort = new AbortController();
    const transport = await open(t, daemon, { signal: abort.signal });
    const threadId = await converse(transport);
    worker.hold('model/list');
    const told = rejects(transport.request('model/list'), AbortedError,
        { code: -32011, reason: 'aborted', retryable: false });
    await transport.send({ id: 7, method: 'model/list' });
    await worker.expect('model/list');
    abort.abort();
    await worker.expect('turn/interrupt', (p) => p.threadId === threadId);
    await told;
    assert.equal((await transport.answer(7)).error.data.reason, 'aborted');
    assert.equal((await transport.next('turn/completed')).params.turn.status, 'interrupted');
    assert.equal((await transport.ended).name, 'AbortError');
    await daemon.untilStatus((s) => s.pool.busy === 0, 'the worker is free');
});

test('errors: the queue is full, the wait took too long', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, maxQueue: 1 } });
    await open(t, daemon);
    const late = connect({ socket: daemon.socket, timeoutMs: 50 });
    await rejects(late, AcquireTimeoutError, { code: -32010, reason: 'acquireTimeout', retryable: true });
    const { abort } = await waiting(daemon);
    await rejects(connect({ socket: daemon.socket }), QueueFullError,
        { code: -32001, reason: 'queueFull', retryable: true });
    abort.abort();
});

test('errors: no daemon', async (t) => {
    const [daemon] = await startPool(t, 1);
    const socket = join(daemon.dir, 'none');
    await rejects(connect({ socket }), NoDaemonError, { code: -32020, reason: 'noDaemon', retryable: true });
    const error = await connect({ socket }).catch((reason) => reason);
    assert.equal(error.message, `No codex-poold at ${socket}: ENOENT`);
    assert.equal(error.data.system, 'ENOENT');
});

test('errors: forbidden, no message of the protocol, Codex\'s own', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, denyMethods: ['fs/*'] } });
    const transport = await open(t, daemon);
    await greet(transport);
    await rejects(transport.request('fs/readFile', { path: '/x' }), ForbiddenError,
        { code: -32014, reason: 'forbidden', retryable: false });
    await transport.send({ id: [], method: 'model/list' });
    assert.equal((await transport.answer(null)).error.code, -32600);
    worker.on('model/list', (request) => worker.refuse(request, -32600, 'no such model'));
    const refused = transport.request('model/list');
    await rejects(refused, PoolError, { code: -32600, reason: 'codex', retryable: false });
    assert.ok(!(await refused.catch((error) => error) instanceof ProtocolError));
    transport.close();
});

test('errors: the worker is lost, and cannot be started', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const transport = await open(t, daemon);
    await converse(transport);
    worker.hold('model/list');
    const told = rejects(transport.request('model/list'), WorkerLostError,
        { code: -32013, reason: 'workerLost', retryable: false });
    await worker.expect('model/list');
    daemon.writeConfig({ codex: { command: '/nonexistent/codex' } });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/config/i);
    worker.die();
    await told;
    assert.equal((await transport.next('turn/completed')).params.turn.status, 'failed');
    transport.close();
    await rejects(connect({ socket: daemon.socket }), WorkerStartError,
        { code: -32015, reason: 'workerStart', retryable: false });
});

test('errors: shutdown, where nobody waits for a successor', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, drainTimeoutMs: 600000 } });
    const other = await PoolClient.open(daemon, { name: 'other' });
    await other.startTurn(await other.startThread());
    const { promise } = await waiting(daemon, { reconnectMs: 0 });
    daemon.signal('SIGTERM');
    await rejects(promise, ShutdownError, { code: -32012, reason: 'shutdown', retryable: true });
    await other.close();
    await daemon.stop();
});

test('a daemon without a worker yet makes it wait, as any request', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1, prewarm: false } });
    const transport = await open(t, daemon);
    assert.equal(transport.worker, 1);
    transport.close();
});
