// codex-pool app-server: a pipe between standard input and output and the daemon.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, run, shell } from '../lib/cli.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';
import { until, within } from '../lib/wait.mjs';

const MEGABYTE = 1 << 20;

/** A bridge and the daemon's end of it, bytes only. */
async function bridge(t, args = [], options = {}) {
    const daemon = await PlayedDaemon.start(t, null);
    const process = cli(t, daemon.args('app-server', ...args), { openInput: true, read: false, ...options });
    const { socket, closed } = await daemon.peer();
    socket.on('error', () => {});
    return { daemon, process, socket, closed };
}

/** Keeps what a stream gives. */
function collect(stream) {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    return { bytes: () => Buffer.concat(chunks), length: () => chunks.reduce((n, c) => n + c.length, 0) };
}

const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');

test('30 MB each way at once arrive as they were, in pieces of every size', async (t) => {
    const { process, socket } = await bridge(t);
    const up = randomBytes(30 * MEGABYTE), down = randomBytes(30 * MEGABYTE);
    const atDaemon = collect(socket), atClient = collect(process.child.stdout);
    const feed = async (stream, bytes) => {
        for (let at = 0, i = 0; at < bytes.length; i++) {
            const n = (i * 7919) % 100000 + 1;
            if (!stream.write(bytes.subarray(at, at + n))) await once(stream, 'drain');
            at += n;
        }
    };
    const ended = once(socket, 'end');
    const upwards = feed(process.child.stdin, up).then(() => process.child.stdin.end());
    await within(Promise.all([upwards, feed(socket, down), ended]), 'all the bytes');
    // Not before: a daemon that closes first is one that is lost.
    socket.end();
    const { code, err } = await process.end();
    assert.equal(code, 0);
    assert.equal(err, '');
    assert.equal(hash(atDaemon.bytes()), hash(up));
    assert.equal(hash(atClient.bytes()), hash(down));
});

/** Writes until nothing more is taken; how many bytes were. */
async function fill(stream, more = () => stream.writableLength) {
    const piece = Buffer.alloc(64 * 1024, 'x');
    let written = 0, last = -1;
    await until(() => {
        while (more() < MEGABYTE && written < 64 * MEGABYTE) {
            stream.write(piece);
            written += piece.length;
        }
        const taken = written - more();
        const stuck = taken === last;
        last = taken;
        return stuck && more() >= MEGABYTE;
    }, 'it takes no more');
    return { written, taken: last };
}

test('a daemon that does not read stops standard input, and nothing else', async (t) => {
    const { process, socket } = await bridge(t);
    socket.pause();
    const { written, taken } = await fill(process.child.stdin);
    assert.ok(taken < 4 * MEGABYTE, `${taken} bytes were taken`);
    const atClient = collect(process.child.stdout);
    socket.write('still heard\n');
    await until(() => atClient.length() === 12, 'the daemon is heard');
    const atDaemon = collect(socket.resume());
    process.child.stdin.end();
    await until(() => atDaemon.length() === written, 'all has come through');
    socket.end();
    assert.equal((await process.end()).code, 0);
});

test('a reader that does not read stops the daemon, and nothing else', async (t) => {
    const { process, socket } = await bridge(t);
    const atDaemon = collect(socket);
    const { written, taken } = await fill(socket);
    assert.ok(taken < 4 * MEGABYTE, `${taken} bytes were taken`);
    process.write('still heard\n');
    await until(() => atDaemon.length() === 12, 'the client is heard');
    const atClient = collect(process.child.stdout);
    process.child.stdin.end();
    await until(() => atClient.length() === written, 'all has come through');
    socket.end();
    assert.equal((await process.end()).code, 0);
});

test('works between pipes as between sockets', async (t) => {
    const daemon = await PlayedDaemon.start(t, null);
    const script = 'head -c 30000000 /dev/zero | "$CODEX_POOL" --socket "$S" app-server | wc -c';
    const process = shell(t, script, { env: { S: daemon.socket } });
    const { socket } = await daemon.peer();
    socket.pipe(socket); // an echo
    assert.equal((await process.end()).out.trim(), '30000000');
});

test('a pipe that is full stops the daemon, and nothing else', async (t) => {
    const daemon = await PlayedDaemon.start(t, null);
    const gate = join(daemon.directory, 'gate');
    const script = 'mkfifo "$F"; "$CODEX_POOL" --socket "$S" app-server | { read -r _ <"$F"; wc -c; }';
    const process = shell(t, script, { env: { S: daemon.socket, F: gate } });
    const { socket } = await daemon.peer();
    const atDaemon = collect(socket);
    const { written } = await fill(socket);
    process.write('still heard\n');
    await until(() => atDaemon.length() === 12, 'the client is heard');
    await writeFile(gate, 'go\n');
    process.child.stdin.end();
    socket.end();
    assert.equal((await process.end()).out.trim(), String(written));
});

