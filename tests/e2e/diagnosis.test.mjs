// For each state that a pool can get into, pool/status names it, its cause and what helps.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../lib/cli.mjs';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { cannotLimit, limitFds } from '../lib/limits.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

/** The problem of this code, once the status has it. */
async function problem(daemon, code) {
    const { problems } = await daemon.untilStatus((s) => s.problems.some((p) => p.code === code), `"${code}" is told`);
    const found = problems.filter((p) => p.code === code);
    assert.equal(found.length, 1);
    assert.ok(found[0].help.length > 10);
    assert.deepEqual(Object.keys(found[0]), ['code', 'text', 'help']);
    return found[0];
}

const gone = (daemon, code) => daemon.untilStatus((s) => s.problems.every((p) => p.code !== code), `"${code}" is over`);

/** A daemon of two workers whose Codex is a script, or whatever `command` names. */
function broken(t, command, config = {}) {
    return startDaemon(t, { fake: false, config: { poolSize: 2, ...config, codex: { command, args: [] } } });
}

/** Whole from the first moment on: the daemon may be about to run it. */
function writeScript(daemon, text, mode = 0o755) {
    const file = join(daemon.dir, 'codex');
    writeFileSync(`${file}.new`, text);
    chmodSync(`${file}.new`, mode);
    renameSync(`${file}.new`, file);
    return file;
}

async function script(t, daemonOf, text, mode = 0o755) {
    const daemon = await daemonOf('/no/such/codex');
    const file = writeScript(daemon, text, mode);
    daemon.writeConfig({ codex: { command: file, args: [] } });
    daemon.signal('SIGHUP');
    return daemon;
}

test('a pool in order has no problems, and says nothing of any', async (t) => {
    const [daemon] = await startPool(t, 2);
    await converse(daemon);
    assert.deepEqual((await daemon.status()).problems, []);
    const { code, out } = await run(t, ['--socket', daemon.socket, 'status']);
    assert.equal(code, 0);
    assert.match(out, /^2 workers: .*\n\ndaemon /);
});

test('workers that were never asked for are no problem', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 2, prewarm: false } });
    const { problems, pool } = await daemon.status();
    assert.deepEqual([problems, pool.down], [[], 2]);
    assert.match((await run(t, ['--socket', daemon.socket, 'status'])).out, /^2 workers: 2 down; nobody waits\n\ndaemon /);
});

test('no such program', async (t) => {
    const daemon = await broken(t, '/no/such/codex');
    const { text, help } = await problem(daemon, 'codexNotFound');
    assert.match(text, /^\d of 2 workers (is|are) down: Cannot start codex: \/no\/such\/codex: No such file or directory$/);
    assert.match(help, /codex\.command.*PATH/);
    const { code, out } = await run(t, ['--socket', daemon.socket, 'status']);
    assert.equal(code, 0);
    assert.match(out, /^2 workers: .*\n\d of 2 workers (is|are) down: .*\n {2}what helps: set codex\.command .*\n\ndaemon /);
});

test('a program that may not be run, or that is none', { skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
    const daemon = await script(t, (command) => broken(t, command), 'no program', 0o644);
    assert.match((await problem(daemon, 'codexNotExecutable')).text, /Permission denied$/);
    chmodSync(join(daemon.dir, 'codex'), 0o755);
    await daemon.untilStatus((s) => s.problems.some((p) => /Exec format error$/.test(p.text)), 'it is no program');
    assert.match((await problem(daemon, 'codexNotExecutable')).help, /for this machine/);
});

test('a Codex that is not logged in, and one that ends for a reason of its own', async (t) => {
    const daemon = await script(t, (command) => broken(t, command), '#!/bin/sh\necho "Not logged in" >&2\nexit 1\n');
    const { text, help } = await problem(daemon, 'notLoggedIn');
    assert.match(text, /exit code 1: Not logged in$/);
    assert.match(help, /codex login/);
    writeScript(daemon, '#!/bin/sh\necho "bad config" >&2\nexit 3\n');
    assert.match((await problem(daemon, 'workersDown')).text, /exit code 3: bad config$/);
});

