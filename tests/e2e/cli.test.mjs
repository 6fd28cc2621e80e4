// codex-pool's surface: usage, help, where the daemon is, and the commands that ask it one thing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, onTerminal, run, shell, CTRL_C } from '../lib/cli.mjs';
import { PlayedDaemon, temporary } from '../lib/played-daemon.mjs';
import { until } from '../lib/wait.mjs';

const COMMANDS = [['run', 'x'], ['app-server'], ['status'], ['status', '--json'], ['status', '--watch'],
    ['ping'], ['call', 'model/list'], ['call', 'pool/status']];

test('where no daemon is, every command exits 69 and says what to do', async (t) => {
    const socket = join(await temporary(t), 'nobody');
    for (const command of COMMANDS) {
        const { code, out, err } = await run(t, ['--socket', socket, ...command]);
        assert.equal(code, 69, command.join(' '));
        assert.equal(out, '');
        assert.match(err, new RegExp(`no daemon at ${socket}`));
        assert.match(err, /systemctl --user start codex-pool\.socket/);
        assert.match(err, /codex-poold/);
    }
});

test('a socket file that nobody listens on is no daemon', async (t) => {
    const path = join(await temporary(t), 'stale');
    const die = '() => process.kill(process.pid, 9)';
    const listenAndDie = `require('net').createServer().listen(process.argv[1], ${die})`;
    await once(spawn(process.execPath, ['-e', listenAndDie, path]), 'close');
    const { code, err } = await run(t, ['--socket', path, 'ping']);
    assert.equal(code, 69);
    assert.match(err, /Connection refused/);
});

