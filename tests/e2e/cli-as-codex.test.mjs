// codex-pool in the place of codex: what the pool serves, what the real codex gets, and what becomes of `-c`.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CODEX_POOL, Process, run } from '../lib/cli.mjs';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon } from '../lib/daemon.mjs';
import { PlayedDaemon, temporary } from '../lib/played-daemon.mjs';
import { FakeCodexHost } from '../lib/script.mjs';
import { Mailbox } from '../lib/wait.mjs';

function script(file, text) {
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
}

/** A PATH on which codex is first a link to codex-pool, then a real one that says how it was called. */
async function places(t, real = 'echo "real: $0 $*"') {
    const dir = await temporary(t);
    for (const name of ['link', 'real']) mkdirSync(join(dir, name));
    symlinkSync(CODEX_POOL, join(dir, 'link/codex'));
    if (real) script(join(dir, 'real/codex'), real);
    return { dir, codex: join(dir, 'link/codex'), PATH: `${join(dir, 'link')}:${join(dir, 'real')}:${process.env.PATH}` };
}

/** `app-server` in other words than those that the pool serves. */
const OTHER_SERVERS = [
    ['app-server', 'generate-ts', '--out', 'x'], ['app-server', 'generate-json-schema', '--help'], ['app-server', 'help'],
    ['app-server', 'proxy', '--sock', '/s'], ['app-server', 'daemon', 'start'], ['app-server', 'of-tomorrow'],
    ['app-server', '-c', 'a=1', 'proxy'], ['-c', 'a=1', 'app-server', 'proxy'], ['app-server', '--strict-config', 'daemon', 'stop'],
    ['app-server', '--flag-of-tomorrow', 'x', 'y'], ['app-server', '--flag-of-tomorrow=x', 'y'],
    ['app-server', '--listen', 'ws://127.0.0.1:1', '--ws-auth', 'capability-token'], ['app-server', '--listen', 'unix://'],
    ['app-server', '--listen=unix:///s'], ['app-server', '--listen=off'], ['app-server', '--listen'],
    ['app-server', '--print-startup-config'], ['app-server', '--version'], ['app-server', '-V'], ['app-server', '-c', 'a=1', '-h'],
];

test('as codex: all but the server goes to the real one', async (t) => {
    const { dir, codex, PATH } = await places(t);
    for (const args of [
        ['exec', '--json', 'a b'], ['login', 'status'], [], ['--version'], ['run'], ['status'],
        ['-c', 'model="x"', 'exec', '-'], ['-m', 'app-server', 'hello'],
        ['app-server', '--help'], ...OTHER_SERVERS,
    ]) {
        const { code, out, err } = await new Process(t, codex, args, { env: { PATH } }).end();
        assert.deepEqual({ code, out, err }, { code: 0, out: `real: ${dir}/real/codex ${args.join(' ')}\n`, err: '' });
    }
});

test('as codex-pool: its own commands are its own, those of codex alone go to the real one', async (t) => {
    const { dir, PATH } = await places(t);
    for (const args of [['exec', 'x'], ['login'], ['mcp', 'list'], ['-c', 'a=1', 'exec', 'x'], ['--enable', 'f', 'review']]) {
        const { code, out } = await run(t, args, { env: { PATH } });
        assert.deepEqual({ code, out }, { code: 0, out: `real: ${dir}/real/codex ${args.join(' ')}\n` });
    }
    assert.match((await run(t, ['--version'], { env: { PATH } })).out, /^codex-pool \d/);
    const { code, err } = await run(t, ['exce', 'x'], { env: { PATH } });
    assert.equal(code, 64);
    assert.match(err, /unknown command 'exce'/);
});

