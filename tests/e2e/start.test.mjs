// The daemon's beginning and end: workers that start, or cannot; signals; what a worker inherits.
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { cleanEnv, runDaemon, startDaemon, startPool } from '../lib/daemon.mjs';
import { valgrind } from '../lib/memory.mjs';
import { within } from '../lib/wait.mjs';

const unless = (so, why) => ({ skip: so && `valgrind ${why}` });

/** A daemon whose workers do not answer initialize by themselves. */
async function startHeld(t, config = {}) {
    const daemon = await startDaemon(t, { waitReady: false, config });
    daemon.fake.on('initialize', () => {});
    return daemon.ready();
}

/** A daemon with a shell script in the place of codex. */
async function startWithScript(t, script, options = {}) {
    const daemon = await startDaemon(t, {
        ...options, waitReady: false, config: { poolSize: 1, prewarm: false, ...options.config },
    });
    const file = join(daemon.dir, 'codex.sh');
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
    await daemon.ready();
    daemon.writeConfig({ codex: { command: file } });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    return daemon;
}

/** A client with a turn that runs. */
async function runningTurn(daemon) {
    const client = await PoolClient.open(daemon);
    const thread = await client.startThread();
    await client.startTurn(thread);
    await client.next('turn/started');
    return { client, thread };
}

test('pool/ping and pool/status are answered while no worker has answered initialize', async (t) => {
    const daemon = await startHeld(t, { poolSize: 3 });
    await daemon.fake.worker();
    const client = await PoolClient.connect(daemon.socket);
    const { version } = await client.request('pool/ping');
    assert.equal(runDaemon(['--version']).stdout, `codex-poold ${version}\n`);
    const status = await client.request('pool/status');
    assert.deepEqual(status.pool, { size: 3, ready: 0, busy: 0, parked: 0, starting: 1, down: 2 });
    assert.equal(status.workers[0].state, 'starting');
    assert.equal(status.pid, daemon.pid);
});

test('the first worker starts alone, and the others once it has answered', async (t) => {
    const daemon = await startHeld(t, { poolSize: 3 });
    const first = await daemon.fake.worker();
    const initialize = await first.expect('initialize');
    assert.equal((await daemon.status()).counters.workerStarts, 1);
    first.default(initialize);
    const others = [await daemon.fake.worker(), await daemon.fake.worker()];
    for (const each of others) each.default(await each.expect('initialize'));
    await daemon.untilStatus((s) => s.pool.ready === 3, 'all are ready');
    assert.equal((await daemon.status()).counters.workerStarts, 3);
});

test('workers are told the configured clientInfo, experimentalApi and then initialized', async (t) => {
    const [, worker] = await startPool(t, 1, { config: { clientInfo: { name: 'mine' } } });
    const { params } = await worker.expect('initialize');
    assert.equal(params.clientInfo.name, 'mine');
    assert.equal(params.clientInfo.title, 'Codex Pool');
    assert.equal(params.capabilities.experimentalApi, true);
    await worker.expect('initialized');
});

test('without prewarm the first initialize starts a worker and is answered by it', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 2, prewarm: false } });
    assert.equal((await daemon.status()).counters.workerStarts, 0);
    const client = await PoolClient.open(daemon, { initialize: false });
    const { userAgent } = await client.initialize();
    assert.match(userAgent, /\/0\.169\.0/);
    assert.equal((await daemon.status()).counters.workerStarts, 1);
});

test('an initialize and a request that wait fail when codex is not found, with the reason', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1, codex: { command: 'no-such-codex' } } });
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015 && e.data.reason === 'workerStart' &&
        e.message === 'Cannot start codex: no-such-codex: No such file or directory');
    await assert.rejects(client.request('pool/acquire'), (e) => e.code === -32015);
});

test('an initialize that failed can be sent again', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1, codex: { command: 'no-such-codex' } } });
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015);
    await assert.rejects(client.request('thread/start'), (e) => e.message === 'Not initialized');
    daemon.writeConfig({ codex: {} });
    daemon.signal('SIGHUP');
    await daemon.untilStatus((s) => s.pool.ready === 1, 'the right codex has started');
    await client.initialize();
    await client.startThread();
});

