// What can go wrong while a thread moves: it ends up whole on one worker, and the request is answered once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { heard, moving } from '../lib/moving.mjs';
import { settled } from '../lib/scenes.mjs';

/** Stops the move where a worker is asked this: the request, to be answered by the test. */
async function stopAt(s, worker, method) {
    worker.hold(method);
    s.go = s.client.startTurn(s.threadId, 'go on');
    return worker.expect(method, (p) => p.threadId === s.threadId);
}

const turns = (worker, threadId) => worker.received('turn/start', (p) => p.threadId === threadId
    && p.input[0].text === 'go on').length;

/** The turn was started once, and that is the worker that has the thread. */
function servedBy(s, worker) {
    assert.equal(s.daemon.fake.owner(s.threadId), worker);
    assert.equal(turns(s.owner, s.threadId) + turns(s.other, s.threadId), 1, 'started once');
    assert.equal(turns(worker, s.threadId), 1);
}

/** It waits for its owner, and is served there in the end. */
async function servedByOwner(s, words) {
    const { waiters } = await s.daemon.untilStatus((status) => status.waiters[0]?.stays !== 'it is moving', 'it waits');
    assert.equal(waiters[0].stays, words);
    s.busy.turn.complete();
    await s.go;
    servedBy(s, s.owner);
    await s.client.next('turn/started');
    assert.deepEqual(heard(s.client), ['thread/status/changed', 'turn/started']);
}

const failedMoves = async (s) => (await s.daemon.status()).counters.movesFailed;

/** The client was told that the thread is closed, the request failed, nobody has it. */
async function closed(s, pattern) {
    await assert.rejects(s.go, (error) => error.code === -32013 && pattern.test(error.message));
    await s.client.next('thread/closed');
    assert.deepEqual(heard(s.client).filter((m) => m !== 'error'), ['thread/status/changed', 'thread/closed']);
    assert.equal(turns(s.owner, s.threadId) + turns(s.other, s.threadId), 0);
    await s.daemon.untilStatus((status) => status.clients.every((c) => c.name !== 'a' || c.threads === 0), 'nobody has it');
}

// ---- its owner

test('the owner takes a turn while it is asked', async (t) => {
    const s = await moving(t);
    const question = await stopAt(s, s.owner, 'thread/queue/list');
    const own = s.owner.begin(s.threadId);
    await s.client.next('turn/started');
    s.owner.handlers.delete('thread/queue/list');
    s.owner.default(question);
    const { waiters } = await s.daemon.untilStatus((status) => status.waiters[0]?.stays !== 'it is moving', 'it waits');
    assert.equal(waiters[0].stays, 'a turn of its runs or is due');
    own.complete();
    await s.client.turnCompleted(s.threadId);
    await s.go;
    servedBy(s, s.other);
});

test('the owner takes a turn as it is to close it: it ends there, and the thread stays', async (t) => {
    const s = await moving(t);
    const unsubscribe = await stopAt(s, s.owner, 'thread/unsubscribe');
    s.owner.reply(unsubscribe, { status: 'unsubscribed' });
    const thread = s.owner.threads.get(s.threadId);
    thread.closing = true;
    const own = s.owner.begin(s.threadId);
    await s.daemon.untilStatus((status) => status.pool.busy === 1, 'the other worker is free');
    const late = await PoolClient.open(s.daemon, { name: 'late' });
    await late.request('thread/start');
    own.complete();
    await s.owner.expect('thread/resume', (p) => p.threadId === s.threadId);
    await servedByOwner(s, 'its last move failed');
    assert.equal(await failedMoves(s), 1);
});

test('the owner dies while it is asked: the thread is closed, the turn answered', async (t) => {
    const s = await moving(t);
    await stopAt(s, s.owner, 'thread/queue/list');
    await s.owner.die();
    await s.client.next('thread/closed');
    await assert.rejects(s.go, /thread not found/);
    await s.daemon.untilStatus((status) => status.pool.busy === 0, 'nobody has a worker');
});

test('one who leaves as it moves for them, before its owner dies: the other worker is free at once', async (t) => {
    const { daemon, owner, threadId } = await moving(t, {
        config: { interruptTimeoutMs: 600000 }, before: async (scene) => { scene.owner.hold('thread/goal/get'); },
    });
    const b = await PoolClient.open(daemon, { name: 'b' });
    b.startTurn(threadId);
    await owner.expect('thread/goal/get');
    await b.close();
    await daemon.untilStatus((s) => s.workers.some((w) => w.state === 'aborting'), 'the other worker waits');
    await owner.die();
    await daemon.untilStatus((s) => s.pool.ready === 2 && s.pool.busy === 0, 'both are free');
});

