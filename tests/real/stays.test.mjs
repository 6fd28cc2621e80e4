// Which threads leave a busy worker for an idle one, and what holds the others where they are.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { say, shell, spawnAgent, steps } from '../lib/model-server.mjs';
import { said, told } from './rig.mjs';
import { Stage, Talk } from './twin.mjs';

const MCP_SERVER = fileURLToPath(new URL('mcp-server.mjs', import.meta.url));
const LOOKS_AFTER = { sandbox: 'read-only', approvalPolicy: 'on-request' };

/** A thread that has had a turn, on a worker that somebody else has got since; the other worker is idle. */
async function left(t, { start = {}, story = (talk) => talk.turn('hello') } = {}) {
    const stage = await Stage.start(t);
    const client = await stage.connect('a');
    const talk = await new Talk(stage.rig, client).open(start);
    const owner = client.notifications.find((n) => n.method === 'pool/assigned').params.worker;
    await story(talk, stage.rig.model);
    await stage.rig.daemon.untilStatus(({ pool }) => pool.busy === 0, 'both workers are idle');
    const occupied = await stage.occupy(owner);
    client.notifications.length = 0;
    return { stage, client, talk, owner, occupied };
}

/** What the worker said to the last prompt, and where. */
async function goesOn(client, threadId, act) {
    const sent = act();
    await sent;
    const { params } = await client.next('pool/assigned', ({ id }) => id === sent.id);
    const completed = await client.turnCompleted(threadId);
    return { worker: params.worker, text: said(completed, client) };
}

async function assertMovedOnce({ stage, owner }, worker) {
    assert.notEqual(worker, owner);
    assert.equal(await stage.moves(), 1);
}

function assertRemembers(stage, prompt) {
    const [asked] = stage.rig.model.asked(prompt);
    assert.deepEqual(told(asked), ['user: hello', 'assistant: ok', `user: ${prompt}`]);
}

test('a turn by another connection moves the thread', async (t) => {
    const scene = await left(t);
    const { stage, talk } = scene;
    const other = await stage.connect('same chat server');
    const { worker } = await goesOn(other, talk.id, () => other.startTurn(talk.id, 'and now'));
    await assertMovedOnce(scene, worker);
    assertRemembers(stage, 'and now');
});

test('a resume by another connection gets the thread on the idle worker', async (t) => {
    const scene = await left(t);
    const { stage, talk, client } = scene;
    const other = await stage.connect('same chat server');
    await other.resumeThread(talk.id);
    const { params } = await other.next('pool/assigned');
    await assertMovedOnce(scene, params.worker);
    await other.startTurn(talk.id, 'and now');
    await other.turnCompleted(talk.id);
    assertRemembers(stage, 'and now');
    assert.equal(client.has('turn/started'), false, 'who had it before hears nothing of it');
});

test("the client's own resume moves it, too", async (t) => {
    const scene = await left(t);
    const { stage, talk, client } = scene;
    const resumed = client.request('thread/resume', { threadId: talk.id });
    const { thread } = await resumed;
    assert.equal(thread.turns.length, 1);
    const { params } = await client.next('pool/assigned', ({ id }) => id === resumed.id);
    await assertMovedOnce(scene, params.worker);
    assert.equal(client.has('thread/closed'), false);
});

test('ten conversations of one client go on on the worker that is idle, and come back', async (t) => {
    const stage = await Stage.start(t);
    const client = await stage.connectHolding('a');
    const talks = [];
    for (let i = 0; i < 10; i++) {
        talks.push(await new Talk(stage.rig, client).open());
        await talks[i].turn('hello');
    }
    await client.request('pool/release', {});
    for (const worker of [client.worker, 3 - client.worker]) {
        const occupied = await stage.occupy(worker);
        for (const talk of talks) {
            const went = await goesOn(client, talk.id, () => client.startTurn(talk.id, 'and now'));
            assert.equal(went.worker, 3 - worker);
        }
        await occupied.end();
    }
    assert.equal(await stage.moves(), 20);
    assert.equal(client.has('thread/closed'), false);
});

/** name: [what pool/status says of it, how the thread came to be so]. */
const STAYS = {
    'an ephemeral thread': ['it is ephemeral', { start: { ephemeral: true } }],
    'a background terminal': [
        'a background terminal runs in it',
        {
            async story(talk, model) {
                model.on('sleep', steps(shell('sleep 1000', { yieldMs: 250 }), say('it sleeps')));
                await talk.turn('sleep');
            },
        },
    ],
    'a sub-agent': [
        'sub-agents belong to it',
        {
            async story(talk, model) {
                model.on('delegate', steps(spawnAgent('child work'), say('started'))).on('child work', say('done'));
                await talk.turn('delegate');
                const { threadId } = await model.request('child work');
                await talk.client.turnCompleted(threadId);
            },
        },
    ],
    'an MCP server': [
        'an MCP server runs for it',
        { start: { config: { mcp_servers: { counter: { command: process.execPath, args: [MCP_SERVER] } } } } },
    ],
    'an approval for the session': [
        'approvals are remembered for its session',
        {
            start: LOOKS_AFTER,
            async story(talk, model) {
                model.on('touch', steps(shell('touch it', { escalated: true }), say('touched')));
                talk.client.onRequest('item/commandExecution/requestApproval', () => ({ decision: 'acceptForSession' }));
                await talk.turn('touch');
            },
        },
    ],
    'a client that gets raw events': ['its client gets raw events', { start: { experimentalRawEvents: true } }],
    'a change of the configuration': [
        'the configuration or its instructions have changed since it was opened',
        {
            async story(talk) {
                await talk.turn('hello');
                talk.rig.home.configure('web_search = "disabled"');
            },
        },
    ],
};

for (const [name, [words, options]] of Object.entries(STAYS)) {
    test(`${name} holds a thread at its worker`, async (t) => {
        const { stage, client, talk, owner, occupied } = await left(t, options);
        stage.rig.model.on('and now', say('here'));
        const sent = client.startTurn(talk.id, 'and now');
        const { waiters } = await stage.rig.daemon.untilStatus(
            (status) => status.waiters[0]?.stays && status.waiters[0].stays !== 'it is moving', 'it says why');
        assert.equal(waiters[0].stays, words);
        assert.equal(waiters[0].worker, owner);
        await occupied.end();
        await sent;
        const { params } = await client.next('pool/assigned', ({ id }) => id === sent.id);
        assert.equal(params.worker, owner);
        assert.equal(said(await client.turnCompleted(talk.id), client), 'here');
        assert.equal(await stage.moves(), 0);
    });
}