test('wrong usage exits 64, names the thing and shows the right form', async (t) => {
    const wrong = [
        [[], /a command is missing/],
        [['--nonsense'], /unknown option '--nonsense'/],
        [['rum'], /unknown command 'rum'/],
        [['--socket'], /--socket/],
        [['--socket=', 'ping'], /--socket/],
        [['run'], /PROMPT is missing/],
        [['run', ''], /the prompt is empty/],
        [['run', 'a', 'b'], /unexpected argument 'b'/],
        [['run', '--nonsense', 'x'], /unknown option '--nonsense'/],
        [['run', '--thread'], /'--thread' needs a value/],
        [['run', '--thread=', 'x'], /value of '--thread' is empty/],
        [['run', '--thread', 'a"b', 'x'], /'a"b' is no thread's id/],
        [['run', '--json=1', 'x'], /'--json' takes no value/],
        [['run', '--approve', 'maybe', 'x'], /never, ask or always, not 'maybe'/],
        [['run', '--cwd', '/no/such/dir', 'x'], /\/no\/such\/dir: No such file/],
        [['run', '--cwd', '/etc/passwd', 'x'], /\/etc\/passwd: Not a directory/],
        [['status', 'now'], /unexpected argument 'now'/],
        [['status', '--yaml'], /unknown option '--yaml'/],
        [['ping', '-v'], /unknown option '-v'/],
        [['call'], /METHOD is missing/],
        [['call', ''], /METHOD is empty/],
        [['call', 'm', '{'], /PARAMS-JSON is not JSON: \{/],
        [['call', 'm', '{}', 'x'], /unexpected argument 'x'/],
        [['--socket', `/${'x'.repeat(200)}`, 'ping'], /longer than 107 bytes/],
    ];
    for (const [args, expected] of wrong) {
        const { code, out, err } = await run(t, args);
        assert.equal(code, 64, JSON.stringify(args));
        assert.equal(out, '');
        assert.match(err, expected);
        if (!String(expected).includes('107')) assert.match(err, /\nusage: codex-pool /);
    }
});

test('a prompt that is no UTF-8 is wrong usage', async (t) => {
    const { code, err } = await run(t, ['run', '-'], { input: Buffer.from([0x61, 0xff]) });
    assert.equal(code, 64);
    assert.match(err, /not UTF-8/);
});

test('help is complete and fits a screen', async (t) => {
    const names = ['run', 'app-server', 'status', 'ping', 'call'];
    for (const command of [[], ...names.map((name) => [name])]) {
        const { code, out, err } = await run(t, [...command, '--help']);
        const lines = out.trimEnd().split('\n');
        assert.equal(code, 0);
        assert.equal(err, '');
        assert.ok(lines.length <= 24, `${command}: ${lines.length} lines`);
        lines.forEach((line) => assert.ok(line.length <= 80, line));
        assert.match(out, /^usage: codex-pool /);
        assert.match(out, /\nexit: 0 /);
    }
    const { out } = await run(t, ['--help']);
    for (const word of [...names, '--socket', 'CODEX_POOL_SOCKET', 'XDG_RUNTIME_DIR', '--version',
        '64', '69', '75', '130'])
        assert.ok(out.includes(word), word);
    const help = (await run(t, ['run', '--help'])).out;
    for (const word of ['--thread ID', '--cwd DIR', '--json', '--approve never|ask|always', 'PROMPT|-'])
        assert.ok(help.includes(word), word);
});

test('the version', async (t) => {
    const { code, out } = await run(t, ['--version']);
    assert.equal(code, 0);
    assert.match(out, /^codex-pool \d+\.\d+\.\d+\n$/);
});

const PING = { 'pool/ping': (peer, m) => peer.result(m, { version: '1.2.3', pid: 77, uptimeMs: 3723000 }) };

test('the daemon is found by variable, configuration and runtime directory', async (t) => {
    const daemon = await PlayedDaemon.start(t, PING);
    assert.equal((await run(t, ['ping'], { env: { CODEX_POOL_SOCKET: daemon.socket } })).code, 0);

    const config = join(daemon.directory, 'codex-pool');
    await mkdir(config);
    await writeFile(join(config, 'config.json'), JSON.stringify({ socket: daemon.socket }));
    assert.equal((await run(t, ['ping'], { env: { XDG_CONFIG_HOME: daemon.directory } })).code, 0);

    const empty = await temporary(t);
    const missed = await run(t, ['ping'], { env: { XDG_CONFIG_HOME: empty, XDG_RUNTIME_DIR: empty } });
    assert.equal(missed.code, 69);
    assert.ok(missed.err.includes(join(empty, 'codex-pool/codex-pool.sock')));
});

test('ping prints version, pid, uptime and how long it took', async (t) => {
    const daemon = await PlayedDaemon.start(t, PING);
    const { code, out, err } = await run(t, daemon.args('ping'));
    assert.equal(code, 0);
    assert.match(out, /^codex-poold 1\.2\.3, pid 77, up 1h 2m, answered in \d+\.\d\d ms\n$/);
    assert.equal(err, '');
    assert.deepEqual((await daemon.peer()).received.map((m) => m.method), ['pool/ping']);
});

test('a daemon that does not answer is told from none', { timeout: 60000 }, async (t) => {
    const daemon = await PlayedDaemon.start(t);
    const { code, err } = await run(t, daemon.args('ping'));
    assert.equal(code, 69);
    assert.match(err, /does not answer/);
});

// --- call

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

// --- status

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

test('output that cannot be written is a failure', async (t) => {
    const daemon = await PlayedDaemon.start(t, { ...statusIs(STATUS), ...PING });
    for (const command of ['ping', 'status', 'call pool/ping', '--help']) {
        const { code, err } = await shell(t, `"$CODEX_POOL" --socket "$S" ${command} >/dev/full`,
            { env: { S: daemon.socket } }).end();
        assert.equal(code, 1, command);
        assert.match(err, /No space left/);
    }
});

test('closed standard descriptors confuse nobody', async (t) => {
    const daemon = await PlayedDaemon.start(t, PING);
    const file = join(daemon.directory, 'err');
    const script = `"$CODEX_POOL" --socket "$S" call pool/ping <&- >&- 2>&-; echo $? >"$F"`;
    await shell(t, script, { env: { S: daemon.socket, F: file } }).end();
    assert.equal(await readFile(file, 'utf8'), '0\n');
    const peer = await daemon.peer();
    await until(() => peer.received.length === 1, 'the request came');
    assert.equal(peer.received[0].method, 'pool/ping');
});
