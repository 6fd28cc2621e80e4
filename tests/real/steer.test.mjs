// What administrators do to real workers that are at work.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hold, say } from '../lib/model-server.mjs';
import { startRig, told, turn } from './rig.mjs';

test('workers are recycled, added and taken away under conversations that go on, and nothing is lost', async (t) => {
    const rig = await startRig(t, { poolSize: 2, config: { openLingerMs: 1000 } });
    rig.model.on('', say('ok'));
    const admin = await rig.connect('admin');
    const before = (await rig.daemon.status()).workers.map(({ pid }) => pid);
    let stopping = false;
    const turns = [0, 0, 0, 0];
    const talks = turns.map(async (_, i) => {
        const client = await rig.connect(`talker ${i}`);
        const threadId = await client.startThread({ cwd: rig.home.cwd });
        for (let n = 0; !stopping || n < 3; n++) {
            const { status, text } = await turn(client, threadId, `talk ${i} word ${n}.`);
            assert.deepEqual([status, text], ['completed', 'ok']);
            turns[i]++;
        }
    });
    const steering = (async () => {
        assert.deepEqual(await admin.request('pool/recycle'), { recycled: [1, 2] });
        const after = (await rig.daemon.status()).workers.map(({ pid }) => pid);
        assert.ok(after.every((pid) => !before.includes(pid)), `${before} ${after}`);
        for (const size of [3, 1]) assert.deepEqual(await admin.request('pool/resize', { size }), { size });
        stopping = true;
    })();
    // Whichever fails first says why.
    await Promise.all([steering, ...talks]);
    for (const [i, n] of turns.entries()) {
        const last = rig.model.asked(`talk ${i} word ${n - 1}.`)[0];
        const words = Array.from({ length: n }, (_, k) => [`user: talk ${i} word ${k}.`, 'assistant: ok']).flat();
        assert.deepEqual(told(last), words.slice(0, -1), 'the model was told all of it, once');
    }
});

test('an interrupt by an administrator ends the turn at the model', async (t) => {
    const rig = await startRig(t);
    rig.model.on('runs', hold());
    const client = await rig.holding('runs');
    const admin = await rig.connect('admin');
    assert.deepEqual(await admin.request('pool/interrupt', { threadId: client.threadId }), { interrupted: true });
    assert.equal((await client.turnCompleted(client.threadId)).params.turn.status, 'interrupted');
    await client.asked.cut();
    rig.model.on('again', say('ok'));
    assert.equal((await turn(client, client.threadId, 'again')).text, 'ok');
});

test('a client that is kicked leaves a clean worker and no lock', async (t) => {
    const rig = await startRig(t);
    rig.model.on('runs', hold());
    const client = await rig.holding('runs');
    const admin = await rig.connect('admin');
    const { clients } = await rig.daemon.status();
    await admin.request('pool/kick', { client: clients.find(({ name }) => name === 'runs').id });
    assert.deepEqual(rig.home.locks(), []);
    await client.asked.cut();
    assert.ok(await admin.startThread({ cwd: rig.home.cwd }));
});
