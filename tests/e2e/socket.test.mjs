// Where the daemon listens, who may connect, and what it says to systemd.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
    chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync,
    writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { poold, runDaemon, startDaemon, startPool } from '../lib/daemon.mjs';
import { Mailbox, until, within } from '../lib/wait.mjs';

const idle = { config: { prewarm: false } };
const mode = (path) => (statSync(path).mode & 0o7777).toString(8);

function tempDir(t) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-socket-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    return dir;
}

test('the socket is for its user alone, and its directory is made so', async (t) => {
    const base = tempDir(t);
    const socket = join(base, 'new', 'pool.sock');
    // The last --socket counts.
    const daemon = await startDaemon(t, { ...idle, waitReady: false, args: ['--socket', socket] });
    daemon.socket = socket;
    await daemon.ready();
    assert.equal(mode(join(base, 'new')), '700');
    assert.equal(mode(socket), '600');
});

test('socketMode opens the socket to others', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false, socketMode: '0666' } });
    assert.equal(mode(daemon.socket), '666');
});

test('a directory that cannot be made is named with the reason', (t) => {
    const { code, stderr } = runDaemon(['--socket', join(tempDir(t), 'not/there/pool.sock')]);
    assert.equal(code, 73);
    assert.match(stderr, /cannot open its directory: No such file or directory/);
});

test('a second daemon on the socket is refused, and the first notices nothing', async (t) => {
    const [daemon] = await startPool(t);
    const client = await PoolClient.open(daemon);
    const before = lstatSync(daemon.socket).ino;
    const { code, stderr } = runDaemon(['--config', daemon.configFile, '--socket', daemon.socket]);
    assert.equal(code, 69);
    assert.match(stderr, /another daemon answers there/);
    assert.equal(lstatSync(daemon.socket).ino, before);
    await client.startThread();
    assert.equal((await daemon.status()).counters.workerStarts, 1);
    assert.equal(daemon.fake.workers.length, 1, 'the second one has started no worker');
});

test('a daemon that this user may not connect to keeps its socket', async (t) => {
    if (process.geteuid() !== 0) return t.skip('only root can run a daemon as somebody else');
    const [daemon] = await startPool(t);
    chmodSync(daemon.dir, 0o777);
    chmodSync(join(daemon.dir, 'run'), 0o777);
    const before = lstatSync(daemon.socket).ino;
    // Its own copy, as the one of the build may be where nobody else may look.
    const copy = join(daemon.dir, 'poold');
    spawnSync('cp', [poold, copy]);
    const { stderr, status } = spawnSync('setpriv', ['--reuid=65534', '--clear-groups', '--regid=65534',
        copy, '--socket', daemon.socket], { encoding: 'utf8', timeout: 60000 });
    assert.match(stderr, /another daemon answers there/);
    assert.equal(status, 69);
    assert.equal(lstatSync(daemon.socket).ino, before);
});

test('of two daemons that start at once one listens', async (t) => {
    const dir = tempDir(t);
    const socket = join(dir, 'pool.sock');
    const config = join(dir, 'c.json');
    writeFileSync(config, '{"prewarm":false}');
    const start = () => {
        const child = spawn(poold, ['--config', config, '--socket', socket], { stdio: 'ignore' });
        return Object.assign(child, { ended: once(child, 'exit').then(([code]) => code) });
    };
    const daemons = Array.from({ length: 6 }, start);
    t.after(() => daemons.forEach((each) => each.kill('SIGKILL')));
    let refused = 0;
    for (const each of daemons) each.ended.then((code) => { refused += code === 69; });
    await until(() => refused === 5, 'all but one are refused');
    const client = await PoolClient.connect(socket);
    const winner = daemons.find((each) => each.exitCode === null);
    assert.equal((await client.request('pool/ping')).pid, winner.pid);
    winner.kill('SIGTERM');
    assert.equal(await within(winner.ended, 'the end'), 0);
    assert.equal(existsSync(socket), false);
});

test('a daemon waits for one that is just making its socket', async (t) => {
    if (spawnSync('flock', ['--version']).status !== 0) return t.skip('flock is not installed');
    const dir = tempDir(t);
    const maker = spawn('flock', [dir, 'sh', '-c', 'echo locked; cat']);
    t.after(() => maker.kill('SIGKILL'));
    await once(maker.stdout, 'data');
    const socket = join(dir, 'pool.sock');
    const daemon = await startDaemon(t, { ...idle, waitReady: false, args: ['--socket', socket] });
    daemon.socket = socket;
    // The kernel lists those who wait for a lock with an arrow.
    const waits = new RegExp(`-> FLOCK +ADVISORY +WRITE +${daemon.pid} `);
    await until(() => waits.test(readFileSync('/proc/locks', 'utf8')), 'the daemon waits for the lock');
    assert.equal(existsSync(daemon.socket), false);
    maker.stdin.end();
    await daemon.ready();
});

