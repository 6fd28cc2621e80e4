// The command line and the configuration: what is accepted, what is refused, and with which words.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { runDaemon, startDaemon, startPool } from '../lib/daemon.mjs';

function tempDir(t) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-config-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    return dir;
}

/** Runs --check-config on a text. */
function check(t, text, args = [], env = {}) {
    const file = join(tempDir(t), 'settings.json');
    writeFileSync(file, text);
    return { file, ...runDaemon(['--config', file, '--check-config', ...args], env) };
}

test('--check-config prints every setting with its default', (t) => {
    const { code, stdout } = check(t, '{}', [], { XDG_RUNTIME_DIR: '/run/user/4' });
    const ids = [...new Set([process.geteuid(), 0])];
    const { version } = JSON.parse(stdout).clientInfo;
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), {
        socket: '/run/user/4/codex-pool/codex-pool.sock', socketMode: '0600',
        poolSize: 2, prewarm: true, minWorkers: 1, idleTimeoutMs: 300000, acquireTimeoutMs: 0,
        maxQueue: 1024, maxWaitersPerUid: 0, maxLeasesPerUid: 0, maxClients: 4096, maxMessageBytes: 67108864,
        openLingerMs: 1000, interruptTimeoutMs: 10000, startTimeoutMs: 30000, drainTimeoutMs: 30000,
        clientStallTimeoutMs: 60000,
        maxParked: 0, maxParkedClients: 64, maxParkedPerUid: 0, maxParkedMs: 3600000, maxParkedBytes: 4194304, maxStreamsPerWorker: 0, maxWorkerRssBytes: 0, maxWorkerAgeMs: 0,
        maxTurnMs: 0, turnStallTimeoutMs: 0, moves: 'auto',
        codex: {
            command: 'codex', args: ['-c', 'thread_unload_delay_secs=0', 'app-server'], env: {}, cwd: null,
        },
        clientInfo: { name: 'codex-pool', title: 'Codex Pool', version },
        allowUids: ids, allowGids: [], adminUids: ids, denyMethods: [],
        log: { level: 'info', format: 'text' },
    });
    assert.equal(runDaemon(['--version']).stdout, `codex-poold ${version}\n`);
});

test('--check-config prints what the file says, and reads what it has printed', (t) => {
    const settings = {
        socket: '/tmp/x.sock', socketMode: '0660', poolSize: 7, prewarm: false, minWorkers: 7,
        idleTimeoutMs: 0, acquireTimeoutMs: 5, maxQueue: 0, maxWaitersPerUid: 1, maxLeasesPerUid: 2,
        maxClients: 1, maxMessageBytes: 1024, openLingerMs: 0, interruptTimeoutMs: 1, startTimeoutMs: 1, drainTimeoutMs: 0,
        clientStallTimeoutMs: 1,
        maxParked: 9, maxParkedClients: 0, maxParkedPerUid: 1, maxParkedMs: 2, maxParkedBytes: 1024, maxStreamsPerWorker: 3, maxWorkerRssBytes: 1099511627776, maxWorkerAgeMs: 4,
        maxTurnMs: 6, turnStallTimeoutMs: 8, moves: 'resume',
        codex: { command: '/c', args: [], env: { A: '', B: 'x=y' }, cwd: '/' },
        clientInfo: { name: 'n', title: 't', version: 'v' }, allowUids: [], allowGids: [1, 4294967294],
        adminUids: [5], denyMethods: ['fs/*', 'account/logout'], log: { level: 'trace', format: 'json' },
    };
    const { stdout } = check(t, JSON.stringify(settings));
    assert.deepEqual(JSON.parse(stdout), settings);
    assert.deepEqual(JSON.parse(check(t, stdout).stdout), settings);
});

test('the command line goes before the file, and CODEX_POOL_SOCKET too', (t) => {
    const text = JSON.stringify({
        socket: '/from/file', poolSize: 3, minWorkers: 3, codex: { command: 'a' }, log: { level: 'warn' },
    });
    const flags = ['--socket', '/from/flag', '--pool-size', '1', '--codex', 'b', '--log-level', 'debug',
        '--log-format', 'json'];
    const env = { CODEX_POOL_SOCKET: '/from/env', XDG_RUNTIME_DIR: '/r' };
    const flagged = JSON.parse(check(t, text, flags, env).stdout);
    assert.deepEqual([flagged.socket, flagged.poolSize, flagged.codex.command, flagged.log],
        ['/from/flag', 1, 'b', { level: 'debug', format: 'json' }]);
    assert.equal(JSON.parse(check(t, text, [], env).stdout).socket, '/from/env');
    assert.equal(JSON.parse(check(t, text, [], { XDG_RUNTIME_DIR: '/r' }).stdout).socket, '/from/file');
    assert.equal(JSON.parse(check(t, '{}').stdout).socket, '/run/codex-pool/codex-pool.sock');
});

