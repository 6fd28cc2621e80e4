// Turns that start without a turn/start: of goals, of queued messages, of sub-agents. Others wait until no more can
// come; a client that leaves ends them for good.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hold, say, spawnAgent, steps } from '../lib/model-server.mjs';
import { until } from '../lib/wait.mjs';
import { startRig, told, turn } from './rig.mjs';

/** A client with a thread on a pool of one that has had a turn, and a second client that waits for the worker. */
async function pair(t) {
    const rig = await startRig(t);
    rig.model.on('', say('ok'));
    const client = await rig.connect('a');
    client.threadId = await client.startThread({ cwd: rig.home.cwd });
    await turn(client, client.threadId, 'hello');
    client.ask = (method, params = {}) => client.request(method, { threadId: client.threadId, ...params });
    const other = await rig.connect('b');
    return { rig, client, other };
}

/** Somebody who waits for the worker: { served, end }. */
async function waitInLine(rig, client) {
    const { answer } = await rig.waiting(client);
    const waiter = { served: false };
    waiter.end = answer.then(() => (waiter.served = true));
    return waiter;
}

const setGoal = (client, status = 'active') => client.ask('thread/goal/set', { objective: 'count', status });

const enqueue = (client, text) =>
    client.ask('thread/queue/add', { input: [{ type: 'text', text }], clientUserMessageId: text });

/** Every request to the model waits for the test: `next()` gives the next one. */
function heldModel(rig) {
    let seen = rig.model.requests.length;
    rig.model.on('', hold('thinking', ' done'));
    return {
        async next() {
            const at = seen++;
            await until(() => rig.model.requests.length > at, `request ${at + 1} to the model`);
            return rig.model.requests[at];
        },
    };
}

/** Whatever the model is asked from now on, nobody has asked for. */
async function assertSilent(rig, act) {
    const before = rig.model.requests.length;
    await act();
    assert.equal(rig.model.requests.length, before, 'the model is not asked any more');
}

/** A client leaves while the model answers; all is cleaned up behind it. The next client. */
async function leaveMidTurn(rig, client, asked) {
    const cut = asked.cut();
    await client.close();
    await cut;
    await rig.untilClean();
    return rig.connect('next');
}

test('a goal keeps its worker from turn to turn until it is paused', async (t) => {
    const { rig, client, other } = await pair(t);
    const model = heldModel(rig);
    await setGoal(client);
    const first = await model.next();
    const waiter = await waitInLine(rig, other);
    first.release();
    for (let i = 0; i < 3; i++) {
        await client.turnCompleted(client.threadId);
        const next = await model.next();
        if (i === 2) await setGoal(client, 'paused');
        else assert.equal(waiter.served, false, 'the goal goes on');
        next.release();
    }
    await waiter.end;
    await assertSilent(rig, () => other.request('model/list'));
    assert.equal((await client.ask('thread/goal/get')).goal.status, 'paused');
});

test('a client that leaves with an active goal ends it for good', async (t) => {
    const { rig, client } = await pair(t);
    const { threadId } = client;
    const model = heldModel(rig);
    await setGoal(client);
    const asked = await model.next();
    const next = await leaveMidTurn(rig, client, asked);
    await assertSilent(rig, async () => {
        await next.resumeThread(threadId);
        const { goal } = await next.request('thread/goal/get', { threadId });
        assert.equal(goal.status, 'paused');
    });
    rig.model.on('', say('ok'));
    assert.equal((await turn(next, threadId, 'and now')).text, 'ok');
});

test('a goal that outlived its worker goes on when it is resumed: others wait', async (t) => {
    const { rig, client, other } = await pair(t);
    const { threadId } = client;
    const model = heldModel(rig);
    await setGoal(client);
    await model.next();
    const { pid } = await rig.worker(1);
    process.kill(pid, 'SIGKILL');
    await client.next('thread/closed');
    await client.resumeThread(threadId);
    const going = await model.next();
    const waiter = await waitInLine(rig, other);
    await setGoal(client, 'paused');
    assert.equal(waiter.served, false);
    going.release();
    await waiter.end;
});

test('queued messages keep their worker until the last one has run', async (t) => {
    const { rig, client, other } = await pair(t);
    const model = heldModel(rig);
    await client.startTurn(client.threadId, 'first');
    const running = [await model.next()];
    await enqueue(client, 'second');
    await enqueue(client, 'third');
    const waiter = await waitInLine(rig, other);
    for (const text of ['second', 'third']) {
        running.at(-1).release();
        await client.turnCompleted(client.threadId);
        running.push(await model.next());
        assert.ok(told(running.at(-1)).includes(`user: ${text}`));
        assert.equal(waiter.served, false, `"${text}" runs`);
    }
    running.at(-1).release();
    await waiter.end;
});

test('a message queued on an idle thread takes the worker', async (t) => {
    const { rig, client, other } = await pair(t);
    const model = heldModel(rig);
    await enqueue(client, 'only');
    const asked = await model.next();
    const waiter = await waitInLine(rig, other);
    assert.equal(waiter.served, false);
    asked.release();
    await waiter.end;
    assert.equal((await client.turnCompleted(client.threadId)).params.turn.status, 'completed');
});

test('what is queued when its client leaves is not lost, and does not run on', async (t) => {
    const { rig, client } = await pair(t);
    const { threadId } = client;
    const model = heldModel(rig);
    await client.startTurn(threadId, 'first');
    const running = await model.next();
    await enqueue(client, 'second');
    await enqueue(client, 'third');
    const next = await leaveMidTurn(rig, client, running);
    await assertSilent(rig, async () => {
        await next.resumeThread(threadId);
        const { data } = await next.request('thread/queue/list', { threadId });
        assert.deepEqual(data.map((item) => item.clientUserMessageId), ['second', 'third']);
    });
});

test('a sub-agent that runs on keeps the worker, and its client hears it', async (t) => {
    const { rig, client, other } = await pair(t);
    rig.model
        .on('delegate', steps(spawnAgent('child work'), say('it works')))
        .on('child work', hold('child', ' done'));
    await client.startTurn(client.threadId, 'delegate');
    const child = await rig.model.request('child work');
    await client.turnCompleted(client.threadId);
    const waiter = await waitInLine(rig, other);
    const { params } = await client.next('item/agentMessage/delta', (p) => p.threadId === child.threadId);
    assert.equal(params.delta, 'child');
    assert.equal(waiter.served, false);
    child.release();
    await client.turnCompleted(child.threadId);
    await waiter.end;
    assert.deepEqual(
        other.notifications.filter((n) => [client.threadId, child.threadId].includes(n.params.threadId)),
        [],
    );
});
