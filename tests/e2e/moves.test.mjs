// A thread moves to an idle worker when its owner is busy with another, and its client hears nothing of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { crowd, heard, moving, talk } from '../lib/moving.mjs';
import { sent, settled } from '../lib/scenes.mjs';

const STARTED = ['thread/status/changed', 'turn/started'];

test('a client that opens a thread and falls silent gives way to a thread that would move there', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { openLingerMs: 50, drainTimeoutMs: 0 } });
    const a = await talk(daemon);
    const silent = await Promise.all(['x', 'y'].map(async (name) => {
        const client = await PoolClient.open(daemon, { name });
        return { client, threadId: await client.startThread() };
    }));
    const beside = silent.find(({ threadId }) => daemon.fake.owner(threadId) === a.worker);
    await beside.client.startTurn(beside.threadId);
    await beside.client.next('turn/started');
    await a.client.startTurn(a.threadId);
    assert.notEqual(daemon.fake.owner(a.threadId), a.worker);
});

test('a turn does not wait for its busy owner: the thread moves to the idle worker', async (t) => {
    const s = await moving(t, { start: { config: { web_search: 'live', model: 'x' }, developerInstructions: 'be brief' } });
    await s.client.request('pool/subscribe', { events: ['queue'] });
    await s.client.startTurn(s.threadId, 'go on');
    await s.client.next('turn/started');
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    const { threadId } = s;
    const asked = sent(s.owner, s.mark.owner);
    assert.equal(asked.at(-1), `thread/unsubscribe ${threadId}`, 'unloaded last');
    assert.deepEqual(asked.slice(0, -1).sort(), ['hooks/list', 'thread/backgroundTerminals/list',
        'thread/goal/get', 'thread/queue/list'].map((m) => `${m} ${threadId}`));
    assert.deepEqual(sent(s.other, s.mark.other), ['thread/resume', 'turn/start'].map((m) => `${m} ${threadId}`));
    assert.deepEqual(s.other.received('thread/resume')[0].params, {
        threadId, excludeTurns: true, config: { web_search: 'live' }, developerInstructions: 'be brief',
    }, 'what is not stored is given again, what is stored is not');
    const moved = await s.client.next('pool/moved');
    assert.deepEqual([moved.params.threadId, moved.params.from, moved.params.to],
        [threadId, s.owner.number, s.other.number]);
    assert.deepEqual(heard(s.client).filter((m) => !m.startsWith('pool/')), STARTED);
    const status = await s.daemon.status();
    assert.equal(status.counters.moves, 1);
    assert.equal(status.counters.movesFailed, 0);
    assert.equal(status.moveMs.count, 1);
});

test('a turn that may not wait is refused where its thread would move', async (t) => {
    const LINE = 1024 * 1024, HELD = 8;
    let closing;
    const s = await moving(t, {
        config: { maxMessageBytes: 2 * LINE },
        before: async ({ daemon, client }) => {
            closing = await client.startThread();
            await client.startTurn(closing);
            const worker = daemon.fake.owner(closing);
            worker.hold('thread/unsubscribe').turn(closing).complete();
            await client.turnCompleted(closing);
        },
    });
    s.client.request('thread/unsubscribe', { threadId: closing });
    // These wait for its end.
    for (let i = 0; i < HELD; i++)
        s.client.request('thread/archive', { threadId: closing, pad: 'x'.repeat(LINE) });
    await assert.rejects(s.client.startTurn(s.threadId), { code: -32001 });
    assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
});

test('it moves when a worker becomes free, if it came first, and back again', async (t) => {
    const s = await crowd(t);
    const turn = s.client.startTurn(s.threadId, 'go on');
    await s.daemon.untilStatus((status) => status.queue.length === 1, 'the turn waits');
    const late = await PoolClient.open(s.daemon, { name: 'late' });
    const waiting = late.request('thread/start');
    await s.daemon.untilStatus((status) => status.queue.length === 2, 'so does one that came later');
    await s.free();
    await turn;
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    s.busy.turn.complete();
    await waiting;
    s.other.turn(s.threadId).complete();
    await s.client.turnCompleted(s.threadId);
    assert.equal((await s.daemon.status()).counters.moves, 1);
});

