// WebSockets on the socket: the protocol as by lines, and frames of every kind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { exchange } from '../lib/http.mjs';
import { runTurn } from '../lib/scenes.mjs';
import { OP, RawWebSocket, frame, handshake, openWebSocket } from '../lib/websocket.mjs';
import { within } from '../lib/wait.mjs';

const MB = 1024 * 1024;
const APPROVAL = 'item/commandExecution/requestApproval';
const PING = JSON.stringify({ id: 1, method: 'pool/ping' });
const idle = (t, config) => startDaemon(t, { config: { prewarm: false, ...config } });

test('a turn with an approval, beside one by lines', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await openWebSocket(daemon);
    client.onRequest(APPROVAL, () => ({ decision: 'accept' }));
    const threadId = await client.startThread();
    await client.startTurn(threadId, 'über \u{1F600}');
    await client.next('turn/started');
    const turn = worker.turn(threadId);
    const lines = await PoolClient.open(daemon, { name: 'lines' });
    await lines.request('pool/subscribe', { events: ['queue'] });
    const waiting = lines.request('thread/start');
    await lines.next('pool/queued');
    const { clients } = await daemon.status();
    assert.deepEqual(clients.map((c) => [c.name, c.transport]).slice(0, 2), [['ws', 'websocket'], ['lines', 'lines']]);
    assert.deepEqual(clients[0].workers, [1]);
    turn.delta('grüße \u{1F600}');
    assert.equal((await client.next('item/agentMessage/delta')).params.delta, 'grüße \u{1F600}');
    const answer = await worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i' });
    assert.equal(answer.result.decision, 'accept');
    turn.complete();
    await client.turnCompleted(threadId);
    await waiting;
    await client.close();
    await lines.close();
});

test('the end of the connection is the client\'s end, however it comes', async (t) => {
    const [daemon] = await startPool(t);
    const ends = [
        (client) => client.socket.ws.close(1000, 'bye'), (client) => client.socket.ws.terminate(),
        (client) => client.socket.ws._socket.end(),
    ];
    for (const end of ends) {
        const client = await openWebSocket(daemon);
        const threadId = await client.startThread();
        const worker = daemon.fake.owner(threadId);
        await client.startTurn(threadId);
        await client.next('turn/started');
        end(client);
        await worker.expect('turn/interrupt', (p) => p.threadId === threadId);
        await within(client.ended, 'the end');
        await daemon.untilStatus((s) => s.pool.busy === 0 && s.clients.length === 1, 'nothing of it is left');
    }
    const polite = await openWebSocket(daemon);
    polite.socket.ws.close(4321, 'reason');
    await within(polite.ended, 'the end');
    assert.equal(polite.socket.code, 4321);
});

test('the opening handshake: any path, no subprotocol, no compression', async (t) => {
    const daemon = await idle(t);
    for (const path of ['/', '/rpc', '/healthz', '/a/b?c=d']) {
        const client = await openWebSocket(daemon, { path, initialize: false, perMessageDeflate: true });
        assert.equal(client.socket.ws.protocol, '');
        assert.equal(client.socket.ws.extensions, '');
        await client.request('pool/ping');
        await client.close();
    }
    const [answer] = await exchange(daemon, handshake('Origin: http://localhost', 'Connection: close'));
    assert.equal(answer.status, 403);
    const refused = async (status, change) => {
        const answers = await exchange(daemon, `${change(handshake())}GET / HTTP/1.0\r\n\r\n`);
        assert.deepEqual(answers.map((a) => a.status), [status, 404], change);
    };
    await refused(426, (text) => text.replace('Version: 13', 'Version: 8'));
    await refused(400, (text) => text.replace(/Key: .*/, 'Key: short'));
    await refused(400, (text) => text.replace(/Key: .*/, 'Key: !!!!!!!!!!!!!!!!!!!!!!=='));
    await refused(400, (text) => text.replace(/Sec-WebSocket-Key.*\r\n/, ''));
    await refused(400, (text) => text.replace('GET', 'POST'));
    await refused(404, (text) => text.replace('Upgrade: websocket', 'Upgrade: other'));
    const old = await exchange(daemon, handshake().replace('HTTP/1.1', 'HTTP/1.0').replace('Connection: Upgrade',
        'Connection: Upgrade, close'));
    assert.equal(old[0].status, 400);
    const raw = await RawWebSocket.open(daemon);
    assert.match(raw.http.text, /^HTTP\/1\.1 101 .*\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/s);
    await raw.close();
});