test('the socket file of a daemon that was killed is replaced', async (t) => {
    const daemon = await startDaemon(t, idle);
    daemon.signal('SIGKILL');
    await daemon.exited;
    assert.ok(existsSync(daemon.socket), 'it has left its socket file');
    daemon.exit = null;
    daemon.spawn();
    await daemon.ready();
    assert.match(daemon.log, /replacing the socket file of a daemon that is gone/);
});

test('what is in the way and no socket is left alone', (t) => {
    const dir = tempDir(t);
    const config = join(dir, 'c.json');
    writeFileSync(config, '{"prewarm":false}');
    writeFileSync(join(dir, 'file'), 'mine');
    mkdirSync(join(dir, 'folder'));
    symlinkSync('file', join(dir, 'link'));
    for (const name of ['file', 'folder', 'link']) {
        const { code, stderr } = runDaemon(['--config', config, '--socket', join(dir, name)]);
        assert.equal(code, 73);
        assert.match(stderr, /is there and is no socket/);
        assert.ok(lstatSync(join(dir, name)));
    }
});

test('a socket file that somebody else has put in its place is not removed', async (t) => {
    const daemon = await startDaemon(t, idle);
    const other = createServer();
    await new Promise((done) => other.listen(`${daemon.socket}.other`, done));
    renameSync(`${daemon.socket}.other`, daemon.socket);
    await daemon.untilLog(/another daemon answers there/);
    daemon.signal('SIGTERM');
    assert.deepEqual(await daemon.exited, { code: 0, signal: null });
    assert.ok(existsSync(daemon.socket));
    await new Promise((done) => other.close(done));
    rmSync(daemon.socket);
});

test('a socket file that came back after something was in its way is missed again', async (t) => {
    const daemon = await startDaemon(t, idle);
    const away = `${daemon.socket}.away`;
    const gone = () => daemon.log.match(/the socket file is gone/g)?.length;
    renameSync(daemon.socket, away);
    mkdirSync(daemon.socket);
    await daemon.untilLog(/is there and is no socket/);
    rmSync(daemon.socket, { recursive: true });
    renameSync(away, daemon.socket);
    await daemon.untilLog(/the socket file is back/);
    await daemon.ready();
    rmSync(daemon.socket);
    await until(() => gone() === 2 && existsSync(daemon.socket), 'it is made anew');
});

test('a user who is not in allowUids is told so and disconnected', async (t) => {
    const uids = [1234567];
    const daemon = await startDaemon(t, { waitReady: false, config: { prewarm: false, allowUids: uids } });
    await daemon.untilLog(/listens at/);
    for (let i = 1; i <= 2; i++) {
        const client = await PoolClient.connect(daemon.socket);
        const { id, error } = await client.nextAnswer();
        await client.ended;
        assert.equal(id, null);
        assert.equal(error.code, -32014);
        assert.equal(error.data.reason, 'forbidden');
        assert.match(error.message, /allowUids/);
    }
    assert.match(daemon.log, new RegExp(`refused uid ${process.geteuid()} .*allowUids`));
});

test('a user is let in by a group in allowGids', async (t) => {
    const daemon = await startDaemon(t, {
        config: { prewarm: false, allowUids: [1234567], allowGids: [7654321, process.getegid()] },
    });
    const client = await PoolClient.connect(daemon.socket);
    assert.equal((await client.request('pool/ping')).pid, daemon.pid);
});

const activate = spawnSync('systemd-socket-activate', ['--version']).status === 0;

test('a socket that is passed on is served, and its file stays', async (t) => {
    if (!activate) return t.skip('systemd-socket-activate is not installed');
    const socket = join(tempDir(t), 'passed.sock');
    const keep = ['CODEX_POOL_TEST', 'HOME', 'LANG',
        ...['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS'].filter((name) => process.env[name])];
    const wrapper = ['systemd-socket-activate', '-l', socket, ...keep.flatMap((name) => ['-E', name])];
    const daemon = await startDaemon(t, { wrapper, waitReady: false, config: { poolSize: 1 } });
    const own = daemon.socket;
    daemon.socket = socket;
    await until(() => existsSync(socket), 'the socket is there');
    await daemon.ready();
    const worker = await daemon.fake.worker();
    for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) assert.ok(!(name in worker.env), name);
    assert.match(daemon.log, new RegExp(`listens at ${socket} \\(passed by systemd\\)`));
    assert.equal(existsSync(own), false, 'it listens nowhere else');
    await (await PoolClient.open(daemon)).startThread();
    daemon.signal('SIGTERM');
    assert.deepEqual(await within(daemon.exited, 'the end'), { code: 0, signal: null });
    assert.ok(existsSync(socket));
    daemon.socket = own;
});

