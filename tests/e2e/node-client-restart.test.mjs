// The Node.js client when the daemon goes: what was lost is said, and it goes on with the next one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClosedError, ConnectionLostError, NoDaemonError, connect } from '../../client/node/src/index.js';
import { startPool } from '../lib/daemon.mjs';
import { converse, greet, kill, open, startAgain } from '../lib/node-client.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';
import { Mailbox, within } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };

test('a restart: what was lost is said to all who wait for it, and the conversation goes on', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const lost = new Mailbox('lost');
    const transport = await open(t, daemon, { onLost: (error) => lost.put(error) });
    const threadId = await converse(transport);
    worker.hold('model/list');
    await transport.send({ id: 5, method: 'model/list' });
    await worker.expect('model/list');
    const own = assert.rejects(transport.request('model/list'), (error) => error instanceof ConnectionLostError);
    await kill(daemon);
    const error = await lost.take(() => true, 'what was lost');
    assert.deepEqual(error.turns, [threadId]);
    assert.deepEqual(error.threads, [threadId]);
    assert.deepEqual(error.requests.map(({ method }) => method), ['model/list', 'model/list']);
    assert.equal(error.message, 'The connection to codex-poold was lost, and with it 2 unanswered requests, ' +
        '1 running turn, 1 open thread.');
    assert.deepEqual([error.code, error.reason, error.retryable], [-32021, 'connectionLost', false]);
    assert.equal((await transport.answer(5)).error.data.reason, 'connectionLost');
    assert.equal((await transport.next('error')).params.willRetry, false);
    assert.equal((await transport.next('turn/completed')).params.turn.status, 'failed');
    await transport.next('thread/closed');
    await own;
    assert.equal(transport.worker, null);
    const resumed = transport.request('thread/resume', { threadId });
    await startAgain(daemon);
    assert.equal((await within(resumed, 'the resume')).thread.id, threadId);
    await transport.request('turn/start', { threadId, input: [] });
    await transport.next('turn/started');
    transport.close();
});

test('a restart while it waits: the wait begins again', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    await open(t, daemon, { reconnectMs: 0 });
    const places = new Mailbox('places');
    const promise = connect({ socket: daemon.socket, onQueue: (place) => places.put(place) });
    await places.take((p) => p.position === 1, 'a place');
    await kill(daemon);
    await startAgain(daemon);
    const transport = await within(promise, 'a worker of the next daemon');
    assert.equal(transport.worker, 1);
    transport.close();
});

test('no next daemon: it ends, with the reason', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const never = await open(t, daemon, { reconnectMs: 0 });
    const briefly = await open(t, daemon, { reconnectMs: 100 });
    await kill(daemon);
    assert.ok(await within(never.ended, 'its end') instanceof ConnectionLostError);
    assert.ok(await within(briefly.ended, 'its end') instanceof NoDaemonError);
    await assert.rejects(never.send({ method: 'initialized' }));
    await startAgain(daemon);
});

test('a signal ends the attempts to reach the next daemon', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const abort = new AbortController();
    const lost = new Mailbox('lost');
    const options = { signal: abort.signal, reconnectMs: 600000, onLost: (error) => lost.put(error) };
    const transport = await open(t, daemon, options);
    await kill(daemon);
    await lost.take(() => true, 'the loss');
    abort.abort();
    assert.equal((await within(transport.ended, 'its end')).name, 'AbortError');
    await startAgain(daemon);
});

test('what is no protocol ends it, for the next would be the same', async (t) => {
    const daemon = await PlayedDaemon.start(t, { 'pool/acquire': (peer, m) => peer.result(m, { worker: 1, waitedMs: 0 }) });
    const transport = await open(t, daemon);
    (await daemon.peer()).send('this is not JSON\n');
    const error = await within(transport.ended, 'its end');
    assert.equal(error.reason, 'parse');
    assert.equal(daemon.peers.length, 1);
});

test('closing ends the wait for a daemon that answers nothing', async (t) => {
    let greeted = 0;
    const daemon = await PlayedDaemon.start(t, {
        'pool/acquire': (peer, m) => peer.result(m, { worker: 1, waitedMs: 0 }),
        'initialize': (peer, m) => greeted++ || peer.result(m, { userAgent: 'played/0' }),
    });
    const transport = await open(t, daemon);
    await greet(transport);
    (await daemon.peer(0)).socket.destroy();
    const next = await daemon.peer(1);
    assert.equal((await next.next('initialize')).params.clientInfo.name, 'node');
    const refused = assert.rejects(transport.send({ method: 'x' }), ClosedError);
    transport.close();
    await next.gone();
    await within(refused, 'the message to be refused');
    assert.equal(daemon.peers.length, 2);
});
