// A conversation that waits for a person outlives its connection: pool/detach, pool/attach.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { runTurn, settled, waitInLine } from '../lib/scenes.mjs';
import { openWebSocket } from '../lib/websocket.mjs';

const APPROVAL = 'item/commandExecution/requestApproval';
const DELTA = 'item/agentMessage/delta';
// Some leave a turn running at their end.
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 50 };

/** A turn that waits for an approval: its scene with {ask, answered}. */
async function asking(daemon, scene) {
    scene ??= await runTurn(daemon);
    const { client, worker, threadId, turn } = scene;
    scene.answered = worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i' });
    scene.ask = await client.next(APPROVAL);
    return scene;
}

/** Its connection is closed; the answer to pool/detach. */
async function detach(client, params = {}) {
    const answer = await client.request('pool/detach', params);
    await client.ended;
    return answer;
}

/** A new connection that has become the client's own: {client, answer}. */
async function attach(daemon, token, client) {
    client ??= await PoolClient.open(daemon, { initialize: false, name: 'attached' });
    return { client, answer: await client.request('pool/attach', { token }, 'attach') };
}

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
        assert.deepEqual([answer.threads, answer.requests, answer.asks], [[scene.threadId], [], 1]);
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
    await worker.expect('thread/start', () => worker.received('thread/start').length === 2);
    const { client } = await attach(daemon, token);
    await client.next('thread/started');
    assert.ok((await client.nextAnswer()).result.thread.id);
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
    await attach(daemon, token);
});