test('the owner dies as it is to close it: the thread moves all the same', async (t) => {
    const s = await moving(t);
    await stopAt(s, s.owner, 'thread/unsubscribe');
    await s.owner.die();
    await s.go;
    servedBy(s, s.other);
    assert.deepEqual(heard(s.client).filter((m) => !/^(thread\/status|turn)/.test(m)), []);
});

test('the owner dies while the other loads it', async (t) => {
    const s = await moving(t);
    const resume = await stopAt(s, s.other, 'thread/resume');
    await s.owner.die();
    await s.daemon.untilStatus((status) => status.counters.workerExits === 1, 'it is gone');
    s.other.default(resume);
    await s.go;
    servedBy(s, s.other);
});

test('the owner refuses to unsubscribe', async (t) => {
    const s = await moving(t);
    s.owner.refuse(await stopAt(s, s.owner, 'thread/unsubscribe'), -32603, 'no');
    await servedByOwner(s, 'its last move failed');
    assert.equal(await failedMoves(s), 1);
    assert.equal(s.other.received('thread/resume').length, 0);
});

test('the owner had closed it already', async (t) => {
    const s = await moving(t);
    const unsubscribe = await stopAt(s, s.owner, 'thread/unsubscribe');
    s.owner.threads.delete(s.threadId);
    s.daemon.fake.locks.delete(s.threadId);
    s.owner.reply(unsubscribe, { status: 'notLoaded' });
    await s.go;
    servedBy(s, s.other);
});

test('an owner that does not close it keeps it, and no further thread is asked to leave there', async (t) => {
    const s = await moving(t, { config: { interruptTimeoutMs: 200 } });
    const unsubscribe = await stopAt(s, s.owner, 'thread/unsubscribe');
    s.owner.reply(unsubscribe, { status: 'unsubscribed' });
    const rejoin = await s.owner.expect('thread/resume', (p) => p.threadId === s.threadId);
    assert.equal(rejoin.params.excludeTurns, true);
    await servedByOwner(s, 'this Codex does not unload threads');
    assert.equal(await failedMoves(s), 1);
});

for (const refuses of [false, true]) {
    test(`an owner that is only slow to close it has it again${refuses ? ', when it has closed it' : ''}`, async (t) => {
        const s = await moving(t, { config: { interruptTimeoutMs: 200 } });
        const unsubscribe = await stopAt(s, s.owner, 'thread/unsubscribe');
        s.owner.hold('thread/resume');
        const back = await s.owner.expect('thread/resume', (p) => p.threadId === s.threadId);
        if (refuses) s.owner.refuse(back, -32600, `thread ${s.threadId} is closing; retry`);
        s.owner.handlers.delete('thread/resume');
        s.owner.default(unsubscribe);
        if (!refuses) s.owner.default(back);
        await servedByOwner(s, 'its last move failed');
        assert.equal(await failedMoves(s), 1);
    });
}

// ---- the other worker

test('the other dies before the owner has closed it: it goes back', async (t) => {
    const s = await moving(t);
    const unsubscribe = await stopAt(s, s.owner, 'thread/unsubscribe');
    await s.other.die();
    await s.daemon.untilStatus((status) => status.counters.workerExits === 1, 'it is gone');
    s.owner.hold('thread/resume');
    s.owner.default(unsubscribe);
    const back = await s.owner.expect('thread/resume');
    assert.equal(back.params.threadId, s.threadId);
    s.owner.default(back);
    await servedByOwner(s, 'its last move failed');
});

test('the other dies while the owner is asked: another takes its place', async (t) => {
    const s = await moving(t);
    const question = await stopAt(s, s.owner, 'thread/queue/list');
    s.other.die();
    await s.daemon.untilLog(/exited: signal 9/);
    s.owner.on('thread/queue/list', (r) => s.owner.reply(r, { data: [] }));
    s.owner.default(question);
    const next = await s.daemon.fake.worker();
    await s.go;
    servedBy({ ...s, other: next }, next);
    assert.equal(await failedMoves(s), 0);
});

test('the other dies while it loads it: it goes back', async (t) => {
    const s = await moving(t);
    await stopAt(s, s.other, 'thread/resume');
    await s.other.die();
    await servedByOwner(s, 'its last move failed');
    assert.equal(s.owner.received('thread/resume').length, 1);
});

