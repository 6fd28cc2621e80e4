// Those who do not read, those who send too much, and too many at once: nobody else notices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { assertGrewLess, MB, rss, untilGivenBack } from '../lib/memory.mjs';
import { until } from '../lib/wait.mjs';

/** Until `measure` gives the same, which is not 0, before and after the daemon has made some rounds. */
function untilStuck(daemon, measure, what) {
    return until(async () => {
        const before = await measure();
        for (let i = 0; i < 5; i++) await daemon.status();
        return before > 0 && await measure() === before;
    }, what);
}

/** Until the daemon no longer takes what a worker has written. */
function untilNotReadFrom(daemon, worker) {
    return untilStuck(daemon, async () => {
        worker.order({ report: 1 });
        return (await worker.expect('pending')).params.pending;
    }, 'the worker is not read from');
}

/** Until the daemon no longer takes what a client has sent. */
function untilClientNotReadFrom(daemon, client) {
    return untilStuck(daemon, () => client.socket.writableLength, 'the client is not read from');
}

/** A client with a running turn: {client, thread, worker}. */
async function running(daemon, name = 'client') {
    const client = await PoolClient.open(daemon, { name });
    const thread = await client.startThread();
    await client.startTurn(thread);
    await client.next('turn/started');
    return { client, thread, worker: daemon.fake.owner(thread) };
}

/** `n` deltas of `size` bytes that end in their number. */
function deltas(worker, thread, n, size) {
    for (let i = 0; i < n; i++) worker.turn(thread).delta(`${'x'.repeat(size)}#${i}`);
}

test('a client that does not read stops its own worker and nobody else', async (t) => {
    const [daemon] = await startPool(t, 2);
    const slow = await running(daemon, 'slow');
    const before = rss(daemon);
    slow.client.pause();
    deltas(slow.worker, slow.thread, 2000, 10000);
    await untilNotReadFrom(daemon, slow.worker);
    assertGrewLess(daemon, before, 8 * MB);
    const other = await running(daemon, 'other');
    assert.notEqual(other.worker, slow.worker);
    other.worker.turn(other.thread).complete();
    await other.client.turnCompleted(other.thread);
    const { data } = await other.client.request('model/list');
    assert.equal(data[0].worker, other.worker.number, 'a worker that is read from answers');
    slow.worker.turn(slow.thread).complete();
    slow.client.resume();
    await slow.client.turnCompleted(slow.thread);
    const numbers = slow.client.notifications.filter((m) => m.method === 'item/agentMessage/delta')
        .map((m) => Number(m.params.delta.split('#')[1]));
    assert.deepEqual(numbers, Array.from({ length: 2000 }, (_, i) => i));
    assertGrewLess(daemon, before, 8 * MB);
});

test('one that reads nothing for clientStallTimeoutMs is dropped, its worker given on', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { clientStallTimeoutMs: 200 } });
    const slow = await running(daemon, 'slow');
    const next = await PoolClient.open(daemon, { name: 'next' });
    const waiting = next.startThread();
    await daemon.untilStatus((s) => s.queue.length === 1, 'the next one waits');
    slow.client.pause();
    deltas(worker, slow.thread, 2000, 1000);
    await worker.expect('turn/interrupt', (p) => p.threadId === slow.thread);
    await worker.expect('thread/unsubscribe', (p) => p.threadId === slow.thread);
    await waiting;
    assert.match(daemon.log, /dropped: read nothing for 200 ms/);
    const { clients, pool } = await daemon.status();
    assert.ok(!clients.some((each) => each.name === 'slow'));
    assert.equal(pool.ready, 1);
    assert.equal(daemon.fake.workers.length, 1, 'the worker was not replaced');
});

test('what others are due from the worker of one that does not read comes when that one reads', async (t) => {
    const [daemon, worker] = await startPool(t);
    const slow = await running(daemon, 'slow');
    slow.client.pause();
    deltas(worker, slow.thread, 500, 10000);
    await untilNotReadFrom(daemon, worker);
    const other = await PoolClient.open(daemon, { name: 'other' });
    const answer = other.request('model/list');
    await worker.expect('model/list');
    slow.client.resume();
    assert.equal((await answer).data[0].worker, 1);
    await slow.client.close();
});