test('a codex that may not be executed is named with the reason', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1, prewarm: false } });
    const file = join(daemon.dir, 'plain');
    writeFileSync(file, 'text');
    daemon.writeConfig({ codex: { command: file } });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015 &&
        e.message === `Cannot start codex: ${file}: Permission denied`);
});

test('a codex that cannot be executed at all fails with the reason of exec', unless(valgrind, 'gives up where exec fails'), async (t) => {
    const daemon = await startWithScript(t, 'exit 0');
    writeFileSync(join(daemon.dir, 'codex.sh'), '#!/no/such/interpreter\n');
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015 &&
        /^Cannot start codex: .*No such file or directory/.test(e.message));
});

test('one that exits before it answers initialize is told with its last words', async (t) => {
    const daemon = await startWithScript(t, 'echo first >&2; echo "no login" >&2; exit 7');
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015 && e.data.retryable === false &&
        e.message === 'Cannot start codex: exit code 7: first\nno login');
});

test('bytes on stderr that are no text reach clients and the log as text', async (t) => {
    const daemon = await startWithScript(t, 'printf \'\\377\\302 "x" \\033[1m\\n\' >&2; exit 1', {
        args: ['--log-format', 'json'],
    });
    const client = await PoolClient.connect(daemon.socket);
    const chunks = [];
    client.socket.on('data', (text) => chunks.push(text));
    await assert.rejects(client.initialize(), (e) => e.code === -32015 && e.message.includes('"x"'));
    assert.ok(!chunks.join('').includes('\ufffd'), 'only bytes that are not UTF-8 decode to U+FFFD');
    await daemon.untilLog(/stderr/);
    assert.ok(!daemon.log.includes('\ufffd'));
});

test('a worker that never answers initialize is given up after startTimeoutMs', async (t) => {
    const daemon = await startHeld(t, { poolSize: 1, startTimeoutMs: 200, prewarm: false });
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015 && /within 200 ms/.test(e.message));
});

test('a worker inherits its three pipes and no other descriptor', async (t) => {
    // One that its parent has left open in the daemon, as descriptor 3, is not for workers either.
    const daemon = await startWithScript(t, 'exec ls -l /proc/self/fd >&2', { stdio: ['pipe'] });
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015);
    const seen = [...daemon.log.matchAll(/ stderr: .* (\d+) -> (\S+)/g)]
        .map(([, fd, what]) => [Number(fd), what]);
    assert.deepEqual(seen.map(([fd]) => fd), [0, 1, 2, 3]);
    for (const [, what] of seen.slice(0, 3)) assert.match(what, /^pipe:/);
    assert.match(seen[3][1], /^\/proc\/\d+\/fd$/, 'what ls itself has opened');
});

test('workers have no pipe of each other', async (t) => {
    const [, one, two] = await startPool(t, 2);
    const pipes = ({ pid }) => readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try { return readlinkSync(`/proc/${pid}/fd/${fd}`); } catch { return ''; }
    }).filter((what) => what.startsWith('pipe:'));
    assert.equal(pipes(one).filter((pipe) => pipes(two).includes(pipe)).length, 0);
});

test('a worker has the environment of the daemon, what codex.env adds, and its mark', unless(valgrind, 'has some of its own'), async (t) => {
    const [daemon, worker] = await startPool(t, 1, {
        env: { KEPT: 'yes', CHANGED: 'by daemon', CODEX_POOL_WORKER: 'of another pool',
            LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'x', WATCHDOG_USEC: '90000000',
            NOTIFY_SOCKET: '/no' },
        config: { codex: { env: { CHANGED: 'by settings', ADDED: 'x=y' }, cwd: '/' } },
    });
    const expected = [...Object.keys(cleanEnv()), 'KEPT', 'CHANGED', 'ADDED', 'CODEX_HOME',
        'FAKE_CODEX_SOCKET', 'CODEX_POOL_TEST', 'CODEX_POOL_WORKER'];
    assert.deepEqual(Object.keys(worker.env).sort(), [...new Set(expected)].sort());
    assert.equal(worker.env.CHANGED, 'by settings');
    assert.equal(worker.env.ADDED, 'x=y');
    assert.equal(worker.env.KEPT, 'yes');
    assert.match(worker.env.CODEX_POOL_WORKER, new RegExp(`^${daemon.pid}\\.`));
    assert.equal(worker.cwd, '/');
    assert.deepEqual(worker.argv, ['-c', 'thread_unload_delay_secs=0', 'app-server']);
});

