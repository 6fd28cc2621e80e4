// What pool/status says of a model that a real Codex cannot use.
import assert from 'node:assert/strict';
import test from 'node:test';
import { fail } from '../lib/model-server.mjs';
import { startRig } from './rig.mjs';

const told = (rig, code) => rig.daemon.untilStatus(({ problems }) => problems.some((p) => p.code === code), `"${code}" is told`);

/** A client whose turn has begun, and its thread. */
async function begin(rig) {
    const client = await rig.connect('a');
    const threadId = await client.startThread({ cwd: rig.home.cwd });
    await client.startTurn(threadId, 'hello');
    return { client, threadId };
}

test('a model that is not there, until the turn is interrupted', async (t) => {
    const rig = await startRig(t);
    await rig.model.close();
    rig.model.close = async () => {};
    const { client, threadId } = await begin(rig);
    const { problems } = await told(rig, 'modelUnreachable');
    assert.match(problems[0].text, /^1 turn cannot reach the model/);
    await client.request('turn/interrupt', { threadId, turnId: '' });
    await client.turnCompleted(threadId);
    await rig.daemon.untilStatus((status) => status.problems.length === 0, 'nothing is wrong');
});

test('a model that refuses the key', async (t) => {
    const rig = await startRig(t);
    rig.model.on('hello', fail(401, 'no such key'));
    const { client } = await begin(rig);
    await told(rig, 'notLoggedIn');
    await client.close();
});