test('a program that never answers', async (t) => {
    const daemon = await script(t, (command) => broken(t, command, { startTimeoutMs: 200 }), '#!/bin/sh\nexec sleep 600\n');
    assert.match((await problem(daemon, 'codexSilent')).text, /initialize was not answered within 200 ms/);
});

test('a worker that crashes again and again', async (t) => {
    const [daemon, worker] = await startPool(t);
    await worker.die('SIGSEGV');
    for (let i = 0; i < 2; i++) {
        const next = await daemon.fake.worker();
        await daemon.untilStatus((s) => s.pool.ready === 1, 'it is ready again');
        assert.deepEqual((await daemon.status()).problems.filter((p) => p.code === 'crashLoop'), []);
        await next.die('SIGSEGV');
    }
    const { text } = await problem(daemon, 'crashLoop');
    assert.match(text, /^Worker 1 has ended 3 times in a row: Worker exited \(signal 11 \(Segmentation fault\)/);
});

const error = (worker, scene, willRetry, codexErrorInfo) => worker.notify('error', {
    threadId: scene.threadId, turnId: scene.turn.id, willRetry, error: { message: 'Reconnecting... 1/5', codexErrorInfo },
});

test('a model that cannot be reached, until it can', async (t) => {
    const [daemon, worker] = await startPool(t);
    const scene = await runTurn(daemon);
    error(worker, scene, true, { responseStreamDisconnected: { httpStatusCode: null } });
    const { text, help } = await problem(daemon, 'modelUnreachable');
    assert.match(text, /^1 turn cannot reach the model, for \d+ s so far; Codex goes on trying\.$/);
    assert.match(help, /turnStallTimeoutMs/);
    scene.turn.delta('here it is');
    await gone(daemon, 'modelUnreachable');
    error(worker, scene, true, null);
    await problem(daemon, 'modelUnreachable');
    scene.turn.interrupt();
    await gone(daemon, 'modelUnreachable');
});

test('a model that refuses the login, until a turn succeeds', async (t) => {
    const [daemon, worker] = await startPool(t);
    for (const info of [{ responseStreamDisconnected: { httpStatusCode: 401 } }, 'unauthorized']) {
        const scene = await runTurn(daemon);
        error(worker, scene, false, info);
        assert.match((await problem(daemon, 'notLoggedIn')).text, /refuses the login/);
        scene.turn.interrupt();
        await scene.client.turnCompleted(scene.threadId);
        await problem(daemon, 'notLoggedIn');
        await scene.client.startTurn(scene.threadId);
        await scene.client.next('turn/started');
        worker.turn().complete();
        await gone(daemon, 'notLoggedIn');
        await scene.client.close();
    }
});

test('all workers wait for approvals', async (t) => {
    const [daemon] = await startPool(t, 2);
    const [a, b] = [await runTurn(daemon, 'a'), await runTurn(daemon, 'b')];
    const method = 'item/commandExecution/requestApproval';
    for (const { worker, threadId, turn } of [a, b]) {
        assert.deepEqual((await daemon.status()).problems, [], 'one that waits is no problem');
        worker.ask(method, { threadId, turnId: turn.id });
    }
    assert.match((await problem(daemon, 'waitingForAnswers')).text, /^All 2 workers wait for their clients to answer/);
    a.client.send({ id: (await a.client.next(method)).id, result: { decision: 'accept' } });
    await gone(daemon, 'waitingForAnswers');
    for (const { client, threadId, turn } of [a, b]) {
        turn.complete();
        await client.turnCompleted(threadId);
    }
});

test('a conversation that a process outside holds, for as long as it does', async (t) => {
    const [daemon, worker] = await startPool(t);
    const directory = join(daemon.dir, 'codex-home', 'thread-writer-locks');
    const threadId = daemon.fake.newThreadId();
    mkdirSync(directory);
    const holder = spawn('flock', [join(directory, `${threadId}.lock`), '-c', 'echo locked; exec cat'],
        { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => holder.stdin.end());
    await once(holder.stdout, 'data');
    for (const each of [holder, holder.stdin, holder.stdout]) each.unref();
    worker.on('thread/resume', (r) => worker.refuse(r, -32600, `thread ${threadId} already has an active writer`));
    const client = await PoolClient.open(daemon, { name: 'a' });
    await assert.rejects(client.resumeThread(threadId), /active writer: process/);
    const { text, help } = await problem(daemon, 'lockedOutside');
    assert.equal(text, `Thread ${threadId} is held by process ${holder.pid} (flock), which is not of this pool.`);
    assert.match(help, /codex-pool locks/);
    holder.ref();
    holder.stdin.end();
    await once(holder, 'exit');
    await gone(daemon, 'lockedOutside');
});

test('a client that does not read, and a full queue', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { maxQueue: 1 } });
    const { client, threadId, turn } = await runTurn(daemon, 'lazy');
    client.pause();
    const flood = () => turn.delta('x'.repeat(100000));
    await until(async () => {
        flood();
        return (await daemon.status()).problems.some((p) => p.code === 'clientStalled');
    }, 'it is told that a client does not read');
    assert.match((await problem(daemon, 'clientStalled')).text, /^1 client does not read: client \d+ \(lazy, pid \d+\) leaves \d+ kB lying\.$/);
    client.resume();
    await gone(daemon, 'clientStalled');
    const { client: b } = await waitInLine(daemon, 'b');
    assert.match((await problem(daemon, 'queueFull')).text, /\(1 wait\)/);
    await b.close();
    await gone(daemon, 'queueFull');
    turn.complete();
    await client.turnCompleted(threadId);
});

