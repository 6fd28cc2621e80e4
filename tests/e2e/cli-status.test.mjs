// codex-pool status: for people, for programs, and again and again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, onTerminal, run, CTRL_C } from '../lib/cli.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';

const STATUS = {
    version: '1.2.3', pid: 77, uptimeMs: 3723000, accepting: true,
    codex: { command: 'codex', path: '/bin/codex', version: '0.169.0' },
    pool: { size: 2, ready: 1, busy: 1, starting: 0, down: 0 },
    queue: { length: 1, max: 1024, oldestWaitMs: 1500 },
    workers: [
        {
            id: 1, pid: 101, state: 'busy', client: 4, threads: 3, streams: 10, restarts: 0,
            version: '0.169.0',
            turn: { threadId: 'thread-a', turnId: 'turn-a', runningMs: 61000, lastEventMs: 20 },
            rssBytes: 138000000, processes: 2, ageMs: 90000000,
        },
        {
            id: 2, pid: null, state: 'down', client: null, threads: 0, streams: 0, restarts: 7, version: null,
            turn: null, rssBytes: 0, processes: 0, ageMs: 0,
        },
    ],
    clients: [
        {
            id: 4, uid: 0, pid: 999, name: 'chat \u001b[2Jserver', waiting: 2, workers: [1, 2],
            connectedMs: 5000,
        },
        { id: 12, uid: 1000, pid: 1000, name: null, waiting: 0, workers: [], connectedMs: 12 },
    ],
    counters: {}, waitMs: { count: 4, p50: 1, p95: 1200, p99: 3000, max: 3100 },
};

const statusIs = (status) => ({ 'pool/status': (peer, m) => peer.result(m, status) });

test('status is a table', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs(STATUS));
    const { code, out, err } = await run(t, daemon.args('status'));
    assert.equal(code, 0);
    assert.equal(err, '');
    assert.equal(out, [
        'daemon   codex-poold 1.2.3, pid 77, up 1h 2m; codex 0.169.0 (codex)',
        'pool     2 workers at most: 1 ready, 1 busy, 0 starting, 0 down',
        'queue    1 of 1024 waiting, the oldest for 1.5 s',
        'waits    4 so far: p50 1 ms, p95 1.2 s, p99 3.0 s, max 3.1 s',
        '',
        'WORKER  STATE  CLIENT   TURN  SILENT  THREADS  STREAMS  RESTARTS  MEMORY    AGE  PID  THREAD',
        '     1  busy        4  1m 1s   20 ms        3       10         0  138 MB  1d 1h  101  thread-a',
        '     2  down        -      -       -        0        0         7    0 kB   0 ms    -  -',
        '',
        'CLIENT  NAME                WORKERS  WAITING   PID   UID  CONNECTED',
        '     4  chat \\x1b[2Jserver  1, 2           2   999     0      5.0 s',
        '    12  -                   -              0  1000  1000      12 ms',
        '',
    ].join('\n'));
});

test('status shows who waits for what, and why a thread does not move', async (t) => {
    const waiter = { client: 4, id: 7, method: 'turn/start', threadId: 'thread-b', waitedMs: 1500, worker: 1, stays: 'it is ephemeral' };
    const waiters = Array.from({ length: 25 }, (_, i) => ({
        ...waiter, position: i + 1, ...(i > 0 && { threadId: null, method: 'thread/start', worker: null, stays: null }),
    }));
    const daemon = await PlayedDaemon.start(t, statusIs({
        ...STATUS, queue: { ...STATUS.queue, length: 30 }, waiters, moveMs: { count: 2, p50: 20, p95: 30, p99: 30, max: 30 },
    }));
    const { out } = await run(t, daemon.args('status'));
    assert.match(out, /^moves    2 so far: p50 20 ms, p95 30 ms, p99 30 ms, max 30 ms$/m);
    const lines = out.split('\n');
    const at = lines.findIndex((line) => line.startsWith('PLACE'));
    assert.deepEqual(lines.slice(at, at + 3), [
        'PLACE  CLIENT  REQUEST       WAITED  FOR         THREAD    DOES NOT MOVE',
        '    1       4  turn/start     1.5 s  worker 1    thread-b  it is ephemeral',
        '    2       4  thread/start   1.5 s  any worker  -         -',
    ]);
    assert.match(lines[at + 20], /^ +20 /);
    assert.equal(lines[at + 21], 'and 10 more');
});

