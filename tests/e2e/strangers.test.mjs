// What a client does to a thread that it does not have open: what runs then, whose it is, who hears of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn, settled } from '../lib/scenes.mjs';

const ACTIVE = { status: 'active', objective: 'x' };

test('a goal turn goes on as the subscriber\'s when the client that set the goal has left', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 0 } });
    const a = await converse(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.request('thread/goal/set', { threadId: a.threadId, ...ACTIVE });
    const turn = worker.begin(a.threadId);
    await a.client.next('turn/started', (p) => p.turn.id === turn.id);
    const c = await PoolClient.open(daemon, { name: 'c' });
    const waiting = c.startThread();
    await daemon.untilStatus((s) => s.queue.length === 1, 'c waits');
    await b.close();
    const status = await daemon.untilStatus((s) => s.clients.every((each) => each.name !== 'b') &&
        s.workers[0].state !== 'aborting', 'b is gone');
    assert.equal(status.workers[0].client, status.clients.find((each) => each.name === 'a').id);
    assert.equal(status.queue.length, 1);
    assert.equal(worker.received('thread/start').length, 1, 'nobody has it beside a\'s turn');
    worker.threads.get(a.threadId).goal.status = 'complete';
    worker.notify('thread/goal/updated', { threadId: a.threadId, turnId: null, goal: { threadId: a.threadId, status: 'complete' } });
    turn.complete();
    await waiting;
});

for (const method of ['thread/compact/start', 'review/start', 'thread/shellCommand']) {
    test(`who starts a turn by ${method} has the thread, and its leaving ends it`, async (t) => {
        const [daemon, worker] = await startPool(t, 1);
        const a = await converse(daemon, 'a');
        const b = await PoolClient.open(daemon, { name: 'b' });
        await b.request(method, { threadId: a.threadId });
        const turn = worker.begin(a.threadId);
        await b.next('turn/started', (p) => p.turn.id === turn.id);
        assert.equal(a.client.has('turn/started', (p) => p.turn.id === turn.id), false);
        await b.close();
        await worker.expect('turn/interrupt', (p) => p.threadId === a.threadId);
        await daemon.untilStatus((s) => s.workers[0].state === 'idle' && s.workers[0].threads === 0, 'all is quiet');
    });
}

test('who leaves before its turn on somebody else\'s thread is answered has begun it for nobody: it ends', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await converse(daemon, 'a');
    worker.hold('turn/start');
    const b = await PoolClient.open(daemon, { name: 'b' });
    b.startTurn(a.threadId, 'for nobody');
    const start = await worker.expect('turn/start', (p) => p.input[0].text === 'for nobody');
    await b.close();
    await daemon.untilStatus((s) => s.workers[0].state === 'aborting', 'b is gone');
    a.client.notifications.length = 0;
    worker.default(start);
    await worker.expect('turn/interrupt', (p) => p.threadId === a.threadId);
    await daemon.untilStatus((s) => s.workers[0].state === 'idle' && s.workers[0].threads === 0, 'all is quiet');
    assert.equal(a.client.has('turn/started'), false);
});

test('what is said in a thread that has closed is not for who archived it', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await converse(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.request('thread/archive', { threadId: a.threadId });
    await b.next('thread/archived');
    worker.notify('item/agentMessage/delta', { threadId: a.threadId, turnId: 't', itemId: 'i', delta: 'late' });
    await settled(b);
    assert.equal(b.has('item/agentMessage/delta'), false);
});

test('an archive that crosses a resume: what is said of the thread is for who opens it', async (t) => {
    for (const archiveFirst of [false, true]) {
        const [daemon, worker] = await startPool(t, 1);
        const a = await converse(daemon, 'a');
        const b = await PoolClient.open(daemon, { name: 'b' });
        worker.hold('thread/resume', 'thread/archive');
        const ask = [
            async () => {
                const promise = a.client.resumeThread(a.threadId);
                return [promise, await worker.expect('thread/resume')];
            },
            async () => {
                const promise = b.request('thread/archive', { threadId: a.threadId });
                return [promise, await worker.expect('thread/archive')];
            },
        ];
        const [first, second] = archiveFirst ? [await ask[1](), await ask[0]()] : [await ask[0](), await ask[1]()];
        const [archive, resume] = archiveFirst ? [first, second] : [second, first];
        worker.default(archive[1]);
        await archive[0];
        await settled(b);
        worker.status(a.threadId, 'idle');
        await a.client.next('thread/status/changed', (p) => p.status.type === 'idle');
        worker.default(resume[1]);
        assert.equal(await resume[0], a.threadId);
        worker.notify('thread/name/updated', { threadId: a.threadId, threadName: 'n' });
        await a.client.next('thread/name/updated');
        await settled(b);
        assert.deepEqual(b.notifications.filter((n) => n.params.status?.type === 'idle' || n.method === 'thread/name/updated'), []);
    }
});

test('nor is it for who is about to open the thread again', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await converse(daemon, 'a');
    await a.client.close();
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.hold('thread/resume');
    const resumed = b.resumeThread(a.threadId);
    const request = await worker.expect('thread/resume');
    const delta = (text) => worker.notify('item/agentMessage/delta', { threadId: a.threadId, turnId: 't', itemId: 'i', delta: text });
    delta('late');
    worker.default(request);
    await resumed;
    delta('in time');
    await b.next('item/agentMessage/delta');
    assert.deepEqual(b.notifications.filter((n) => n.method.startsWith('item/')).map((n) => n.params.delta), ['in time']);
});

test('the new name of a closed thread is for who gave it, and where that one has left, for nobody', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { drainTimeoutMs: 0 } });
    const holder = await runTurn(daemon, 'holder');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.request('thread/name/set', { threadId: 'known', name: 'first' });
    await b.next('thread/name/updated');
    const c = await PoolClient.open(daemon, { name: 'c' });
    worker.hold('thread/name/set');
    c.request('thread/name/set', { threadId: 'unknown', name: 'secret' });
    const request = await worker.expect('thread/name/set', (p) => p.name === 'secret');
    await c.close();
    await daemon.untilStatus((s) => s.clients.every((each) => each.name !== 'c'), 'c is gone');
    worker.default(request);
    await settled(holder.client);
    for (const client of [holder.client, b])
        assert.equal(client.has('thread/name/updated', (p) => p.threadName === 'secret'), false, client.name);
});

test('who asked for somebody\'s thread is not told later that it is no longer loaded', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 0 } });
    const a = await converse(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.request('thread/settings/update', { threadId: a.threadId, model: 'b' });
    await a.client.close();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle' && s.workers[0].threads === 0, 'it is closed');
    worker.notify('thread/status/changed', { threadId: a.threadId, status: { type: 'notLoaded' } });
    worker.notify('thread/closed', { threadId: a.threadId });
    await settled(b);
    assert.deepEqual(b.notifications.map((m) => m.method), []);
});
