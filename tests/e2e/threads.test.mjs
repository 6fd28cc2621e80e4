// Which worker has which thread, and who hears of it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';

const NEVER = { openLingerMs: 600000 };

/** A client with an open thread that has had a turn: {client, threadId, worker}. */
async function conversation(daemon, name) {
    const client = await PoolClient.open(daemon, { name });
    const threadId = await client.startThread();
    await client.startTurn(threadId);
    await client.next('turn/started');
    const worker = daemon.fake.owner(threadId);
    worker.turn(threadId).complete();
    await client.turnCompleted(threadId);
    return { client, threadId, worker };
}

/** Takes the worker that has a thread by a turn on another of its threads. */
async function occupy(daemon, worker) {
    const client = await PoolClient.open(daemon, { name: 'occupier' });
    const { worker: id } = await client.request('pool/acquire');
    assert.equal(id, worker.number, 'the least used worker is the one');
    const threadId = await client.startThread();
    await client.startTurn(threadId);
    await client.next('turn/started');
    return { client, threadId };
}

test('a turn waits for its thread\'s owner although another worker is idle', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { ...NEVER, moves: 'never' } });
    const a = await conversation(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const other = await b.startThread();
    const c = await PoolClient.open(daemon, { name: 'c' });
    const third = await c.startThread();
    const busy = daemon.fake.owner(third) === a.worker ? c : b;
    await (busy === c ? b : c).close();
    await daemon.untilStatus((s) => s.pool.busy === 1, 'only the owner is busy');
    const turn = a.client.startTurn(a.threadId, 'go on');
    await daemon.untilStatus((s) => s.queue.length === 1, 'the turn waits');
    await busy.close();
    await turn;
    assert.equal(a.worker.received('turn/start', (p) => p.input[0].text === 'go on').length, 1);
    assert.ok(other);
    await a.client.close();
});

test('reads about a thread go to its owner, other reads and unknown methods to any worker', async (t) => {
    const [daemon, one, two] = await startPool(t, 2);
    const a = await conversation(daemon, 'a');
    const c = await conversation(daemon, 'c');
    assert.notEqual(a.worker, c.worker);
    const b = await PoolClient.open(daemon, { name: 'b' });
    for (const { threadId, worker } of [a, c]) {
        assert.equal((await b.request('thread/read', { threadId })).thread.status.type, 'idle');
        assert.equal(worker.received('thread/read').length, 1);
    }
    assert.deepEqual(await b.request('something/new', { x: 1 }), {});
    assert.equal(one.received('something/new').length + two.received('something/new').length, 1);
});

test('another client\'s resume is cold: unloaded, then loaded with the settings asked for', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await conversation(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const result = await b.request('thread/resume', { threadId: a.threadId, sandbox: 'read-only' });
    assert.equal(result.cold, true);
    const owner = daemon.fake.owner(a.threadId);
    assert.equal(owner.threads.get(a.threadId).params.sandbox, 'read-only');
    const order = a.worker.log.map((m) => m.method).filter((m) => /unsubscribe|resume/.test(m));
    assert.equal(order[0], 'thread/unsubscribe');
    await a.client.next('thread/closed', (p) => p.threadId === a.threadId);
    await b.startTurn(a.threadId);
    await b.next('turn/started');
    assert.equal(a.client.has('turn/started', (p) => p.turn.id === owner.turn().id), false);
    await b.close();
});

test('the subscriber\'s own resume is a rejoin', async (t) => {
    const [daemon] = await startPool(t, 1);
    const a = await conversation(daemon, 'a');
    assert.equal((await a.client.request('thread/resume', { threadId: a.threadId })).cold, false);
    assert.equal(a.worker.received('thread/unsubscribe').length, 0);
});

test('a resume waits for the turn that another client runs there', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await conversation(daemon, 'a');
    await a.client.startTurn(a.threadId);
    await a.client.next('turn/started');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const resumed = b.resumeThread(a.threadId);
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    assert.equal(worker.received('turn/interrupt').length, 0);
    worker.turn().complete();
    await a.client.turnCompleted(a.threadId);
    await resumed;
});