test('one that does not read its answers is not read from, and the lease holder goes on', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { client, thread } = await running(daemon, 'holder');
    const slow = await PoolClient.open(daemon, { name: 'slow' });
    worker.on('big/answer', (request) => worker.reply(request, 'y'.repeat(100000)));
    const before = rss(daemon);
    slow.pause();
    const answers = Array.from({ length: 50 }, () => slow.request('big/answer'));
    for (let i = 0; i < 50; i++) await worker.expect('big/answer');
    deltas(worker, thread, 20, 100);
    await client.next('item/agentMessage/delta', (p) => p.delta.endsWith('#19'));
    // 50 answers were due when it stopped reading. What it asks now has to wait.
    const more = Array.from({ length: 100 }, () => slow.request('big/answer', { filler: 'z'.repeat(20000) }));
    await untilClientNotReadFrom(daemon, slow);
    assert.equal(worker.received('big/answer').length, 50);
    assertGrewLess(daemon, before, 16 * MB);
    slow.resume();
    for (const each of [...answers, ...more]) assert.equal((await each).length, 100000);
    worker.turn(thread).complete();
    await client.turnCompleted(thread);
});

test('a worker that does not read stops the client that floods it, and loses nothing', async (t) => {
    const [daemon, one, two] = await startPool(t, 2);
    const flood = await running(daemon, 'flood');
    const [stuck, free] = flood.worker === one ? [one, two] : [two, one];
    const before = rss(daemon);
    stuck.order({ pause: true });
    const x = 'x'.repeat(100000);
    const sent = Array.from({ length: 400 }, (_, i) => flood.client.request('some/thing', { i, x }));
    await untilClientNotReadFrom(daemon, flood.client);
    assertGrewLess(daemon, before, 6 * MB);
    const other = await running(daemon, 'other');
    assert.equal(other.worker, free);
    free.turn(other.thread).complete();
    await other.client.turnCompleted(other.thread);
    stuck.order({ resume: true });
    await Promise.all(sent);
    const numbers = stuck.received('some/thing').map((m) => m.params.i);
    assert.deepEqual(numbers, Array.from({ length: 400 }, (_, i) => i));
    await flood.client.close();
});

test('what a client sent behind a request that its worker takes slowly is answered at once', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    worker.order({ pause: true });
    worker.order({ report: 1 });
    await worker.expect('pending');
    // More than the pipe holds: the client is stopped, and let go on before the daemon sleeps.
    const read = JSON.stringify({ id: 'big', method: 'thread/list', params: { x: 'x'.repeat(1.1 * MB) } });
    client.socket.write(`${read}\n${JSON.stringify({ id: 'ping', method: 'pool/ping' })}\n`);
    const answer = await client.nextAnswer();
    assert.equal(answer.id, 'ping');
    worker.order({ resume: true });
    assert.equal((await client.nextAnswer()).id, 'big');
});

test('a line of 64 MB passes both ways as it is', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    const before = rss(daemon);
    worker.order({ echo: 'some/echo' });
    // The longest that passes by default, with the id that the worker sees.
    const text = 'ü0123456789abcde'.repeat(64 * MB / 17 - 10);
    const { text: back } = await client.request('some/echo', { text });
    assert.ok(back === text);
    const peak = rss(daemon);
    await client.request('pool/ping');
    await untilGivenBack(t, daemon, before, peak);
});

test('a line of maxMessageBytes passes; a longer one is refused and ends the connection', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { maxMessageBytes: 4096 } });
    const line = (n) => {
        const [head, tail] = ['{"id":"long","method":"some/thing","params":"', '"}'];
        return `${head}${'x'.repeat(n - head.length - tail.length)}${tail}`;
    };
    const client = await PoolClient.open(daemon);
    for (const end of ['\n', '\r\n']) {
        client.send(line(4096) + end);
        assert.deepEqual((await client.nextAnswer()).result, {});
    }
    for (const [text, what] of [
        [`${line(4097)}\n`, 'one byte too long'],
        ['x'.repeat(4098), 'without an end'],
        ['x'.repeat(20 * MB), 'far too long'],
    ]) {
        const other = await PoolClient.open(daemon);
        other.send(text);
        const { id, error } = await other.nextAnswer();
        assert.deepEqual([id, error.code, error.data.reason], [null, -32016, 'messageTooLarge'], what);
        await other.ended;
    }
    assert.equal(worker.received('some/thing').length, 2);
    await client.request('model/list');
});

test('a worker whose line is longer than maxMessageBytes is replaced, and its client told', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { maxMessageBytes: 65536 } });
    const client = await PoolClient.open(daemon);
    worker.on('some/thing', (request) => worker.reply(request, 'x'.repeat(65536)));
    await assert.rejects(client.request('some/thing'), (e) => e.code === -32013 &&
        /maxMessageBytes/.test(e.message));
    await daemon.fake.worker();
    await client.startThread();
});