test('no descriptors, and too many clients', async (t) => {
    if (cannotLimit) return t.skip(cannotLimit);
    const daemon = await startDaemon(t, { config: { prewarm: false, maxClients: 40 } });
    const first = await PoolClient.connect(daemon.socket);
    const asked = async () => (await first.request('pool/status')).problems.map((p) => p.code);
    limitFds(daemon, 25);
    const clients = [];
    for (let i = 0; i < 50; i++) clients.push(await PoolClient.connect(daemon.socket));
    await until(async () => (await asked()).includes('noDescriptors'), 'descriptors are short');
    limitFds(daemon, 200);
    await until(async () => (await asked()).includes('tooManyClients'), 'all places are taken');
    assert.ok(!(await asked()).includes('noDescriptors'));
    for (const each of clients) each.close();
    await until(async () => (await asked()).length === 0, 'all is well again');
});

test('a daemon that is stopping', async (t) => {
    const [daemon] = await startPool(t);
    const { client, threadId, turn } = await runTurn(daemon);
    daemon.signal('SIGTERM');
    await daemon.untilLog(/stopping: running turns may finish/);
    const { problems } = await client.request('pool/status');
    assert.deepEqual(problems.map((p) => p.code), ['stopping']);
    turn.complete();
    await client.turnCompleted(threadId);
});

test('a pool that is paused, or drained', async (t) => {
    const [daemon] = await startPool(t);
    for (const [method, code, help] of [['pool/pause', 'paused', /resume/], ['pool/drain', 'draining', /resume/]]) {
        const admin = await PoolClient.connect(daemon.socket, 'admin');
        await admin.request(method);
        const { problems } = await admin.request('pool/status');
        assert.deepEqual(problems.map((p) => p.code), [code]);
        assert.match(problems[0].help, help);
        await admin.request('pool/resume');
        assert.deepEqual((await admin.request('pool/status')).problems, []);
    }
});

test('the README tells of each problem, and of no other', () => {
    const here = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
    const code = here('daemon/problems.c');
    const known = [...code.matchAll(/(?:add\(list, |\{"[^"]*", )"(\w+)"/g)].map((match) => match[1]);
    const [section] = here('README.md').match(/^## Diagnosis$[^]*?(?=^## )/m);
    const told = [...section.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(\w+)`/g)].map((match) => match[1]));
    assert.deepEqual(told.sort(), [...new Set(known)].sort());
});
