// Who may do what, by the credentials of the peer; where the socket may be; what a worker gets; what a log must not have.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import {
    chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { cleanEnv, pool, runDaemon, startDaemon, startPool } from '../lib/daemon.mjs';
import { runTurn, settled } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

const me = process.geteuid();
const SOMEBODY = 65534;
const STRANGER = 65533;
const canBeOthers = me === 0 && spawnSync('setpriv', ['--version']).status === 0;

/** The command that runs codex-pool as another user: [setpriv, ...arguments]. */
function as(daemon, uid, args, { gid = uid, groups } = {}) {
    return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, groups ? `--groups=${groups}` : '--clear-groups',
        daemon.copy, '--socket', daemon.socket, ...args];
}

/** { code, out, err } of `codex-pool call` as another user. */
function call(daemon, uid, method, options) {
    const [command, ...args] = as(daemon, uid, ['call', method, '{}'], options);
    return new Promise((resolve) => execFile(command, args, { env: cleanEnv(), timeout: 60000 }, (error, out, err) =>
        resolve({ code: error ? error.code : 0, out, err })));
}

/** A client that is another user: codex-pool app-server, spoken to through its pipes. */
async function clientAs(t, daemon, uid) {
    const [command, ...args] = as(daemon, uid, ['app-server']);
    const child = spawn(command, args, { env: cleanEnv(), stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const client = new PoolClient(Duplex.from({ readable: child.stdout, writable: child.stdin }), `uid ${uid}`);
    await client.initialize();
    return client;
}

/** A pool whose socket other users reach, with a codex-pool that they may run. */
async function openPool(t, size, config) {
    const [daemon, ...workers] = await startPool(t, size, { config: { socketMode: '0666', ...config } });
    for (const dir of [daemon.dir, join(daemon.dir, 'run')]) chmodSync(dir, 0o711);
    daemon.copy = join(daemon.dir, 'codex-pool');
    copyFileSync(pool, daemon.copy);
    chmodSync(daemon.copy, 0o755);
    return [daemon, ...workers];
}

test('who connects is known by its credentials: allowUids, allowGids by main and other groups', async (t) => {
    if (!canBeOthers) return t.skip('only root can become another user');
    const [daemon] = await openPool(t, 1, { allowUids: [me, SOMEBODY], allowGids: [4242] });
    assert.equal((await call(daemon, SOMEBODY, 'pool/ping')).code, 0);
    const refused = await call(daemon, STRANGER, 'pool/ping', { gid: 4241, groups: '4243,4244' });
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /not in allowUids or allowGids/);
    assert.match(daemon.log, new RegExp(`refused uid ${STRANGER} `));
    assert.equal((await call(daemon, STRANGER, 'pool/ping', { gid: 4242 })).code, 0);
    assert.equal((await call(daemon, STRANGER, 'pool/ping', { gid: 4241, groups: '4243,4242' })).code, 0);
    const client = await clientAs(t, daemon, SOMEBODY);
    const { clients } = await daemon.status();
    assert.equal(clients.find((each) => each.name === `uid_${SOMEBODY}`).uid, SOMEBODY);
    await client.close();
});

test('adminUids: what changes all is for them, and what is not is for everybody', async (t) => {
    if (!canBeOthers) return t.skip('only root can become another user');
    const [daemon, worker] = await openPool(t, 1, { allowUids: [me, SOMEBODY], adminUids: [me] });
    for (const method of ['config/value/write', 'account/logout']) {
        const { code, err } = await call(daemon, SOMEBODY, method);
        assert.equal(code, 1);
        assert.match(err, /only users in adminUids may/);
        assert.equal(worker.received(method).length, 0);
    }
    assert.equal((await call(daemon, SOMEBODY, 'model/list')).code, 0);
    const admin = await PoolClient.open(daemon);
    await admin.request('config/value/write');
    assert.equal(worker.received('config/value/write').length, 1);
    await admin.close();
});

test('denyMethods: refused to admins, too, by exact name and by prefix', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { denyMethods: ['fs/*', 'model/list', 'pool/acquire'] } });
    const client = await PoolClient.open(daemon);
    for (const method of ['fs/readFile', 'fs/', 'model/list', 'pool/acquire']) {
        await assert.rejects(client.request(method), (e) => e.code === -32014 && /denyMethods/.test(e.message), method);
    }
    for (const method of ['fs', 'fsx/a', 'model/lists', 'model', 'thread/list', 'pool/ping']) await client.request(method);
    // No other spelling of the name gets through.
    for (const name of ['fs\\/readFile', 'model\\/list', '\\u0066s/readFile']) {
        client.send(`{"id":"spelt","method":"${name}","params":{}}\n`);
        assert.equal((await client.nextAnswer()).error.code, -32600);
    }
    assert.ok(!worker.log.some((m) => /^(fs\/|model\/list$)/.test(m.method)));
});