test('as codex-pool: only the server on standard input and output is the pool\'s', async (t) => {
    const { dir, PATH } = await places(t);
    for (const args of OTHER_SERVERS) {
        const { code, out, err } = await run(t, ['--socket', '/nowhere', ...args], { env: { PATH } });
        assert.deepEqual({ code, out, err }, { code: 0, out: `real: ${dir}/real/codex ${args.join(' ')}\n`, err: '' });
    }
    for (const flags of [
        [], ['--listen', 'stdio://'], ['--listen=stdio://'], ['--stdio'], ['--strict-config', '--analytics-default-enabled'],
        ['--flag-of-tomorrow', 'x'], ['--flag-of-tomorrow', '--listen=stdio://'], ['--ws-auth', 'signed-bearer-token'],
        ['--code-mode-host', 'proxy'], ['--profile', 'help'],
    ]) {
        const { code, out, err } = await run(t, ['--socket', '/nowhere', 'app-server', ...flags], { env: { PATH } });
        assert.deepEqual({ flags, code, out }, { flags, code: 69, out: '' });
        assert.match(err, /no daemon at \/nowhere/);
    }
    const alone = await run(t, ['app-server', 'generate-ts'], { env: { PATH: dir } });
    assert.equal(alone.code, 69);
    assert.match(alone.err, /there is no other codex in PATH/);
});

test('as codex-pool: the help of app-server is its own, and then that of the real one', async (t) => {
    const { dir, PATH } = await places(t);
    for (const flag of ['--help', '-h']) {
        const { code, out } = await run(t, ['app-server', flag], { env: { PATH } });
        assert.equal(code, 0);
        assert.match(out, /^usage: codex-pool .*app-server[^]*\nexit: 0 [^]*\nAnd what codex itself has:\n\nreal: /);
        assert.ok(out.endsWith(`real: ${dir}/real/codex app-server ${flag}\n`));
        const alone = await run(t, ['app-server', flag], { env: { PATH: dir } });
        assert.deepEqual(alone, { code: 0, signal: null, out: out.slice(0, out.indexOf('\nAnd what')), err: '' });
    }
});

test('the link of the README', async (t) => {
    const { dir, PATH } = await places(t);
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const [, commands] = readme.match(/```sh\n(mkdir [^]*?)```/);
    symlinkSync(CODEX_POOL, join(dir, 'real/codex-pool'));
    const env = { HOME: dir, PATH: PATH.slice(PATH.indexOf(':') + 1) };
    const { code, out, err } = await new Process(t, 'sh', ['-ec', commands], { env }).end();
    assert.deepEqual({ code, out, err }, { code: 0, out: `real: ${dir}/real/codex --version\n`, err: '' });
});

test('the real one\'s exit is the exit', async (t) => {
    const { codex, PATH } = await places(t, 'exit 7');
    assert.equal((await new Process(t, codex, ['exec'], { env: { PATH } }).end()).code, 7);
});

test('no other codex, or one that leads back', async (t) => {
    const { codex, dir } = await places(t, null);
    const alone = await new Process(t, codex, ['exec'], { env: { PATH: `${dir}/link:${dir}/real` } }).end();
    assert.equal(alone.code, 69);
    assert.match(alone.err, /there is no other codex in PATH/);
    script(join(dir, 'real/codex'), `exec ${codex} "$@"`);
    const round = await new Process(t, codex, ['exec'], { env: { PATH: `${dir}/link:${dir}/real` } }).end();
    assert.equal(round.code, 69);
    assert.match(round.err, /leads back to codex-pool/);
});

/** A server for lines by codex's name: { send, received }, what the daemon gets of each line. */
async function serve(t, args) {
    const { codex, PATH } = await places(t);
    const daemon = await PlayedDaemon.start(t, null);
    const process = new Process(t, codex, args, { env: { PATH, CODEX_POOL_SOCKET: daemon.socket } });
    const { socket } = await daemon.peer();
    const lines = new Mailbox('daemon');
    let rest = '';
    socket.setEncoding('utf8').on('data', (text) => {
        const parts = (rest + text).split('\n');
        rest = parts.pop();
        parts.forEach((line) => lines.put(line));
    }).on('end', () => socket.end());
    const through = async (line) => {
        process.write(`${line}\n`);
        return lines.take(() => true, line);
    };
    return { process, socket, through };
}

