// What administrators do to a pool that is at work: nothing that runs or waits is lost by it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { FakeCodexHost } from '../lib/script.mjs';
import { Load, endTurns } from '../lib/load.mjs';
import { moving } from '../lib/moving.mjs';
import { converse, runTurn, settled, waitInLine } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

/** A pool that is at work: {daemon, load, admin}. */
async function atWork(t, poolSize, clients = 6) {
    const fake = await FakeCodexHost.start();
    endTurns(fake);
    t.after(() => fake.stop());
    const [daemon] = await startPool(t, poolSize, { fake });
    const load = await Load.start(daemon, clients);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    return { daemon, load, admin };
}

/** Whether a promise has settled by now. */
async function isOpen(promise) {
    const open = {};
    return await Promise.race([promise, Promise.resolve(open)]) === open;
}

const refused = (code, message) => (error) => {
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
};

const running = (daemon) => daemon.fake.workers.filter((worker) => !worker.gone);

test('resize up and down under load loses no turn, and is answered when the workers are there, or gone', async (t) => {
    const { daemon, load, admin } = await atWork(t, 2);
    for (const size of [5, 1, 3]) {
        assert.deepEqual(await admin.request('pool/resize', { size }), { size });
        const status = await admin.request('pool/status');
        assert.equal(status.pool.size, size);
        assert.equal(status.pool.ready, size);
        assert.deepEqual(status.workers.map((w) => w.id), Array.from({ length: size }, (_, i) => i + 1));
        assert.equal(running(daemon).length, size);
        await load.more(20);
    }
    await load.stop();
});

test('a smaller size waits for the turn that runs beyond it', async (t) => {
    const [daemon] = await startPool(t, 2);
    const scenes = [await runTurn(daemon, 'a'), await runTurn(daemon, 'b')];
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const resized = admin.request('pool/resize', { size: 1 });
    await admin.request('pool/ping');
    const status = await admin.request('pool/status');
    assert.deepEqual(status.steering.map((s) => s.method), ['pool/resize']);
    assert.equal(status.pool.size, 1);
    assert.ok(await isOpen(resized));
    for (const { turn, client, threadId } of scenes) {
        turn.complete();
        await client.turnCompleted(threadId);
    }
    assert.deepEqual(await resized, { size: 1 });
    assert.equal(running(daemon).length, 1);
    assert.deepEqual((await admin.request('pool/status')).steering, []);
    // Both go on with what they had, on the one that is left.
    for (const { client, threadId } of scenes) {
        await client.startTurn(threadId);
        running(daemon)[0].turn(threadId).complete();
        await client.turnCompleted(threadId);
    }
});

test('a later size ends the wait for an earlier one; reading the settings brings back the file\'s', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { drainTimeoutMs: 0 } });
    const scenes = [await runTurn(daemon, 'a'), await runTurn(daemon, 'b')];
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const first = admin.request('pool/resize', { size: 1 });
    assert.deepEqual(await admin.request('pool/resize', { size: 3 }), { size: 3 });
    await assert.rejects(first, refused(-32011, /changed again/));
    assert.deepEqual(await admin.request('pool/reload'), {});
    const status = await daemon.untilStatus((s) => s.workers.length === 2, 'the third is gone');
    assert.equal(status.pool.size, 2);
    for (const { client } of scenes) assert.equal(client.has('thread/closed'), false);
});

test('a size whose workers do not start says why, and those that are there go on', async (t) => {
    const [daemon] = await startPool(t, 1);
    const scene = await runTurn(daemon);
    daemon.fake.on('initialize', (request, worker) => worker.die(3));
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    await assert.rejects(admin.request('pool/resize', { size: 2 }), refused(-32015, /exit code 3/));
    scene.turn.complete();
    await scene.client.turnCompleted(scene.threadId);
});

