// A client that leaves takes with it what it had, whatever was going on; the worker is as good as new.
import assert from 'node:assert/strict';
import test from 'node:test';
import { isAlive } from '../lib/daemon.mjs';
import { hang, hold, say, shell, spawnAgent, steps, tool, waitAgent } from '../lib/model-server.mjs';
import { until } from '../lib/wait.mjs';
import { startRig, turn } from './rig.mjs';

const LOOKUP = { type: 'function', name: 'lookup', description: 'looks up', inputSchema: { type: 'object' } };

/** A client with a thread and a turn on it that has not been awaited. */
async function begin(rig, text, params = {}) {
    const client = await rig.connect('leaves');
    client.threadId = await client.startThread({ cwd: rig.home.cwd, ...params });
    client.startTurn(client.threadId, text);
    return client;
}

/** The client leaves; then the same worker process serves the next one, and no thread is locked. */
async function leaveAndServe(rig, client) {
    const before = await rig.worker(1);
    await client.close();
    await rig.untilClean();
    rig.model.on('next one', say('served'));
    const next = await rig.connect('next');
    const threadId = await next.startThread({ cwd: rig.home.cwd });
    assert.equal((await turn(next, threadId, 'next one')).text, 'served');
    const after = await rig.worker(1);
    assert.equal(after.pid, before.pid, 'the worker was not replaced');
    assert.deepEqual(
        next.notifications.filter(({ params }) => params.threadId && params.threadId !== threadId),
        [],
    );
    assert.deepEqual((await next.request('thread/loaded/list')).data, [threadId]);
}

test('between opening a thread and its first turn', async (t) => {
    const rig = await startRig(t);
    const client = await rig.connect('leaves');
    await client.startThread({ cwd: rig.home.cwd });
    await leaveAndServe(rig, client);
});

test('before thread/start is answered', async (t) => {
    const rig = await startRig(t);
    const client = await rig.connect('leaves');
    client.request('thread/start', { cwd: rig.home.cwd });
    await client.next('pool/assigned');
    await leaveAndServe(rig, client);
});

test('before turn/start is answered', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang());
    const client = await begin(rig, 'long');
    await leaveAndServe(rig, client);
    assert.ok(rig.model.asked('long').every(({ state }) => state === 'cut'));
});

test('in the middle of the text', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang());
    const client = await begin(rig, 'long');
    const asked = await rig.model.request('long');
    await client.next('item/agentMessage/delta');
    assert.deepEqual(rig.home.locks(), [client.threadId]);
    const cut = asked.cut();
    await leaveAndServe(rig, client);
    await cut;
});

test('while a shell command runs', async (t) => {
    const rig = await startRig(t);
    rig.model.on('run it', steps(shell('sleep 1000'), say('never')));
    const client = await begin(rig, 'run it');
    const pids = await rig.untilShell('sleep 1000');
    await leaveAndServe(rig, client);
    await until(() => !pids.some(isAlive), `the shell is dead: ${pids}`);
    assert.equal(rig.model.asked('run it').length, 1, 'the model was not asked again');
});

test('while an approval is open', async (t) => {
    const rig = await startRig(t, { home: { policy: 'on-request', sandbox: 'read-only' } });
    rig.model.on('run it', steps(shell('touch allowed', { escalated: true }), say('never')));
    const client = await begin(rig, 'run it');
    await client.next('item/commandExecution/requestApproval');
    await leaveAndServe(rig, client);
    assert.equal(rig.model.asked('run it').length, 1);
});

test('while a tool of the client is called', async (t) => {
    const rig = await startRig(t);
    rig.model.on('look it up', steps(tool('lookup', { q: 'x' }), say('never')));
    const client = await begin(rig, 'look it up', { dynamicTools: [LOOKUP] });
    await client.next('item/tool/call');
    await leaveAndServe(rig, client);
    assert.equal(rig.model.asked('look it up').length, 1);
});

test('while a sub-agent runs that the turn waits for', async (t) => {
    const rig = await startRig(t);
    rig.model
        .on('delegate', steps(spawnAgent('child work'), waitAgent(), say('never')))
        .on('child work', hang());
    const client = await begin(rig, 'delegate');
    const child = await rig.model.request('child work');
    await rig.model.request('delegate', 2);
    await until(() => rig.home.locks().length === 2, 'parent and child are locked');
    const cut = child.cut();
    await leaveAndServe(rig, client);
    await cut;
});

test('while a sub-agent runs on after the turn', async (t) => {
    const rig = await startRig(t);
    rig.model.on('delegate', steps(spawnAgent('child work'), say('it works'))).on('child work', hang());
    const client = await begin(rig, 'delegate');
    const child = await rig.model.request('child work');
    await client.turnCompleted(client.threadId);
    assert.equal((await rig.worker(1)).state, 'busy', 'the worker is still needed');
    const cut = child.cut();
    await leaveAndServe(rig, client);
    await cut;
});

test('the next in line gets the worker of a client that leaves in mid-turn', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang()).on('next', hold('my', ' turn'));
    const client = await rig.holding('leaves', 'long');
    const next = await rig.connect('next');
    const { answer } = await rig.waiting(next);
    await client.close();
    const threadId = (await answer).thread.id;
    await client.asked.cut();
    assert.deepEqual(rig.home.locks(), [threadId]);
    rig.model.on('go', say('mine'));
    assert.equal((await turn(next, threadId, 'go')).text, 'mine');
});

test('half a connection is none: the end of input is the end of the client', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang());
    const client = await rig.holding('leaves', 'long');
    client.end();
    await client.asked.cut();
    await client.ended;
    await rig.untilClean();
});

test('turn/interrupt ends the turn at the model, and the client goes on', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang()).on('short', say('well'));
    const client = await rig.holding('stays', 'long');
    await client.request('turn/interrupt', { threadId: client.threadId, turnId: '' });
    await client.asked.cut();
    const { params } = await client.turnCompleted(client.threadId);
    assert.equal(params.turn.status, 'interrupted');
    assert.equal((await turn(client, client.threadId, 'short')).text, 'well');
});
