// A conversation that waits for a person outlives its connection: pool/detach, pool/attach.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { cleanEnv, pool, startPool } from '../lib/daemon.mjs';
import { exchange } from '../lib/http.mjs';
import { APPROVAL, NEVER, asking, attach, detach } from '../lib/parked.mjs';
import { runTurn, settled, waitInLine } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';
import { openWebSocket } from '../lib/websocket.mjs';

const DELTA = 'item/agentMessage/delta';

const refused = (code, pattern) => (error) => error.code === code && pattern.test(error.message);
const noSuchToken = refused(-32602, /^token names nobody who is parked/);
const texts = (client) => client.notifications.filter((m) => m.method === DELTA).map((m) => m.params.delta);
const events = (client) => client.lines.map((line) => JSON.parse(line)).map((m) => m.method ?? `answer ${m.id}`);

for (const dialect of ['lines', 'WebSocket']) {
    test(`an approval outlives its connection, attached by ${dialect}`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: NEVER });
        const scene = await asking(daemon);
        const { token, ttlMs } = await detach(scene.client, { ttlMs: 60000 });
        assert.match(token, /^[0-9a-f]{32}$/);
        assert.equal(ttlMs, 60000);
        scene.turn.delta('meanwhile');
        const b = await PoolClient.open(daemon, { name: 'b' });
        await settled(b);
        const by = dialect === 'lines' ? undefined : await openWebSocket(daemon, { initialize: false });
        const { client, answer } = await attach(daemon, token, by);
        const { client: _, missedBytes, parkedMs, ...rest } = answer;
        const turns = [{ threadId: scene.threadId, turnId: scene.turn.id }];
        assert.deepEqual(rest, { workers: [1], threads: [scene.threadId], turns, requests: [], asks: 1 });
        assert.ok(missedBytes > 50 && parkedMs >= 0);
        const again = await client.next(APPROVAL);
        assert.deepEqual([again.id, again.params], [scene.ask.id, scene.ask.params]);
        client.send({ id: again.id, result: { decision: 'accept' } });
        assert.deepEqual((await scene.answered).result, { decision: 'accept' });
        worker.notify('serverRequest/resolved', { threadId: scene.threadId, requestId: scene.answered.id });
        scene.turn.delta('afterwards');
        scene.turn.complete();
        await client.turnCompleted(scene.threadId);
        assert.deepEqual(events(client), ['answer attach', DELTA, APPROVAL, 'serverRequest/resolved', DELTA,
            'thread/status/changed', 'turn/completed']);
        assert.deepEqual(texts(client), ['meanwhile', 'afterwards']);
        assert.deepEqual(worker.received('turn/interrupt'), []);
        await client.startTurn(scene.threadId, 'and again');
    });
}