test('recycle under load replaces every worker, one at a time, and loses no turn', async (t) => {
    const { daemon, load, admin } = await atWork(t, 3, 5);
    const before = running(daemon);
    const { recycled } = await admin.request('pool/recycle');
    assert.deepEqual(recycled, [1, 2, 3]);
    assert.ok(before.every((worker) => worker.gone));
    assert.equal(running(daemon).length, 3);
    assert.equal((await admin.request('pool/status')).pool.ready, 3);
    await load.more(20);
    assert.deepEqual(await admin.request('pool/recycle', { worker: 2 }), { recycled: [2] });
    assert.equal(daemon.fake.workers.length, 7);
    await load.stop();
    let away = 0;
    const steps = [...daemon.log.matchAll(/worker \d+: (\w+ -> stopping|starting -> idle)/g)].slice(3);
    for (const [, what] of steps) {
        away += what === 'starting -> idle' ? -1 : 1;
        assert.ok(away <= 1, 'one is away at a time');
    }
});

test('recycle starts a worker at once that waits for its next try', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { poolSize: 1 } });
    const failing = { left: 9 };
    daemon.fake.on('initialize', function initialize(request) {
        if (failing.left-- > 0) this.die(1);
        else this.default(request);
    });
    await worker.die();
    // After some failures the next try is far away.
    await daemon.untilLog(/next try in (3200|6400)/);
    failing.left = 0;
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    assert.deepEqual(await admin.request('pool/recycle', { worker: 1 }), { recycled: [1] });
    assert.equal((await admin.request('pool/status')).pool.ready, 1);
});

test('recycle of a pool that has no worker yet does nothing', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    assert.deepEqual(await admin.request('pool/recycle'), { recycled: [] });
});

test('pause holds the queue: what runs goes on, who has a worker keeps it; resume serves in order', async (t) => {
    const [daemon] = await startPool(t, 2);
    const runs = await runTurn(daemon, 'runs');
    const holder = await PoolClient.open(daemon, { name: 'holder' });
    await holder.request('pool/acquire');
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    assert.deepEqual(await admin.request('pool/pause'), {});
    assert.equal((await admin.request('pool/status')).admission, 'paused');
    const waiting = [await waitInLine(daemon, 'first'), await waitInLine(daemon, 'second')];
    runs.turn.delta('more');
    runs.turn.complete();
    await runs.client.turnCompleted(runs.threadId);
    const threadId = await holder.startThread();
    await holder.startTurn(threadId);
    daemon.fake.owner(threadId).turn(threadId).complete();
    await holder.turnCompleted(threadId);
    await settled(holder);
    const status = await daemon.untilStatus((s) => s.pool.busy === 1, 'the worker of the turn is free');
    assert.equal(status.queue.length, 2);
    assert.ok(await isOpen(waiting[0].waiting));
    assert.deepEqual(await admin.request('pool/resume'), {});
    const { thread } = await waiting[0].waiting;
    await waiting[0].client.close();
    assert.notEqual((await waiting[1].waiting).thread.id, thread.id);
});

/** A thread/start that comes as the pool goes on: in one write, so that the daemon reads both at once. [its promise] */
async function resumeAndStart(admin) {
    admin.socket.cork();
    const resumed = admin.request('pool/resume');
    const late = admin.request('thread/start');
    admin.socket.uncork();
    await resumed;
    return [late];
}

test('whoever comes as the pool goes on comes after those who wait', async (t) => {
    const [daemon] = await startPool(t, 1);
    const admin = await PoolClient.open(daemon, { name: 'admin' });
    await admin.request('pool/pause');
    const { client, waiting } = await waitInLine(daemon, 'waits');
    const [late] = await resumeAndStart(admin);
    await waiting;
    assert.ok(await isOpen(late));
    await client.close();
    await late;
});

test('also after a conversation that waits for another worker, and moves', async (t) => {
    const s = await moving(t);
    const admin = await PoolClient.open(s.daemon, { name: 'admin' });
    await admin.request('pool/pause');
    await s.client.request('pool/subscribe', { events: ['queue'] });
    const waiting = s.client.startTurn(s.threadId);
    await s.client.next('pool/queued');
    const [late] = await resumeAndStart(admin);
    await waiting;
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    assert.ok(await isOpen(late));
    s.other.turn(s.threadId).complete();
    await late;
});

