// The Node.js client leaves a conversation that waits for a person, and goes on with it: detach, attach.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClosedError, ConnectionLostError, PoolError, connect } from '../../client/node/src/index.js';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, greet, kill, listened, open, rounds } from '../lib/node-client.mjs';
import { settled } from '../lib/scenes.mjs';
import { within } from '../lib/wait.mjs';

const APPROVAL = 'item/commandExecution/requestApproval';
const DELTA = 'item/agentMessage/delta';
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };

/** A transport that has left a turn which waits for an approval: { token, transport, threadId, answered, ask }. */
async function left(t, daemon, worker, options = {}) {
    const transport = await open(t, daemon, options);
    const threadId = await converse(transport);
    const answered = worker.ask(APPROVAL, { threadId, turnId: worker.turn().id, itemId: 'i' });
    const ask = await transport.next(APPROVAL);
    const token = await within(transport.detach({ ttlMs: 60000 }), 'a token');
    return { token, transport, threadId, answered, ask };
}

test('an approval that is answered later, by another transport', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const lost = [];
    const closed = [];
    const { token, transport, threadId, answered, ask } = await left(t, daemon, worker, { onLost: (e) => lost.push(e) });
    transport.onClose((why) => closed.push(why));
    assert.equal(transport.closed, true);
    await assert.rejects(transport.send({ method: 'initialized' }), ClosedError);
    worker.turn().delta('one');
    worker.turn().delta('two');
    await settled(await PoolClient.open(daemon, { name: 'b' }));
    const again = await within(connect({ socket: daemon.socket, attach: token }), 'the attached one');
    t.after(() => again.close());
    assert.equal(again.worker, 1);
    // Nothing is lost, however late it is listened to.
    await rounds();
    listened(again);
    assert.equal((await again.next(APPROVAL)).id, ask.id);
    assert.deepEqual(again.box.messages.map((m) => m.params.delta), ['one', 'two']);
    await again.send({ id: ask.id, result: { decision: 'accept' } });
    assert.deepEqual((await answered).result, { decision: 'accept' });
    worker.turn().complete();
    await again.next('turn/completed');
    await again.request('turn/start', { threadId, input: [] });
    assert.deepEqual([lost, closed], [[], []]);
});

test('a request that was under way is answered to the other, who does not take it for an own', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.hold('model/list');
    const transport = await open(t, daemon);
    await converse(transport);
    const mine = transport.request('model/list').catch((error) => error);
    const request = await worker.expect('model/list');
    const token = await transport.detach();
    assert.ok((await mine) instanceof ClosedError);
    const again = listened(await connect({ socket: daemon.socket, attach: token }));
    t.after(() => again.close());
    worker.reply(request, { data: ['old'] });
    assert.deepEqual((await again.box.take((m) => m.result, 'the old answer')).result, { data: ['old'] });
    worker.handlers.delete('model/list');
    assert.equal((await again.request('model/list')).data[0].id, 'fake');
});

test('where it is not possible the transport is as it was, and a token that is none is an error', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, maxParkedClients: 0 } });
    const transport = await open(t, daemon);
    const threadId = await converse(transport);
    await assert.rejects(transport.detach(), (error) => error instanceof PoolError && error.reason === 'queueFull' && error.retryable);
    worker.turn(threadId).complete();
    await transport.next('turn/completed');
    await assert.rejects(connect({ socket: daemon.socket, attach: 'x' }), (error) => error instanceof PoolError && error.code === -32602);
});

test('a daemon that dies ends what was attached, and says what', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER, endsItself: true });
    const { token, threadId } = await left(t, daemon, worker);
    const again = listened(await connect({ socket: daemon.socket, attach: token }));
    t.after(() => again.close());
    await again.next(APPROVAL);
    await kill(daemon);
    const [why] = await Promise.all([again.ended, again.next('turn/completed')]);
    assert.ok(why instanceof ConnectionLostError);
    assert.deepEqual([why.turns, why.threads], [[threadId], [threadId]]);
});

test('aborted by its signal, it ends what it has attached', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { token } = await left(t, daemon, worker);
    const abort = new AbortController();
    const again = listened(await connect({ socket: daemon.socket, attach: token, signal: abort.signal }));
    await again.next(APPROVAL);
    abort.abort();
    await worker.expect('turn/interrupt');
    assert.equal((await again.ended).name, 'AbortError');
});

test('nobody has listened yet: its end is told all the same', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { token } = await left(t, daemon, worker);
    const abort = new AbortController();
    const again = await connect({ socket: daemon.socket, attach: token, signal: abort.signal });
    const ended = new Promise((resolve) => again.onClose(resolve));
    await rounds();
    abort.abort();
    assert.equal((await within(ended, 'its end')).name, 'AbortError');
});
