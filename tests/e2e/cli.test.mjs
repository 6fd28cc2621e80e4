// codex-pool's surface: usage, help, where the daemon is, ping.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, shell } from '../lib/cli.mjs';
import { PlayedDaemon, temporary } from '../lib/played-daemon.mjs';
import { until } from '../lib/wait.mjs';

const COMMANDS = [['run', 'x'], ['app-server'], ['status'], ['status', '--json'], ['status', '--watch'], ['top'],
    ['trace'], ['locks'], ['ping'], ['call', 'model/list'], ['call', 'pool/status']];

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
    const names = ['run', 'app-server', 'status', 'top', 'trace', 'locks', 'ping', 'call', 'pause', 'resume', 'drain', 'resize',
        'recycle', 'interrupt', 'cancel', 'kick', 'reload', 'log-level'];
    // Without a codex that would add its own.
    const PATH = await temporary(t);
    for (const command of [[], ...names.map((name) => [name])]) {
        const { code, out, err } = await run(t, [...command, '--help'], { env: { PATH } });
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

test('output that cannot be written is a failure', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        ...PING, 'pool/status': (peer, m) => peer.result(m, {}),
    });
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