test('the file is found below XDG_CONFIG_HOME', (t) => {
    const dir = tempDir(t);
    mkdirSync(join(dir, 'codex-pool'));
    writeFileSync(join(dir, 'codex-pool/config.json'), '{"poolSize":5}');
    assert.equal(JSON.parse(runDaemon(['--check-config'], { XDG_CONFIG_HOME: dir }).stdout).poolSize, 5);
});

const wrong = {
    'an unknown key': ['{"poolsize":2}', /poolsize: unknown key/],
    'an unknown key of codex': ['{"codex":{"cmd":"x"}}', /codex\.cmd: unknown key/],
    'an unknown key of clientInfo': ['{"clientInfo":{"nam":"x"}}', /clientInfo\.nam: unknown key/],
    'an unknown key of log': ['{"log":{"lvl":1}}', /log\.lvl: unknown key/],
    'a number in a string': ['{"poolSize":"2"}', /poolSize: must be a whole number from 1 to 256/],
    'a fraction': ['{"maxQueue":1.5}', /maxQueue: must be a whole number/],
    'too small a number': ['{"poolSize":0}', /poolSize: must be .* from 1 to 256/],
    'too big a number': ['{"poolSize":257}', /poolSize: must be .* from 1 to 256/],
    'a negative number': ['{"acquireTimeoutMs":-1}', /acquireTimeoutMs: must be/],
    'more than any number': ['{"maxTurnMs":1e400}', /maxTurnMs: must be/],
    'more minWorkers than poolSize': ['{"poolSize":2,"minWorkers":3}',
        /minWorkers: 3 is more than poolSize, 2/],
    'a mode as a number': ['{"socketMode":600}', /socketMode: must be an octal mode/],
    'a mode without the owner': ['{"socketMode":"0066"}', /socketMode: must be/],
    'a mode that is not octal': ['{"socketMode":"0680"}', /socketMode: must be/],
    'no truth value': ['{"prewarm":1}', /prewarm: must be true or false/],
    'an empty string': ['{"socket":""}', /socket: must be a string that is not empty/],
    'a list that is none': ['{"denyMethods":"fs/*"}', /denyMethods: must be an array of strings/],
    'a list of something else': ['{"codex":{"args":["-c",1]}}', /codex\.args: must be an array of strings/],
    'a name for an id': ['{"allowUids":["root"]}', /allowUids: must be an array of numeric ids/],
    'an id that is none': ['{"adminUids":[-1]}', /adminUids: must be an array of numeric ids/],
    'a variable that is no string': ['{"codex":{"env":{"A":1}}}', /codex\.env\.A: must be a string/],
    'a variable with a strange name': ['{"codex":{"env":{"A=B":"c"}}}', /codex\.env\.A=B: must be/],
    'codex as a string': ['{"codex":"codex"}', /codex: must be an object/],
    'a level that is none': ['{"log":{"level":"loud"}}',
        /log\.level: must be error, warn, info, debug or trace/],
    'a format that is none': ['{"log":{"format":"xml"}}', /log\.format: must be text or json/],
    'a key that is there twice': ['{"poolSize":1,"poolSize":2}', /poolSize: is there twice/],
    'a key of codex twice': ['{"codex":{"cwd":"/","cwd":null}}', /codex\.cwd: is there twice/],
    'a variable twice': ['{"codex":{"env":{"A":"1","A":"2"}}}', /codex\.env\.A: is there twice/],
    'a key of log twice': ['{"log":{"level":"info","level":"warn"}}', /log\.level: is there twice/],
    'a key of clientInfo twice': ['{"clientInfo":{"name":"a","name":"b"}}',
        /clientInfo\.name: is there twice/],
    'no object': ['[]', /must hold one JSON object/],
    'no JSON': ['{\n  "poolSize": 2,\n  prewarm: true\n}', /line 3: not JSON/],
    'something after the object': ['{}\n\n{}', /line 3: not JSON/],
    'an empty file': ['', /line 1: not JSON/],
    'a socket with too long a path': [JSON.stringify({ socket: `/${'x'.repeat(107)}` }),
        /socket: \/x+ is longer than/],
};

