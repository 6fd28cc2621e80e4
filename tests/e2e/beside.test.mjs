// Threads of one client that run beside each other on one worker, as on a Codex of its own: sub-agents, which it looks at
// and talks to while their parent runs, and conversations aside (ephemeral forks of what runs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { runTurn, settled, waitInLine } from '../lib/scenes.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };
const SOON = { ...NEVER, openLingerMs: 0 };
const APPROVAL = 'item/commandExecution/requestApproval';

async function withAgent(daemon, id = 'child') {
    const scene = await runTurn(daemon);
    scene.worker.load(id);
    scene.child = scene.worker.begin(id);
    await scene.client.next('turn/started', (p) => p.threadId === id);
    return scene;
}

const started = (client, threadId) => client.next('turn/started', (p) => p.threadId === threadId);
const waits = (daemon, method) =>
    daemon.untilStatus((s) => s.waiters.some((waiter) => waiter.method === method), `${method} waits`);

/** An ephemeral fork of the thread that runs, as the terminal interface opens one. */
async function aside(client, threadId) {
    return (await client.request('thread/fork', { threadId, ephemeral: true, excludeTurns: true })).thread.id;
}

test('a sub-agent is opened while its parent waits for it, and it waits for an approval there', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn, child } = await withAgent(daemon);
    const answered = worker.ask(APPROVAL, { threadId: 'child', turnId: child.id });
    const ask = await client.next(APPROVAL);
    // What the client is about to use another thread for waits all the time, and so does somebody else.
    const title = client.request('thread/start', { ephemeral: true });
    await waits(daemon, 'thread/start');
    assert.equal((await client.request('thread/resume', { threadId: 'child', sandbox: null })).cold, false);
    client.send({ id: ask.id, result: { decision: 'accept' } });
    assert.deepEqual((await answered).result, { decision: 'accept' });
    assert.equal(worker.received('thread/start').length, 1);
    child.complete();
    turn.complete();
    await client.turnCompleted(threadId);
    // That it was opened is no promise of a turn: its client's next stream does not wait for one.
    await title;
});

test('a sub-agent is talked to while its parent runs, and the parent while it runs', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn, child } = await withAgent(daemon);
    child.complete();
    await client.turnCompleted('child');
    await client.startTurn('child', 'once more');
    await started(client, 'child');
    turn.complete();
    await client.turnCompleted(threadId);
    await client.startTurn(threadId, 'and you');
    await started(client, threadId);
    const { waiting } = await waitInLine(daemon);
    worker.turn('child').complete();
    await client.turnCompleted('child');
    await settled(client);
    assert.equal(worker.received('thread/start').length, 1);
    worker.turn(threadId).complete();
    await waiting;
});

test('two sub-agents of one parent, and one of an earlier turn', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn, child } = await withAgent(daemon);
    child.complete();
    turn.complete();
    await client.turnCompleted(threadId);
    await client.startTurn(threadId, 'once more');
    await started(client, threadId);
    worker.load('second');
    worker.begin('second');
    await started(client, 'second');
    assert.equal(await client.resumeThread('child'), 'child');
    await client.startTurn('child', 'you, too');
    await started(client, 'child');
    for (const id of ['child', 'second', threadId]) worker.turn(id).complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'the lease ends');
});

test('a stranger\'s resume of a sub-agent waits for the parent', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn, child } = await withAgent(daemon);
    child.complete();
    await client.turnCompleted('child');
    const other = await PoolClient.open(daemon, { name: 'b' });
    const resumed = other.resumeThread('child');
    await waits(daemon, 'thread/resume');
    assert.equal(worker.received('thread/unsubscribe').length, 0);
    turn.complete();
    await client.turnCompleted(threadId);
    assert.equal(await resumed, 'child');
});

test('a sub-agent that is somebody else\'s by now is resumed when the parent\'s turn is over', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn, child } = await withAgent(daemon);
    child.complete();
    turn.complete();
    await client.turnCompleted(threadId);
    const other = await PoolClient.open(daemon, { name: 'b' });
    await other.startTurn('child', 'mine');
    await started(other, 'child');
    worker.turn('child').complete();
    await other.turnCompleted('child');
    await client.startTurn(threadId, 'once more');
    await started(client, threadId);
    const resumed = client.resumeThread('child');
    await waits(daemon, 'thread/resume');
    assert.equal(worker.received('thread/unsubscribe').length, 0);
    worker.turn(threadId).complete();
    assert.equal(await resumed, 'child');
});

