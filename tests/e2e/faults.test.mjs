// System calls that fail, a clock that is set back: by a library that is preloaded into the daemon.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { sanitized, startOnMachine } from '../lib/failing.mjs';
import { converse, runTurn } from '../lib/scenes.mjs';
import { cpuSeconds } from '../lib/usage.mjs';
import { until } from '../lib/wait.mjs';

const { EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM, ENOSPC } = constants.errno;
const MB = 1024 * 1024;
const NEVER = { poolSize: 1, openLingerMs: 600000, drainTimeoutMs: 50 };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const faulty = (name, run) =>
    test(name, { skip: sanitized && 'the sanitizer has an allocator of its own' }, run);

/** A daemon with one worker: [machine, daemon, worker]. */
async function start(t, config = {}) {
    const [machine, daemon] = await startOnMachine(t, { config: { ...NEVER, ...config } });
    const worker = await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'the worker is ready');
    return [machine, daemon, worker];
}

async function assertServes(daemon) {
    const { client, threadId, turn } = await runTurn(daemon, 'last');
    turn.complete();
    await client.turnCompleted(threadId);
    await client.close();
}

faulty('the clock set back, and forth: everything that has its time comes in time', async (t) => {
    const day = 86400;
    const [machine, daemon, worker] = await start(t, {
        openLingerMs: 100, maxTurnMs: 100, clientStallTimeoutMs: 60000,
    });
    const a = await PoolClient.open(daemon, { name: 'a' });
    for (const seconds of [-10 * 365 * day, 10 * 365 * day, -day, 0]) {
        await a.request('pool/acquire');
        machine.setClock(seconds);
        const b = await PoolClient.open(daemon, { name: 'b' });
        await assert.rejects(b.request('pool/acquire', { timeoutMs: 50 }), (e) => e.code === -32010);
        await a.request('pool/release');
        const threadId = await b.startThread();
        const { uptimeMs } = await b.request('pool/ping');
        assert.ok(uptimeMs < day * 1000, `${uptimeMs}`);
        // maxTurnMs ends it.
        await b.startTurn(threadId);
        await b.turnCompleted(threadId);
        const waited = await daemon.status();
        assert.ok(waited.waitMs.max < day * 1000 && waited.clients.every((c) => c.connectedMs < day * 1000));
        await b.close();
        await daemon.untilStatus((s) => s.pool.busy === 0, 'it is free');
    }
    assert.equal(worker.gone, false);
    assert.match(daemon.log, /^20[123]\d-/m);
});

faulty('a worker that has said nothing for a minute of a turn is asked; one that answers keeps it', async (t) => {
    const [machine, daemon, worker] = await start(t);
    const { client, threadId, turn } = await runTurn(daemon);
    const before = worker.received('thread/loaded/list').length;
    for (let i = 1; i <= 2; i++) {
        machine.pass(61);
        await client.request('pool/ping');
        await until(() => worker.received('thread/loaded/list').length === before + i, 'it is asked');
        await client.request('model/list');
    }
    turn.complete();
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'completed');
    assert.equal(worker.gone, false);
});

faulty('one that does not answer has hung: it is replaced, and who waits is served', async (t) => {
    const [machine, daemon, worker] = await start(t, { interruptTimeoutMs: 200 });
    const { client, threadId } = await runTurn(daemon);
    worker.hold('thread/loaded/list');
    machine.pass(61);
    await client.request('pool/ping');
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'failed');
    await worker.exited;
    assert.match(daemon.log, /stopping: it does not answer/);
    await assertServes(daemon);
});

faulty('the socket\'s directory gets another name: the one that is made instead is watched', async (t) => {
    const [machine, daemon] = await start(t);
    const client = await PoolClient.open(daemon);
    const dir = dirname(daemon.socket);
    renameSync(dir, `${dir}.before`);
    mkdirSync(dir, { mode: 0o700 });
    // Nothing tells of that.
    machine.pass(61);
    await client.request('pool/ping');
    await until(() => existsSync(daemon.socket), 'it listens there');
    rmSync(daemon.socket);
    await until(() => existsSync(daemon.socket), 'it listens there again, long before the next minute is over');
});

faulty('the event loop gets its memory where there is none', async (t) => {
    const [machine, daemon] = await start(t);
    const logged = (pattern) => daemon.log.match(pattern)?.length ?? 0;
    await until(() => logged(/: connected/g) === logged(/: gone/g), 'nobody else is there, and takes memory');
    let failed = 0;
    // Every time its arrays have to grow, which is the next thing after there was memory for the client itself.
    for (let i = 0; i < 100; i++) {
        const before = logged(/: connected/g);
        machine.failAllocations(2);
        const client = await PoolClient.connect(daemon.socket);
        await until(() => logged(/: connected/g) > before, 'it is accepted');
        failed += machine.failed;
        machine.enoughMemory();
        await client.request('pool/ping');
    }
    assert.ok(failed > 0, 'they have grown');
    await assertServes(daemon);
});