test('who came before is not overtaken on the worker that becomes free', async (t) => {
    const s = await crowd(t);
    const early = await PoolClient.open(s.daemon, { name: 'early' });
    const first = early.request('thread/start');
    await s.daemon.untilStatus((status) => status.queue.length === 1, 'one waits');
    const turn = s.client.startTurn(s.threadId, 'go on');
    await s.daemon.untilStatus((status) => status.queue.length === 2, 'two wait');
    await s.free();
    await first;
    assert.equal((await s.daemon.status()).counters.moves, 0);
    s.busy.turn.complete();
    await turn;
    assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
});

for (const [what, begin, free] of [
    ['as a worker becomes free', crowd, (s) => s.free()],
    ['to one that is free', moving, async () => {}],
]) {
    test(`who waits for a thread is not left behind by who came later and would move it ${what}`, async (t) => {
        const s = await begin(t, { config: { moves: 'resume' } });
        const turn = s.client.startTurn(s.threadId, 'go on');
        await s.daemon.untilStatus((status) => status.queue.length === 1, 'a turn waits for its owner');
        const resume = s.client.resumeThread(s.threadId);
        await s.client.request('pool/ping');
        await free(s);
        await settled(s.client);
        s.busy.turn.complete();
        await turn;
        s.owner.turn(s.threadId).complete();
        await resume;
        assert.equal((await s.daemon.status()).counters.moves, 0);
    });
}

test('no thread moves to a worker that poolSize has no more room for', async (t) => {
    const s = await crowd(t);
    assert.equal(s.other.number, 2, 'the first one stays');
    const turn = s.client.startTurn(s.threadId, 'go on');
    await s.daemon.untilStatus((status) => status.queue.length === 1, 'the turn waits');
    const resized = s.client.request('pool/resize', { size: 1 });
    await s.daemon.untilStatus((status) => status.pool.size === 1, 'the pool is smaller');
    await s.free();
    await s.daemon.untilLog(/worker 2: held in vain/);
    await settled(s.client);
    s.busy.turn.complete();
    await turn;
    assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
    s.owner.turn(s.threadId).complete();
    await resized;
});

test('the client\'s own thread/resume moves, and is a rejoin there', async (t) => {
    const s = await moving(t, { config: { moves: 'resume' } });
    const result = await s.client.request('thread/resume', { threadId: s.threadId, model: 'other' });
    assert.equal(result.cold, false, 'as it would have been where it was');
    assert.equal(result.model, 'fake');
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    assert.deepEqual(sent(s.other, s.mark.other), ['thread/resume', 'thread/resume'].map((m) => `${m} ${s.threadId}`));
    await s.client.next('thread/goal/cleared');
    assert.deepEqual(heard(s.client), ['thread/tokenUsage/updated', 'thread/goal/cleared'], 'what a rejoin tells');
});

test('another connection\'s thread/resume gets the thread on the idle worker', async (t) => {
    const s = await moving(t, { config: { moves: 'resume' } });
    const again = await PoolClient.open(s.daemon, { name: 'again' });
    const result = await again.request('thread/resume', { threadId: s.threadId, model: 'other' });
    assert.equal(result.cold, true);
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    await s.client.next('thread/closed');
    assert.equal(s.other.received('thread/resume').length, 1);
    assert.equal((await s.daemon.status()).counters.moves, 1);
});

test('a turn by another connection moves the thread, too', async (t) => {
    const s = await moving(t);
    const again = await PoolClient.open(s.daemon, { name: 'again' });
    await again.startTurn(s.threadId, 'go on');
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    assert.deepEqual(heard(s.client), []);
});

