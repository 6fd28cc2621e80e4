// Threads that the model opens: whose they are, and when they end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn, settled, waitInLine } from '../lib/scenes.mjs';

// Turns that still run when a test is over are not waited for.
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };
const APPROVAL = 'item/commandExecution/requestApproval';

/** A sub-agent appears as it does in Codex: by the status of a thread not seen before. */
async function spawnAgent(scene, id = 'child') {
    scene.worker.load(id);
    const turn = scene.worker.begin(id);
    await scene.client.next('turn/started', (p) => p.threadId === id);
    return turn;
}

/** A conversation whose sub-agent has ended and is still loaded. */
async function withIdleAgent(daemon) {
    const scene = await runTurn(daemon);
    (await spawnAgent(scene)).complete();
    scene.turn.complete();
    await scene.client.turnCompleted(scene.threadId);
    return scene;
}

test('its events and its approvals go to its parent\'s client', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const scene = await runTurn(daemon, 'a');
    const other = await runTurn(daemon, 'b');
    const child = await spawnAgent(scene);
    child.delta('from the child');
    await scene.client.next('item/agentMessage/delta', (p) => p.threadId === 'child');
    const answered = scene.worker.ask(APPROVAL, { threadId: 'child', turnId: child.id });
    const ask = await scene.client.next(APPROVAL);
    scene.client.send({ id: ask.id, result: { decision: 'accept' } });
    assert.deepEqual((await answered).result, { decision: 'accept' });
    await settled(other.client);
    assert.equal(other.client.notifications.some((m) => m.params.threadId === 'child'), false);
});

test('its parent\'s client may interrupt it, nobody else', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const scene = await runTurn(daemon);
    await spawnAgent(scene);
    const stranger = await PoolClient.open(daemon, { name: 'stranger' });
    const interrupt = { threadId: 'child', turnId: '' };
    const strange = stranger.request('turn/interrupt', interrupt);
    await assert.rejects(strange, { message: 'thread not found: child' });
    await scene.client.request('turn/interrupt', interrupt);
    assert.equal((await scene.client.turnCompleted('child')).params.turn.status, 'interrupted');
    assert.ok(worker.turn(scene.threadId), 'the parent\'s turn goes on');
});

test('one that appears as another thread of its client moves away does not go with that one', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const [held, scene] = [await runTurn(daemon, 'held'), { client: await PoolClient.open(daemon, { name: 'a' }) }];
    await scene.client.request('pool/acquire');
    const threads = [await scene.client.startThread(), await scene.client.startThread()];
    scene.worker = daemon.fake.owner(threads[0]);
    for (const threadId of threads) {
        await scene.client.startTurn(threadId);
        await scene.client.next('turn/started', (p) => p.threadId === threadId);
        scene.worker.turn(threadId).complete();
        await scene.client.turnCompleted(threadId);
    }
    held.turn.complete();
    await daemon.untilStatus((s) => s.pool.busy === 1, 'the other worker is free');
    await scene.client.request('thread/compact/start', { threadId: threads[1] });
    scene.worker.hold('thread/unsubscribe');
    const started = scene.client.startTurn(threads[0]);
    const unsubscribe = await scene.worker.expect('thread/unsubscribe');
    await spawnAgent(scene);
    scene.worker.default(unsubscribe);
    await started;
    const owner = daemon.fake.owner(threads[0]);
    assert.notEqual(owner, scene.worker);
    owner.turn(threads[0]).complete();
    await scene.client.turnCompleted(threads[0]);
    await scene.client.request('thread/unsubscribe', { threadId: threads[0] });
    await scene.client.next('thread/closed', (p) => p.threadId === threads[0]);
    scene.worker.ask(APPROVAL, { threadId: 'child', turnId: 'x' });
    await scene.client.next(APPROVAL);
});

