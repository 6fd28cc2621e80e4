// Waiting, its order and its end.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hold, say } from '../lib/model-server.mjs';
import { said, startRig, turn } from './rig.mjs';

test('of two streams on one worker the second starts when the first is over', async (t) => {
    const rig = await startRig(t);
    rig.model.on('first', hold('one', ' two')).on('second', say('three', { deltas: 3 }));
    const first = await rig.holding('first');
    const second = await rig.connect('second');
    const { answer, place } = await rig.waiting(second);
    assert.deepEqual(place, { id: answer.id, position: 1, length: 1 });

    let served = false;
    answer.then(() => (served = true));
    const busy = await rig.daemon.status();
    assert.equal(busy.queue.length, 1);
    assert.equal(busy.pool.busy, 1);
    assert.equal(served, false);
    assert.equal(rig.model.requests.length, 1, 'the model hears of the second only when it has a worker');

    first.asked.release();
    assert.equal(said(await first.turnCompleted(first.threadId), first), 'one two');
    const assigned = await second.next('pool/assigned');
    assert.equal(assigned.params.worker, first.worker);
    assert.ok(assigned.params.waitedMs >= 0);
    const result = await turn(second, (await answer).thread.id, 'second');
    assert.deepEqual([result.status, result.text], ['completed', 'three']);
    assert.equal(rig.model.requests.length, 2);
});

test('the worker goes to those who wait in the order in which they came', async (t) => {
    const rig = await startRig(t);
    rig.model.on('holder', hold());
    const holder = await rig.holding('holder');
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const turns = [];
    for (const [i, name] of names.entries()) {
        rig.model.on(`I am ${name}`, say(name));
        const client = await rig.connect(name);
        const { answer, place } = await rig.waiting(client);
        assert.deepEqual([place.position, place.length], [i + 1, i + 1]);
        turns.push(answer.then(({ thread }) => turn(client, thread.id, `I am ${name}`)));
    }
    holder.asked.release();
    const results = await Promise.all(turns);
    assert.deepEqual(
        results.map(({ text }) => text),
        names,
    );
    assert.deepEqual(
        rig.model.requests.slice(1).map(({ prompt }) => prompt.at(-1)),
        names,
    );
});

test('a client that leaves while it waits leaves nothing in the queue', async (t) => {
    const rig = await startRig(t);
    rig.model.on('holder', hold()).on('last', say('done'));
    const holder = await rig.holding('holder');
    const [leaves, cancels, stays] = [
        await rig.connect('leaves'),
        await rig.connect('cancels'),
        await rig.connect('stays'),
    ];
    const left = await rig.waiting(leaves);
    const cancelled = await rig.waiting(cancels);
    const { answer } = await rig.waiting(stays);

    await leaves.close();
    await assert.rejects(left.answer, /connection closed/);
    await stays.next('pool/queued', ({ position }) => position === 2);
    assert.deepEqual(await cancels.request('pool/cancel', { id: cancelled.answer.id }), { cancelled: true });
    await assert.rejects(cancelled.answer, {
        code: -32011,
        message: 'Worker acquisition aborted while waiting.',
    });
    await stays.next('pool/queued', ({ position }) => position === 1);
    assert.equal((await rig.daemon.status()).queue.length, 1);

    holder.asked.release();
    assert.equal((await turn(stays, (await answer).thread.id, 'last')).status, 'completed');
    assert.equal((await rig.daemon.status()).queue.length, 0);
    assert.deepEqual(
        rig.model.requests.map(({ prompt }) => prompt),
        ['holder', 'last'],
    );
});

test('shutdown refuses those who wait and lets the running turn finish', async (t) => {
    const rig = await startRig(t);
    rig.model.on('holder', hold('one', ' two'));
    const holder = await rig.holding('holder');
    const waiting = [];
    for (const name of ['a', 'b']) {
        waiting.push((await rig.waiting(await rig.connect(name))).answer);
    }
    rig.daemon.signal('SIGTERM');
    for (const answer of waiting) {
        await assert.rejects(answer, (error) => {
            assert.equal(error.code, -32012);
            assert.equal(error.message, 'Worker pool has been shut down.');
            assert.equal(error.data.reason, 'shutdown');
            assert.equal(error.data.retryable, true);
            assert.equal(error.data.codex_error_info, 'server_overloaded');
            return true;
        });
    }
    await assert.rejects(holder.request('thread/start', {}), { code: -32012 });
    assert.equal(rig.daemon.exit, undefined, 'the turn still runs');
    holder.asked.release();
    assert.equal(said(await holder.turnCompleted(holder.threadId), holder), 'one two');
    assert.deepEqual(await rig.daemon.exited, { code: 0, signal: null });
});

test('four threads on one connection run on four workers', async (t) => {
    const rig = await startRig(t, { poolSize: 4 });
    const client = await rig.connect('many');
    const names = ['w', 'x', 'y', 'z'];
    const threads = await Promise.all(names.map(() => client.startThread({ cwd: rig.home.cwd })));
    names.forEach((name) => rig.model.on(`I am ${name}`, hold(name, name)));
    await Promise.all(threads.map((id, i) => client.startTurn(id, `I am ${names[i]}`)));
    const requests = await Promise.all(names.map((name) => rig.model.request(`I am ${name}`)));
    const { clients, pool } = await rig.daemon.status();
    assert.equal(pool.busy, 4);
    assert.deepEqual(clients.find(({ name }) => name === 'many').workers.sort(), [1, 2, 3, 4]);
    requests.forEach((request) => request.release());
    const ends = await Promise.all(threads.map((id) => client.turnCompleted(id)));
    assert.deepEqual(
        ends.map((end) => said(end, client)),
        names.map((name) => name + name),
    );
});
