// Workers that are replaced: one at a time, when idle, after their open threads have moved away.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { heard, talk } from '../lib/moving.mjs';
import { runTurn, waitInLine } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

const NEW = { codex: { args: ['-c', 'thread_unload_delay_secs=0', 'app-server', '--new'] } };

function change(daemon, config = NEW) {
    daemon.writeConfig(config);
    daemon.signal('SIGHUP');
}

const isNew = (worker) => worker.argv.at(-1) === '--new';

/** The workers that run now. */
const running = (daemon) => daemon.fake.workers.filter((worker) => !worker.gone);

const untilAllNew = (daemon, n) =>
    until(() => running(daemon).length === n && running(daemon).every(isNew), 'all workers are new');

/** A script that starts the fake Codex, to be changed like an upgraded binary. */
function installCodex(daemon, version) {
    const path = `${daemon.dir}/codex`;
    writeFileSync(path, `#!/bin/sh\n# ${version}\nexec '${daemon.fake.command}' "$@"\n`, { mode: 0o755 });
    return path;
}

test('open threads move to a worker that stays, their clients hear nothing of it, and go on', async (t) => {
    const [daemon] = await startPool(t, 2);
    const talks = [];
    for (let i = 0; i < 5; i++) talks.push(await talk(daemon, {}, `client ${i}`));
    for (const { client } of talks) client.notifications.length = 0;
    change(daemon);
    await untilAllNew(daemon, 2);
    await daemon.untilStatus((s) => s.pool.ready === 2 && s.workers.every((w) => !w.replace), 'it is over');
    for (const { client, threadId } of talks) {
        assert.deepEqual(heard(client), []);
        await client.startTurn(threadId, 'go on');
        const owner = daemon.fake.owner(threadId);
        assert.ok(isNew(owner));
        owner.turn(threadId).complete();
        await client.turnCompleted(threadId);
    }
    const { counters } = await daemon.status();
    assert.ok(counters.moves >= 5, `${counters.moves} moves`);
    assert.equal(counters.movesFailed, 0);
});

test('never more than one worker is away', async (t) => {
    const [daemon] = await startPool(t, 3);
    for (let i = 0; i < 4; i++) await talk(daemon, {}, `client ${i}`);
    change(daemon);
    await untilAllNew(daemon, 3);
    await daemon.untilLog(/(starting -> idle[^]*){6}/);
    const starts = [...daemon.log.matchAll(/worker (\d+): (idle -> stopping|starting -> idle)/g)].slice(3);
    let away = 0;
    for (const [, , what] of starts) {
        away += what === 'starting -> idle' ? -1 : 1;
        assert.ok(away <= 1, starts.map((each) => each[0]).join(', '));
    }
    assert.equal(starts.length, 6);
    const { counters } = await daemon.status();
    assert.ok(counters.moves <= 12, `four threads, ${counters.moves} moves: none goes to and fro while a worker starts`);
});

test('a turn that runs is waited for, and who waits meanwhile is served', async (t) => {
    const [daemon] = await startPool(t, 2);
    const busy = await runTurn(daemon, 'busy');
    const idle = running(daemon).find((worker) => worker !== busy.worker);
    change(daemon);
    await idle.exited;
    const next = await PoolClient.open(daemon, { name: 'next' });
    const threadId = await next.startThread();
    assert.ok(isNew(daemon.fake.owner(threadId)));
    assert.equal(busy.worker.gone, false);
    await next.close();
    busy.turn.complete();
    await busy.client.turnCompleted(busy.threadId);
    await untilAllNew(daemon, 2);
    assert.equal(busy.client.has('thread/closed'), false);
});

test('a worker that is never idle is held for a moment, so that its open threads can leave', async (t) => {
    const [daemon] = await startPool(t, 2);
    const { client, threadId, worker } = await talk(daemon, {}, 'open');
    const first = await runTurn(daemon, 'first');
    const second = await runTurn(daemon, 'second');
    const [old, other] = first.worker === worker ? [first, second] : [second, first];
    change(daemon);
    // The thread's own client waits, too, and goes on where it goes.
    const going = client.startTurn(threadId);
    const { waiting } = await waitInLine(daemon, 'stranger');
    old.turn.complete();
    await old.client.close();
    await daemon.untilLog(/worker \d+: held/);
    other.turn.complete();
    await going;
    const owner = daemon.fake.owner(threadId);
    assert.notEqual(owner, worker);
    await worker.exited;
    owner.turn(threadId).complete();
    await client.turnCompleted(threadId);
    assert.ok((await waiting).thread.id);
});