test('-c goes along as the config of threads, and what the client says itself counts', async (t) => {
    const { process, through } = await serve(t, [
        '-c', 'model="x y"', 'app-server', '--listen', 'stdio://', '-c', 'model_reasoning_effort=high', '--config=deep.n=3',
        '-cdeep.on=true', '--enable', 'web', '--disable=shell', '-c', 'list=["a", 1]', '-c', "quoted='\"'", '-c', 'model=last',
        '-c', 'table={a = 1}', '-c', 'nothing', '--analytics-default-enabled',
    ]);
    const all = {
        'model_reasoning_effort': 'high', 'deep.n': 3, 'deep.on': true, 'features.web': true, 'features.shell': false,
        'list': ['a', 1], 'quoted': '"', 'model': 'last',
    };
    const config = async (line) => JSON.parse(await through(line)).params.config;
    for (const method of ['thread/start', 'thread/resume', 'thread/fork']) {
        assert.deepEqual(await config(`{"id":1,"method":"${method}","params":{}}`), all);
        assert.deepEqual(await config(`{"id":1,"method":"${method}","params":{"threadId":"t"}}`), all);
        assert.deepEqual(await config(`{"params":{"config":null,"cwd":"/"},"method":"${method}","id":1}`), all);
        assert.deepEqual(await config(`{"params":{"config": { } },"method":"${method}","id":1}`), all);
        assert.deepEqual(await config(`{"params":{"config":{"model":"mine","deep":{"n":4}}},"id":1,"method":"${method}"}`),
            { ...all, model: 'mine', deep: { n: 4 } });
    }
    const big = '{"id":1,"method":"thread/start","params":{"config":{"z":12345678901234567890}, "x":1.0}}';
    assert.ok((await through(big)).includes('"z":12345678901234567890}, "x":1.0}}'), 'its own bytes stay as they are');
    for (const line of [
        '{"id":1,"method":"turn/start","params":{"threadId":"t"}}', '{"method":"thread/start","params":{}}',
        '{"id":1,"method":"thread/start"}', '{"id":1,"result":{"method":"thread/start","params":{}}}', 'no JSON', ' {"id":1} ',
    ]) assert.equal(await through(line), line);
    process.child.stdin.end();
    const { code, err } = await process.end();
    assert.equal(code, 0);
    assert.match(err, /-c model="x y": workers are shared; it goes along as config of each thread that is opened here\n/);
    assert.match(err, /-c table=\{a = 1\}: workers are shared; a value of this form is left out\n/);
    assert.match(err, /-c nothing: workers are shared; not KEY=VALUE, left out\n/);
});

test('a config of the client\'s own that has it all is not touched', async (t) => {
    const { through } = await serve(t, ['app-server', '-c', 'a=1']);
    const line = '{"id":1,"method":"thread/start","params":{"config":{"a": 2}}}';
    assert.equal(await through(line), line);
});

test('with overrides too, much goes through, and the last line without an end', async (t) => {
    const { process, socket, through } = await serve(t, ['app-server', '-c', 'a=1']);
    const line = JSON.stringify({ id: 1, method: 'x', params: { text: 'x'.repeat(3000000) } });
    for (let i = 0; i < 5; i++) assert.equal((await through(line)).length, line.length);
    let rest = '';
    socket.on('data', (text) => { rest += text; });
    process.child.stdin.end('{"method":"last"}');
    assert.equal((await process.end()).code, 0);
    assert.match(rest, /^\{"method":"last"\}\n?$/);
});

for (const [what, command] of [['the link', (places) => places.codex], ['codex-pool', () => CODEX_POOL]]) {
    test(`a daemon whose codex is ${what} gets a worker, not itself`, async (t) => {
        const fake = await FakeCodexHost.start();
        t.after(() => fake.stop());
        const there = await places(t, `exec ${fake.command} "$@"`);
        const linked = Object.assign(Object.create(fake), { env: { ...fake.env, PATH: there.PATH }, command: command(there) });
        const daemon = await startDaemon(t, { fake: linked, config: { poolSize: 1 } });
        await daemon.untilStatus((s) => s.pool.ready === 1, 'the worker is ready');
        const client = await PoolClient.open(daemon);
        assert.ok(await client.startThread());
        await client.close();
    });
}
