// What pool/status says of the daemon's doings: why somebody waits, what a worker is held for, what it said last.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { moving } from '../lib/moving.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';

/** The status once somebody waits, who is the first. */
async function first(daemon) {
    const status = await daemon.untilStatus((s) => s.waiters.length > 0, 'somebody waits');
    return status.waiters[0];
}

test('all workers are busy', async (t) => {
    const [daemon] = await startPool(t);
    const { turn, threadId } = await runTurn(daemon);
    const { waiting } = await waitInLine(daemon);
    const { position, client, method, thread, worker, stays, why } = await first(daemon);
    assert.deepEqual({ position, method, thread, worker, stays, why }, {
        position: 1, method: 'thread/start', thread: undefined, worker: null, stays: null, why: 'all workers are busy',
    });
    const { clients, workers } = await daemon.status();
    assert.equal(clients.find((c) => c.id === client).name, 'b');
    assert.equal(workers[0].turn.threadId, threadId);
    turn.complete();
    await waiting;
});

test('a thread stays beside an idle worker', async (t) => {
    const scene = await moving(t, { start: { ephemeral: true } });
    const waiting = scene.client.startTurn(scene.threadId);
    const { worker, stays, why } = await first(scene.daemon);
    assert.deepEqual({ worker, stays, why }, {
        worker: scene.owner.number, stays: 'it is ephemeral',
        why: `worker ${scene.owner.number} is busy and has its thread, which stays: it is ephemeral`,
    });
    scene.busy.turn.complete();
    await waiting;
});

test('the share of a user is used up beside an idle worker', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { maxLeasesPerUid: 1 } });
    const { turn } = await runTurn(daemon);
    const { waiting } = await waitInLine(daemon);
    assert.equal((await first(daemon)).why, 'its user has as many workers as maxLeasesPerUid allows');
    turn.complete();
    await waiting;
});

test('the pool is paused beside an idle worker', async (t) => {
    const [daemon] = await startPool(t);
    const admin = await PoolClient.open(daemon);
    await admin.request('pool/pause');
    const { waiting } = await waitInLine(daemon);
    assert.equal((await first(daemon)).why, 'the pool is paused');
    await admin.request('pool/resume');
    await waiting;
});

test('the worker of a thread is being cleaned up', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { interruptTimeoutMs: 60000 } });
    const kept = await converse(daemon, 'kept');
    const leaver = await runTurn(daemon, 'leaver');
    const held = [];
    worker.on('turn/interrupt', (request) => held.push(request));
    await leaver.client.close();
    await daemon.untilStatus((s) => s.workers[0].state === 'aborting', 'the worker is being cleaned up');
    const waiting = kept.client.startTurn(kept.threadId);
    assert.equal((await first(daemon)).why,
        'worker 1 has its thread and is being cleaned up after a client that left');
    worker.on('turn/interrupt', (request) => worker.default(request));
    held.forEach((request) => worker.default(request));
    await waiting;
    worker.turn(kept.threadId).complete();
});

test('what a worker is held for, and what it said last', async (t) => {
    const [daemon, worker] = await startPool(t);
    const lease = async (wanted) => (await daemon.untilStatus((s) => (s.workers[0].lease?.for ?? null) === wanted,
        `the worker is held for ${wanted}`)).workers[0];
    assert.equal((await lease(null)).lastEvent, null);
    const client = await PoolClient.open(daemon);
    const threadId = await client.startThread();
    await lease('opened');
    await client.startTurn(threadId);
    const { lease: { heldMs }, lastEvent, unansweredAsks } = await lease('turn');
    assert.ok(heldMs >= 0 && lastEvent.agoMs >= 0);
    assert.equal(unansweredAsks, 0);
    const asked = worker.ask('item/commandExecution/requestApproval', { threadId, turnId: 'x', itemId: 'i' });
    const ask = await client.next('item/commandExecution/requestApproval');
    const open = (await daemon.status()).workers[0];
    assert.equal(open.unansweredAsks, 1);
    assert.equal(open.lastEvent.method, 'item/commandExecution/requestApproval');
    client.send({ id: ask.id, result: { decision: 'accept' } });
    await asked;
    assert.equal((await daemon.status()).counters.turns, 0);
    worker.turn(threadId).complete();
    await client.turnCompleted(threadId);
    const done = await lease(null);
    assert.equal(done.unansweredAsks, 0);
    assert.equal(done.lastEvent.method, 'turn/completed');
    assert.equal((await daemon.status()).counters.turns, 1);
    await client.request('pool/acquire');
    await lease('acquire');
});

test('the name of an event of any length is shown shortened and clean', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.notify(`odd/${'é'.repeat(5000)}`, {});
    const { workers } = await daemon.untilStatus((s) => s.workers[0].lastEvent, 'it is seen');
    const { method } = workers[0].lastEvent;
    assert.match(method, /^odd\/é{29}.$/, 'cut in the middle of a character');
});
