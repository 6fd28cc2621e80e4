// What streams: lines of a worker that go to their reader as they are, in the order they came in, whatever is between.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { settled } from '../lib/scenes.mjs';
import { openWebSocket } from '../lib/websocket.mjs';
import { Random } from '../soak/random.mjs';

const delta = (threadId, text, method = 'item/agentMessage/delta') =>
    JSON.stringify({ method, params: { threadId, turnId: 't', itemId: 'i', delta: text } });

/** Two threads of one client on one worker: {client, worker, threads}. */
async function twoThreads(t, options) {
    const [daemon] = await startPool(t, 1, options);
    const client = await PoolClient.open(daemon, { name: 'a' });
    await client.request('pool/acquire');
    const threads = [await client.startThread(), await client.startThread()];
    await settled(client);
    client.lines.length = 0;
    return { daemon, client, worker: daemon.fake.owner(threads[0]), threads };
}

/** What the client has heard, up to the mark. */
async function heard(client, worker, mark = 'the end') {
    worker.raw(`${JSON.stringify({ method: 'warning', params: { threadId: null, message: mark } })}\n`);
    await client.next('warning', ({ message }) => message === mark);
    return client.lines.slice(0, -1);
}

test('lines of all kinds in one write come out as they went in', async (t) => {
    const { client, worker, threads: [a, b] } = await twoThreads(t);
    const lines = [
        delta(a, '1'), delta(a, '2'), delta(a, '3', 'item/commandExecution/outputDelta'), delta(a, '4'),
        JSON.stringify({ method: 'item/started', params: { threadId: a, turnId: 't', item: { type: 'x', id: 'i' } } }),
        delta(b, '5'), delta(a, '6'), delta(b, '7'), delta(b, '8', 'item/reasoning/textDelta'),
        // Written differently, these are read whole.
        `{"params":{"threadId":"${a}","delta":"9"},"method":"item/agentMessage/delta"}`,
        `{"method":"item/agentMessage/delta", "params":{"threadId":"${a}","delta":"10"}}`,
        delta(a, '11'), delta(a, 'x'.repeat(300000)), delta(a, '12'),
    ];
    worker.raw(`${lines.join('\n')}\n`);
    assert.deepEqual(await heard(client, worker), lines);
});

test('lines that end otherwise, and empty ones, do not bring it out of step', async (t) => {
    const { client, worker, threads: [a] } = await twoThreads(t);
    worker.raw(`${delta(a, '1')}\r\n\n\r\n${delta(a, '2')}\n\n${delta(a, '3')}\n`);
    assert.deepEqual(await heard(client, worker), [delta(a, '1'), delta(a, '2'), delta(a, '3')]);
});

test('random lines in random pieces come out in order', async (t) => {
    const { client, worker, threads } = await twoThreads(t);
    const rng = new Random('relay');
    const expected = [];
    let text = '';
    for (let i = 0; i < 3000; i++) {
        const threadId = threads[rng.chance(0.1) ? 1 : 0];
        const line = rng.chance(0.1)
            ? JSON.stringify({ method: 'thread/name/updated', params: { threadId, threadName: `n${i}` } })
            : delta(threadId, `${i}`.padEnd(rng.below(rng.chance(0.02) ? 20000 : 200), '.'));
        expected.push(line);
        text += line + (rng.chance(0.05) ? '\r\n' : '\n');
    }
    for (let at = 0; at < text.length;) {
        const n = 1 + rng.below(rng.chance(0.3) ? 60000 : 300);
        worker.raw(text.slice(at, at + n));
        at += n;
    }
    assert.deepEqual(await heard(client, worker), expected);
});

test('methods that a client has opted out of are left out of a stream', async (t) => {
    const [daemon] = await startPool(t, 1);
    const client = await PoolClient.connect(daemon.socket, 'a');
    await client.initialize({ experimentalApi: true, optOutNotificationMethods: ['item/reasoning/textDelta'] });
    const threadId = await client.startThread();
    const worker = daemon.fake.owner(threadId);
    await settled(client);
    client.lines.length = 0;
    worker.raw(`${delta(threadId, '1')}\n${delta(threadId, '2', 'item/reasoning/textDelta')}\n${delta(threadId, '3')}\n`);
    assert.deepEqual(await heard(client, worker), [delta(threadId, '1'), delta(threadId, '3')]);
});

test('a reader that falls behind gets every byte, and its answers in their place', async (t) => {
    const { client, worker, threads: [a] } = await twoThreads(t);
    client.pause();
    const lines = Array.from({ length: 20000 }, (_, i) => delta(a, `${i}`.padEnd(150, '.')));
    worker.raw(`${lines.join('\n')}\n`);
    const answered = client.request('pool/ping');
    client.socket.resume();
    await answered;
    const got = (await heard(client, worker)).filter((line) => !JSON.parse(line).id);
    assert.equal(got.length, lines.length);
    assert.deepEqual(got, lines);
});

test('what streams while its reader is away is there when it comes back', async (t) => {
    const { daemon, client, worker, threads: [a] } = await twoThreads(t);
    const { token } = await client.request('pool/detach');
    await client.ended;
    const lines = Array.from({ length: 2000 }, (_, i) => delta(a, `${i}`.padEnd(150, '.')));
    worker.raw(`${lines.join('\n')}\n`);
    const back = await PoolClient.connect(daemon.socket, 'back');
    await back.request('pool/attach', { token });
    worker.raw(`${delta(a, 'live')}\n`);
    const got = await heard(back, worker);
    assert.deepEqual(got.slice(1), [...lines, delta(a, 'live')]);
});

test('what is no text, said while its reader is away, does not reach a WebSocket, and so does not end it', async (t) => {
    const { daemon, client, worker, threads: [a] } = await twoThreads(t);
    const { token } = await client.request('pool/detach');
    await client.ended;
    const before = (await daemon.status()).counters.droppedMessages;
    const [head, tail] = delta(a, '|').split('|');
    worker.bytes(Buffer.concat([Buffer.from(`${delta(a, '1')}\n${head}`), Buffer.from([0xff]), Buffer.from(`${tail}\n${delta(a, '2')}\n`)]));
    await daemon.untilStatus((s) => s.counters.droppedMessages === before + 1, 'it is dropped');
    const ws = await openWebSocket(daemon, { initialize: false });
    await ws.request('pool/attach', { token }, 'attach');
    assert.deepEqual((await heard(ws, worker)).slice(1), [delta(a, '1'), delta(a, '2')]);
});

test('lines of two threads in turn cost few writes, too', async (t) => {
    const { daemon, client, worker, threads } = await twoThreads(t);
    const writes = () => Number(/syscw: (\d+)/.exec(readFileSync(`/proc/${daemon.pid}/io`, 'utf8'))[1]);
    const lines = Array.from({ length: 1000 }, (_, i) => delta(threads[i % 2], `${i}`));
    const before = writes();
    worker.raw(`${lines.join('\n')}\n`);
    assert.deepEqual(await heard(client, worker), lines);
    assert.ok(writes() - before < 200, `${writes() - before} writes`);
});

test('the status knows of what streams by', async (t) => {
    const { daemon, worker, client, threads: [a] } = await twoThreads(t);
    worker.raw(`${delta(a, '1')}\n${delta(a, '2')}\n`);
    await client.next('item/agentMessage/delta', ({ delta: text }) => text === '2');
    const { workers: [one] } = await daemon.status();
    assert.equal(one.lastEvent.method, 'item/agentMessage/delta');
});