test('thread/loaded/list has it for its parent\'s client only', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const scene = await runTurn(daemon);
    await spawnAgent(scene);
    const other = await PoolClient.open(daemon, { name: 'b' });
    const { data } = await scene.client.request('thread/loaded/list');
    assert.deepEqual(data.sort(), [scene.threadId, 'child'].sort());
    assert.deepEqual((await other.request('thread/loaded/list')).data, []);
});

test('what an ended one still says goes to its parent\'s client, whoever has the worker', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const scene = await withIdleAgent(daemon);
    const other = await runTurn(daemon, 'b');
    worker.notify('item/completed', { threadId: 'child', turnId: 'x', item: {} });
    await scene.client.next('item/completed', (p) => p.threadId === 'child');
    await settled(other.client);
    assert.equal(other.client.notifications.some((m) => m.params.threadId === 'child'), false);
});

test('a sub-agent\'s own sub-agent keeps the lease, too, and is ended when the client leaves', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const scene = await runTurn(daemon);
    const child = await spawnAgent(scene);
    await spawnAgent(scene, 'grandchild');
    scene.turn.complete();
    child.complete();
    await scene.client.turnCompleted('child');
    const next = await waitInLine(daemon);
    await settled(scene.client);
    assert.equal(worker.received('thread/start').length, 1);
    await scene.client.close();
    await next.waiting;
    for (const id of [scene.threadId, 'child', 'grandchild'])
        assert.equal(worker.received('thread/unsubscribe', (p) => p.threadId === id).length, 1);
    assert.deepEqual([...daemon.fake.locks.values()].length, 1);
});

test('its parent is steered while it runs alone', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const scene = await runTurn(daemon);
    const child = await spawnAgent(scene);
    scene.turn.complete();
    await scene.client.turnCompleted(scene.threadId);
    await scene.client.startTurn(scene.threadId, 'while the child runs');
    await scene.client.next('turn/started', (p) => p.threadId === scene.threadId);
    child.complete();
    scene.worker.turn(scene.threadId).complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'the lease ends');
});

test('it is unloaded together with a parent that another client resumes', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const scene = await withIdleAgent(daemon);
    const other = await PoolClient.open(daemon, { name: 'b' });
    assert.equal((await other.request('thread/resume', { threadId: scene.threadId })).cold, true);
    assert.deepEqual([...worker.threads.keys()], [scene.threadId]);
    await scene.client.next('thread/closed', (p) => p.threadId === 'child');
    await scene.client.next('thread/closed', (p) => p.threadId === scene.threadId);
});

test('a parent that ends does not take it along: it is still its client\'s', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const scene = await withIdleAgent(daemon);
    await scene.client.request('thread/unsubscribe', { threadId: scene.threadId });
    await scene.client.next('thread/closed', (p) => p.threadId === scene.threadId);
    assert.deepEqual((await scene.client.request('thread/loaded/list')).data, ['child']);
    await scene.client.close();
    await worker.expect('thread/unsubscribe', (p) => p.threadId === 'child');
    await daemon.untilStatus((s) => s.workers[0].threads === 0, 'it is gone');
});

test('a thread opened by somebody else on the worker is no sub-agent', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, openLingerMs: 0 } });
    const a = await converse(daemon, 'a');
    await a.client.close();
    await daemon.untilStatus((s) => s.workers[0].threads === 0, 'a is gone');
    const c = await runTurn(daemon, 'c');
    // While b's resume waits for c's turn, the thread is nobody's.
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.resumeThread(a.threadId);
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    c.turn.complete();
    await resumed;
    assert.deepEqual((await c.client.request('thread/loaded/list')).data, [c.threadId]);
    assert.equal(c.client.notifications.some((m) => m.params.threadId === a.threadId), false);
    assert.ok(b.has('thread/status/changed', (p) => p.threadId === a.threadId), 'before the answer, too');
    assert.equal(worker.received('turn/interrupt', (p) => p.threadId === c.threadId).length, 0);
});