test('from WebSocket to lines: what was missed comes as lines', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const ws = await openWebSocket(daemon);
    const threadId = await ws.startThread();
    await ws.startTurn(threadId);
    const { token } = await detach(ws);
    assert.equal(ws.socket.code, 1001);
    for (let i = 0; i < 300; i++) worker.turn().delta(`${i} ${'x'.repeat(i)}`);
    const { client } = await attach(daemon, token);
    worker.turn().complete();
    await client.turnCompleted(threadId);
    assert.deepEqual(texts(client), Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat(i)}`));
});

test('no line is lost and none comes twice, whenever the connection changes', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    let { client, threadId } = await runTurn(daemon);
    const seen = [];
    let sent = 0;
    for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 50; i++) worker.turn().delta(String(sent++));
        const detached = client.request('pool/detach');
        for (let i = 0; i < 50; i++) worker.turn().delta(String(sent++));
        const { token } = await detached;
        await client.ended;
        seen.push(...texts(client));
        ({ client } = await attach(daemon, token));
    }
    worker.turn().complete();
    await client.turnCompleted(threadId);
    seen.push(...texts(client));
    assert.deepEqual(seen, Array.from({ length: sent }, (_, i) => String(i)));
});

test('asked while nobody was there: asked once, and what is resolved meanwhile is told', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const scene = await asking(daemon);
    const { client: first, threadId, turn } = scene;
    const { token } = await detach(first);
    worker.notify('serverRequest/resolved', { threadId, requestId: scene.answered.id });
    const second = worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'second' });
    await settled(await PoolClient.open(daemon, { name: 'b' }));
    const { client, answer } = await attach(daemon, token);
    assert.equal(answer.asks, 1);
    await client.request('model/list');
    assert.deepEqual(events(client), ['answer attach', 'serverRequest/resolved', APPROVAL, 'answer 1']);
    const [ask] = client.asked;
    assert.equal(ask.params.itemId, 'second');
    // Parked once more, it has to be asked again.
    const { token: next } = await detach(client);
    const again = await attach(daemon, next);
    assert.equal((await again.client.next(APPROVAL)).id, ask.id);
    again.client.send({ id: ask.id, result: { decision: 'decline' } });
    assert.deepEqual((await second).result, { decision: 'decline' });
});

test('a request that was not answered is answered on the new connection, with its own id', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client: first } = await runTurn(daemon);
    worker.hold('model/list');
    first.request('model/list', {}, 'mine');
    const request = await worker.expect('model/list');
    const { token } = await detach(first);
    const { client, answer } = await attach(daemon, token);
    assert.deepEqual(answer.requests, ['mine']);
    worker.reply(request, { data: [] });
    assert.deepEqual((await client.nextAnswer()).id, 'mine');
});

test('so is what an administrator waits for', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client: first, turn } = await runTurn(daemon);
    first.request('pool/drain', {}, 'draining');
    const { client, answer } = await attach(daemon, (await detach(first)).token);
    assert.deepEqual(answer.requests, ['draining']);
    turn.complete();
    assert.deepEqual(await client.nextAnswer(), { id: 'draining', result: {} });
});

test('what follows pool/attach in the same write is the client\'s, and it is initialized', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client: first, threadId } = await runTurn(daemon);
    const { token } = await detach(first);
    const client = await PoolClient.connect(daemon.socket, 'b');
    client.send([{ id: 1, method: 'pool/attach', params: { token } }, { id: 2, method: 'thread/loaded/list' },
        { id: 3, method: 'initialize', params: { clientInfo: { name: 'x', version: '1' } } }]
        .map((m) => `${JSON.stringify(m)}\n`).join(''));
    assert.equal((await client.nextAnswer((m) => m.id === 1)).result.threads[0], threadId);
    assert.deepEqual((await client.nextAnswer((m) => m.id === 2)).result.data, [threadId]);
    assert.match((await client.nextAnswer((m) => m.id === 3)).error.message, /Already initialized/);
    const { clients } = await daemon.status();
    assert.deepEqual(clients.map((each) => each.name), ['a', null]);
});

test('one who waits in line may leave, too, and is served meanwhile', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { turn, client: holder, threadId } = await runTurn(daemon);
    const { client: first } = await waitInLine(daemon);
    const { token } = await detach(first);
    turn.complete();
    await holder.request('thread/unsubscribe', { threadId });
    await until(() => worker.received('thread/start').length === 2, 'it is served');
    const { client } = await attach(daemon, token);
    await client.next('thread/started');
    assert.ok((await client.nextAnswer()).result.thread.id);
});

test('places in the queue are not kept for later: one that is back is told of its own', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    await runTurn(daemon);
    const ahead = await Promise.all(['b', 'c'].map((name) => waitInLine(daemon, name)));
    const { client: first } = await waitInLine(daemon, 'd');
    const other = (await waitInLine(daemon, 'e')).client;
    const { token } = await detach(first);
    // Each time when the others have been told, nothing is kept for the one who has left.
    await ahead[0].client.request('pool/cancel', { id: ahead[0].waiting.id });
    await other.next('pool/queued', (p) => p.position === 3);
    await ahead[1].client.request('pool/cancel', { id: ahead[1].waiting.id });
    await other.next('pool/queued', (p) => p.position === 2);
    const { client } = await attach(daemon, token);
    assert.deepEqual((await client.next('pool/queued')).params.position, 1);
    assert.deepEqual(events(client), ['answer attach', 'pool/queued']);
});

test('one that is back is told of its place in the queue although it is the same', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    await runTurn(daemon);
    const { client: first, waiting } = await waitInLine(daemon);
    const { client } = await attach(daemon, (await detach(first)).token);
    const { params } = await client.next('pool/queued');
    assert.deepEqual(params, { id: waiting.id, position: 1, length: 1 });
});

test('a token works once, and no other does', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client: first } = await runTurn(daemon);
    const { token } = await detach(first);
    const client = await PoolClient.connect(daemon.socket, 'b');
    const nearly = token.slice(0, -1) + (token.at(-1) === '0' ? '1' : '0');
    for (const wrong of [nearly, token.slice(1), `${token}0`, '', 5, null, undefined, [token]]) {
        await assert.rejects(client.request('pool/attach', { token: wrong }), noSuchToken);
    }
    await attach(daemon, token, client);
    await assert.rejects(attach(daemon, token), noSuchToken);
    assert.doesNotMatch(daemon.log, new RegExp(token));
});

test('who has something already cannot attach, and who has nothing cannot be parked', async (t) => {
    const [daemon] = await startPool(t, 2, { config: NEVER });
    const { client: first } = await runTurn(daemon);
    const { token } = await detach(first);
    const other = await PoolClient.open(daemon, { initialize: false });
    const detaching = (params) => other.request('pool/detach', params);
    await assert.rejects(detaching({}), refused(-32600, /^Not initialized/));
    await other.initialize();
    await assert.rejects(detaching({}), refused(-32600, /nothing to keep/));
    const threadId = await other.startThread();
    for (const ttlMs of [0, -1, 'long', 1e13]) await assert.rejects(detaching({ ttlMs }), refused(-32602, /ttlMs/));
    await assert.rejects(attach(daemon, token, other), refused(-32600, /something of its own/));
    await other.request('thread/unsubscribe', { threadId });
    await other.request('pool/trace', {});
    await assert.rejects(attach(daemon, token, other), refused(-32600, /something of its own/));
    const admin = await PoolClient.open(daemon, { name: 'admin' });
    admin.request('pool/recycle');
    await assert.rejects(attach(daemon, token, admin), refused(-32600, /something of its own/));
    const [{ body }] = await exchange(daemon, 'GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.match(body, /^codex_pool_parked_clients 1$/m);
    await attach(daemon, token);
});

/** A parked client whose turn waits for an approval: {daemon, worker, token, scene}. */
async function parked(t, config = {}, params = {}, poolSize = 1) {
    const [daemon] = await startPool(t, poolSize, { config: { ...NEVER, ...config } });
    const scene = await asking(daemon);
    const { token, ttlMs } = await detach(scene.client, params);
    return { daemon, ...scene, token, ttlMs };
}

test('past its ttlMs it has disconnected: its turn is interrupted, and the next in line has the worker', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await asking(daemon);
    const { waiting } = await waitInLine(daemon);
    const { token } = await detach(client, { ttlMs: 50 });
    assert.deepEqual((await worker.expect('turn/interrupt')).params, { threadId, turnId: '' });
    await worker.expect('thread/unsubscribe');
    await waiting;
    await assert.rejects(attach(daemon, token), noSuchToken);
    const { counters, parked: left } = await daemon.status();
    assert.deepEqual([counters.parked, counters.attached, counters.parkedExpired, left], [1, 0, 1, []]);
    assert.match(daemon.log, /client \d+: parked for \d+ ms and not attached: aborted/);
});

test('nobody is parked for longer than maxParkedMs', async (t) => {
    const { ttlMs, worker } = await parked(t, { maxParkedMs: 200 }, { ttlMs: 1e9 });
    assert.equal(ttlMs, 200);
    await worker.expect('turn/interrupt');
});

test('the status tells who is parked, and so does the command', async (t) => {
    const { daemon, threadId, token } = await parked(t, {}, { ttlMs: 50000 });
    const { parked: [{ parkedMs, leftMs, client, ...rest }, ...others], clients } = await daemon.status();
    assert.deepEqual(others, []);
    assert.deepEqual(rest, {
        uid: process.getuid(), name: 'a', missedBytes: 0, asks: 1, threadIds: [threadId], workers: [1],
        why: `waits for an answer to ${APPROVAL}`,
    });
    assert.ok(parkedMs >= 0 && leftMs > 0 && parkedMs + leftMs <= 50000, `${parkedMs} and ${leftMs}`);
    assert.equal(clients.find((each) => each.id === client).transport, 'parked');
    const shown = spawnSync(pool, ['--socket', daemon.socket, 'status'], { encoding: 'utf8' }).stdout;
    assert.match(shown, /^PARKED +NAME .*WHY$/m);
    assert.match(shown, new RegExp(`^client ${client} +a +\\d+ .* 1 +${threadId} +waits for an answer to ${APPROVAL}$`, 'm'));
    await attach(daemon, token);
    assert.deepEqual((await daemon.status()).parked, []);
});

test('the status tells why each of them is', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, openLingerMs: 0 } });
    const whys = async () => Object.fromEntries((await daemon.status()).parked.map((each) => [each.name, each.why]));
    const { client: a, turn, threadId } = await runTurn(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    await detach(a);
    await detach(b);
    assert.deepEqual(await whys(), { a: 'holds a worker: turn', b: 'waits in line' });
    worker.hold('thread/start');
    turn.complete();
    const [, request] = await until(() => worker.received('thread/start').length === 2 && worker.received('thread/start'), 'b is served');
    assert.deepEqual(await whys(), { a: 'threads are open', b: 'holds a worker: request' });
    worker.refuse(request, -32600, 'no');
    worker.unload(threadId);
    await settled(await PoolClient.open(daemon, { name: 'c' }));
    assert.deepEqual(await whys(), { a: 'nothing is left', b: 'nothing is left' });
});

for (const limit of ['maxParkedClients', 'maxParkedPerUid']) {
    test(`no more than ${limit}`, async (t) => {
        const { daemon, token } = await parked(t, { [limit]: 1 }, {}, 2);
        const { client } = await runTurn(daemon, 'b');
        await assert.rejects(client.request('pool/detach'), (error) => refused(-32001, new RegExp(limit))(error) &&
            error.data.reason === 'queueFull' && error.data.retryable);
        await client.request('pool/ping');
        await attach(daemon, token);
        await detach(client);
    });
}

test('who is parked takes no place among the connections, and so can come back', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { ...NEVER, maxClients: 1 } });
    const tokens = [];
    for (const name of ['a', 'b']) tokens.push((await detach((await runTurn(daemon, name)).client, { ttlMs: 60000 })).token);
    for (let round = 0; round < 3; round++) {
        const { client, answer } = await attach(daemon, tokens.shift());
        assert.equal(answer.turns.length, 1);
        tokens.push((await detach(client)).token);
    }
    const { client } = await attach(daemon, tokens[0]);
    // It has the place now.
    const second = await PoolClient.connect(daemon.socket, 'second');
    let answered = false;
    const ping = second.request('pool/ping').then(() => { answered = true; });
    await client.request('pool/ping');
    await client.request('pool/ping');
    assert.equal(answered, false);
    await client.close();
    await ping;
});

test('one who is due more than maxParkedBytes is aborted', async (t) => {
    const { daemon, worker, turn, token } = await parked(t, { maxParkedBytes: 20000 });
    const { waiting } = await waitInLine(daemon);
    turn.delta('x'.repeat(15000));
    turn.delta('x'.repeat(15000));
    await worker.expect('turn/interrupt');
    await waiting;
    await assert.rejects(attach(daemon, token), noSuchToken);
    assert.equal((await daemon.status()).counters.parkedOverflowed, 1);
    assert.match(daemon.log, /client \d+: parked and due more than maxParkedBytes \(20000\): aborted/);
});

test('a parked client does not hold up its worker, whatever that has to say', async (t) => {
    const { daemon, turn, token } = await parked(t);
    const big = 'x'.repeat(100000);
    for (let i = 0; i < 20; i++) turn.delta(big);
    turn.complete();
    await daemon.untilStatus((s) => s.parked[0].missedBytes > 2e6 && s.pool.busy === 0, 'all is kept');
    const { client } = await attach(daemon, token);
    await client.next('turn/completed');
    assert.deepEqual(texts(client), Array(20).fill(big));
});

test('a worker that dies meanwhile: on attach it is told as anybody', async (t) => {
    const { daemon, worker, threadId, ask, token } = await parked(t);
    await worker.die();
    await daemon.untilStatus((s) => s.counters.workerExits === 1 && s.pool.ready === 1, 'another one is there');
    const { client, answer } = await attach(daemon, token);
    assert.deepEqual([answer.threads, answer.asks], [[], 0]);
    await client.next('thread/closed');
    assert.deepEqual(events(client), ['answer attach', 'error', 'turn/completed', 'serverRequest/resolved',
        'thread/status/changed', 'thread/closed']);
    assert.deepEqual((await client.next('serverRequest/resolved')).params, { threadId, requestId: ask.id });
    assert.equal((await client.resumeThread(threadId)), threadId);
});

test('a trace sees each message when it is due, and the request that is made again', async (t) => {
    const { daemon, turn, threadId, ask, answered, token } = await parked(t);
    const watch = await PoolClient.open(daemon, { name: 'watch' });
    await watch.request('pool/trace', { threadId });
    turn.delta('meanwhile');
    const way = (wanted) => watch.next('pool/trace', (p) => p.way === wanted);
    assert.equal((await way('daemon>client')).params.method, DELTA);
    await attach(daemon, token);
    const { params } = await way('daemon>client');
    assert.deepEqual([params.method, params.clientId, params.workerId, params.worker, params.threadId],
        [APPROVAL, ask.id, answered.id, 1, threadId]);
});

test('an administrator ends one who is parked, as anybody', async (t) => {
    const { daemon, worker, token } = await parked(t);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const [{ client }] = (await admin.request('pool/status')).parked;
    await admin.request('pool/kick', { client });
    assert.equal(worker.received('turn/interrupt').length, 1);
    await assert.rejects(attach(daemon, token), noSuchToken);
    assert.equal((await daemon.status()).pool.busy, 0);
});

test('rights are those of the connection: who has lost them does not get them back by attaching', async (t) => {
    const { daemon, token } = await parked(t, { adminUids: [process.getuid()] });
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const reload = async (adminUids) => {
        daemon.writeConfig({ adminUids });
        await admin.request('pool/reload');
    };
    await reload([process.getuid() + 1]);
    const forbidden = (client) => assert.rejects(client.request('pool/resume'), refused(-32014, /adminUids/));
    const { client } = await attach(daemon, token);
    await forbidden(client);
    await reload([process.getuid()]);
    await forbidden(client);
    const { client: again } = await attach(daemon, (await detach(client)).token);
    await again.request('pool/resume');
});

test('a pool that drains waits for who is parked, and lets it come back', async (t) => {
    const { daemon, turn, threadId, token } = await parked(t);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    let drained = false;
    const draining = admin.request('pool/drain').then(() => { drained = true; });
    const { client } = await attach(daemon, token);
    const ask = await client.next(APPROVAL);
    await settled(client);
    assert.equal(drained, false);
    client.send({ id: ask.id, result: { decision: 'accept' } });
    turn.complete();
    await client.turnCompleted(threadId);
    await draining;
});

test('a worker that is to be replaced, or for which there is no room, keeps who is parked', async (t) => {
    const { daemon, worker, turn, threadId, token } = await parked(t);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const recycled = admin.request('pool/recycle', { worker: 1 });
    const resized = await admin.request('pool/resize', { size: 2 });
    assert.deepEqual(resized, { size: 2 });
    daemon.writeConfig({ maxParkedClients: 5 });
    await admin.request('pool/reload');
    const { client } = await attach(daemon, token);
    client.send({ id: (await client.next(APPROVAL)).id, result: { decision: 'accept' } });
    turn.complete();
    await client.turnCompleted(threadId);
    assert.equal(worker.gone, false);
    await client.request('thread/unsubscribe', { threadId });
    assert.deepEqual(await recycled, { recycled: [1] });
});

test('a daemon that stops interrupts the turns of who is parked, like others, and leaves nothing', async (t) => {
    const { daemon, worker } = await parked(t);
    daemon.signal('SIGTERM');
    await worker.expect('turn/interrupt');
    await daemon.exited;
});

test('while it stops nobody is parked any more, but who is may come back', async (t) => {
    const { daemon, turn, threadId, token } = await parked(t, { drainTimeoutMs: 60000 }, {}, 2);
    const other = await PoolClient.open(daemon, { initialize: false });
    const { client: b, turn: second } = await runTurn(daemon, 'b');
    daemon.signal('SIGTERM');
    await daemon.untilLog(/stopping/);
    await assert.rejects(b.request('pool/detach'), refused(-32012, /shut down/));
    const { client } = await attach(daemon, token, other);
    client.send({ id: (await client.next(APPROVAL)).id, result: { decision: 'accept' } });
    turn.complete();
    await client.turnCompleted(threadId);
    second.complete();
    assert.deepEqual(await daemon.exited, { code: 0, signal: null });
});

test('a token of another user\'s is none', { skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
    const { daemon, token } = await parked(t, { allowUids: [0, 65534], socketMode: '0666' });
    for (const dir of [daemon.dir, join(daemon.dir, 'run')]) chmodSync(dir, 0o755);
    const copy = join(daemon.dir, 'codex-pool');
    copyFileSync(pool, copy);
    chmodSync(copy, 0o755);
    const tried = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', copy, '--socket', daemon.socket,
        'call', 'pool/attach', JSON.stringify({ token })], { encoding: 'utf8', env: cleanEnv() });
    assert.equal(tried.status, 1, tried.stderr);
    assert.match(tried.stderr + tried.stdout, /token names nobody who is parked: it is unknown, used or expired/);
    await attach(daemon, token);
});