test('who has waited for a thread since before it was loaded comes first where it is brought', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { openLingerMs: 0, drainTimeoutMs: 0 } });
    const queued = (n) => daemon.untilStatus((s) => s.queue.length === n, `${n} wait`);
    const { threadId, client: past } = await talk(daemon, {}, 'past');
    await past.close();
    await daemon.untilStatus((s) => s.workers.every((w) => w.threads === 0), 'the thread is unloaded');
    const stays = await runTurn(daemon, 'stays');
    const leaves = await runTurn(daemon, 'leaves');
    const [a, b, keeper] = await Promise.all(['a', 'b', 'keeper'].map((name) => PoolClient.open(daemon, { name })));
    const resumed = a.resumeThread(threadId);
    await queued(1);
    const kept = keeper.request('pool/acquire');
    await queued(2);
    const { waiting } = await waitInLine(daemon, 'any');
    const first = b.startTurn(threadId, 'first');
    await queued(4);
    leaves.turn.complete();
    await Promise.all([resumed, kept]);
    const second = a.startTurn(threadId, 'second');
    await queued(3);
    const recycled = keeper.request('pool/recycle', { worker: leaves.worker.number });
    await daemon.untilStatus((s) => s.workers.some((w) => w.replace), 'its owner is to be replaced');
    await keeper.request('pool/release');
    await daemon.untilLog(/worker \d+: held/);
    stays.turn.complete();
    await first;
    assert.equal(daemon.fake.owner(threadId), stays.worker);
    stays.worker.turn(threadId).complete();
    await waiting;
    await second;
    const turns = stays.worker.received('turn/start', (p) => p.threadId === threadId);
    assert.deepEqual(turns.slice(-2).map((r) => r.params.input[0].text), ['first', 'second']);
    await recycled;
});

test('one that is held in vain serves again', async (t) => {
    const [daemon] = await startPool(t, 2);
    const { threadId, worker } = await talk(daemon, {}, 'open');
    const first = await runTurn(daemon, 'first');
    const second = await runTurn(daemon, 'second');
    const [old, other] = first.worker === worker ? [first, second] : [second, first];
    change(daemon);
    await daemon.untilLog(/will be replaced/);
    const { waiting } = await waitInLine(daemon, 'stranger');
    old.turn.complete();
    await daemon.untilLog(/worker \d+: held/);
    // The other's turn goes on, so nobody can have the thread.
    const { thread } = await waiting;
    assert.equal(daemon.fake.owner(thread.id), worker);
    assert.equal(daemon.fake.owner(threadId), worker);
    other.turn.complete();
    await other.client.turnCompleted(other.threadId);
    await other.client.close();
});

test('a thread that cannot move is waited for, and the status says which and why', async (t) => {
    const [daemon] = await startPool(t, 2);
    const stays = await talk(daemon, { ephemeral: true }, 'stays');
    change(daemon);
    await until(() => running(daemon).some(isNew), 'the other is replaced');
    const status = await daemon.untilStatus(
        (s) => s.pool.ready === 2 && s.workers.filter((w) => w.replace).length === 1, 'one is left');
    const { replace } = status.workers[stays.worker.number - 1];
    assert.equal(replace.reason, 'the configuration of codex has changed');
    assert.deepEqual(replace.threads, [
        { threadId: stays.threadId, client: status.clients.find((c) => c.name === 'stays').id, stays: 'it is ephemeral' },
    ]);
    await stays.client.startTurn(stays.threadId, 'go on');
    assert.equal(daemon.fake.owner(stays.threadId), stays.worker);
    stays.worker.turn(stays.threadId).complete();
    await stays.client.turnCompleted(stays.threadId);
    await stays.client.close();
    await untilAllNew(daemon, 2);
});