test('a worker has default signal handling and a process group of its own', async (t) => {
    const daemon = await startWithScript(t, 'cat /proc/self/status /proc/self/stat >&2; exit 1');
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize());
    const mask = (name) => BigInt(`0x${daemon.log.match(new RegExp(`${name}:\\\\x09([0-9a-f]+)`))[1]}`);
    assert.equal(mask('SigBlk'), 0n);
    assert.equal(mask('SigIgn') & (1n << 12n), 0n, 'SIGPIPE');
    const [, parent, group] = daemon.log.match(/\(cat\) \S (\d+) (\d+)/);
    assert.equal(group, parent, 'the group is the shell\'s, which is the worker');
    assert.notEqual(Number(group), daemon.pid);
});

test('a daemon without standard input, output and error works', unless(valgrind, 'takes their places'), async (t) => {
    const wrapper = ['sh', '-c', 'exec "$0" "$@" <&- >&- 2>&-'];
    const [daemon, worker] = await startPool(t, 1, { wrapper });
    const { client, thread } = await runningTurn(daemon);
    worker.turn().complete();
    await client.turnCompleted(thread);
    for (const fd of [0, 1, 2]) assert.equal(readlinkSync(`/proc/${daemon.pid}/fd/${fd}`), '/dev/null');
});

test('drainTimeoutMs interrupts what still runs; its client sees the end', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { drainTimeoutMs: 50 } });
    const { client, thread } = await runningTurn(daemon);
    daemon.signal('SIGTERM');
    const { params } = await worker.expect('turn/interrupt');
    assert.deepEqual(params, { threadId: thread, turnId: '' });
    const completed = await client.turnCompleted(thread);
    assert.equal(completed.params.turn.status, 'interrupted');
    await client.ended;
    await daemon.stop();
});

test('a second SIGTERM stops at once, whatever the workers do', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { drainTimeoutMs: 3600000 } });
    worker.order({ ignoreTerm: true, onEof: 'stay' });
    await runningTurn(daemon);
    daemon.signal('SIGTERM');
    await daemon.untilLog(/stopping: running turns may finish/);
    daemon.signal('SIGTERM');
    const exit = await within(daemon.exited, 'the exit');
    assert.deepEqual(exit, { code: 0, signal: null });
    await worker.exited;
    assert.ok(!worker.box.has((m) => m.method === 'SIGTERM'), 'it was killed without further ado');
    assert.match(daemon.log, /not waiting any longer/);
    assert.doesNotMatch(daemon.log, /interrupting them/);
});

test('every line of the json log is JSON with time, level and message', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { args: ['--log-format', 'json', '--log-level', 'trace'] });
    worker.stderr('a "quoted" \\ line\twith \u0001 and ü\n');
    await daemon.untilLog(/quoted/);
    await daemon.stop();
    const lines = daemon.log.trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.ok(lines.length > 5);
    for (const { ts, level, msg } of lines) {
        assert.ok(Date.parse(ts) > 0 && typeof msg === 'string');
        assert.match(level, /^(error|warn|info|debug|trace)$/);
    }
    assert.ok(lines.some(({ msg }) => msg.endsWith('a "quoted" \\ line\twith \u0001 and ü')));
});

test('a log that nobody reads does not hold the daemon up', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { args: ['--log-level', 'trace'] });
    daemon.child.stderr.pause();
    worker.stderr('x'.repeat(400).concat('\n').repeat(5000));
    worker.notify('said/after/that', {});
    await daemon.untilStatus((s) => s.counters.droppedMessages === 1, 'the worker has written it all');
    await runningTurn(daemon);
    worker.turn().complete();
    daemon.child.stderr.resume();
    // It says so with the next line; each connection gives some.
    await daemon.untilStatus(() => /log lines lost: stderr was not read/.test(daemon.log), 'it says how many were lost');
});
