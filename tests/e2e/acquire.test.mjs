// pool/acquire, pool/release, pool/cancel and pool/subscribe: the waiting made visible.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn, settled, waitInLine } from '../lib/scenes.mjs';

// Turns that still run when a test is over are not waited for.
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };
const SOON = { openLingerMs: 0, drainTimeoutMs: 0 };

test('pool/acquire with a threadId waits for that thread\'s owner', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const a = await converse(daemon, 'a');
    const occupier = await PoolClient.open(daemon, { name: 'occupier' });
    const held = await Promise.all([1, 2].map(() => occupier.request('pool/acquire')));
    assert.deepEqual(held.map((h) => h.worker).sort(), [1, 2]);
    const acquired = a.client.request('pool/acquire', { threadId: a.threadId });
    const next = await waitInLine(daemon);
    await occupier.close();
    assert.equal((await acquired).worker, a.worker.number);
    await next.waiting;
    await a.client.startTurn(a.threadId);
    await a.client.next('turn/started');
    assert.ok(a.worker.turn(a.threadId));
});

test('pool/acquire of a thread whose worker the client has keeps that one', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const a = await converse(daemon, 'a');
    await a.client.request('thread/resume', { threadId: a.threadId });
    const acquired = await a.client.request('pool/acquire', { threadId: a.threadId });
    assert.deepEqual(acquired, { worker: a.worker.number, waitedMs: 0 });
    await a.client.request('pool/release');
    await daemon.untilStatus((s) => s.pool.busy === 0, 'it is given back');
    assert.equal((await daemon.status()).counters.moves, 0);
});

test('pool/acquire with a threadId that nobody has loaded takes any worker', async (t) => {
    const [daemon] = await startPool(t);
    const a = await PoolClient.open(daemon);
    assert.deepEqual(await a.request('pool/acquire', { threadId: 'none' }), { worker: 1, waitedMs: 0 });
});

test('pool/release gives back every worker that was acquired, and no other', async (t) => {
    const [daemon] = await startPool(t, 3, { config: NEVER });
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('pool/acquire');
    await a.request('pool/acquire');
    await runTurn(daemon, 'b');
    await a.request('pool/release');
    assert.deepEqual((await daemon.status()).workers.map((w) => w.state).sort(), ['busy', 'idle', 'idle']);
    assert.deepEqual(await a.request('pool/release'), {}, 'nothing to give back is no error');
});

test('an acquired worker outlives openLingerMs although others wait', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('pool/acquire');
    const next = await waitInLine(daemon);
    const threadId = await a.startThread();
    await settled(a);
    await a.startTurn(threadId);
    await a.next('turn/started');
    worker.turn(threadId).complete();
    await a.turnCompleted(threadId);
    await settled(a);
    assert.equal(worker.received('thread/start').length, 1);
    await a.close();
    await next.waiting;
});

test('an acquire that waits is cancelled, and leaves with its client', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const holder = await runTurn(daemon);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const first = a.request('pool/acquire', {}, 'an id');
    a.request('pool/acquire');
    await daemon.untilStatus((s) => s.queue.length === 2, 'two wait');
    assert.deepEqual(await a.request('pool/cancel', { id: 'an id' }), { cancelled: true });
    await assert.rejects(first, { code: -32011 });
    await a.close();
    await daemon.untilStatus((s) => s.queue.length === 0, 'none waits');
    holder.turn.complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'nobody got the worker');
});

test('pool/cancel takes out what waits behind a resume that waits', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await converse(daemon, 'a');
    await client.close();
    const busy = await runTurn(daemon, 'busy');
    const next = await PoolClient.open(daemon, { name: 'next' });
    const resume = next.request('thread/resume', { threadId });
    const behind = next.startTurn(threadId);
    await daemon.untilStatus((s) => s.queue.length === 1, 'the resume waits');
    assert.deepEqual(await next.request('pool/cancel', { id: behind.id }), { cancelled: true });
    await assert.rejects(behind, (e) => e.code === -32011);
    busy.turn.complete();
    await resume;
});

test('pool/cancel tells a number from a string', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    await runTurn(daemon);
    const a = await PoolClient.open(daemon, { name: 'a' });
    a.request('pool/acquire', {}, 7);
    await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
    assert.deepEqual(await a.request('pool/cancel', { id: '7' }), { cancelled: false });
    assert.deepEqual(await a.request('pool/cancel', { id: 7 }), { cancelled: true });
});

test('a resume that is cancelled sets free what waits behind it', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const past = await converse(daemon, 'past');
    await past.client.close();
    const holder = await runTurn(daemon);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const resume = a.request('thread/resume', { threadId: past.threadId });
    const name = a.request('thread/name/set', { threadId: past.threadId, name: 'n' });
    const turn = a.startTurn(past.threadId);
    await daemon.untilStatus((s) => s.queue.length === 1, 'the resume waits');
    await a.request('pool/cancel', { id: resume.id });
    await assert.rejects(resume, { code: -32011 });
    await name;
    holder.turn.complete();
    await assert.rejects(turn, { message: `thread not found: ${past.threadId}` });
});

for (const [method, params, named] of [
    ['pool/acquire', { timeoutMs: -1 }, 'timeoutMs'],
    ['pool/acquire', { timeoutMs: '5' }, 'timeoutMs'],
    ['pool/acquire', { threadId: 5 }, 'threadId'],
    ['pool/subscribe', { events: ['nothing'] }, 'events'],
    ['pool/subscribe', {}, 'events'],
]) {
    test(`${method} ${JSON.stringify(params)} is refused, and the message names what is wrong`, async (t) => {
        const [daemon] = await startPool(t);
        const a = await PoolClient.open(daemon);
        await assert.rejects(a.request(method, params), (e) => [-32600, -32602].includes(e.code) &&
            e.message.includes(named));
        await a.request('pool/ping');
        assert.equal((await daemon.status()).workers[0].state, 'idle');
    });
}

test('pool/subscribe tells of a request that is served at once, too', async (t) => {
    const [daemon] = await startPool(t);
    const a = await PoolClient.open(daemon);
    await a.request('pool/subscribe', { events: ['queue'] });
    const started = a.request('thread/start');
    assert.deepEqual((await a.next('pool/assigned')).params, { id: started.id, worker: 1, waitedMs: 0 });
    await started;
    assert.equal(a.has('pool/queued'), false);
});

test('pool/assigned comes before the answer, and tells how long it took', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const holder = await runTurn(daemon);
    const { client, waiting } = await waitInLine(daemon);
    await daemon.untilStatus((s) => s.queue.oldestWaitMs >= 5, 'it has waited for a while');
    holder.turn.complete();
    await waiting;
    const at = (match) => client.lines.findIndex((line) => line.includes(match));
    assert.ok(at('pool/assigned') < at('"result":{"thread"'));
    const { params } = await client.next('pool/assigned');
    assert.ok(params.waitedMs >= 5);
    const { waitMs } = await daemon.status();
    assert.ok(waitMs.max >= 5 && waitMs.count >= 2);
});

test('who did not subscribe hears nothing of the queue', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const holder = await runTurn(daemon);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const waiting = a.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
    holder.turn.complete();
    await waiting;
    assert.equal(a.notifications.some((m) => m.method.startsWith('pool/')), false);
});

test('a released worker does not wait for a turn on a thread that was opened there', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { openLingerMs: 600000 } });
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('pool/acquire');
    await a.startThread();
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waiting = b.request('pool/acquire');
    await a.request('pool/release');
    await waiting;
});