test('frames in fragments and pieces, with pings between them', async (t) => {
    const daemon = await idle(t);
    const whole = [
        frame(OP.text, PING), frame(OP.text, PING.slice(0, 7), { fin: false }), frame(OP.ping, 'p1'),
        frame(OP.more, '', { fin: false }), frame(OP.more, PING.slice(7)), frame(OP.pong, 'x'), frame(OP.text, ''),
        frame(OP.binary, PING), frame(OP.binary, 'a', { fin: false }), frame(OP.more, 'b'), frame(OP.ping),
        frame(OP.text, '{"id":1,\r\n"method":\n"pool/ping"\r\n}\n'), frame(OP.text, 'no message'),
        frame(OP.text, '{"id":1,"method":"a\nb"}'), frame(OP.text, `${PING}\n${PING}`), frame(OP.ping, 'last'),
    ];
    const bytes = Buffer.concat(whole);
    for (const size of [bytes.length, 13, 1]) {
        const raw = await RawWebSocket.open(daemon);
        for (let at = 0; at < bytes.length; at += size) {
            raw.write(bytes.subarray(at, at + size));
            await new Promise((done) => setImmediate(done));
        }
        await raw.until(() => raw.frames.filter((f) => f.opcode === OP.text).length === 6 &&
            raw.frames.at(-1).text === 'last' || raw.frames.length === 9, 'all answers');
        const pongs = raw.frames.filter((f) => f.opcode === OP.pong).map((f) => f.text);
        assert.deepEqual(pongs, ['p1', '', 'last']);
        const answers = raw.frames.filter((f) => f.opcode === OP.text).map((f) => JSON.parse(f.text));
        assert.deepEqual(answers.map((m) => m.error?.code ?? typeof m.result.pid),
            ['number', 'number', 'number', -32700, -32700, -32700]);
        await raw.close();
    }
    // All of it with the handshake, which a client should await.
    const early = await RawWebSocket.open(daemon, bytes);
    await early.until(() => early.frames.length === 9, 'all answers');
    await early.close();
});

const broken = {
    'a frame without a mask': [1002, frame(OP.text, PING, { mask: null })],
    'a ping without a mask': [1002, frame(OP.ping, '', { mask: null })],
    'reserved bits': [1002, frame(OP.text, PING, { bits: 64 })],
    'a reserved opcode': [1002, frame(3, '')],
    'a reserved opcode of a control frame': [1002, frame(11, '')],
    'a control frame in fragments': [1002, frame(OP.ping, '', { fin: false })],
    'a control frame that is too long': [1002, frame(OP.ping, 'x'.repeat(126))],
    'a continuation of nothing': [1002, frame(OP.more, 'x')],
    'a message within another': [1002, frame(OP.text, 'x', { fin: false }), frame(OP.text, 'y')],
    'a length that is negative': [1002, Buffer.from([129, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4])],
    'a length written too long': [1002, Buffer.from([129, 254, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0])],
    'text that is not UTF-8': [1007, frame(OP.text, Buffer.from([34, 255, 34]))],
    'text that ends within a character': [1007, frame(OP.text, Buffer.from([34, 0xe2, 0x82]))],
    'a surrogate': [1007, frame(OP.text, Buffer.from([0xed, 0xa0, 0x80]))],
    'a close of one byte': [1002, frame(OP.close, 'x')],
    'a close with a code that is not to be sent': [1002, frame(OP.close, Buffer.from([3, 0xed]))],
    'a close whose reason is not UTF-8': [1007, frame(OP.close, Buffer.from([3, 0xe8, 255]))],
    'a close': [1000, frame(OP.close, Buffer.from([3, 0xe8]))],
    'a close that says nothing': [null, frame(OP.close)],
    'a frame longer than maxMessageBytes': [1009, frame(OP.text, '', { length: MB + 1 })],
    'a binary one': [1009, frame(OP.binary, '', { length: 2 ** 40 })],
    'fragments longer than it together': [1009, frame(OP.text, 'x'.repeat(MB), { fin: false }), frame(OP.more, 'x')],
};