test('pause and resume under load lose no turn, and nothing runs in between', async (t) => {
    const { daemon, load, admin } = await atWork(t, 2);
    for (let i = 0; i < 5; i++) {
        await admin.request('pool/pause');
        await daemon.untilStatus((s) => s.pool.busy === 0 && s.queue.length === 6, 'everybody waits');
        const { turns } = load;
        await settled(load.clients[0]);
        assert.equal(load.turns, turns);
        await admin.request('pool/resume');
        await load.more(10);
    }
    await load.stop();
});

test('drain serves who waits, refuses what comes, and is answered when nothing runs', async (t) => {
    const [daemon] = await startPool(t, 1);
    const runs = await runTurn(daemon, 'runs');
    const { client, waiting } = await waitInLine(daemon, 'waits');
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const drained = admin.request('pool/drain');
    assert.equal((await daemon.untilStatus((s) => s.admission === 'draining', 'it drains')).accepting, false);
    const late = await PoolClient.open(daemon, { name: 'late' });
    await assert.rejects(late.request('thread/start'), (error) => {
        assert.deepEqual({ code: error.code, ...error.data }, {
            code: -32012, reason: 'shutdown', retryable: true, codex_error_info: 'server_overloaded',
        });
        return true;
    });
    // Reads, and what ends a turn, pass.
    assert.ok(await late.request('model/list'));
    assert.ok(await isOpen(drained));
    runs.turn.complete();
    await runs.client.turnCompleted(runs.threadId);
    const { thread } = await waiting;
    await client.startTurn(thread.id);
    assert.ok(await isOpen(drained));
    daemon.fake.owner(thread.id).turn(thread.id).complete();
    await client.turnCompleted(thread.id);
    assert.deepEqual(await drained, {});
    await assert.rejects(runs.client.startTurn(runs.threadId), refused(-32012, /shut down/));
    await admin.request('pool/resume');
    assert.ok(await late.startThread());
});

test('drain under load ends with every accepted turn completed', async (t) => {
    const { daemon, load, admin } = await atWork(t, 2);
    await admin.request('pool/drain');
    const { pool, queue } = await daemon.status();
    assert.deepEqual([pool.busy, queue.length], [0, 0]);
    await Promise.all(load.talks);
    // Each ended by its next request being refused, none by a turn that was lost.
    assert.deepEqual(load.failures.map((error) => error.code), Array(6).fill(-32012));
});

test('resume, or pause, ends a drain that waits', async (t) => {
    const [daemon] = await startPool(t, 1);
    const runs = await runTurn(daemon);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    for (const method of ['pool/resume', 'pool/pause']) {
        const drained = admin.request('pool/drain');
        await daemon.untilStatus((s) => s.steering.length === 1, 'it waits');
        await admin.request(method);
        await assert.rejects(drained, refused(-32011, /meanwhile/));
    }
    runs.turn.complete();
    await runs.client.turnCompleted(runs.threadId);
});

test('cancel takes another client\'s request out of the queue, for administrators', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { drainTimeoutMs: 0 } });
    await runTurn(daemon);
    const { client, waiting } = await waitInLine(daemon, 'waits');
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const { waiters } = await admin.request('pool/status');
    const { client: number, id } = waiters[0];
    assert.equal(id, waiting.id);
    assert.deepEqual(await admin.request('pool/cancel', { client: number, id: 'another' }), { cancelled: false });
    assert.deepEqual(await admin.request('pool/cancel', { client: number, id }), { cancelled: true });
    await assert.rejects(waiting, refused(-32011, /aborted while waiting/));
    await assert.rejects(admin.request('pool/cancel', { client: 4000, id }), refused(-32602, /client/));
    assert.ok(await client.request('model/list'));
});