test('with moves off threads are waited for', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { moves: 'never' } });
    const scene = await talk(daemon);
    change(daemon);
    await until(() => running(daemon).some(isNew), 'the other is replaced');
    const { workers } = await daemon.untilStatus(
        (s) => s.pool.ready === 2 && s.workers.filter((w) => w.replace).length === 1, 'one is left');
    assert.equal(workers[scene.worker.number - 1].replace.threads[0].stays, 'moves is not "auto"');
    await scene.client.close();
    await untilAllNew(daemon, 2);
});

test('a codex that does not start any more costs one worker, and its successor the others', async (t) => {
    const [daemon] = await startPool(t, 3);
    change(daemon, { codex: { command: '/nonexistent/codex' } });
    await daemon.untilLog(/cannot start codex: \/nonexistent\/codex: No such file or directory/);
    const client = await PoolClient.open(daemon);
    await client.startThread();
    const status = await daemon.status();
    assert.deepEqual([status.pool.ready, status.pool.down], [2, 1]);
    await client.close();
    change(daemon, { codex: { ...NEW.codex, command: daemon.fake.command } });
    await untilAllNew(daemon, 3);
});

test('a changed binary is noticed without a word', async (t) => {
    const [daemon] = await startPool(t, 2);
    change(daemon, { codex: { command: installCodex(daemon, 'old') } });
    await daemon.untilLog(/configuration reloaded/);
    await daemon.untilStatus((s) => s.pool.ready === 2 && s.workers.every((w) => !w.replace), 'both run it');
    await daemon.untilLog(/(?:worker \d+ ready[^]*){4}/);
    installCodex(daemon, 'new');
    // The one that is started next shows it; this one was killed.
    process.kill((await daemon.status()).workers[0].pid, 'SIGKILL');
    await daemon.untilLog(/worker 2: will be replaced: the codex binary has changed/);
    await daemon.untilStatus((s) => s.counters.workerStarts === 6 && s.pool.ready === 2, 'both are new');
});

for (const [name, limit] of [
    ['maxStreamsPerWorker', { maxStreamsPerWorker: 1 }],
    ['maxWorkerAgeMs', { maxWorkerAgeMs: 1 }],
    ['maxWorkerRssBytes', { maxWorkerRssBytes: 1 }],
]) {
    test(`past ${name} a worker is replaced, its open thread first moved away`, async (t) => {
        const [daemon] = await startPool(t, 2, { config: { idleTimeoutMs: 0 } });
        const scene = await talk(daemon);
        scene.client.notifications.length = 0;
        daemon.writeConfig(limit);
        daemon.signal('SIGHUP');
        await daemon.untilLog(/configuration reloaded/);
        await scene.client.startTurn(scene.threadId, 'go on');
        daemon.fake.owner(scene.threadId).turn(scene.threadId).complete();
        await scene.client.turnCompleted(scene.threadId);
        await scene.worker.exited;
        await daemon.untilLog(new RegExp(`worker ${scene.worker.number}: stopping: it is past ${name}`));
        assert.equal(scene.client.has('thread/closed'), false);
        assert.notEqual(daemon.fake.owner(scene.threadId), scene.worker);
        daemon.writeConfig({ maxStreamsPerWorker: 0, maxWorkerAgeMs: 0, maxWorkerRssBytes: 0 });
        daemon.signal('SIGHUP');
    });
}

test('a pool that shrinks moves open threads to those that are left', async (t) => {
    const [daemon] = await startPool(t, 3);
    const talks = [];
    for (let i = 0; i < 6; i++) talks.push(await talk(daemon, {}, `client ${i}`));
    change(daemon, { poolSize: 1 });
    await daemon.untilStatus((s) => s.pool.size === 1 && running(daemon).length === 1, 'one is left');
    for (const { client, threadId } of talks) {
        assert.equal(client.has('thread/closed'), false);
        assert.equal(daemon.fake.owner(threadId), running(daemon)[0]);
    }
});

test('a client that leaves while its thread is brought away leaves nothing', async (t) => {
    const [daemon] = await startPool(t, 2);
    const scene = await talk(daemon);
    const other = running(daemon).find((worker) => worker !== scene.worker);
    other.hold('thread/resume');
    change(daemon);
    const resume = await other.expect('thread/resume');
    await scene.client.close();
    other.default(resume);
    await untilAllNew(daemon, 2);
    assert.equal(daemon.fake.locks.size, 0);
});