test('frames against the rules end the connection, with the code for it', async (t) => {
    const daemon = await idle(t, { maxMessageBytes: MB });
    for (const [name, [code, ...frames]] of Object.entries(broken)) {
        const raw = await RawWebSocket.open(daemon);
        raw.write(...frames, frame(OP.text, PING));
        assert.deepEqual(await raw.closed(), code, name);
    }
    const characters = await RawWebSocket.open(daemon);
    const euro = Buffer.from('"€"');
    characters.write(frame(OP.text, euro.subarray(0, 2), { fin: false }), frame(OP.more, euro.subarray(2)));
    assert.equal(JSON.parse((await characters.next()).text).error.code, -32600, 'a character in two fragments');
    await characters.close();
    const longest = await RawWebSocket.open(daemon);
    const padded = PING.padEnd(MB);
    longest.write(frame(OP.text, padded.slice(0, 1000), { fin: false }), frame(OP.more, padded.slice(1000)));
    assert.ok(JSON.parse((await longest.next()).text).result);
    await longest.close();
});

test('one who is cut off at any byte leaves nothing behind', async (t) => {
    const daemon = await idle(t);
    const bytes = Buffer.concat([Buffer.from(handshake()), frame(OP.text, PING.slice(0, 9), { fin: false }),
        frame(OP.ping, 'abc'), frame(OP.more, PING.slice(9)), frame(OP.close)]);
    const { connect } = await import('node:net');
    for (let at = 1; at < bytes.length; at += 3) {
        const socket = connect(daemon.socket).on('error', () => {});
        const closed = new Promise((resolve) => socket.once('close', resolve));
        // Half of them hang up at once, the others by ending what they say.
        socket.write(bytes.subarray(0, at), () => (at % 2 ? socket.destroy() : socket.end()));
        socket.resume();
        await within(closed, `the end after ${at} bytes`);
    }
    await daemon.untilStatus((s) => s.clients.length === 1, 'all are gone');
});

test('large messages both ways', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await openWebSocket(daemon);
    const threadId = await client.startThread();
    for (const n of [100, 125, 126, 1000, 65535, 65536, 5 * MB]) {
        const text = 'ü'.repeat(n);
        await client.startTurn(threadId, text);
        const { params } = await worker.expect('turn/start');
        assert.equal(params.input[0].text.length, n);
        await client.next('turn/started');
        const turn = worker.turn(threadId);
        turn.delta(text);
        assert.equal((await client.next('item/agentMessage/delta')).params.delta.length, n);
        turn.complete();
        await client.turnCompleted(threadId);
    }
    await client.close();
});

test('one who does not read holds its own worker up and nobody else, and gets all when it reads', async (t) => {
    const [daemon] = await startPool(t, 2);
    const deaf = await openWebSocket(daemon, { name: 'deaf' });
    const threadId = await deaf.startThread();
    await deaf.startTurn(threadId);
    await deaf.next('turn/started');
    const owner = daemon.fake.owner(threadId);
    const { client, threadId: other, turn } = await runTurn(daemon, 'other');
    deaf.pause();
    const piece = 'x'.repeat(64 * 1024);
    const n = 200;
    for (let i = 0; i < n; i++) owner.turn(threadId).delta(`${i} ${piece}`);
    turn.delta('free');
    await client.next('item/agentMessage/delta');
    // It is not read from either: this comes after what it is due.
    deaf.notify('x/y');
    const ping = deaf.request('pool/ping');
    await client.request('model/list');
    deaf.resume();
    for (let i = 0; i < n; i++) {
        assert.equal((await deaf.next('item/agentMessage/delta')).params.delta.split(' ')[0], String(i));
    }
    await ping;
    turn.complete();
    await client.turnCompleted(other);
    await client.close();
    await deaf.close();
});

test('one who reads nothing is dropped as stalled', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { clientStallTimeoutMs: 300 } });
    const deaf = await RawWebSocket.open(daemon);
    deaf.http.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 20000 }, () => frame(OP.ping, 'x'.repeat(100))));
    deaf.write(pings);
    await daemon.untilLog(/dropped: read nothing/);
    await daemon.untilStatus((s) => s.clients.length === 1, 'it is gone');
    deaf.http.socket.destroy();
});

test('a daemon that stops says goodbye', async (t) => {
    const daemon = await idle(t);
    const client = await openWebSocket(daemon, { initialize: false });
    daemon.signal('SIGTERM');
    await within(client.ended, 'the end');
    assert.equal(client.socket.code, 1001);
});