for (const [moves, resumes] of [['resume', false], ['never', false], ['never', true]]) {
    test(`moves: ${moves}: a ${resumes ? 'thread/resume' : 'turn'} waits for its owner`, async (t) => {
        const s = await moving(t, { config: { moves } });
        const request = resumes ? s.client.request('thread/resume', { threadId: s.threadId })
            : s.client.startTurn(s.threadId, 'go on');
        const { waiters } = await s.daemon.untilStatus((status) => status.queue.length === 1, 'it waits');
        assert.equal(waiters[0].stays, `moves is "${moves}"`);
        assert.equal(waiters[0].worker, s.owner.number);
        s.busy.turn.complete();
        await request;
        assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
        assert.equal((await s.daemon.status()).counters.moves, 0);
    });
}

test('what the loading loses is repaired before the turn, and compared once more', async (t) => {
    const s = await moving(t, { start: { sandbox: 'workspace-write' } });
    await s.client.startTurn(s.threadId, 'go on');
    assert.deepEqual(sent(s.other, s.mark.other),
        ['thread/resume', 'thread/settings/update', 'turn/start'].map((m) => `${m} ${s.threadId}`));
    assert.equal(s.other.threads.get(s.threadId).settings.sandboxPolicy.type, 'workspaceWrite');
    assert.equal(s.client.has('thread/settings/updated'), false);
});

test('what was changed since it was opened goes along: by a turn, by thread/settings/update', async (t) => {
    const s = await moving(t, {
        before: async ({ client, threadId, owner }) => {
            await client.request('thread/settings/update', { threadId, sandboxPolicy: { type: 'workspaceWrite' } });
            await client.startTurn(threadId, 'again', { environments: [{ environmentId: 'local', cwd: '/tmp' }], cwd: '/x' });
            await client.next('turn/started', () => owner.turn(threadId));
            owner.turn(threadId).complete();
            await client.turnCompleted(threadId);
        },
    });
    await s.client.startTurn(s.threadId, 'go on');
    const [update] = s.other.received('thread/settings/update');
    assert.deepEqual(update.params, {
        threadId: s.threadId, sandboxPolicy: { type: 'workspaceWrite' },
        environments: [{ environmentId: 'local', cwd: '/tmp' }], cwd: '/x',
    });
    assert.equal(s.other.threads.get(s.threadId).settings.cwd, '/x');
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
});

test('a resume replaces what was given before, a rejoin does not', async (t) => {
    const s = await moving(t, {
        start: { config: { web_search: 'live' }, developerInstructions: 'old' },
        before: async ({ daemon, client, threadId }) => {
            await client.request('thread/resume', { threadId, developerInstructions: 'ignored' });
            const other = await PoolClient.open(daemon, { name: 'cold' });
            await other.request('thread/resume', { threadId, baseInstructions: 'new' });
            await other.close();
            await client.next('thread/closed');
            await client.request('thread/resume', { threadId, developerInstructions: 'newer' });
            await client.next('thread/goal/cleared');
        },
    });
    const from = s.other.received('thread/resume').length;
    await s.client.startTurn(s.threadId, 'go on');
    const { params } = s.other.received('thread/resume')[from];
    assert.deepEqual(params, { threadId: s.threadId, excludeTurns: true, developerInstructions: 'newer' });
});

test('requests that come while it moves follow it, in order', async (t) => {
    const s = await moving(t);
    s.other.hold('thread/resume');
    const turn = s.client.startTurn(s.threadId, 'go on');
    const resume = await s.other.expect('thread/resume');
    const reads = Array.from({ length: 10 }, () => s.client.request('thread/read', { threadId: s.threadId }));
    const steered = s.client.request('turn/steer', { threadId: s.threadId, input: [], expectedTurnId: 'x' });
    const second = s.client.startTurn(s.threadId, 'and more');
    s.other.default(resume);
    await turn;
    await steered;
    for (const read of reads) assert.equal((await read).thread.status.type, 'active');
    await second;
    const after = s.other.log.filter((m) => m.method).map((m) => m.method).slice(s.mark.other);
    assert.deepEqual(after, ['thread/resume', 'turn/start', ...Array(10).fill('thread/read'), 'turn/steer', 'turn/start']);
    assert.equal(s.owner.received('thread/read').length, 0);
});