test('a descriptor that is no listening socket is refused', (t) => {
    const env = { LISTEN_FDS: '1' };
    const { code, stderr } = runDaemon(['--socket', join(tempDir(t), 's')], env);
    assert.equal(code, 78);
    assert.match(stderr, /LISTEN_FDS: must be one listening stream socket/);
});

test('descriptors that are meant for another process are not touched', async (t) => {
    const daemon = await startDaemon(t, { ...idle, env: { LISTEN_FDS: '1', LISTEN_PID: '1' } });
    assert.ok(existsSync(daemon.socket));
});

const receiver = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True: print(json.dumps(s.recv(65536).decode(errors="surrogateescape")), flush=True)
`;

/** What is sent to NOTIFY_SOCKET, or null where there is nothing to receive it with. */
async function notified(t) {
    if (spawnSync('python3', ['-c', 'import socket']).status !== 0) {
        t.skip('python3 is not installed');
        return null;
    }
    const path = join(tempDir(t), 'notify');
    const child = spawn('python3', ['-c', receiver, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const box = new Mailbox('NOTIFY_SOCKET');
    createInterface({ input: child.stdout }).on('line', (line) => box.put(JSON.parse(line)));
    const next = (pattern) => box.take((text) => pattern.test(text), `${pattern}`);
    await next(/^bound$/);
    return { path, next };
}

test('NOTIFY_SOCKET is told of READY, STATUS, RELOADING, WATCHDOG and STOPPING', async (t) => {
    const notify = await notified(t);
    if (!notify) return;
    const [daemon] = await startPool(t, 2, { env: { NOTIFY_SOCKET: notify.path, WATCHDOG_USEC: '20000' } });
    await notify.next(/^READY=1$/);
    await notify.next(/^WATCHDOG=1$/);
    await notify.next(/^STATUS=.*2 of 2 workers ready, 0 busy; 0 waiting/);
    const client = await PoolClient.open(daemon);
    await client.request('pool/acquire');
    await notify.next(/^STATUS=.*1 busy/);
    await client.request('pool/pause');
    await notify.next(/^STATUS=Paused: 2 of 2 workers ready/);
    await client.request('pool/drain');
    await notify.next(/^STATUS=Draining: 2 of 2 workers ready/);
    await client.request('pool/resume');
    daemon.signal('SIGHUP');
    const [, usec] = (await notify.next(/^RELOADING=1\n/)).match(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/);
    assert.ok(Number(usec) <= Number(process.hrtime.bigint() / 1000n));
    await notify.next(/^READY=1$/);
    daemon.signal('SIGTERM');
    await notify.next(/^STOPPING=1$/);
    await daemon.stop();
});

test('an abstract NOTIFY_SOCKET works, and one that is not there does no harm', async (t) => {
    const notify = await notified(t);
    if (!notify) return;
    const name = `@codex-pool-test-${process.pid}`;
    const code = receiver.replace('sys.argv[1]', `"\\0${name.slice(1)}"`);
    const child = spawn('python3', ['-c', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout });
    const box = new Mailbox('abstract');
    lines.on('line', (line) => box.put(JSON.parse(line)));
    await box.take((text) => text === 'bound', 'bound');
    await startDaemon(t, { ...idle, env: { NOTIFY_SOCKET: name } });
    await box.take((text) => text === 'READY=1', 'READY');
    const other = await startDaemon(t, { ...idle, env: { NOTIFY_SOCKET: '/nonexistent/notify' } });
    assert.match(other.log, /NOTIFY_SOCKET: No such file or directory/);
});

test('what a failing codex says on stderr cannot become a variable for systemd', async (t) => {
    const notify = await notified(t);
    if (!notify) return;
    const daemon = await startDaemon(t, {
        ...idle, waitReady: false, env: { NOTIFY_SOCKET: notify.path },
    });
    const codex = join(daemon.dir, 'codex.sh');
    writeFileSync(codex, '#!/bin/sh\necho first >&2\necho MAINPID=1 >&2\nexit 1\n', { mode: 0o755 });
    daemon.writeConfig({ codex: { command: codex } });
    await daemon.ready();
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize());
    const status = await notify.next(/Cannot start codex/);
    assert.match(status, /MAINPID=1/);
    assert.doesNotMatch(status, /\n/);
});
