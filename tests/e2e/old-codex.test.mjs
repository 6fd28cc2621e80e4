// A Codex that is older than what the daemon asks for: it does not unload threads, or does not know a method at all. The
// daemon does what is safe, and says once in its log, and in the status, what it does without.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../lib/cli.mjs';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };
const KEEPS = 'codex 0.169.0 does not unload threads: they stay with their workers';
const times = (daemon, text) => daemon.log.split(text).length - 1;

/** In Codex's own words, with the beginning of its list of what it knows. */
function knowsNot(worker, ...methods) {
    for (const method of methods)
        worker.on(method, (r) => worker.refuse(r, -32600, `Invalid request: unknown variant \`${method}\`, expected one of \`initialize\``));
}

function keepsThreads(worker) {
    worker.on('thread/unsubscribe', (r) => worker.reply(r, { status: 'unsubscribed' }));
}

const limits = async (daemon) => (await daemon.status()).codex.limits;

test('one that lacks nothing has no limits', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const a = await runTurn(daemon, 'a');
    const b = await waitInLine(daemon, 'b');
    await a.client.close();
    await b.waiting;
    assert.deepEqual(await limits(daemon), []);
});

test('methods that it does not know: who leaves is cleaned up after as far as may be, and it is said once', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    knowsNot(worker, 'thread/unsubscribe', 'thread/backgroundTerminals/clean', 'thread/loaded/list');
    for (const name of ['a', 'b']) {
        const { client, threadId } = await runTurn(daemon, name);
        const next = await waitInLine(daemon, 'next');
        await client.close();
        await next.waiting;
        assert.equal(worker.threads.get(threadId).turn, null, 'its turn has ended');
        await next.client.close();
        await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'it is idle');
    }
    assert.ok(worker.received('thread/unsubscribe').length > 2);
    const said = ['thread/backgroundTerminals/clean', 'thread/loaded/list', 'thread/unsubscribe'].map((m) => `codex 0.169.0 does not know ${m}`);
    for (const words of said) assert.equal(times(daemon, words), 1, words);
    assert.equal(times(daemon, 'codex 0.169.0 does not unload threads'), 1);
    assert.deepEqual(await limits(daemon), [KEEPS, ...said]);
    const { out } = await run(t, ['--socket', daemon.socket, 'status']);
    for (const words of [KEEPS, ...said]) assert.ok(out.includes(`\nlimit    ${words}\n`), out);
    assert.equal((await daemon.status()).counters.workersReplaced, 0);
});

test('another error of the same methods is no sign of age', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    worker.on('thread/loaded/list', (r) => worker.refuse(r, -32600, 'not today'));
    const { client } = await runTurn(daemon, 'a');
    const next = await waitInLine(daemon, 'next');
    await client.close();
    await next.waiting;
    assert.deepEqual(await limits(daemon), []);
});

test('what a client asks that it does not know is the client\'s to hear', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    knowsNot(worker, 'thread/goal/get');
    const { client, threadId } = await converse(daemon, 'a');
    await assert.rejects(client.request('thread/goal/get', { threadId }), /unknown variant/);
    assert.deepEqual(await limits(daemon), []);
});

test('a successor is judged anew, and two workers of one version are told of once', async (t) => {
    const [daemon, ...workers] = await startPool(t, 2, { config: NEVER });
    workers.forEach(keepsThreads);
    const clients = [await runTurn(daemon, 'a'), await runTurn(daemon, 'b')];
    for (const { client } of clients) await client.close();
    await daemon.untilStatus((s) => s.pool.busy === 0, 'both are given up');
    assert.equal(times(daemon, 'does not unload threads'), 2);
    assert.deepEqual(await limits(daemon), [KEEPS]);
    const pids = (await daemon.status()).workers.map((w) => w.pid);
    const admin = await PoolClient.open(daemon, { name: 'admin' });
    await admin.request('pool/recycle');
    await daemon.untilStatus((s) => s.pool.ready === 2 && s.workers.every((w) => !pids.includes(w.pid)), 'both are new');
    assert.deepEqual(await limits(daemon), []);
});

test('a resume with settings gets a process of its own, in which they count', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    keepsThreads(worker);
    const { client, threadId } = await converse(daemon, 'a');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const { cold } = await b.request('thread/resume', { threadId, sandbox: 'read-only' });
    assert.equal(cold, true);
    await client.next('thread/closed', (p) => p.threadId === threadId);
    await b.startTurn(threadId);
    await b.next('turn/started');
    const s = await daemon.status();
    assert.deepEqual([s.counters.workersReplaced, s.counters.timedOut, s.counters.rejected], [1, 0, 0]);
});

test('not beside a thread that somebody has open there, nor beside a request of somebody\'s', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, openLingerMs: 0 } });
    keepsThreads(worker);
    const { threadId } = await converse(daemon, 'a');
    const c = await converse(daemon, 'c');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const asks = () => b.request('thread/resume', { threadId, sandbox: 'read-only' });
    await assert.rejects(asks(), /this Codex does not unload threads/);
    await c.client.close();
    worker.hold('model/list');
    const d = await PoolClient.open(daemon, { name: 'd' });
    const list = d.request('model/list');
    const held = await worker.expect('model/list');
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'c is gone');
    await assert.rejects(asks(), /this Codex does not unload threads/);
    worker.default(held);
    await list;
    assert.equal((await daemon.status()).counters.workersReplaced, 0);
    assert.equal((await asks()).cold, true);
});

test('two resumes of one client at once: the second starts over, too', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, openLingerMs: 0 } });
    keepsThreads(worker);
    const a = await converse(daemon, 'a');
    const second = await converse(daemon, 'a2');
    for (const { client } of [a, second]) await client.close();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'both are gone');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const ids = [a.threadId, second.threadId];
    const resumed = ids.map((threadId) => b.request('thread/resume', { threadId, sandbox: 'read-only' }));
    for (const { thread, cold } of await Promise.all(resumed)) {
        assert.ok(ids.includes(thread.id));
        assert.equal(cold, true);
    }
});