test('one user\'s shares are not another\'s', async (t) => {
    if (!canBeOthers) return t.skip('only root can become another user');
    const [daemon] = await openPool(t, 3, { allowUids: [me, SOMEBODY], maxLeasesPerUid: 1, maxWaitersPerUid: 1 });
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => PoolClient.open(daemon, { name })));
    await a.request('pool/acquire');
    const waiting = b.request('pool/acquire');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits although workers are idle');
    await assert.rejects(c.request('pool/acquire'), (e) => e.code === -32001);
    const others = await Promise.all([1, 2, 3].map(() => clientAs(t, daemon, SOMEBODY)));
    await others[0].request('pool/acquire');
    const alsoWaiting = others[1].request('pool/acquire');
    await daemon.untilStatus((s) => s.queue.length === 2 && s.pool.busy === 2, 'the other user has shares of its own');
    await assert.rejects(others[2].request('pool/acquire'), (e) => e.code === -32001);
    await a.close();
    await waiting;
    await others[0].close();
    await alsoWaiting;
    await Promise.all([b, c, ...others].map((each) => each.close()));
});

const directories = {
    'that everybody may write to': [(dir) => chmodSync(dir, 0o777), /not safe: others may write to it \(mode 0777\)/],
    'that a group may write to': [(dir) => { chownSync(dir, me, 4242); chmodSync(dir, 0o770); },
        /not safe: others may write to it \(mode 0770\)/],
    'of somebody else': [(dir) => chownSync(dir, SOMEBODY, SOMEBODY), /not safe: it belongs to uid 65534/],
};

for (const [what, [spoil, says]] of Object.entries(directories)) {
    test(`a directory ${what} is refused for the socket`, (t) => {
        if (me !== 0) return t.skip('only root can give a directory away');
        const dir = mkdtempSync(join(tmpdir(), 'codex-pool-who-'));
        t.after(() => rmSync(dir, { recursive: true, force: true }));
        spoil(dir);
        const { code, stderr } = runDaemon(['--socket', join(dir, 'pool.sock')]);
        assert.equal(code, 73);
        assert.match(stderr, says);
        assert.deepEqual(readdirSync(dir), []);
    });
}

test('in a directory like /tmp the socket may be, but not in place of somebody else\'s', async (t) => {
    if (me !== 0) return t.skip('only root can give a file away');
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-who-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    chmodSync(dir, 0o1777);
    const left = createServer().listen(join(dir, 'left'));
    await until(() => left.listening, 'listening');
    // A socket file without anybody who listens: a second name outlives its server.
    spawnSync('ln', [join(dir, 'left'), join(dir, 'old')]);
    await new Promise((done) => left.close(done));
    chownSync(join(dir, 'old'), SOMEBODY, SOMEBODY);
    const { code, stderr } = runDaemon(['--socket', join(dir, 'old')]);
    assert.equal(code, 73);
    assert.match(stderr, /is there and belongs to uid 65534; remove it first/);
    const daemon = await startDaemon(t, { config: { prewarm: false }, waitReady: false, args: ['--socket', join(dir, 'new')] });
    daemon.socket = join(dir, 'new');
    await daemon.ready();
});

/** What the descriptors of a process are. */
function descriptors(pid) {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try { return readlinkSync(`/proc/${pid}/fd/${fd}`); } catch { return ''; }
    }).filter((what) => /^(socket|pipe|anon_inode):/.test(what) && !/^anon_inode:\[?(eventfd|eventpoll)/.test(what));
}