for (const [name, [text, expected]] of Object.entries(wrong)) {
    test(`--check-config names file and key: ${name}`, (t) => {
        const { file, code, stdout, stderr } = check(t, text);
        assert.equal(code, 78);
        assert.equal(stdout, '');
        assert.ok(stderr.startsWith(`codex-poold: ${file}: `), stderr);
        assert.match(stderr, expected);
        assert.equal(stderr.trimEnd().split('\n').length, 1);
    });
}

test('the longest path that a socket may have is accepted', (t) => {
    assert.equal(check(t, JSON.stringify({ socket: `/${'x'.repeat(106)}` })).code, 0);
});

test('a file that cannot be read is named with the reason', (t) => {
    const dir = tempDir(t);
    const missing = runDaemon(['--config', join(dir, 'none.json'), '--check-config']);
    assert.equal(missing.code, 78);
    assert.match(missing.stderr, /none\.json: No such file or directory/);
    assert.match(runDaemon(['--config', dir, '--check-config']).stderr, /Is a directory/);
    const huge = check(t, `{"socket":"${'x'.repeat(1 << 20)}"}`);
    assert.equal(huge.code, 78);
    assert.match(huge.stderr, /File too large/);
});

test('wrong settings stop the daemon before it listens', (t) => {
    const socket = join(tempDir(t), 's');
    const file = join(tempDir(t), 'c.json');
    writeFileSync(file, '{"poolSize":true}');
    const { code, stderr } = runDaemon(['--config', file, '--socket', socket]);
    assert.equal(code, 78);
    assert.match(stderr, /poolSize/);
});

test('--help and --version print and exit 0', () => {
    const help = runDaemon(['--help']);
    assert.equal(help.code, 0);
    for (const option of ['--config', '--socket', '--pool-size', '--codex', '--log-level', '--log-format',
        '--check-config', '--version', '--help'])
        assert.ok(help.stdout.includes(option), option);
    assert.ok(help.stdout.split('\n').length <= 25, 'fits a screen');
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 80, line);
    assert.match(runDaemon(['--version']).stdout, /^codex-poold \d+\.\d+\.\d+\n$/);
});

test('a wrong command line exits 64 and says what is wrong', () => {
    for (const [args, expected] of [
        [['--frobnicate'], /frobnicate/],
        [['extra'], /unexpected argument: extra/],
        [['--check-config', '--', 'extra'], /unexpected argument: extra/],
        [['--pool-size', '0'], /--pool-size must be a whole number from 1 to 256: 0/],
        [['--pool-size', '257'], /--pool-size/],
        [['--pool-size', '2x'], /--pool-size/],
        [['--pool-size', ''], /--pool-size/],
        [['--pool-size'], /requires an argument/],
        [['--codex', ''], /--codex must not be empty/],
        [['--log-level', 'loud'], /--log-level must be/],
        [['--log-format', 'xml'], /--log-format must be/],
    ]) {
        const { code, stdout, stderr } = runDaemon(args);
        assert.equal(code, 64, args.join(' '));
        assert.match(stderr, expected);
        assert.equal(stdout, '');
    }
});

test('SIGHUP with a bad file changes nothing and says why', async (t) => {
    const [daemon] = await startPool(t);
    daemon.writeConfig({ poolSize: 3, maxQueue: -1 });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/not reloaded, nothing is changed: .*config\.json: maxQueue: must be/);
    const status = await daemon.status();
    assert.equal(status.pool.size, 1);
    assert.equal(status.queue.max, 1024);
});

test('SIGHUP with more maxClients lets those in who wait', async (t) => {
    const daemon = await startDaemon(t, { config: { maxClients: 2, prewarm: false } });
    const clients = [await PoolClient.connect(daemon.socket), await PoolClient.connect(daemon.socket)];
    for (const each of clients) await each.request('pool/ping');
    const waiting = await PoolClient.connect(daemon.socket);
    const answer = waiting.request('pool/ping');
    daemon.writeConfig({ maxClients: 3 });
    daemon.signal('SIGHUP');
    assert.equal((await answer).pid, daemon.pid);
    for (const each of [...clients, waiting]) await each.close();
});
