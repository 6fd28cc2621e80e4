// The machine misbehaves: the daemon says so, nobody spins, and all goes on when it has come to its senses.
import assert from 'node:assert/strict';
import { lstatSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { isAlive, runDaemon, startDaemon, startPool } from '../lib/daemon.mjs';
import { cannotLimit, limitFds } from '../lib/limits.mjs';
import { valgrind } from '../lib/memory.mjs';
import { runTurn } from '../lib/scenes.mjs';
import { cpuSeconds } from '../lib/usage.mjs';
import { until } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 50 };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Everything as usual: a new client has a turn. */
async function assertServes(daemon) {
    const { client, threadId, turn } = await runTurn(daemon, 'last');
    turn.complete();
    await client.turnCompleted(threadId);
    await client.close();
}

/** It uses next to no processor time for a while, whatever the machine is busy with. */
async function assertSleeps(daemon, ms = 1000) {
    const before = cpuSeconds(daemon.pid);
    await pause(ms);
    const used = cpuSeconds(daemon.pid) - before;
    assert.ok(used < ms / 1000 / 4, `${used} s of processor time in ${ms} ms`);
}

test('while there are no descriptors it sleeps, and a turn goes on', async (t) => {
    if (cannotLimit) return t.skip(cannotLimit);
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    limitFds(daemon, daemon.fds().length + 3);
    const waiting = [];
    for (let i = 0; i < 10; i++) waiting.push(await PoolClient.connect(daemon.socket));
    await daemon.untilLog(/cannot accept: Too many open files/);
    await assertSleeps(daemon);
    turn.delta('on');
    await client.next('item/agentMessage/delta');
    turn.complete();
    await client.turnCompleted(threadId);
    limitFds(daemon, 200);
    await Promise.all(waiting.map((each) => each.request('pool/ping')));
    await client.close();
    await assertServes(daemon);
});

test('a worker that dies while there are no descriptors leaves no process behind, and has a successor later', async (t) => {
    if (cannotLimit) return t.skip(cannotLimit);
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.order({ spawn: true });
    const { params } = await worker.expect('spawned');
    limitFds(daemon, daemon.fds().length + 2);
    const waiting = [];
    for (let i = 0; i < 10; i++) waiting.push(await PoolClient.connect(daemon.socket));
    await daemon.untilLog(/cannot accept: Too many open files/);
    await worker.die();
    await until(() => !isAlive(params.spawned), 'what it had started is dead');
    await daemon.untilLog(/cannot start codex: .*Too many open files/);
    limitFds(daemon, 200);
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it has healed');
    await assertServes(daemon);
});

test('a full disk below the log harms nobody', async (t) => {
    const full = openSync('/dev/full', 'w');
    t.after(() => closeSync(full));
    const [daemon, worker] = await startPool(t, 1, {
        config: NEVER, stdio: [full], wrapper: ['sh', '-c', 'exec "$0" "$@" 2>&3 3>&-'],
    });
    assert.equal(daemon.log, '');
    await worker.die();
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it has a successor');
    await assertServes(daemon);
});

test('a log whose reader is gone harms nobody', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    daemon.child.stderr.destroy();
    for (let i = 0; i < 3; i++) await assertServes(daemon);
    await assertSleeps(daemon);
});

test('an idle daemon is woken by nothing', async (t) => {
    const [daemon] = await startPool(t, 2);
    await assertServes(daemon);
    const wakeUps = () => Number(readFileSync(`/proc/${daemon.pid}/status`, 'utf8').match(/^voluntary_ctxt_switches:\s+(\d+)/m)[1]);
    // What that turn has left to do comes first.
    const SILENCE_MS = 3000, TRIES = 4;
    for (let i = 0, silent = false; !silent; i++) {
        assert.ok(i < TRIES, `it wakes up more often than each ${SILENCE_MS} ms`);
        const before = wakeUps();
        await pause(SILENCE_MS);
        silent = wakeUps() === before;
    }
});

test('clients that close as they are written to raise no SIGPIPE', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    for (let i = 0; i < 20; i++) {
        const client = await PoolClient.connect(daemon.socket);
        // Both the question and the end of who asks are there when it looks.
        daemon.signal('SIGSTOP');
        client.send({ id: 1, method: 'pool/status' });
        client.socket.destroy();
        daemon.signal('SIGCONT');
        await client.ended;
    }
    // Nor does a worker that has closed its input.
    process.kill(worker.pid, 'SIGSTOP');
    const client = await PoolClient.open(daemon);
    const asked = client.request('model/list');
    await client.request('pool/ping');
    process.kill(worker.pid, 'SIGKILL');
    await assert.rejects(asked, (e) => e.code === -32013);
    await daemon.fake.worker();
    await assertServes(daemon);
});

