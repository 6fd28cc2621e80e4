// codex-pool call: any request from the shell.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, onTerminal, run } from '../lib/cli.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';

const PING = { 'pool/ping': (peer, m) => peer.result(m, { version: '1.2.3', pid: 77, uptimeMs: 3723000 }) };

test('call initializes, sends, and prints the result as it came', async (t) => {
    const result = '{"big":12345678901234567890,"text":"\\u00e9\\n","list":[ 1,{} ]}';
    const daemon = await PlayedDaemon.start(t, {
        'x/y': (peer, m) => peer.send(`{"id":${m.id},"result":${result}}\n`),
    });
    const { code, out, err } = await run(t, daemon.args('call', 'x/y', '{"a":\n[1,\r\n2]}'));
    assert.equal(code, 0);
    assert.equal(out, `${result}\n`);
    assert.equal(err, '');
    const [first, second] = (await daemon.peer()).received;
    assert.equal(first.method, 'initialize');
    assert.equal(first.params.clientInfo.name, 'codex-pool');
    assert.equal(first.params.capabilities.experimentalApi, true);
    assert.equal(second.method, 'x/y');
    assert.deepEqual(second.params, { a: [1, 2] });
});

test('call needs no initialize for the daemon\'s own methods and for initialize', async (t) => {
    const daemon = await PlayedDaemon.start(t, PING);
    await run(t, daemon.args('call', 'pool/ping'));
    await run(t, daemon.args('call', 'initialize', '{"clientInfo":{"name":"x","version":"1"}}'));
    const methods = daemon.peers.map((peer) => peer.received.map((m) => m.method));
    assert.deepEqual(methods, [['pool/ping'], ['initialize']]);
    assert.deepEqual(daemon.peers[0].received[0].params, {});
});

test('call passes any method on, whatever its letters', async (t) => {
    const method = `odd"\\é${'x'.repeat(500)}`;
    const daemon = await PlayedDaemon.start(t, { [method]: (peer, m) => peer.result(m, { fine: true }) });
    const { code, out } = await run(t, daemon.args('call', method));
    assert.equal(code, 0);
    assert.equal(out, '{"fine":true}\n');
});

test('call prints over several lines on a terminal', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        'x/y': (peer, m) => peer.send(`{"id":${m.id},"result":{"a":[ ],"b":[1,{"c":"x,\\"{"}],"d":{ }}}\n`),
    });
    const { code, out } = await onTerminal(t, daemon.args('call', 'x/y')).end();
    assert.equal(code, 0);
    assert.equal(out.replaceAll('\r', ''), [
        '{', '  "a": [],',
        '  "b": [', '    1,', '    {', '      "c": "x,\\"{"', '    }', '  ],',
        '  "d": {}', '}', '',
    ].join('\n'));
});

const OVERLOADED = { codex_error_info: 'server_overloaded' };
const ERRORS = [
    [-32600, 'thread not found: x', undefined, 1],
    [-32001, 'Server overloaded; retry later.', undefined, 75], // Codex's own
    [-32001, 'Server overloaded; retry later.', { reason: 'queueFull', retryable: true, ...OVERLOADED }, 75],
    [-32010, 'Worker acquisition timed out after 5 ms.', { reason: 'acquireTimeout', retryable: true }, 75],
    [-32012, 'Worker pool has been shut down.', { reason: 'shutdown', retryable: true }, 75],
    [-32011, 'Worker acquisition aborted while waiting.', { reason: 'aborted', retryable: false }, 1],
    [-32013, 'Worker exited (signal 9)', { reason: 'workerLost', retryable: false }, 1],
    [-32014, 'fs/remove is for admins', { reason: 'forbidden', retryable: false }, 1],
    [-32015, 'Cannot start codex: No such file', { reason: 'workerStart', retryable: false }, 1],
];

test('call tells errors that are worth another try from the others', async (t) => {
    for (const [code, message, data, exit] of ERRORS) {
        const fail = (peer, m) => peer.error(m, code, message, data);
        const daemon = await PlayedDaemon.start(t, { 'x/y': fail });
        const end = await run(t, daemon.args('call', 'x/y'));
        assert.equal(end.code, exit, message);
        assert.equal(end.out, '');
        assert.ok(end.err.startsWith(`codex-pool: ${message} (${code})\n`), end.err);
        const advised = end.err.trim().split('\n').length > 1;
        assert.equal(advised, data !== undefined && data.reason !== 'aborted', `advice: ${end.err}`);
    }
});

test('call refuses what it is asked and ignores what it is told', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        'x/y': (peer) => {
            peer.notify('warning', { message: 'x' });
            peer.send({ id: 'q', method: 'item/tool/call', params: {} });
        },
    });
    const process = cli(t, daemon.args('call', 'x/y'));
    const peer = await daemon.peer();
    const request = await peer.next('x/y');
    assert.equal((await peer.answer('q')).error.code, -32601);
    peer.send({ id: 999, result: 'another\'s' });
    peer.result(request, 'ours');
    assert.equal((await process.end()).out, '"ours"\n');
});

test('an error of the connection itself is shown', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        'x/y': (peer) => {
            const data = { reason: 'messageTooLarge', retryable: false };
            peer.send({ id: null, error: { code: -32016, message: 'Too large.', data } });
            peer.socket.end();
        },
    });
    const { code, err } = await run(t, daemon.args('call', 'x/y'));
    assert.equal(code, 1);
    assert.match(err, /Too large\. \(-32016\)\n.*maxMessageBytes/);
});

test('a daemon that goes away while it is asked is no daemon', async (t) => {
    for (const command of [['call', 'x/y'], ['ping'], ['status'], ['run', 'x']]) {
        const close = (peer) => peer.socket.destroy();
        const daemon = await PlayedDaemon.start(t, {
            'x/y': close, 'pool/ping': close, 'pool/status': close, 'turn/start': close,
        });
        const { code, err } = await run(t, daemon.args(...command));
        assert.equal(code, 69, command.join(' '));
        assert.match(err, /closed the connection/);
    }
});

test('Ctrl-C ends a call that waits', async (t) => {
    const daemon = await PlayedDaemon.start(t);
    const process = cli(t, daemon.args('call', 'pool/acquire'));
    const peer = await daemon.peer();
    await peer.next('pool/acquire');
    process.kill('SIGINT');
    assert.equal((await process.end()).code, 130);
    await peer.gone();
});
