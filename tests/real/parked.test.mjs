// A person answers the real Codex's question when the connection that was asked is long gone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { say, shell, steps } from '../lib/model-server.mjs';
import { startRig } from './rig.mjs';

const APPROVAL = 'item/commandExecution/requestApproval';

/** A turn that waits for an approval, and whose client has left: {rig, file, threadId, ask, token}. */
async function parked(t, config = {}, ttlMs = 600000) {
    const rig = await startRig(t, { config, home: { policy: 'on-request', sandbox: 'read-only' } });
    rig.model.on('touch', steps(shell('touch allowed', { escalated: true }), say('done')));
    const client = await rig.connect('asked');
    const threadId = await client.startThread({ cwd: rig.home.cwd });
    await client.startTurn(threadId, 'touch it');
    const ask = await client.next(APPROVAL);
    const { token } = await client.request('pool/detach', { ttlMs });
    await client.ended;
    return { rig, threadId, ask, token, file: path.join(rig.home.cwd, 'allowed') };
}

for (const decision of ['accept', 'decline']) {
    test(`an approval is answered on another connection: ${decision}`, async (t) => {
        const { rig, threadId, ask, token, file } = await parked(t, { maxParked: 1 });
        // Meanwhile others are served, beside it.
        rig.model.on('hello', say('hi'));
        const other = await rig.connect('other');
        const theirs = await other.startThread({ cwd: rig.home.cwd });
        await other.startTurn(theirs, 'hello');
        await other.turnCompleted(theirs);
        assert.equal(fs.existsSync(file), false);
        const client = await PoolClient.open(rig.daemon, { name: 'back', initialize: false });
        rig.clients.push(client);
        await client.request('pool/attach', { token });
        const again = await client.next(APPROVAL);
        assert.deepEqual([again.id, again.params], [ask.id, ask.params]);
        client.send({ id: again.id, result: { decision } });
        assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'completed');
        assert.equal(fs.existsSync(file), decision === 'accept');
        // The model was told what came of it, once.
        const answered = rig.model.asked('touch it').slice(1);
        assert.equal(answered.length, 1);
        assert.match(answered[0].outputs[0], decision === 'accept' ? /exited with code 0|Exit code: 0/i : /reject|declin|denied/i);
        const said = client.notifications.filter((m) => m.method === 'item/agentMessage/delta').map((m) => m.params.delta);
        assert.equal(said.join(''), 'done');
    });
}

test('past its time the turn ends at the model, and nothing is run', async (t) => {
    const { rig, threadId, token, file } = await parked(t, {}, 100);
    await rig.daemon.untilStatus((s) => s.counters.parkedExpired === 1 && s.pool.busy === 0, 'it has expired');
    const next = await rig.connect('next');
    await assert.rejects(next.request('pool/attach', { token }), /token names nobody/);
    await next.resumeThread(threadId);
    assert.equal(fs.existsSync(file), false);
    assert.equal(rig.model.asked('touch it').length, 1);
});