test('signals at any time interrupt nothing', { skip: valgrind && 'they come faster than valgrind gets on' }, async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, maxMessageBytes: 64 * 1024 * 1024 } });
    const { client, threadId, turn } = await runTurn(daemon);
    let over = false;
    const signals = (async () => {
        while (!over) {
            for (const name of ['SIGCHLD', 'SIGCONT', 'SIGPIPE', 'SIGWINCH', 'SIGURG']) daemon.signal(name);
            await pause(1);
        }
    })();
    worker.on('some/echo', (request) => worker.reply(request, request.params));
    const text = 'x'.repeat(8 * 1024 * 1024);
    for (let i = 0; i < 2; i++) assert.ok((await client.request('some/echo', { text })).text === text);
    for (let i = 0; i < 200; i++) turn.delta(`${i}`);
    turn.complete();
    await client.turnCompleted(threadId);
    over = true;
    await signals;
    assert.equal(client.notifications.filter((m) => m.method === 'item/agentMessage/delta').length, 200);
});

for (const [what, remove] of [
    ['file is removed', (daemon) => rmSync(daemon.socket)],
    ['directory is gone', (daemon) => rmSync(dirname(daemon.socket), { recursive: true })],
]) {
    test(`the socket's ${what}: it is made again, and who is connected notices nothing`, async (t) => {
        const [daemon] = await startPool(t, 1, { config: NEVER });
        const { client, threadId, turn } = await runTurn(daemon);
        const fds = daemon.fds().length;
        await remove(daemon);
        await until(() => PoolClient.connect(daemon.socket).then((c) => c.close().then(() => true), () => false),
            'it can be connected to');
        assert.equal(lstatSync(daemon.socket).mode & 0o777, 0o600);
        await client.request('pool/ping');
        turn.complete();
        await client.turnCompleted(threadId);
        await client.close();
        await assertServes(daemon);
        assert.ok(daemon.fds().length <= fds);
        await assertSleeps(daemon, 300);
    });
}

test('a second daemon on the socket ends, and disturbs no turn', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    for (let i = 0; i < 3; i++) {
        assert.equal(runDaemon(['--config', daemon.configFile, '--socket', daemon.socket]).code, 69);
    }
    turn.complete();
    await client.turnCompleted(threadId);
    await client.close();
    await assertServes(daemon);
});

/** Suspends the daemon, and lets it go on some time after all of it has happened. */
async function suspended(daemon, happen, ms = 400) {
    daemon.signal('SIGSTOP');
    await until(() => /^State:\s+T/m.test(readFileSync(`/proc/${daemon.pid}/status`, 'utf8')), 'it is suspended');
    await happen();
    await pause(ms);
    daemon.signal('SIGCONT');
}

test('suspended and continued: a worker that has answered initialize meanwhile has started', async (t) => {
    const daemon = await startDaemon(t, { waitReady: false, config: { poolSize: 1, startTimeoutMs: 1500 } });
    const started = [];
    daemon.fake.on('initialize', function initialize(request) { started.push([this, request]); });
    await daemon.ready();
    const [worker, request] = await until(() => started.at(-1), 'one is asked');
    await suspended(daemon, () => worker.default(request), 1600);
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it is ready');
    assert.equal(started.length, 1, 'and has not been given up');
});

test('suspended and continued: nobody who waits is given up for the time that was lost', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, acquireTimeoutMs: 5000 } });
    const { client, threadId, turn } = await runTurn(daemon);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const acquired = b.request('pool/acquire', { timeoutMs: 300 });
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    await suspended(daemon, () => turn.complete());
    await client.turnCompleted(threadId);
    assert.equal((await acquired).worker, 1);
    assert.equal(daemon.fake.workers.length, 1);
    assert.equal(worker.gone, false);
});

test('suspended and continued: a client that has read meanwhile is not dropped as stalled', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, clientStallTimeoutMs: 300 } });
    const { client, threadId, turn } = await runTurn(daemon);
    client.pause();
    for (let i = 0; i < 100; i++) turn.delta(`${'x'.repeat(10000)}#${i}`);
    await suspended(daemon, () => client.resume());
    turn.complete();
    await client.turnCompleted(threadId);
    assert.equal(client.notifications.filter((m) => m.method === 'item/agentMessage/delta').length, 100);
});

test('a suspended daemon serves all who came meanwhile', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const clients = [];
    await suspended(daemon, async () => {
        for (let i = 0; i < 20; i++) clients.push(await PoolClient.connect(daemon.socket));
        for (const each of clients) each.pong = each.request('pool/ping');
        for (const each of clients.slice(10)) each.socket.destroy();
    }, 0);
    for (const each of clients.slice(0, 10)) await each.pong;
    await assertServes(daemon);
});
