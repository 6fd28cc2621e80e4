// Requests that leave something behind on the connection: their worker stays with the client until it leaves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, settled, waitInLine } from '../lib/scenes.mjs';

const SOON = { openLingerMs: 0 };
const PINNED = ['fs/watch', 'process/spawn', 'fuzzyFileSearch/sessionStart', 'mcpServer/event/stream/start'];

/** A client that has pinned a worker. */
async function pin(daemon, name = 'a') {
    const client = await PoolClient.open(daemon, { name });
    await client.request('fs/watch', { path: '/x', watchId: name });
    return client;
}

for (const method of PINNED) {
    test(`${method} keeps its worker, also while others wait`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: SOON });
        const client = await PoolClient.open(daemon);
        await client.request(method, {});
        const next = await waitInLine(daemon);
        await settled(client);
        assert.equal(worker.received('thread/start').length, 0);
        await client.close();
        await worker.eof;
        await next.waiting;
        assert.equal(daemon.fake.workers.length, 2);
    });
}

test('a refused request pins nothing', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    worker.on('fs/watch', (request) => worker.refuse(request, -32600, 'no such directory'));
    const client = await PoolClient.open(daemon);
    await assert.rejects(client.request('fs/watch', {}), { message: 'no such directory' });
    assert.equal((await daemon.status()).workers[0].state, 'idle');
});

for (const method of PINNED) {
    test(`before ${method} is answered: what it leaves behind is no other client's`, async (t) => {
        const [daemon, worker] = await startPool(t);
        worker.hold(method);
        const client = await PoolClient.open(daemon);
        client.request(method, {});
        const request = await worker.expect(method);
        const next = await waitInLine(daemon);
        await client.close();
        await daemon.untilStatus((s) => s.workers[0].state !== 'busy', 'the abort has begun');
        worker.reply(request, {});
        await next.waiting;
        assert.equal(worker.received('thread/start').length, 0);
    });
}

test('what a pinned worker says without a thread goes only to the client that pinned it', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await pin(daemon, 'a');
    const b = await pin(daemon, 'b');
    const hasWatch = (w, id) => w.received('fs/watch', (p) => p.watchId === id).length;
    const watching = (id) => daemon.fake.workers.find((w) => hasWatch(w, id));
    const [one, two] = [watching('a'), watching('b')];
    one.notify('fs/changed', { watchId: 'a', changedPaths: ['/x/1'] });
    two.notify('fs/changed', { watchId: 'b', changedPaths: ['/x/2'] });
    assert.deepEqual((await a.next('fs/changed')).params.changedPaths, ['/x/1']);
    assert.deepEqual((await b.next('fs/changed')).params.changedPaths, ['/x/2']);
    await Promise.all([settled(a), settled(b)]);
    assert.deepEqual([a, b].map((c) => c.notifications.length), [1, 1]);
});

test('what follows a pinned request goes to the same worker, as does the next one', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await pin(daemon);
    const worker = daemon.fake.workers.find((w) => w.received('fs/watch').length);
    const followUps = [
        'process/spawn', 'process/writeStdin', 'process/resizePty', 'process/kill', 'fs/unwatch',
        'fuzzyFileSearch/sessionStart', 'fuzzyFileSearch/sessionUpdate', 'fuzzyFileSearch/sessionStop',
    ];
    for (const method of followUps) await a.request(method, {});
    assert.equal(worker.log.filter((m) => /^(process|fs|fuzzyFileSearch)/.test(m.method)).length, 9);
    assert.equal((await daemon.status()).pool.busy, 1);
});

test('pool/release gives no pinned worker back', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const a = await pin(daemon);
    const next = await waitInLine(daemon);
    assert.deepEqual(await a.request('pool/release'), {});
    await settled(a);
    assert.equal(worker.received('thread/start').length, 0);
    await a.close();
    await next.waiting;
});

test('a turn on the pinned worker ends without giving it back', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId } = await converse(daemon);
    await client.request('fs/watch', { path: '/x', watchId: 'w' });
    const next = await waitInLine(daemon);
    await client.startTurn(threadId, 'while pinned');
    await client.next('turn/started');
    worker.turn(threadId).complete();
    await client.turnCompleted(threadId);
    await settled(client);
    assert.equal(worker.received('thread/start').length, 1, 'the first client\'s own');
    await client.close();
    await next.waiting;
    assert.equal(daemon.fake.workers.length, 2);
});

test('others\' idle threads on a pinned worker that is stopped are closed for them', async (t) => {
    const [daemon] = await startPool(t, 1, { config: SOON });
    const b = await converse(daemon, 'b');
    const a = await pin(daemon);
    await a.close();
    const { params } = await b.client.next('thread/status/changed', (p) => p.status.type === 'notLoaded');
    assert.equal(params.threadId, b.threadId);
    await b.client.next('thread/closed', (p) => p.threadId === b.threadId);
    assert.equal(await b.client.resumeThread(b.threadId), b.threadId);
});

for (const [pinning, method, params] of [
    ['process/spawn', 'process/kill', { processHandle: 'p' }],
    ['process/spawn', 'process/writeStdin', { processHandle: 'p' }],
    ['fs/watch', 'fs/unwatch', { watchId: 'p' }],
    ['fuzzyFileSearch/sessionStart', 'fuzzyFileSearch/sessionStop', { sessionId: 'p' }],
]) {
    test(`nobody reaches what another client has pinned: ${method}`, async (t) => {
        const [daemon, worker] = await startPool(t);
        const a = await PoolClient.open(daemon, { name: 'a' });
        await a.request(pinning, params);
        const b = await PoolClient.open(daemon, { name: 'b' });
        await b.request(method, params).catch((error) => assert.equal(error.code, -32600));
        assert.equal(worker.received(method).length, 0);
        await a.request(method, params);
        assert.equal(worker.received(method).length, 1);
    });
}
