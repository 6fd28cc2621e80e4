// What becomes of the workers of parked clients: up to maxParked of them do not count, and others are started instead.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { APPROVAL, NEVER, asking, attach, detach } from '../lib/parked.mjs';
import { runTurn, settled, waitInLine } from '../lib/scenes.mjs';

const alive = (daemon) => daemon.fake.workers.filter((each) => !each.gone).length;

/** One after the other: clients whose turns wait for an approval, and who are parked: scenes with their tokens. */
async function parkedCrowd(daemon, n) {
    const scenes = [];
    for (let i = 0; i < n; i++) {
        const scene = await asking(daemon, await runTurn(daemon, `p${i}`));
        scene.token = (await detach(scene.client)).token;
        scenes.push(scene);
    }
    return scenes;
}

/** It comes back, is asked, and its turn completes. */
async function finish(daemon, { token, threadId, turn, ask }) {
    const { client } = await attach(daemon, token);
    assert.equal((await client.next(APPROVAL)).id, ask.id);
    client.send({ id: ask.id, result: { decision: 'accept' } });
    turn.complete();
    await client.turnCompleted(threadId);
    return client;
}

test('ten open approvals do not stop everybody (maxParked), and then the pool is as it was', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, maxParked: 10 } });
    const scenes = await parkedCrowd(daemon, 10);
    assert.equal(new Set(scenes.map((each) => each.worker)).size, 10);
    const other = await runTurn(daemon, 'other');
    const { pool: counts, workers } = await daemon.status();
    assert.deepEqual([counts.size, counts.parked, counts.busy], [1, 10, 11]);
    assert.deepEqual(workers.map((each) => each.parked), [...Array(10).fill(true), false]);
    assert.equal(alive(daemon), 11);
    const clients = [];
    for (const scene of scenes) clients.push(await finish(daemon, scene));
    assert.ok(alive(daemon) <= 11);
    other.turn.complete();
    await other.client.turnCompleted(other.threadId);
    await Promise.all([...clients, other.client].map((each) => each.close()));
    await daemon.untilStatus((s) => s.workers.length === 1 && s.pool.ready === 1 && s.pool.parked === 0, 'one worker is left');
    await runTurn(daemon, 'last');
});

test('beyond maxParked they keep their place, and another may leave when one comes back', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, maxParked: 1 } });
    const [first, second] = await parkedCrowd(daemon, 2);
    const { client, waiting } = await waitInLine(daemon);
    await settled(client);
    const before = await daemon.status();
    assert.deepEqual([before.pool.parked, before.workers.length, before.queue.length], [1, 2, 1]);
    // Its approval is answered: it is there, and the other one is parked instead.
    const back = await attach(daemon, first.token);
    await daemon.untilStatus((s) => s.workers[1].parked && !s.workers[0].parked, 'the other is parked');
    assert.equal(alive(daemon), 2);
    back.client.send({ id: (await back.client.next(APPROVAL)).id, result: { decision: 'accept' } });
    first.turn.complete();
    await waiting;
    await finish(daemon, second);
    assert.equal(daemon.fake.workers.length, 2);
});

test('one that comes back while its place is taken goes on at once, and the pool shrinks when one is free', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, maxParked: 1 } });
    const [first] = await parkedCrowd(daemon, 1);
    const other = await runTurn(daemon, 'other');
    await finish(daemon, first);
    const { workers } = await daemon.status();
    assert.deepEqual(workers.map((each) => [each.state, each.replace?.reason]), [['idle', undefined], ['busy', 'poolSize has no room for it']]);
    other.turn.complete();
    await other.client.turnCompleted(other.threadId);
    await other.client.close();
    await daemon.untilStatus((s) => s.workers.length === 1, 'the replacement is gone');
    assert.equal(first.worker.gone, false);
});

test('an answer, the end of the turn, an abort or a death end it: the worker counts again', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, maxParked: 4 } });
    const [asked, ended, kicked, dead] = await parkedCrowd(daemon, 4);
    await daemon.untilStatus((s) => s.pool.parked === 4 && s.pool.ready === 5, 'all are parked');
    asked.worker.notify('serverRequest/resolved', { threadId: asked.threadId, requestId: asked.answered.id });
    ended.worker.notify('serverRequest/resolved', { threadId: ended.threadId, requestId: ended.answered.id });
    ended.turn.complete();
    await daemon.untilStatus((s) => s.pool.parked === 2, 'two are not');
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    const { parked: list } = await admin.request('pool/status');
    await admin.request('pool/kick', { client: list.find((each) => each.name === 'p2').client });
    await daemon.untilStatus((s) => s.pool.parked === 1, 'one is');
    await dead.worker.die();
    const { workers } = await daemon.untilStatus((s) => s.pool.parked === 0 && s.pool.starting === 0, 'none is');
    assert.ok(workers.every((each) => !each.parked));
    assert.ok(kicked.worker.received('turn/interrupt').length > 0);
});

test('on demand, too: without prewarm another is started when somebody waits', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { ...NEVER, maxParked: 1 } });
    daemon.writeConfig({ prewarm: false });
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    await admin.request('pool/reload');
    const [first] = await parkedCrowd(daemon, 1);
    await daemon.untilStatus((s) => s.pool.parked === 1, 'it is parked');
    assert.equal(daemon.fake.workers.length, 1);
    await runTurn(daemon, 'other');
    assert.equal(daemon.fake.workers.length, 2);
    daemon.writeConfig({ maxParked: 0 });
    await admin.request('pool/reload');
    await daemon.untilStatus((s) => s.pool.parked === 0, 'a reload took its place');
    await finish(daemon, first);
});

test('a user whose workers are parked has its share of the others (maxLeasesPerUid)', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { ...NEVER, maxParked: 1, maxLeasesPerUid: 1 } });
    await parkedCrowd(daemon, 1);
    await runTurn(daemon, 'other');
    await waitInLine(daemon);
});