faulty('one message that there is no memory for: its client is dropped, nobody else notices', async (t) => {
    const [machine, daemon] = await start(t);
    const { client, threadId, turn } = await runTurn(daemon);
    const big = await PoolClient.open(daemon, { name: 'big' });
    machine.failAllocations(1, 1e9, MB);
    big.request('some/thing', { text: 'x'.repeat(8 * MB) });
    await big.ended;
    turn.complete();
    await client.turnCompleted(threadId);
    await client.close();
    await assertServes(daemon);
});

faulty('an answer that there is no memory for: its worker is replaced, who asked is told, nobody spins', async (t) => {
    const [machine, daemon, worker] = await start(t);
    const { client, threadId } = await runTurn(daemon);
    worker.on('some/thing', (request) => worker.reply(request, 'x'.repeat(8 * MB)));
    machine.failAllocations(1, 1e9, MB);
    const before = cpuSeconds(daemon.pid);
    await assert.rejects(client.request('some/thing'), (e) => e.code === -32013 && /out of memory/.test(e.message));
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'failed');
    await daemon.fake.worker();
    await client.close();
    await assertServes(daemon);
    const used = cpuSeconds(daemon.pid) - before;
    assert.ok(used < 2, `${used} s of processor time`);
});

faulty('a daemon without memory at its start says so, or starts', async (t) => {
    for (let k = 1; k < 120; k += 7) {
        const [machine, daemon] = await startOnMachine(t, {
            waitReady: false, endsItself: true, prepare: (m) => m.failAllocations(k),
        });
        let outcome;
        daemon.exited.then((ended) => { outcome = ended; });
        await until(() => outcome || /listens at/.test(daemon.log), 'it starts or ends');
        if (!outcome) {
            machine.enoughMemory();
            await daemon.stop();
        } else {
            assert.equal(outcome.signal, null, `allocation ${k}: ${daemon.log}`);
            assert.ok([71, 73, 78].includes(outcome.code), `allocation ${k}: ${outcome.code}`);
            assert.match(daemon.log, /memory/i, `allocation ${k}`);
        }
        daemon.remove();
    }
});

faulty('no process can be started for a while: it is seen, and heals', async (t) => {
    const [machine, daemon, worker] = await start(t);
    const client = await PoolClient.open(daemon);
    machine.failCalls('fork', EAGAIN, 3);
    await worker.die();
    await daemon.untilStatus((s) => /Cannot start codex: .*Resource temporarily unavailable/.test(s.workers[0].lastError),
        'the reason is seen');
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it heals');
    assert.equal(machine.callsLeft('fork'), 0);
    await client.startThread();
});

faulty('accept fails: it pauses, sleeps, and comes back', async (t) => {
    const [machine, daemon] = await start(t);
    for (const error of [EMFILE, ENFILE, ENOMEM]) {
        machine.failCalls('accept', error, 5);
        const before = cpuSeconds(daemon.pid);
        const client = await PoolClient.connect(daemon.socket);
        await client.request('pool/ping');
        await client.close();
        assert.equal(machine.callsLeft('accept'), 0);
        assert.ok(cpuSeconds(daemon.pid) - before < 0.25);
    }
    assert.match(daemon.log, /cannot accept/);
});

faulty('calls that are interrupted are made again', async (t) => {
    const [machine, daemon] = await start(t);
    const { client, threadId, turn } = await runTurn(daemon);
    for (let i = 0; i < 20; i++) {
        for (const call of ['read', 'write', 'accept']) machine.failCalls(call, EINTR, 3);
        turn.delta(`${i}`);
        await client.next('item/agentMessage/delta', (p) => p.delta === `${i}`);
        const other = await PoolClient.open(daemon, { name: 'other' });
        await other.request('model/list');
        machine.failCalls('write', EINTR, 3);
        await other.request('model/list', { long: 'x'.repeat(300000) });
        assert.equal(machine.callsLeft('write'), 0);
        await other.close();
    }
    turn.complete();
    await client.turnCompleted(threadId);
});

faulty('the kernel has no room to watch one more descriptor', async (t) => {
    const [machine, daemon, worker] = await start(t);
    // A client is dropped rather than left without an answer, as soon as anything else happens.
    machine.failCalls('epollCtl', ENOSPC, 1);
    const client = await PoolClient.connect(daemon.socket);
    client.request('pool/ping');
    await until(() => machine.callsLeft('epollCtl') === 0, 'it has failed');
    await daemon.untilStatus((s) => s.clients.length === 1, 'it is dropped');
    await client.ended;
    // A worker is replaced.
    machine.failCalls('epollCtl', ENOSPC, 1);
    await worker.die();
    await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it heals');
    assert.equal(machine.callsLeft('epollCtl'), 0);
    await assertServes(daemon);
});

faulty('memory that is short for a while: what is served meanwhile is served or refused', async (t) => {
    const [machine, daemon] = await start(t);
    const { client, threadId } = await converse(daemon);
    machine.failAllocations(1, 1e9, 512);
    const others = [];
    for (let i = 0; i < 10; i++) {
        const other = await PoolClient.connect(daemon.socket);
        others.push(Promise.race([other.ended, other.request('pool/status').catch(() => {})]));
    }
    await Promise.all(others);
    await pause(100);
    machine.enoughMemory();
    await client.close();
    await daemon.untilStatus((s) => s.pool.ready === 1 && s.pool.busy === 0, 'all is quiet');
    await assertServes(daemon);
    assert.ok(threadId);
});