test('what a worker says without a thread while it loads one is not passed on', async (t) => {
    const s = await moving(t);
    s.other.hold('thread/resume');
    const turn = s.client.startTurn(s.threadId, 'go on');
    const resume = await s.other.expect('thread/resume');
    s.other.notify('configWarning', { summary: 'odd' });
    s.other.notify('warning', { threadId: s.threadId, message: 'ignored settings' });
    s.other.default(resume);
    await turn;
    await s.client.next('turn/started');
    assert.deepEqual(heard(s.client), STARTED);
    s.other.notify('configWarning', { summary: 'later' });
    await s.client.next('configWarning', (p) => p.summary === 'later');
});

test('a resume that tells of its goal late is still not heard', async (t) => {
    const s = await moving(t);
    s.other.on('thread/resume', function resume(request) {
        const thread = this.load(request.params.threadId);
        this.reply(request, this.opened(thread));
    });
    await s.client.startTurn(s.threadId, 'go on');
    s.other.turn(s.threadId).complete();
    await s.client.turnCompleted(s.threadId);
    s.other.notify('thread/goal/cleared', { threadId: s.threadId });
    await s.client.next('thread/goal/cleared');
});

test('nor is one that tells of it between the answer to the turn and its start', async (t) => {
    const s = await moving(t);
    s.other.on('thread/resume', function resume(request) {
        this.reply(request, this.opened(this.load(request.params.threadId)));
    });
    s.other.on('turn/start', function start(request) {
        const { threadId } = request.params;
        this.reply(request, { turn: { id: 'late', items: [], status: 'inProgress', error: null } });
        this.notify('thread/tokenUsage/updated', { threadId });
        this.notify('thread/goal/cleared', { threadId });
        this.begin(threadId, 'late');
    });
    await s.client.startTurn(s.threadId, 'go on');
    await s.client.next('turn/started');
    assert.deepEqual(heard(s.client), STARTED);
});

test('a thread that has moved ends like any other: its client leaves, its lock is free', async (t) => {
    const s = await moving(t);
    await s.client.startTurn(s.threadId, 'go on');
    await s.client.close();
    await s.other.expect('thread/unsubscribe');
    await s.daemon.untilStatus((status) => status.pool.busy === 1, 'the worker is clean');
    assert.equal(s.daemon.fake.owner(s.threadId), undefined);
    assert.equal(s.daemon.fake.locks.has(s.threadId), false);
});

test('the request waits in the queue meanwhile: it can be cancelled, and the worker is free again', async (t) => {
    const s = await moving(t);
    s.other.hold('thread/resume');
    const turn = s.client.startTurn(s.threadId, 'go on');
    const resume = await s.other.expect('thread/resume');
    const { waiters } = await s.daemon.status();
    assert.equal(waiters[0].stays, 'it is moving');
    assert.deepEqual(await s.client.request('pool/cancel', { id: turn.id }), { cancelled: true });
    await assert.rejects(turn, { code: -32011 });
    s.other.default(resume);
    await s.daemon.untilStatus((status) => status.pool.busy === 1, 'the worker is free');
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    await s.client.startTurn(s.threadId, 'now');
    assert.equal(s.other.received('turn/start', (p) => p.threadId === s.threadId).length, 1);
});

test('a full queue does not keep a thread from moving', async (t) => {
    const s = await moving(t, { config: { maxQueue: 0 } });
    await s.client.startTurn(s.threadId, 'go on');
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
});


test('pool/moved is told to those who subscribe to moves', async (t) => {
    const s = await moving(t);
    const watcher = await PoolClient.open(s.daemon, { name: 'watcher' });
    await watcher.request('pool/subscribe', { events: ['moves'] });
    await s.client.startTurn(s.threadId, 'go on');
    assert.equal((await watcher.next('pool/moved')).params.threadId, s.threadId);
    await settled(s.client);
    assert.equal(s.client.has('pool/moved'), false);
});