test('the other dies while it is repaired: it goes back, whole', async (t) => {
    const s = await moving(t, { start: { sandbox: 'workspace-write' } });
    await stopAt(s, s.other, 'thread/settings/update');
    await s.other.die();
    await servedByOwner(s, 'its last move failed');
    assert.equal(s.owner.threads.get(s.threadId).settings.sandboxPolicy.type, 'workspaceWrite');
});

test('both die while it moves: the thread is closed', async (t) => {
    const s = await moving(t);
    await stopAt(s, s.other, 'thread/resume');
    s.owner.hold('thread/resume');
    await s.other.die();
    await s.owner.expect('thread/resume');
    await s.owner.die();
    await closed(s, /is closed, as worker \d is gone/);
});

test('the other does not answer: it is replaced, and the thread goes back', async (t) => {
    const s = await moving(t, { config: { interruptTimeoutMs: 300 } });
    await stopAt(s, s.other, 'thread/resume');
    await s.other.eof;
    await servedByOwner(s, 'its last move failed');
});

test('the other is refused the lock for a while', async (t) => {
    const s = await moving(t);
    const words = `thread ${s.threadId} already has an active writer`;
    for (let i = 0; i < 3; i++) {
        const resume = i ? await s.other.expect('thread/resume') : await stopAt(s, s.other, 'thread/resume');
        s.other.refuse(resume, -32600, words);
    }
    s.other.default(await s.other.expect('thread/resume'));
    await s.go;
    servedBy(s, s.other);
});

test('the other is refused the lock for good: it goes back', async (t) => {
    const s = await moving(t);
    s.other.on('thread/resume', (r) => s.other.refuse(r, -32600, 'already has an active writer'));
    s.go = s.client.startTurn(s.threadId, 'go on');
    await servedByOwner(s, 'its last move failed');
    assert.equal(await failedMoves(s), 1);
});

test('the other refuses it: it goes back', async (t) => {
    const s = await moving(t);
    s.other.on('thread/resume', (r) => s.other.refuse(r, -32603, 'cannot read it'));
    s.go = s.client.startTurn(s.threadId, 'go on');
    await servedByOwner(s, 'its last move failed');
    assert.match(s.daemon.log, /refuses thread\/resume: cannot read it/);
    // After a turn of its own it may try again.
    s.owner.turn(s.threadId).complete();
    await s.client.turnCompleted(s.threadId);
});

/** The worker reports other settings than the thread has. */
const otherwise = (worker, changes) => worker.on('thread/resume', function resume(request) {
    const thread = this.load(request.params.threadId);
    this.reply(request, { ...this.opened(thread), ...changes });
    this.notify('thread/goal/cleared', { threadId: thread.id });
});

for (const [name, changes] of Object.entries({
    model: { model: 'another' }, cwd: { cwd: '/elsewhere' }, approvalPolicy: { approvalPolicy: 'on-request' },
    activePermissionProfile: { activePermissionProfile: ':workspace' }, instructionSources: { instructionSources: ['/x'] },
})) {
    test(`the other answers with another ${name}: it goes back, and no turn runs with it`, async (t) => {
        const s = await moving(t);
        otherwise(s.other, changes);
        s.go = s.client.startTurn(s.threadId, 'go on');
        await s.other.expect('thread/unsubscribe');
        await servedByOwner(s, 'its last move failed');
        assert.match(s.daemon.log, new RegExp(`its ${name} would be another`));
    });
}

test('the repair is refused: it goes back', async (t) => {
    const s = await moving(t, { start: { sandbox: 'workspace-write' } });
    s.other.on('thread/settings/update', (r) => s.other.refuse(r, -32600, 'no'));
    s.go = s.client.startTurn(s.threadId, 'go on');
    await servedByOwner(s, 'its last move failed');
    assert.equal(s.owner.threads.get(s.threadId).settings.sandboxPolicy.type, 'workspaceWrite');
});

test('the repair does not hold: it goes back', async (t) => {
    const s = await moving(t, { start: { sandbox: 'workspace-write' } });
    s.other.on('thread/settings/update', (r) => {
        s.other.reply(r, {});
        s.other.notify('thread/settings/updated', {
            threadId: s.threadId, threadSettings: { sandboxPolicy: { type: 'dangerFullAccess' } },
        });
    });
    s.go = s.client.startTurn(s.threadId, 'go on');
    await servedByOwner(s, 'its last move failed');
});

