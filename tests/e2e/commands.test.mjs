// command/exec: a stream of its own, without a thread.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { runTurn, settled, waitInLine } from '../lib/scenes.mjs';

const NEVER = { openLingerMs: 600000 };
const done = { exitCode: 0, stdout: 'out', stderr: '' };

/** A command that runs: {client, answer, request, worker}. */
async function run(daemon, name, processId) {
    const client = await PoolClient.open(daemon, { name });
    const answer = client.request('command/exec', { command: ['x', name], processId });
    const isMine = (m) => m.method === 'command/exec' && m.params.command[1] === name;
    const own = (s) => s.clients.find((c) => c.name === name).workers[0];
    const at = await daemon.untilStatus(own, 'it has a worker');
    const id = own(at);
    const worker = daemon.fake.workers.find((w) => w.pid === at.workers[id - 1].pid);
    await worker.expect('command/exec', (p) => p.command[1] === name);
    return { client, answer, worker, request: worker.log.find(isMine) };
}

test('a command holds its worker until it is answered', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client, answer, request } = await run(daemon, 'a', 'p');
    const next = await waitInLine(daemon);
    await settled(client);
    assert.equal(worker.received('thread/start').length, 0);
    worker.reply(request, done);
    assert.deepEqual(await answer, done);
    await next.waiting;
});

test('equal processIds of two clients do not meet', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await run(daemon, 'a', 'p');
    const b = await run(daemon, 'b', 'p');
    assert.notEqual(a.worker, b.worker);
    await b.client.request('command/exec/write', { processId: 'p', deltaBase64: 'Yg==' });
    await a.client.request('command/exec/resize', { processId: 'p', size: { rows: 1, cols: 1 } });
    assert.equal(b.worker.received('command/exec/write').length, 1);
    assert.equal(a.worker.received('command/exec/resize').length, 1);
    for (const { client } of [a, b]) await client.request('command/exec/terminate', { processId: 'p' });
    assert.deepEqual((await Promise.all([a.answer, b.answer])).map((r) => r.exitCode), [137, 137]);
    for (const { worker } of [a, b]) assert.equal(worker.received('command/exec/terminate').length, 1);
});

test('its output goes to the client that runs it', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await run(daemon, 'a', 'p');
    const b = await run(daemon, 'b', 'p');
    a.worker.notify('command/exec/outputDelta', { processId: 'p', stream: 'stdout', deltaBase64: 'YQ==' });
    await a.client.next('command/exec/outputDelta', (p) => p.deltaBase64 === 'YQ==');
    await settled(b.client);
    assert.equal(b.client.has('command/exec/outputDelta'), false);
    for (const { worker, request } of [a, b]) worker.reply(request, done);
});

test('while a client\'s command runs, another of its own gets another worker', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await run(daemon, 'a', 'one');
    const second = a.client.request('command/exec', { command: ['x', 'a2'], processId: 'two' });
    const other = daemon.fake.workers.find((w) => w !== a.worker);
    const request = await other.expect('command/exec');
    await a.client.request('command/exec/terminate', { processId: 'two' });
    assert.equal((await second).exitCode, 137);
    assert.equal(other.log.at(-1).method, 'command/exec/terminate');
    assert.ok(request.params.processId === 'two' && a.worker.received('command/exec/terminate').length === 0);
    a.worker.reply(a.request, done);
    await a.answer;
});

test('a command during a client\'s own turn does not disturb it', async (t) => {
    const [daemon] = await startPool(t, 2);
    const { client, threadId, worker, turn } = await runTurn(daemon);
    const answer = client.request('command/exec', { command: ['x'], processId: 'p' });
    const other = daemon.fake.workers.find((w) => w !== worker);
    other.reply(await other.expect('command/exec'), done);
    assert.deepEqual(await answer, done);
    turn.complete();
    await client.turnCompleted(threadId);
});

test('the commands of a client that left are terminated on each of its workers', async (t) => {
    const [daemon, ...workers] = await startPool(t, 2, { config: NEVER });
    const a = await run(daemon, 'a', 'one');
    a.client.request('command/exec', { command: ['x'], processId: 'two' });
    await workers.find((w) => w !== a.worker).expect('command/exec');
    await a.client.close();
    await Promise.all(workers.map((w) => w.expect('command/exec/terminate')));
    await daemon.untilStatus((s) => s.workers.every((w) => w.state === 'idle'), 'both are free');
    assert.equal(daemon.fake.workers.length, 2);
});

test('a command that is not ended by its termination is ended with its worker', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, interruptTimeoutMs: 200 } });
    worker.on('command/exec/terminate', (request) => worker.reply(request, {}));
    const a = await run(daemon, 'a', 'p');
    const next = await waitInLine(daemon);
    await a.client.close();
    await worker.eof;
    await next.waiting;
    assert.equal(daemon.fake.workers.length, 2);
});

test('a follow-up of a command that does not run is refused', async (t) => {
    const [daemon] = await startPool(t);
    const client = await PoolClient.open(daemon);
    const late = client.request('command/exec/write', { processId: 'p' });
    await assert.rejects(late, { message: 'no active command/exec for process id "p"' });
});

for (const method of ['terminate', 'write', 'resize']) {
    test(`nobody reaches another client's command by its processId: ${method}`, async (t) => {
        const [daemon, worker] = await startPool(t, 1, { config: NEVER });
        const a = await run(daemon, 'a', 'p');
        const b = await PoolClient.open(daemon, { name: 'b' });
        await assert.rejects(b.request(`command/exec/${method}`, { processId: 'p' }),
            { code: -32600, message: 'no active command/exec for process id "p"' });
        assert.equal(worker.received(`command/exec/${method}`).length, 0);
        worker.reply(a.request, done);
        await a.answer;
    });
}
