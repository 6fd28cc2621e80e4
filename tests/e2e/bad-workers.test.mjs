// Workers that are of no use, in ways that their death alone does not show.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { sanitized } from '../lib/memory.mjs';
import { converse, runTurn } from '../lib/scenes.mjs';
import { until, within } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 50 };
const delays = (daemon) => [...daemon.log.matchAll(/next (?:start|try) in (\d+) ms/g)].map((m) => Number(m[1]));

/** A daemon whose workers do something else on a method, from the first one on. */
async function startWith(t, method, handler, config = {}) {
    const daemon = await startDaemon(t, { config: { ...NEVER, poolSize: 1, ...config }, waitReady: false });
    daemon.fake.on(method, handler);
    return daemon.ready();
}

/** It has healed: a client has a turn. */
async function assertHeals(daemon, method) {
    daemon.fake.handlers.delete(method);
    for (const worker of daemon.fake.workers) worker.handlers.delete(method);
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it heals');
    const { client, threadId, turn } = await runTurn(daemon);
    turn.complete();
    await client.turnCompleted(threadId);
}

for (const [what, misbehave, told] of [
    ['writes a line without end', (worker) => worker.raw('x'.repeat(10000)), /longer than maxMessageBytes/],
    ['closes its output', (worker) => worker.order({ closeOut: true }), /closed its output/],
    ['dies', (worker) => worker.die(), /signal 9/],
]) {
    test(`one that ${what} instead of answering initialize has failed to start, again and again ever later`, async (t) => {
        const daemon = await startWith(t, 'initialize', function initialize() { misbehave(this); }, { maxMessageBytes: 4096 });
        const client = await PoolClient.open(daemon, { initialize: false });
        await assert.rejects(client.initialize(), (e) => e.code === -32015 && told.test(e.message));
        await until(() => delays(daemon).length >= 2, 'two have failed');
        assert.deepEqual(delays(daemon).slice(0, 2), [100, 200]);
        assert.match((await daemon.status()).workers[0].lastError, told);
        await assertHeals(daemon, 'initialize');
    });

    test(`one that ${what} as soon as it has started is started again ever later, which the status shows`, async (t) => {
        const daemon = await startWith(t, 'initialized', function initialized() { misbehave(this); }, { maxMessageBytes: 4096 });
        await until(() => delays(daemon).length >= 2, 'two have failed');
        assert.deepEqual(delays(daemon).slice(0, 2), [100, 200]);
        const { workers, counters } = await daemon.status();
        assert.match(workers[0].lastError, told);
        assert.match(workers[0].lastError, /^Worker exited/);
        assert.ok(counters.workerExits >= 2);
        await assertHeals(daemon, 'initialized');
    });
}

for (const [what, answer] of [
    ['an error', { error: { code: -32600, message: 'no moon' } }],
    ['neither', {}],
    ['a number', { result: 7 }],
    ['another version', { result: { userAgent: 'x/9.9.9-beta (y)', codexHome: '/h', more: [1] } }],
]) {
    test(`initialize is answered with ${what}`, async (t) => {
        let times = 0;
        const daemon = await startWith(t, 'initialize', function initialize(request) {
            if (++times > 1) this.default(request);
            else this.write({ id: request.id, ...answer });
        }, { startTimeoutMs: 2000 });
        const { workers } = await daemon.untilStatus((s) => s.pool.ready === 1, 'one is ready');
        if (what === 'another version') assert.equal(workers[0].version, '9.9.9-beta');
        if (what === 'an error') assert.match(daemon.log, /initialize was refused: .*no moon/);
        await assertHeals(daemon, 'initialize');
    });
}

test('what it says of threads that nobody opened reaches nobody, and what it asks there is declined', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const { client } = await converse(daemon);
    const before = client.lines.length;
    const threadId = 'never-opened';
    for (const method of ['item/agentMessage/delta', 'turn/completed', 'thread/closed', 'thread/name/updated', 'error',
        'thread/goal/updated', 'thread/queue/changed', 'serverRequest/resolved', 'thread/settings/updated', 'some/thing']) {
        for (const params of [{ threadId }, { threadId, turn: null }, { thread: { id: threadId } }]) worker.notify(method, params);
    }
    worker.notify('turn/completed', null);
    worker.notify('turn/started', { threadId: { id: 1 } });
    const asked = worker.ask('item/commandExecution/requestApproval', { threadId });
    assert.equal((await within(asked, 'the answer')).error.code, -32601);
    await client.request('pool/ping');
    assert.equal(client.lines.length, before + 1);
    assert.equal((await daemon.status()).workers[0].state, 'idle');
    await client.startThread();
});

test('answers to what was asked of another worker, in another form, or long ago', async (t) => {
    const [daemon, one, two] = await startPool(t, 2, { config: NEVER });
    const a = await runTurn(daemon, 'a');
    const b = await runTurn(daemon, 'b');
    for (const worker of [one, two]) worker.hold('some/thing');
    const asked = a.client.request('some/thing');
    const { id } = await a.worker.expect('some/thing');
    // By the other worker, as a string, a fraction, with both or neither of result and error.
    b.worker.write({ id, result: 'wrong' });
    for (const line of [`{"id":"${id}","result":"wrong"}`, `{"id":${id}.0,"result":"wrong"}`, `{"id":-${id},"result":"wrong"}`,
        `{"id":${id}999999999999999999,"result":"wrong"}`, '{"id":null,"result":"wrong"}', '{"result":"wrong"}']) {
        a.worker.raw(`${line}\n`);
    }
    a.worker.write({ id, result: 'right' });
    assert.equal(await asked, 'right');
    a.worker.write({ id, result: 'again' });
    for (const each of [a, b]) {
        each.turn.complete();
        await each.client.turnCompleted(each.threadId);
        assert.ok(!each.client.lines.some((line) => /wrong|again/.test(line)));
    }
});

test('one that floods its stderr, with lines or without, is heard to its end and costs no memory', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER, args: ['--log-level', 'info'] });
    const { client, threadId, turn } = await runTurn(daemon);
    for (let i = 0; i < 8; i++) worker.stderr('y'.repeat(1024 * 1024));
    worker.stderr(`\n${'\n'.repeat(10000)}${'z'.repeat(100)}\n`.repeat(20));
    turn.delta('after that');
    await client.next('item/agentMessage/delta');
    const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))[1]);
    assert.ok(sanitized || peak < 16 * 1024, `${peak} kB`);
    turn.complete();
    await client.turnCompleted(threadId);
});