test('interrupt ends anybody\'s turn, and is answered when it has ended', async (t) => {
    const [daemon] = await startPool(t, 1);
    const scene = await runTurn(daemon);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    scene.worker.hold('turn/interrupt');
    const interrupted = admin.request('pool/interrupt', { threadId: scene.threadId });
    const request = await scene.worker.expect('turn/interrupt');
    assert.equal(request.params.turnId, '');
    assert.ok(await isOpen(interrupted));
    scene.worker.default(request);
    assert.deepEqual(await interrupted, { interrupted: true });
    assert.equal((await scene.client.turnCompleted(scene.threadId)).params.turn.status, 'interrupted');
    assert.deepEqual(await admin.request('pool/interrupt', { threadId: scene.threadId }), { interrupted: false });
    await assert.rejects(admin.request('pool/interrupt', { threadId: 'none' }), refused(-32602, /threadId/));
});

test('a turn that an interrupt does not end costs its worker, not the administrator\'s time', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { interruptTimeoutMs: 200 } });
    const scene = await runTurn(daemon);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    scene.worker.hold('turn/interrupt');
    assert.deepEqual(await admin.request('pool/interrupt', { threadId: scene.threadId }), { interrupted: true });
    assert.equal((await scene.client.turnCompleted(scene.threadId)).params.turn.status, 'failed');
    await scene.worker.exited;
    await daemon.fake.worker();
});

test('kick drops a client; its worker is clean when it is answered, and goes to the next', async (t) => {
    const [daemon] = await startPool(t, 1);
    const scene = await runTurn(daemon);
    const { client, waiting } = await waitInLine(daemon, 'waits');
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const { clients } = await admin.request('pool/status');
    const number = (name) => clients.find((c) => c.name === name).id;
    assert.deepEqual(await admin.request('pool/kick', { client: number('a') }), {});
    assert.equal(scene.worker.threads.has(scene.threadId), false);
    await scene.client.ended;
    assert.ok((await waiting).thread.id);
    for (const client of [4000, 0, 'a', null])
        await assert.rejects(admin.request('pool/kick', { client }), refused(-32602, /client/));
    const self = (await admin.request('pool/status')).clients.find((c) => c.name === null).id;
    await assert.rejects(admin.request('pool/kick', { client: self }), refused(-32602, /itself/));
    await client.close();
});

test('clients that are kicked under load cost nobody else a turn', async (t) => {
    const { daemon, load, admin } = await atWork(t, 2);
    for (let i = 0; i < 10; i++) {
        const victim = await PoolClient.open(daemon, { name: `victim-${i}` });
        const threadId = await victim.startThread();
        victim.request('turn/start', { threadId, input: [] });
        const { clients } = await admin.request('pool/status');
        await admin.request('pool/kick', { client: clients.find((c) => c.name === `victim-${i}`).id });
        await victim.ended;
    }
    await load.more(20);
    await load.stop();
});

test('what else is done under load touches nobody else\'s turn', async (t) => {
    const { daemon, load, admin } = await atWork(t, 2);
    const victim = await PoolClient.open(daemon, { name: 'victim' });
    const { clients } = await admin.request('pool/status');
    const client = clients.find((c) => c.name === 'victim').id;
    let cancelled = 0;
    for (let i = 0; i < 15; i++) {
        const asked = victim.request('thread/start');
        if ((await admin.request('pool/cancel', { client, id: asked.id })).cancelled) {
            await assert.rejects(asked, refused(-32011, /aborted/));
            cancelled++;
        }
        const threadId = await victim.startThread();
        await victim.startTurn(threadId);
        await admin.request('pool/interrupt', { threadId });
        await victim.turnCompleted(threadId);
        await admin.request('pool/reload');
        await admin.request('pool/logLevel', { level: i % 2 ? 'info' : 'debug' });
    }
    assert.ok(cancelled > 0, 'some of them waited');
    await load.more(20);
    await load.stop();
});