test('a worker never has more than 100 unanswered requests, and 1000 at once are all answered', async (t) => {
    const [daemon, worker] = await startPool(t);
    const held = [];
    worker.on('some/thing', (request) => held.push(request));
    const clients = await Promise.all([1, 2].map(() => PoolClient.open(daemon)));
    const sent = Array.from({ length: 1000 }, (_, i) => clients[i % 2].request('some/thing', { i }));
    for (let i = 0; i < 100; i++) await worker.expect('some/thing');
    await clients[0].request('pool/ping');
    await clients[1].request('pool/ping');
    assert.equal(held.length, 100);
    worker.on('some/thing', (request) => worker.reply(request, request.params.i));
    for (const request of held) worker.reply(request, request.params.i);
    assert.deepEqual(await Promise.all(sent), Array.from({ length: 1000 }, (_, i) => i));
    assert.ok(worker.mostUnanswered <= 100, `${worker.mostUnanswered} were unanswered at once`);
});

test('a burst of 5000 requests is answered whole, and others take turns with it', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [burst, second, third] = await Promise.all(
        ['burst', 'second', 'third'].map((name) => PoolClient.open(daemon, { name })));
    const ask = (client, i) => client.request('some/thing', { who: client.name, i });
    worker.hold('some/thing');
    const sent = Array.from({ length: 5000 }, (_, i) => ask(burst, i));
    const held = [];
    for (let i = 0; i < 100; i++) held.push(await worker.expect('some/thing'));
    for (const client of [second, second, third]) {
        sent.push(ask(client, sent.length));
        await client.request('pool/ping');
    }
    const order = [];
    for (let i = 0; i < 7; i++) {
        const request = held.shift();
        worker.reply(request, request.params.i);
        held.push(await worker.expect('some/thing'));
        order.push(held.at(-1).params.who);
    }
    assert.deepEqual(order, ['burst', 'second', 'third', 'burst', 'second', 'burst', 'burst']);
    worker.on('some/thing', (request) => worker.reply(request, request.params.i));
    for (const request of held) worker.reply(request, request.params.i);
    assert.deepEqual(await Promise.all(sent), sent.map((_, i) => i));
    assert.ok(worker.mostUnanswered <= 100, `${worker.mostUnanswered} were unanswered at once`);
});

test('small requests that wait for a worker are limited, too', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    const before = rss(daemon);
    const n = 60000;
    worker.hold('some/thing');
    client.send(Array.from({ length: n }, (_, i) => `{"id":${i},"method":"some/thing"}\n`).join(''));
    for (let i = 0; i < 100; i++) await worker.expect('some/thing');
    await untilClientNotReadFrom(daemon, client);
    assertGrewLess(daemon, before, 8 * MB);
    worker.on('some/thing', (request) => worker.reply(request, {}));
    for (const request of worker.received('some/thing')) worker.reply(request, {});
    await until(() => client.lines.length > n, 'all are answered');
    assert.equal((await daemon.status()).counters.rejected, 0);
});

test('the daemon interrupts for a client that leaves even where 100 requests are unanswered', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { client, thread } = await running(daemon);
    const busy = await PoolClient.open(daemon, { name: 'busy' });
    worker.hold('some/thing');
    for (let i = 0; i < 300; i++) busy.request('some/thing');
    for (let i = 0; i < 100; i++) await worker.expect('some/thing');
    await client.close();
    await worker.expect('turn/interrupt', (p) => p.threadId === thread);
    await worker.expect('thread/unsubscribe', (p) => p.threadId === thread);
    await busy.close();
});

for (const [how, leave] of [
    ['closes', (client) => client.socket.destroy()],
    ['ends its input', (client) => client.end()],
]) {
    test(`one that does not read and ${how} is noticed`, async (t) => {
        const [daemon, worker] = await startPool(t);
        const { client, thread } = await running(daemon, 'slow');
        client.pause();
        deltas(worker, thread, 500, 10000);
        await untilNotReadFrom(daemon, worker);
        leave(client);
        await worker.expect('turn/interrupt', (p) => p.threadId === thread);
        await daemon.untilStatus((s) => !s.clients.some((each) => each.name === 'slow') && s.pool.busy === 0,
            'it is gone');
        client.resume();
        await client.ended;
    });
}

test('one that is not read from because of its worker and leaves is noticed', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { interruptTimeoutMs: 200 } });
    const { client } = await running(daemon, 'flood');
    worker.order({ pause: true });
    for (let i = 0; i < 100; i++) client.request('some/thing', { x: 'x'.repeat(100000) });
    await untilClientNotReadFrom(daemon, client);
    await client.close();
    await daemon.untilStatus((s) => !s.clients.some((each) => each.name === 'flood'), 'it is gone');
    // The worker does not hear of the interrupt either, so another takes its place.
    await daemon.fake.worker();
});
