// The Node.js client and those who are slow: nothing is read ahead of its reader, nothing sent ahead of the daemon.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageTooLargeError } from '../../client/node/src/index.js';
import { open, rounds } from '../lib/node-client.mjs';
import { Peer, PlayedDaemon } from '../lib/played-daemon.mjs';
import { within } from '../lib/wait.mjs';

const ACQUIRE = { 'pool/acquire': (peer, m) => peer.result(m, { worker: 1, waitedMs: 0 }) };
const LARGE = 'x'.repeat(100000);

test('a slow reader is not read for', async (t) => {
    const daemon = await PlayedDaemon.start(t, ACQUIRE);
    const transport = await open(t, daemon);
    const peer = await daemon.peer();
    const happened = [];
    let release;
    const slow = new Promise((resolve) => (release = resolve));
    let got = 0;
    const all = new Promise((resolve) => transport.onMessage(async () => {
        await slow;
        if (++got === 200) resolve();
    }));
    for (let i = 0; i < 199; i++) peer.notify('item/agentMessage/delta', { delta: LARGE });
    const flushed = new Promise((resolve) => peer.socket.write('{"method":"last"}\n', () => {
        happened.push('all was taken');
        resolve();
    }));
    await rounds();
    assert.equal(transport.box.messages.length, 1, 'one message is given out at a time');
    assert.ok(transport.connection.socket.readableLength <= 2 ** 20, 'little is held');
    happened.push('the reader went on');
    release();
    await within(Promise.all([all, flushed]), 'all messages');
    assert.deepEqual(happened, ['the reader went on', 'all was taken']);
    assert.equal(transport.box.messages.length, 200);
    transport.close();
});

test('a daemon that does not read is not sent more to, for who waits for `send`', async (t) => {
    const daemon = await PlayedDaemon.start(t, ACQUIRE);
    const transport = await open(t, daemon);
    const peer = await daemon.peer();
    peer.socket.pause();
    let sent = 0;
    const all = (async () => {
        for (; sent < 100; sent++) await transport.send({ id: sent, method: 'x', params: { LARGE } });
    })();
    await rounds();
    assert.ok(sent < 100, `${sent} of 100 were taken`);
    assert.ok(transport.connection.socket.writableLength <= LARGE.length * 2, 'one waits');
    peer.socket.resume();
    await within(all, 'the rest to be taken');
    transport.close();
});

test('a reader that fails ends the transport, with its failure', async (t) => {
    const daemon = await PlayedDaemon.start(t, ACQUIRE);
    const transport = await open(t, daemon);
    transport.onMessage(async () => {
        throw new Error('the reader is broken');
    });
    const peer = await daemon.peer();
    peer.notify('x', {});
    assert.equal((await within(transport.ended, 'its end')).message, 'the reader is broken');
    await peer.gone();
});

test('messages that are too large, either way', async (t) => {
    const daemon = await PlayedDaemon.start(t, ACQUIRE);
    const transport = await open(t, daemon, { maxMessageBytes: 1000 });
    await assert.rejects(transport.send({ method: LARGE }), (error) => {
        assert.ok(error instanceof MessageTooLargeError);
        assert.equal(error.reason, 'messageTooLarge');
        return true;
    });
    const peer = await daemon.peer();
    peer.notify('small', {});
    await transport.next('small');
    peer.notify(LARGE, {});
    assert.ok(await within(transport.ended, 'its end') instanceof MessageTooLargeError);
});

test('lines come in whatever pieces', async (t) => {
    const daemon = await PlayedDaemon.start(t, ACQUIRE);
    const transport = await open(t, daemon);
    const peer = await daemon.peer();
    assert.ok(peer instanceof Peer);
    const line = Buffer.from('{"method":"grüße","params":{"text":"€"}}\n\n{"method":"two"}\n');
    for (const byte of line) {
        peer.send(Buffer.from([byte]));
        await rounds(1);
    }
    assert.equal((await transport.next('grüße')).params.text, '€');
    await transport.next('two');
    transport.close();
});