test('takes a file for standard input', async (t) => {
    const daemon = await PlayedDaemon.start(t, null);
    const path = join(daemon.directory, 'in');
    const bytes = randomBytes(300000);
    await (await open(path, 'w')).writeFile(bytes);
    const process = shell(t, '"$CODEX_POOL" --socket "$S" app-server <"$F" >"$F.out"',
        { env: { S: daemon.socket, F: path } });
    const { socket } = await daemon.peer();
    const atDaemon = collect(socket);
    await within(once(socket, 'end'), 'the end of input');
    socket.end('bye');
    assert.equal((await process.end()).code, 0);
    assert.equal(hash(atDaemon.bytes()), hash(bytes));
    const out = await open(`${path}.out`);
    assert.equal(await out.readFile('utf8'), 'bye');
    await out.close();
});

test('the end of standard input is told, and what the daemon still says is passed on', async (t) => {
    const { process, socket } = await bridge(t, [], { read: true });
    socket.resume();
    const ended = once(socket, 'end');
    process.child.stdin.end('last words\n');
    await within(ended, 'the end of input');
    socket.write('answer\n');
    await process.shows('answer\n');
    assert.equal(process.child.exitCode, null, 'it waits for the daemon to close');
    socket.end('and more\n');
    const { code, out, err } = await process.end();
    assert.equal(code, 0);
    assert.equal(out, 'answer\nand more\n');
    assert.equal(err, '');
});

test('a connection that is lost while there is input is an error, after all that came before', async (t) => {
    const { process, socket } = await bridge(t, [], { read: true });
    socket.resume();
    const last = 'x'.repeat(3 * MEGABYTE);
    socket.end(`${last}\n`);
    const { code, out, err } = await process.end();
    assert.equal(code, 69);
    assert.equal(out, `${last}\n`);
    assert.match(err, /closed the connection/);
});

test('a daemon that refuses in mid-request is heard', async (t) => {
    const { process, socket } = await bridge(t, [], { read: true });
    socket.pause();
    await fill(process.child.stdin);
    socket.write('{"id":null,"error":{"code":-32016}}\n', () => socket.destroy());
    const { code, out } = await process.end();
    assert.equal(code, 69);
    assert.equal(out, '{"id":null,"error":{"code":-32016}}\n');
});

test('every codex flag is taken', async (t) => {
    const flags = ['--listen', 'stdio://', '-c', 'model="x"', '--enable', 'y', '--', 'z', '-'];
    const { process, socket } = await bridge(t, flags, { read: true });
    socket.end('fine\n');
    socket.resume();
    process.child.stdin.end();
    assert.equal((await process.end()).out, 'fine\n');
});

test('SIGTERM ends it as it ends codex, SIGINT with 130', async (t) => {
    for (const [signal, expected] of [['SIGTERM', 0], ['SIGINT', 130]]) {
        const { process, socket, closed } = await bridge(t, [], { read: true });
        socket.resume();
        socket.on('end', () => socket.end());
        socket.write('x');
        await process.shows('x');
        process.kill(signal);
        const { code, signal: by } = await process.end();
        assert.equal(code, expected);
        assert.equal(by, null);
        await within(closed, 'the connection to close');
    }
});

test('SIGTERM is heard while nobody takes anything', async (t) => {
    const { process, socket } = await bridge(t);
    socket.pause();
    await fill(process.child.stdin);
    await fill(socket);
    process.kill('SIGTERM');
    process.child.stdout.resume();
    assert.equal((await process.end()).code, 0);
});

test('a reader that leaves closes the connection, though the daemon is silent', async (t) => {
    const { process, socket, closed } = await bridge(t);
    socket.resume();
    socket.on('end', () => socket.end());
    process.child.stdout.destroy();
    assert.equal((await process.end()).code, 1);
    await within(closed, 'the connection to close');
});

test('a pipe\'s reader that leaves ends it too', async (t) => {
    const daemon = await PlayedDaemon.start(t, null);
    const script = '("$CODEX_POOL" --socket "$S" app-server; echo "exit $?" >&2) | head -n 1';
    const process = shell(t, script, { env: { S: daemon.socket } });
    const { socket, closed } = await daemon.peer();
    socket.resume();
    socket.on('end', () => socket.end());
    socket.write('one\n');
    await within(closed, 'the connection to close');
    assert.match((await process.end()).err, /exit 1\n/);
});