test('reload answers with what is wrong with the settings, and changes nothing then', async (t) => {
    const [daemon] = await startPool(t, 1);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    daemon.writeConfig({ poolSize: 'many' });
    await assert.rejects(admin.request('pool/reload'), refused(-32603, /config\.json: poolSize: must be a whole number/));
    daemon.writeConfig({ poolSize: 2 });
    assert.deepEqual(await admin.request('pool/reload'), {});
    assert.equal((await admin.request('pool/status')).pool.size, 2);
    await daemon.untilStatus((s) => s.pool.ready === 2, 'both are ready');
});

test('the log\'s level changes at once, until the settings are read again', async (t) => {
    const [daemon] = await startPool(t, 1);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    assert.deepEqual(await admin.request('pool/logLevel', { level: 'trace' }), { level: 'trace', before: 'debug' });
    await admin.request('pool/ping', {}, 777);
    await daemon.untilLog(/"id":777/);
    await assert.rejects(admin.request('pool/logLevel', { level: 'loud' }), refused(-32602, /error, warn, info/));
    await admin.request('pool/reload');
    assert.deepEqual(await admin.request('pool/logLevel', { level: 'info' }), { level: 'info', before: 'debug' });
});

const STEERING = {
    'pool/resize': { size: 3 }, 'pool/recycle': {}, 'pool/pause': {}, 'pool/resume': {}, 'pool/drain': {},
    'pool/interrupt': { threadId: 'x' }, 'pool/kick': { client: 1 }, 'pool/reload': {}, 'pool/logLevel': { level: 'debug' },
    'pool/cancel': { client: 1, id: 1 },
};

test('who is no administrator steers nothing', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { adminUids: [12345] } });
    const client = await PoolClient.open(daemon);
    for (const [method, params] of Object.entries(STEERING))
        await assert.rejects(client.request(method, params), refused(-32014, /adminUids/), method);
    const status = await client.request('pool/status');
    assert.deepEqual([status.pool.size, status.admission, status.workers[0].replace], [1, 'open', null]);
});

test('parameters that are wrong are refused by name', async (t) => {
    const [daemon] = await startPool(t, 1);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    for (const size of [0, -1, 1.5, 257, 1e30, '2', null, undefined, [], {}])
        await assert.rejects(admin.request('pool/resize', { size }), refused(-32602, /^size must be/));
    for (const worker of [0, -1, 1.5, 2, '1', [], {}])
        await assert.rejects(admin.request('pool/recycle', { worker }), refused(-32602, /^worker must be/));
    assert.equal((await admin.request('pool/status')).pool.size, 1);
});

test('what was asked for goes on when whoever asked is gone', async (t) => {
    const [daemon] = await startPool(t, 1);
    const scene = await converse(daemon);
    await scene.client.startTurn(scene.threadId);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    admin.request('pool/recycle');
    await daemon.untilStatus((s) => s.steering.length === 1, 'it waits');
    await admin.close();
    await daemon.untilStatus((s) => s.steering.length === 0, 'nobody waits');
    scene.worker.turn(scene.threadId).complete();
    await scene.client.turnCompleted(scene.threadId);
    await scene.client.close();
    await scene.worker.exited;
    assert.ok(await daemon.fake.worker());
});

test('a shutdown fails what administrators wait for', async (t) => {
    const [daemon] = await startPool(t, 1);
    const scene = await runTurn(daemon);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const waiting = [admin.request('pool/recycle'), admin.request('pool/drain')];
    await daemon.untilStatus((s) => s.steering.length === 2, 'both wait');
    daemon.signal('SIGTERM');
    for (const each of waiting) await assert.rejects(each, refused(-32012, /shut down/));
    await assert.rejects(admin.request('pool/pause'), refused(-32012, /shut down/));
    await until(() => scene.worker.gone || scene.turn, 'its turn is there');
    scene.turn.complete();
    await daemon.exited;
});