for (const [what, params] of [['it is ephemeral', { ephemeral: true }], ['it has no turn yet', {}]]) {
    test(`a resume with settings is refused where the thread cannot be unloaded: ${what}`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 0 } });
        worker.on('thread/resume', (r) => worker.reply(r, { thread: { id: r.params.threadId } }));
        const a = await PoolClient.open(daemon, { name: 'a' });
        const threadId = await a.startThread(params);
        const b = await PoolClient.open(daemon, { name: 'b' });
        await assert.rejects(b.request('thread/resume', { threadId, sandbox: 'read-only' }),
            (e) => e.code === -32600 && e.message.includes(what));
        await daemon.untilStatus((status) => status.workers[0].state === 'idle', 'the refused one holds nothing');
        assert.equal(worker.received('thread/resume').length, 0);
        assert.deepEqual((await a.request('thread/loaded/list')).data, [threadId], 'a still has it');
        assert.equal(await b.resumeThread(threadId, { excludeTurns: true }), threadId);
        assert.equal(worker.received('thread/unsubscribe').length, 0);
    });
}

test('between unsubscribe and thread/closed every request for the thread waits', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await conversation(daemon, 'a');
    worker.on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
    assert.deepEqual(await a.client.request('thread/unsubscribe', { threadId: a.threadId }), { status: 'unsubscribed' });
    const resumed = a.client.resumeThread(a.threadId);
    const read = a.client.request('thread/read', { threadId: a.threadId });
    await a.client.request('model/list');
    assert.equal(worker.received('thread/resume').length + worker.received('thread/read').length, 0);
    worker.unload(a.threadId);
    await Promise.all([resumed, read]);
});

test('requests for a thread whose resume still waits go behind it, in order', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await conversation(daemon, 'a');
    await a.client.close();
    const holder = await PoolClient.open(daemon, { name: 'holder' });
    await holder.startThread();
    const b = await PoolClient.open(daemon, { name: 'b' });
    const all = [b.resumeThread(a.threadId), b.startTurn(a.threadId, 'first'), b.request('thread/name/set', { threadId: a.threadId, name: 'n' })];
    await daemon.untilStatus((s) => s.queue.length === 1, 'the resume waits alone');
    await holder.close();
    await Promise.all(all);
    const order = worker.log.filter((m) => m.params?.threadId === a.threadId).map((m) => m.method);
    assert.deepEqual(order.slice(-3), ['thread/resume', 'turn/start', 'thread/name/set']);
    await b.close();
});

test('what is sent behind a resume stays behind it, also when the resume has to be sent again', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await conversation(daemon, 'a');
    await a.client.close();
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.hold('thread/resume');
    const all = [b.resumeThread(a.threadId), b.startTurn(a.threadId, 'first')];
    const request = await worker.expect('thread/resume');
    worker.handlers.delete('thread/resume');
    all.push(b.startTurn(a.threadId, 'second'));
    await b.request('model/list');
    worker.refuse(request, -32600, `thread ${a.threadId} is closing; retry thread/resume after the thread is closed`);
    await Promise.all(all);
    const texts = worker.received('turn/start').map((m) => m.params.input[0].text);
    assert.deepEqual(texts.slice(-2), ['first', 'second']);
    await b.close();
});

test('a stranger hears of a thread what a Codex of their own would say', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await conversation(daemon, 'a');
    await a.client.startTurn(a.threadId);
    await a.client.next('turn/started');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const { threadId } = a;
    for (const method of ['turn/interrupt', 'turn/steer', 'thread/backgroundTerminals/clean'])
        await assert.rejects(b.request(method, { threadId, turnId: '' }), { code: -32600, message: `thread not found: ${threadId}` });
    assert.deepEqual(await b.request('thread/unsubscribe', { threadId }), { status: 'notLoaded' });
    for (const method of ['thread/archive', 'thread/delete'])
        await assert.rejects(b.request(method, { threadId }), { code: -32600, message: `thread ${threadId} already has an active writer` });
    assert.ok(worker.turn(), 'the turn still runs');
    await a.client.close();
});

test('whoever started the last turn on a thread gets its events', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await conversation(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.startTurn(a.threadId);
    await b.next('turn/started');
    worker.turn().delta('to b');
    await b.next('item/agentMessage/delta');
    worker.turn().complete();
    await b.turnCompleted(a.threadId);
    assert.equal(a.client.has('item/agentMessage/delta'), false);
    assert.deepEqual((await a.client.request('thread/loaded/list')).data, []);
    assert.deepEqual((await b.request('thread/loaded/list')).data, [a.threadId]);
});

test('a failed turn/start changes nothing for the subscriber', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await conversation(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    worker.on('turn/start', (r) => worker.refuse(r, -32602, 'bad input'));
    await assert.rejects(b.startTurn(a.threadId), { message: 'bad input' });
    assert.deepEqual((await a.client.request('thread/loaded/list')).data, [a.threadId]);
});

