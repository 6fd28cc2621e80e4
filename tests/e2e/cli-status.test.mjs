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
            lastEvent: { method: 'item/agentMessage/delta', agoMs: 20 }, unansweredAsks: 0,
            rssBytes: 138000000, processes: 2, ageMs: 90000000,
        },
        {
            id: 2, pid: null, state: 'down', client: null, threads: 0, streams: 0, restarts: 7, version: null,
            turn: null, rssBytes: 0, processes: 0, ageMs: 0, lastError: 'exit code 1: no login\u001b[2J',
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
        '2 workers: 1 busy, 1 down; 1 waiting, longest 1.5 s',
        '',
        'daemon   codex-poold 1.2.3, pid 77, up 1h 2m; codex 0.169.0 (codex)',
        'pool     2 workers at most: 1 ready, 1 busy, 0 starting, 0 down',
        'queue    1 of 1024 waiting, the oldest for 1.5 s',
        'waits    4 so far: p50 1 ms, p95 1.2 s, p99 3.0 s, max 3.1 s',
        '',
        'WORKER  STATE  CLIENT   TURN  SILENT  LAST EVENT               THREADS  STREAMS  RESTARTS  MEMORY  PROCESSES    AGE  PID  THREAD',
        '     1  busy        4  1m 1s   20 ms  item/agentMessage/delta        3       10         0  138 MB          2  1d 1h  101  thread-a',
        '     2  down        -      -       -  -                              0        0         7    0 kB          0   0 ms    -  -',
        'worker 2 is down: exit code 1: no login\\x1b[2J',
        '',
        'CLIENT  NAME                WORKERS  WAITING   PID   UID  CONNECTED',
        '     4  chat \\x1b[2Jserver  1, 2           2   999     0      5.0 s',
        '    12  -                   -              0  1000  1000      12 ms',
        '',
    ].join('\n'));
});

test('status shows who waits for what, and why a thread does not move', async (t) => {
    const waiter = { client: 4, id: 7, method: 'turn/start', threadId: 'thread-b', waitedMs: 1500, worker: 1, stays: 'it is ephemeral', why: 'worker 1 is busy and has it' };
    const waiters = Array.from({ length: 25 }, (_, i) => ({
        ...waiter, position: i + 1, ...(i > 0 && { threadId: null, method: 'thread/start', worker: null, stays: null, client: 12, why: undefined }),
    }));
    const daemon = await PlayedDaemon.start(t, statusIs({
        ...STATUS, queue: { ...STATUS.queue, length: 30 }, waiters, moveMs: { count: 2, p50: 20, p95: 30, p99: 30, max: 30 },
    }));
    const { out } = await run(t, daemon.args('status'));
    assert.match(out, /^moves    2 so far: p50 20 ms, p95 30 ms, p99 30 ms, max 30 ms$/m);
    const lines = out.split('\n');
    const at = lines.findIndex((line) => line.startsWith('PLACE'));
    assert.deepEqual(lines.slice(at, at + 3), [
        'PLACE  CLIENT  NAME                REQUEST       WAITED  FOR         THREAD    WHY IT WAITS',
        '    1       4  chat \\x1b[2Jserver  turn/start     1.5 s  worker 1    thread-b  worker 1 is busy and has it',
        '    2      12  -                   thread/start   1.5 s  any worker  -         -',
    ]);
    assert.match(lines[at + 20], /^ +20 /);
    assert.equal(lines[at + 21], 'and 10 more');
});

test('status shows who has left and may come back', async (t) => {
    const parked = [
        { client: 4, uid: 0, name: 'chat', parkedMs: 61000, leftMs: 5000, workers: [1, 2], threadIds: ['thread-a', 'b', 'c'], why: 'waits for an answer to x' },
        { client: 12, uid: 1000, parkedMs: 10, leftMs: 0, workers: [], threadIds: [], why: 'nothing is left' },
    ];
    const daemon = await PlayedDaemon.start(t, statusIs({ ...STATUS, parked, pool: { ...STATUS.pool, parked: 1 } }));
    const { out } = await run(t, daemon.args('status'));
    assert.match(out, /^pool     2 workers at most: .*\n {9}1 of the busy ones is parked and does not count\n/m);
    const lines = out.split('\n');
    const at = lines.findIndex((line) => line.startsWith('PARKED'));
    assert.deepEqual(lines.slice(at), [
        'PARKED     NAME   UID  SINCE   LEFT  WORKERS  THREAD               WHY',
        'client 4   chat     0  1m 1s  5.0 s  1, 2     thread-a and 2 more  waits for an answer to x',
        'client 12  -     1000  10 ms   0 ms  -        -                    nothing is left',
        '',
    ]);
});

test('status shows what keeps a worker from being replaced', async (t) => {
    const replace = {
        reason: 'the codex binary has changed',
        threads: [
            { threadId: 'thread-a', client: 4, stays: 'it is ephemeral' },
            { threadId: 'thread-b', client: 12, stays: null },
        ],
    };
    const workers = [{ ...STATUS.workers[0], replace }, { ...STATUS.workers[1], lastError: undefined, replace: null }];
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

test('status says first how things are, then what is wrong', async (t) => {
    const states = (...all) => all.map((state, i) => ({ ...STATUS.workers[0], id: i + 1, state }));
    const busy = { pool: { ...STATUS.pool, down: 0 }, workers: states('busy', 'idle', 'busy') };
    const wrong = [
        [busy, /^3 workers: 2 busy, 1 idle; 1 waiting, longest 1\.5 s\n\n/],
        [{ ...busy, queue: { length: 0 } }, /^3 workers: 2 busy, 1 idle; nobody waits\n\n/],
        [{ ...busy, admission: 'paused' }, /^paused; 3 workers: /],
        [{ workers: states('aborting', 'starting', 'stopping'), queue: {} },
            /^3 workers: 1 being cleaned up, 1 starting, 1 stopping; nobody waits\n/],
        [{ workers: states('idle') }, /^1 worker: 1 idle;/],
        [{ pool: { ...STATUS.pool, down: 1 } }, /^2 workers: .*\n1 of 2 workers is down: codex does not start/],
        [{ pool: { ...STATUS.pool, down: 2 } }, /^2 workers: .*\nNo worker can be had: codex does not start/],
        [{ accepting: false }, /^stopping; 2 workers: .*\nThe daemon is stopping/],
        [{ queue: { length: 5, max: 5, oldestWaitMs: 1 } }, /^2 workers: .*\nThe queue is full/],
    ];
    for (const [change, expected] of wrong) {
        const daemon = await PlayedDaemon.start(t, statusIs({ ...STATUS, ...change }));
        assert.match((await run(t, daemon.args('status'))).out, expected);
    }
});

test('status says that Codex waits for an answer of its client', async (t) => {
    const workers = [{ ...STATUS.workers[0], unansweredAsks: 1 }];
    const daemon = await PlayedDaemon.start(t, statusIs({ ...STATUS, workers }));
    assert.match((await run(t, daemon.args('status'))).out, /20 ms  waits for an answer  /);
});

test('status of a daemon that has just started', async (t) => {
    const daemon = await PlayedDaemon.start(t, statusIs({ version: '1', pid: 1, workers: [], clients: [] }));
    const { code, out } = await run(t, daemon.args('status'));
    assert.equal(code, 0);
    assert.match(out, /^no workers; nobody waits\n[^]*no workers yet/);
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
    const [first, second] = out.split('\n\n2 workers');
    assert.match(first, /^2 workers[^]*up 1m 0s/);
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