test('neither can load it as it was: the thread is closed rather than changed', async (t) => {
    const s = await moving(t);
    for (const worker of [s.owner, s.other]) otherwise(worker, { sandbox: { type: 'readOnly' }, model: 'another' });
    s.go = s.client.startTurn(s.threadId, 'go on');
    await closed(s, /its model would be another/);
    await s.daemon.untilStatus(() => !s.daemon.fake.owner(s.threadId), 'no worker has it loaded');
    assert.equal(await failedMoves(s), 1);
    s.owner.on('thread/resume', undefined);
    s.other.handlers.delete('thread/resume');
    s.owner.handlers.delete('thread/resume');
    await s.client.resumeThread(s.threadId);
});

test('a waiting thread/resume of another client outlives a thread that is lost', async (t) => {
    const s = await moving(t);
    s.owner.on('thread/resume', (r) => s.owner.refuse(r, -32603, 'broken'));
    const resume = await stopAt(s, s.other, 'thread/resume');
    const again = await PoolClient.open(s.daemon, { name: 'again' });
    const waiting = again.request('thread/resume', { threadId: s.threadId });
    await settled(s.busy.client);
    s.other.handlers.delete('thread/resume');
    s.other.refuse(resume, -32603, 'broken');
    await closed(s, /broken/);
    await waiting;
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
});

// ---- the client, the pool

for (const [where, who, method] of [
    ['while its owner is asked', 'owner', 'thread/queue/list'],
    ['while its owner is to close it', 'owner', 'thread/unsubscribe'],
    ['while the other is to load it', 'other', 'thread/resume'],
    ['while the other is repaired', 'other', 'thread/settings/update'],
]) {
    test(`the client leaves ${where}: nothing of it is left on either worker`, async (t) => {
        const s = await moving(t, { start: { sandbox: 'workspace-write' } });
        const request = await stopAt(s, s[who], method);
        s[who].handlers.delete(method);
        await s.client.close();
        await s.daemon.untilStatus((status) => status.clients.every((c) => c.name !== 'a'), 'it is gone');
        s[who].default(request);
        await s.daemon.untilStatus((status) => status.pool.busy === 1 && status.workers.every((w) => w.threads <= 1)
            && !s.daemon.fake.owner(s.threadId), 'its worker is clean');
        assert.equal(turns(s.owner, s.threadId) + turns(s.other, s.threadId), 0);
        const next = await PoolClient.open(s.daemon, { name: 'next' });
        assert.equal((await next.request('thread/resume', { threadId: s.threadId })).cold, true);
        assert.equal(s.busy.turn.thread.turn, s.busy.turn, 'the turn beside it goes on');
    });
}

test('the wait times out while it moves: the thread arrives all the same', async (t) => {
    const s = await moving(t, { config: { acquireTimeoutMs: 200 } });
    const resume = await stopAt(s, s.other, 'thread/resume');
    await assert.rejects(s.go, { code: -32010 });
    s.other.default(resume);
    await s.daemon.untilStatus((status) => status.pool.busy === 1, 'the worker is free');
    await s.client.startTurn(s.threadId, 'go on');
    servedBy(s, s.other);
});

test('its client unsubscribes, interrupts and steers while it moves: each is answered by the worker that has it', async (t) => {
    const s = await moving(t);
    const resume = await stopAt(s, s.other, 'thread/resume');
    const interrupt = s.client.request('turn/interrupt', { threadId: s.threadId, turnId: '' });
    const unsubscribe = s.client.request('thread/unsubscribe', { threadId: s.threadId });
    s.other.default(resume);
    await s.go;
    await interrupt;
    assert.equal((await unsubscribe).status, 'unsubscribed');
    assert.equal(s.other.received('turn/interrupt').length, 1);
    await s.client.next('thread/closed');
});

test('a shutdown while it moves: the request is told, the daemon ends', async (t) => {
    const s = await moving(t);
    const resume = await stopAt(s, s.other, 'thread/resume');
    s.daemon.signal('SIGTERM');
    await assert.rejects(s.go, { code: -32012 });
    s.other.default(resume);
    await s.daemon.exited;
    assert.deepEqual(s.daemon.exit, { code: 0, signal: null });
});

test('both workers are wanted by others meanwhile: they come after it, in order', async (t) => {
    const s = await moving(t);
    const resume = await stopAt(s, s.other, 'thread/resume');
    const late = await Promise.all(['x', 'y'].map((name) => PoolClient.open(s.daemon, { name })));
    const waiting = late.map((client) => client.request('thread/start'));
    await s.daemon.untilStatus((status) => status.queue.length === 3, 'they wait');
    s.busy.turn.complete();
    await waiting[0];
    s.other.default(resume);
    await s.go;
    servedBy(s, s.other);
    s.other.turn(s.threadId).complete();
    await waiting[1];
});