test('status shows what keeps a worker from being replaced', async (t) => {
    const replace = {
        reason: 'the codex binary has changed',
        threads: [
            { threadId: 'thread-a', client: 4, stays: 'it is ephemeral' },
            { threadId: 'thread-b', client: 12, stays: null },
        ],
    };
    const workers = [{ ...STATUS.workers[0], replace }, { ...STATUS.workers[1], replace: null }];
    const daemon = await PlayedDaemon.start(t, statusIs({ ...STATUS, workers }));
    const { out } = await run(t, daemon.args('status'));
    assert.ok(out.includes([
        'worker 1 is to be replaced: the codex binary has changed',
        '  thread thread-a of client 4 stays: it is ephemeral',
        '  thread thread-b of client 12 is to move',
        '',
        'CLIENT',
    ].join('\n')), out);
});

test('status says first what is wrong', async (t) => {
    const wrong = [
        [{ pool: { ...STATUS.pool, down: 1 } }, /^1 of 2 workers is down: codex does not start/],
        [{ pool: { ...STATUS.pool, down: 2 } }, /^No worker can be had: codex does not start/],
        [{ accepting: false }, /^The daemon is stopping/],
        [{ queue: { length: 5, max: 5, oldestWaitMs: 1 } }, /^The queue is full/],
    ];
    for (const [change, expected] of wrong) {
        const daemon = await PlayedDaemon.start(t, statusIs({ ...STATUS, ...change }));
        assert.match((await run(t, daemon.args('status'))).out, expected);
    }
});

test('status of a daemon that has just started', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs({ version: '1', pid: 1, workers: [], clients: [] }));
    const { code, out } = await run(t, daemon.args('status'));
    assert.equal(code, 0);
    assert.match(out, /no workers yet/);
});

test('status --json is the answer as it came', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs(STATUS));
    const { code, out } = await run(t, daemon.args('status', '--json'));
    assert.equal(code, 0);
    assert.equal(out, `${JSON.stringify(STATUS)}\n`);
});

test('colour is for terminals without NO_COLOR', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs({ ...STATUS, accepting: false }));
    const red = '\u001b[31mThe daemon is stopping';
    assert.ok((await onTerminal(t, daemon.args('status')).end()).out.includes(red));
    const env = { NO_COLOR: '1' };
    assert.ok(!(await onTerminal(t, daemon.args('status'), { env }).end()).out.includes('\u001b'));
    assert.ok(!(await run(t, daemon.args('status'))).out.includes('\u001b'));
});

test('status --watch repeats until Ctrl-C', async (t) => {
    let asked = 0;
    const daemon = await PlayedDaemon.start(t, {
        'pool/status': (peer, m) => peer.result(m, { ...STATUS, uptimeMs: ++asked * 60000 }),
    });
    const process = cli(t, daemon.args('status', '--watch'));
    await process.shows('up 2m 0s');
    process.kill('SIGINT');
    const { code, out } = await process.end();
    assert.equal(code, 0);
    const [first, second] = out.split('\n\ndaemon');
    assert.match(first, /^daemon.*up 1m 0s/);
    assert.match(second, /up 2m 0s/);
    assert.ok(!out.includes('\u001b'));
    assert.equal(daemon.peers.length, 1);
});

test('status --watch draws in place on a terminal', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs(STATUS));
    const terminal = onTerminal(t, daemon.args('status', '--watch'));
    await terminal.shows(/\u001b\[H[^]*thread-a[^]*\u001b\[H[^]*thread-a/);
    terminal.write(CTRL_C);
    const { code, out } = await terminal.end();
    assert.equal(code, 0);
    assert.ok(out.lastIndexOf('\u001b[?7h') > out.lastIndexOf('\u001b[?7l'), 'wrapping is on again');
});

test('status --watch ends with the daemon', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs(STATUS));
    const process = cli(t, daemon.args('status', '--watch'));
    await process.shows('thread-a');
    (await daemon.peer()).socket.destroy();
    const { code, err } = await process.end();
    assert.equal(code, 69);
    assert.match(err, /closed the connection/);
});