test('aside of a turn that is sent and not answered', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    const side = await aside(client, threadId);
    turn.complete();
    await client.turnCompleted(threadId);
    worker.hold('turn/start');
    const turns = [client.startTurn(threadId, 'go on'), client.startTurn(side, 'aside')];
    for (const id of [threadId, side]) worker.default(await worker.expect('turn/start', (p) => p.threadId === id && p.input[0].text !== 'hello'));
    await Promise.all(turns);
});

test('aside of a turn that runs, or waits for its client', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId, turn } = await runTurn(daemon);
    worker.ask(APPROVAL, { threadId, turnId: turn.id });
    const ask = await client.next(APPROVAL);
    const side = await aside(client, threadId);
    await client.request('thread/inject_items', { threadId: side, items: [] }).catch(() => {});
    await client.startTurn(side, 'aside');
    await started(client, side);
    worker.turn(side).delta('an answer');
    await client.next('item/agentMessage/delta', (p) => p.threadId === side);
    worker.turn(side).complete();
    await client.turnCompleted(side);
    await client.startTurn(side, 'and more');
    await started(client, side);
    const { waiting } = await waitInLine(daemon);
    client.send({ id: ask.id, result: { decision: 'accept' } });
    turn.complete();
    await client.turnCompleted(threadId);
    await client.startTurn(threadId, 'go on beside it');
    await started(client, threadId);
    worker.turn(side).complete();
    await client.turnCompleted(side);
    await settled(client);
    assert.equal(worker.received('thread/start').length, 1, 'the lease lasts until both have ended');
    worker.turn(threadId).complete();
    await waiting;
});

test('one who waits has its turn: aside of a turn that ran before it waited, and not of one that is aside', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId, turn } = await runTurn(daemon);
    const side = await aside(client, threadId);
    const { waiting } = await waitInLine(daemon);
    for (const text of ['aside', 'and more']) {
        await client.startTurn(side, text);
        await started(client, side);
        if (text === 'aside') worker.turn(side).complete();
    }
    turn.complete();
    await client.turnCompleted(threadId);
    const asked = client.startTurn(threadId, 'go on beside it');
    await waits(daemon, 'turn/start');
    // What it says to what runs does not wait.
    await client.startTurn(side, 'quickly');
    worker.turn(side).complete();
    await waiting;
    await asked;
});

test('a client that leaves takes both along', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, threadId } = await runTurn(daemon);
    const side = await aside(client, threadId);
    await client.startTurn(side, 'aside');
    await started(client, side);
    const { waiting } = await waitInLine(daemon);
    await client.close();
    await waiting;
    assert.equal(worker.threads.has(threadId) || worker.threads.has(side), false);
});

test('a fork that is kept is a conversation of its own: its turn waits', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId, turn } = await runTurn(daemon);
    const { thread } = await client.request('thread/fork', { threadId });
    const asked = client.startTurn(thread.id);
    await waits(daemon, 'turn/start');
    assert.equal(worker.received('turn/start').length, 1);
    turn.complete();
    await asked;
});

test('a fork that is kept is no sub-agent, although its status comes before the answer: its turn waits', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId, turn } = await runTurn(daemon);
    worker.hold('thread/fork');
    const forked = client.request('thread/fork', { threadId });
    const request = await worker.expect('thread/fork');
    worker.load('early');
    worker.status('early', 'idle');
    worker.reply(request, { thread: { id: 'early' } });
    await forked;
    const asked = client.startTurn('early');
    await waits(daemon, 'turn/start');
    turn.complete();
    await asked;
});

test('what was aside of another conversation waits for this one', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: SOON });
    const { client, threadId, turn } = await runTurn(daemon);
    const side = await aside(client, threadId);
    turn.complete();
    await client.turnCompleted(threadId);
    const second = await client.startThread();
    await client.startTurn(second);
    await started(client, second);
    const asked = client.startTurn(side, 'aside');
    await waits(daemon, 'turn/start');
    worker.turn(second).complete();
    await asked;
});