test('a worker that is started among clients and workers has its three pipes and nothing of theirs', async (t) => {
    const [daemon, first] = await startPool(t, 2);
    const scene = await runTurn(daemon);
    const clients = await Promise.all(Array.from({ length: 20 }, () => PoolClient.open(daemon)));
    await first.die('SIGKILL');
    const started = await daemon.fake.worker();
    const workers = daemon.fake.workers.filter((each) => !each.gone);
    assert.ok(workers.includes(started));
    await daemon.untilStatus((s) => s.pool.ready === 2, 'it is ready');
    const own = new Set(daemon.fds());
    const shared = workers.map(({ pid }) => [...new Set(descriptors(pid).filter((what) => own.has(what)))]);
    for (const each of shared) {
        assert.equal(each.length, 3, `${each}`);
        assert.ok(each.every((what) => what.startsWith('pipe:')), `${each}`);
    }
    assert.equal(new Set(shared.flat()).size, 6, 'no pipe is of two workers');
    for (const [i, { pid }] of workers.entries()) {
        const standard = [0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
        assert.deepEqual(standard.sort(), shared[i].sort());
    }
    await Promise.all([scene.client, ...clients].map((each) => each.close()));
});

const secrets = {
    prompt: 'PROMPT-4711', token: 'sk-TOKEN-4711', inherited: 'INHERITED-4711', answer: 'ANSWER-4711', words: 'STDERR-4711',
    name: 'THREADNAME-4711', broken: 'BROKEN-4711', error: 'ERROR-4711',
};

/** Everything that a session may say that is nobody else's business; the log of it. */
async function session(t, args) {
    const env = { API_KEY: secrets.inherited };
    const [daemon] = await startPool(t, 1, { args, env, config: { codex: { env: { OPENAI_API_KEY: secrets.token } } } });
    const client = await PoolClient.open(daemon);
    const threadId = await client.startThread({ developerInstructions: secrets.prompt });
    await client.startTurn(threadId, secrets.prompt.concat('.'.repeat(3000), 'THE-END-4711'));
    await client.next('turn/started');
    const worker = daemon.fake.owner(threadId);
    assert.equal(worker.env.OPENAI_API_KEY, secrets.token);
    assert.equal(worker.env.API_KEY, secrets.inherited);
    worker.turn().delta(secrets.answer);
    worker.stderr(`${secrets.words}\n`);
    worker.raw(`no JSON ${secrets.broken}\n`);
    await client.request('thread/name/set', { threadId, name: secrets.name });
    client.send(`{"broken":"${secrets.broken}\n`);
    await client.nextAnswer();
    worker.on('some/thing', (r) => worker.refuse(r, -32600, secrets.error));
    await client.request('some/thing', { token: secrets.token }).catch(() => {});
    worker.turn().fail(secrets.error);
    await client.turnCompleted(threadId);
    await settled(client);
    const status = JSON.stringify(await daemon.status());
    await worker.die(3);
    await daemon.fake.worker();
    await client.close();
    await daemon.stop();
    return { log: daemon.log, status };
}

for (const format of ['text', 'json']) {
    test(`no log below trace has prompts, answers, tokens or the environment: ${format}`, async (t) => {
        const { log, status } = await session(t, ['--log-level', 'debug', '--log-format', format]);
        assert.match(log, /exited: exit code 3/);
        for (const [what, secret] of Object.entries(secrets)) {
            assert.ok(!log.includes(secret), `${what} is in the log`);
            assert.ok(!status.includes(secret), `${what} is in the status`);
        }
    });
}

test('a trace has messages, shortened, and nothing of the environment', async (t) => {
    const { log } = await session(t, ['--log-level', 'trace']);
    assert.ok(log.includes(secrets.prompt));
    assert.ok(!log.includes('THE-END-4711'));
    for (const line of log.split('\n')) assert.ok(line.length < 400, line);
    assert.ok(!log.includes(secrets.inherited));
});

test('the environment of a worker changes with the configuration, and only by it', async (t) => {
    const [daemon, worker] = await startPool(t, 1, {
        env: { A: 'daemon', B: 'daemon' }, config: { codex: { env: { B: 'first', C: 'first' } } },
    });
    const of = ({ env }) => [env.A, env.B, env.C, env.D];
    assert.deepEqual(of(worker), ['daemon', 'first', 'first', undefined]);
    daemon.writeConfig({ codex: { env: { C: '', D: 'with=sign and "quotes"\n' } } });
    daemon.signal('SIGHUP');
    const next = await daemon.fake.worker();
    assert.deepEqual(of(next), ['daemon', 'daemon', '', 'with=sign and "quotes"\n']);
    const kernel = readFileSync(`/proc/${next.pid}/environ`, 'utf8').split('\0').filter((each) => /^[A-D]=/.test(each));
    assert.deepEqual(kernel.sort(), ['A=daemon', 'B=daemon', 'C=', 'D=with=sign and "quotes"\n']);
});
