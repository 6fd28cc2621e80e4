// A conversation goes on from any connection, on whichever worker is free.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hold, say } from '../lib/model-server.mjs';
import { startRig, told, turn } from './rig.mjs';

const STORY = ['user: my name is Ada', 'assistant: hello Ada', 'user: who am I'];

/** A pool of two whose model plays both parts of the story. */
async function startStory(t, options) {
    const rig = await startRig(t, { poolSize: 2, ...options });
    rig.model.on('my name is Ada', say('hello Ada')).on('who am I', say('Ada'));
    return rig;
}

/** The first turn of the story, on a connection of its own. */
async function begin(rig) {
    const client = await rig.connect('begins');
    client.threadId = await client.startThread({ cwd: rig.home.cwd });
    client.worker = (await client.next('pool/assigned')).params.worker;
    assert.equal((await turn(client, client.threadId, 'my name is Ada')).text, 'hello Ada');
    return client;
}

/** The second turn; the model has to be told the first. Gives the worker that it ran on. */
async function goOn(rig, client, threadId) {
    const { thread } = await client.request('thread/resume', { threadId, excludeTurns: true });
    assert.equal(thread.id, threadId);
    const { worker } = (await client.next('pool/assigned')).params;
    const result = await turn(client, threadId, 'who am I');
    assert.deepEqual([result.status, result.text], ['completed', 'Ada']);
    assert.deepEqual(told(rig.model.requests.at(-1)), STORY);
    return worker;
}

/** Makes one worker busy; by choice of the daemon the one with the fewest threads. */
async function occupy(rig, name) {
    rig.model.on(name, hold());
    return rig.holding(name);
}

test('a conversation goes on after its first client has left', async (t) => {
    const rig = await startStory(t);
    const first = await begin(rig);
    await first.close();
    const second = await rig.connect('goes-on');
    await goOn(rig, second, first.threadId);
    await second.close();
    await rig.untilClean(2);
});

test('it goes on on the other worker when its own is busy', async (t) => {
    const rig = await startStory(t);
    const first = await begin(rig);
    const elsewhere = await occupy(rig, 'busy elsewhere');
    assert.notEqual(elsewhere.worker, first.worker, 'a new thread goes to the worker with fewer threads');
    await first.close();
    const same = await occupy(rig, 'busy here');
    assert.equal(same.worker, first.worker);
    elsewhere.asked.release();
    await elsewhere.turnCompleted(elsewhere.threadId);
    const second = await rig.connect('goes-on');
    assert.equal(await goOn(rig, second, first.threadId), elsewhere.worker);
    assert.equal((await rig.worker(same.worker)).state, 'busy');
});

test('it goes on while its first connection is still open', async (t) => {
    const rig = await startStory(t);
    const first = await begin(rig);
    const second = await rig.connect('goes-on');
    await goOn(rig, second, first.threadId);

    // The thread is the second's now; the first hears so, and can have it back.
    await assert.rejects(first.request('turn/interrupt', { threadId: first.threadId, turnId: '' }), {
        code: -32600,
    });
    assert.equal(await first.resumeThread(first.threadId), first.threadId);
    rig.model.on('and now', say('still Ada'));
    assert.equal((await turn(first, first.threadId, 'and now')).text, 'still Ada');
    assert.deepEqual(told(rig.model.requests.at(-1)), [...STORY, 'assistant: Ada', 'user: and now']);
});

test('it goes on as soon as there is room when both workers are busy', async (t) => {
    const rig = await startStory(t);
    const first = await begin(rig);
    await first.close();
    const busy = [await occupy(rig, 'busy one'), await occupy(rig, 'busy two')];
    const second = await rig.connect('goes-on');
    const gone = goOn(rig, second, first.threadId);
    const { params } = await second.next('pool/queued');
    assert.equal(params.position, 1);
    busy[1].asked.release();
    assert.equal(await gone, busy[1].worker);
});

test('a resume waits for the turn that another client runs on the thread', async (t) => {
    const rig = await startStory(t);
    rig.model.on('my name is Ada', hold('hello', ' Ada'));
    const first = await rig.holding('begins', 'my name is Ada');
    const second = await rig.connect('goes-on');
    const gone = goOn(rig, second, first.threadId);
    await second.next('pool/queued');
    first.asked.release();
    await first.turnCompleted(first.threadId);
    await gone;
});

test('a resume starts cold: what its settings ask for is what the turn gets', async (t) => {
    const rig = await startStory(t);
    const first = await begin(rig);
    const second = await rig.connect('goes-on');
    const resumed = await second.request('thread/resume', {
        threadId: first.threadId,
        sandbox: 'read-only',
        approvalPolicy: 'on-request',
        excludeTurns: true,
    });
    assert.equal(resumed.sandbox.type, 'readOnly');
    assert.equal(resumed.approvalPolicy, 'on-request');
});

test('twenty turns of one conversation, each on a connection of its own', async (t) => {
    const rig = await startStory(t);
    const first = await begin(rig);
    await first.close();
    for (let i = 1; i <= 20; i++) {
        rig.model.on(`turn ${i}.`, say(`answer ${i}`));
        const client = await rig.connect(`client-${i}`);
        await client.resumeThread(first.threadId, { excludeTurns: true });
        assert.equal((await turn(client, first.threadId, `turn ${i}.`)).text, `answer ${i}`);
        if (i % 2) {
            await client.close();
        }
    }
    const { history } = rig.model.requests.at(-1);
    assert.equal(history.length, 2 + 20 * 2 - 1);
});