test('an archived thread is told to who asked, and another worker may have it', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await conversation(daemon, 'a');
    await a.client.request('thread/archive', { threadId: a.threadId });
    await a.client.next('thread/archived', (p) => p.threadId === a.threadId);
    assert.deepEqual((await a.client.request('thread/loaded/list')).data, []);
    assert.equal(await a.client.resumeThread(a.threadId), a.threadId);
});

test('what a worker still says of a closed thread reaches nobody', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const a = await conversation(daemon, 'a');
    await a.client.close();
    const b = await PoolClient.open(daemon, { name: 'b' });
    await b.startThread();
    const before = (await daemon.status()).counters.droppedMessages;
    worker.status(a.threadId, 'active');
    worker.notify('item/agentMessage/delta', { threadId: a.threadId, delta: 'late' });
    await b.request('model/list');
    assert.equal((await daemon.status()).counters.droppedMessages, before + 2);
    assert.equal(b.notifications.some((m) => m.params.threadId === a.threadId), false);
    assert.equal(worker.received('turn/interrupt', (p) => p.threadId === a.threadId).length, 1, 'the abort\'s own only');
});

for (const words of ['already has an active writer', 'is closing; retry thread/resume after the thread is closed']) {
    test(`"${words.slice(0, 20)}…" because of a worker of ours is tried again and never seen`, async (t) => {
        const [daemon, worker] = await startPool(t, 1);
        const a = await conversation(daemon, 'a');
        await a.client.close();
        let refusals = 0;
        worker.on('thread/resume', (r) => {
            if (++refusals < 4) worker.refuse(r, -32600, `thread ${r.params.threadId} ${words}`);
            else worker.default(r);
        });
        const b = await PoolClient.open(daemon, { name: 'b' });
        assert.equal(await b.resumeThread(a.threadId), a.threadId);
        assert.equal(refusals, 4);
    });
}

test('a lock held by a process outside the pool: the answer names it', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const locks = join(daemon.dir, 'codex-home', 'thread-writer-locks');
    mkdirSync(locks);
    writeFileSync(join(locks, 'foreign.lock'), '');
    const holder = spawn('flock', ['--no-fork', join(locks, 'foreign.lock'), 'sh', '-c', 'echo held; read x'], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => holder.kill('SIGKILL'));
    await once(holder.stdout, 'data');
    worker.on('thread/resume', (r) => worker.refuse(r, -32600, `thread ${r.params.threadId} already has an active writer`));
    const a = await PoolClient.open(daemon);
    await assert.rejects(a.resumeThread('foreign'), (e) => e.code === -32600 &&
        e.message.includes('already has an active writer') && e.message.includes(`process ${holder.pid} `));
    assert.equal((await daemon.status()).workers[0].state, 'idle');
});

test('global methods are for admins, and the other workers are replaced afterwards', async (t) => {
    const [daemon, one, two] = await startPool(t, 2);
    const a = await PoolClient.open(daemon);
    await a.request('config/value/write', { keyPath: 'model', value: 'x' });
    const other = one.received('config/value/write').length ? two : one;
    await other.exited;
    await daemon.untilStatus((s) => s.pool.ready === 2, 'both are ready again');
    assert.equal((await daemon.status()).counters.workersReplaced, 1);
});

test('a client that is no admin is told so', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { adminUids: [54321], denyMethods: ['fs/*', 'model/list', 'pool/cancel'] } });
    const a = await PoolClient.open(daemon);
    await assert.rejects(a.request('config/value/write'), (e) => e.code === -32014 && e.data.reason === 'forbidden' && /adminUids/.test(e.message));
    for (const method of ['fs/readFile', 'pool/cancel'])
        await assert.rejects(a.request(method), { code: -32014, message: new RegExp(`^${method} .*denyMethods`) });
    await assert.rejects(a.request('model/list'), { code: -32014 });
    await a.request('thread/list');
    assert.deepEqual(worker.log.map((m) => m.method), ['initialize', 'initialized', 'thread/list']);
});

test('a new thread goes to the idle worker with the fewest subscribed threads', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await conversation(daemon, 'a');
    const b = await occupy(daemon, daemon.fake.workers.find((w) => w !== a.worker));
    assert.notEqual(daemon.fake.owner(b.threadId), a.worker);
    await b.client.close();
});
