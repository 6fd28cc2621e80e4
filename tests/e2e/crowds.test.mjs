// A crowd of waiters, a crowd of clients, a gigabyte that nobody reads: all of it is borne, and memory is as it was
// afterwards.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { assertGrewLess, MB, rss, sanitized, untilGivenBack } from '../lib/memory.mjs';
import { runTurn, waitInLine } from '../lib/scenes.mjs';

/** Where each client is told of, the test would read more than anybody. */
const QUIET = ['--log-level', 'info'];

const delta = ({ threadId, turn }, size) => JSON.stringify({
    method: 'item/agentMessage/delta', params: { threadId, turnId: turn.id, itemId: 'i', delta: 'x'.repeat(size) },
});

/** Connects `n` clients, some at a time. */
async function crowd(daemon, n, open = (path) => PoolClient.connect(path)) {
    const clients = [];
    while (clients.length < n) {
        const some = { length: Math.min(100, n - clients.length) };
        clients.push(...await Promise.all(Array.from(some, () => open(daemon.socket))));
    }
    return clients;
}

test('10,000 waiters on one pool wait in line, and cost a few kilobytes each', async (t) => {
    // The first to be served keeps its worker, without a turn, until it leaves.
    const [daemon] = await startPool(t, 1, { args: QUIET, config: { maxQueue: 10000, openLingerMs: 3600000 } });
    const holder = await PoolClient.open(daemon, { name: 'holder' });
    await holder.request('pool/acquire');
    const first = await waitInLine(daemon, 'first');
    const clients = await crowd(daemon, 20, () => PoolClient.open(daemon));
    const before = rss(daemon);
    for (let i = 0; i < 9998; i++) clients[i % 20].request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 9999, 'all wait');
    const last = await waitInLine(daemon, 'last');
    await assert.rejects(last.client.request('thread/start'), (e) => e.code === -32001);
    const peak = rss(daemon);
    assertGrewLess(daemon, before, 10000 * 2048);
    await holder.request('pool/release');
    await first.waiting;
    await Promise.all(clients.map((each) => each.close()));
    await daemon.untilStatus((s) => s.queue.length === 1, 'only the last one waits');
    await first.client.close();
    await last.waiting;
    await untilGivenBack(t, daemon, before, peak);
    await Promise.all([holder, last.client].map((each) => each.close()));
});

test('places in a long queue are not told again and again to one that does not read', async (t) => {
    const [daemon] = await startPool(t, 1, { args: QUIET, config: { maxQueue: 20000 } });
    const holder = await PoolClient.open(daemon);
    await holder.request('pool/acquire');
    const first = await PoolClient.open(daemon);
    const before = Array.from({ length: 6 }, () => first.request('thread/start'));
    await daemon.untilStatus((s) => s.queue.length === before.length, 'some wait before it');
    const mute = await PoolClient.open(daemon, { name: 'mute' });
    await mute.request('pool/subscribe', { events: ['queue'] });
    mute.pause();
    for (let i = 0; i < 10000; i++) mute.send({ id: i, method: 'thread/start', params: {} });
    let length;
    await daemon.untilStatus((s) => {
        const still = s.queue.length === length && length > 300;
        length = s.queue.length;
        return still;
    }, 'it is not read from any more');
    const size = rss(daemon);
    // With each that leaves the line before it all its places change.
    for (const { id } of before) {
        await first.request('pool/cancel', { id });
        await new Promise((resolve) => setTimeout(resolve, 250));
    }
    assertGrewLess(daemon, size, MB / 2);
    await Promise.all([mute, first, holder].map((each) => each.close()));
});

test('4,000 clients of whom half stall do not disturb the others', async (t) => {
    const n = sanitized ? 400 : 4000;
    const limit = Number(spawnSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout) || Infinity;
    if (limit < n + 200) return t.skip(`only ${limit} descriptors are allowed`);
    const [daemon] = await startPool(t, 1, { args: QUIET, config: { maxClients: n + 10 } });
    const before = rss(daemon);
    const { client, threadId, turn } = await runTurn(daemon, 'bystander');
    const clients = await crowd(daemon, n);
    assertGrewLess(daemon, before, n * 4096);
    // More than their sockets take for some, so that it waits in the daemon.
    const id = 'i'.repeat(300000);
    for (let i = 0; i < n / 2; i++) {
        clients[i].pause();
        clients[i].send({ id: i % 10 ? i : id, method: 'pool/ping' });
        if (i % 20 === 0) turn.delta(`#${i}`);
    }
    for (let i = n / 2; i < n; i++) clients[i].send({ id: i, method: 'pool/ping' });
    await Promise.all(clients.slice(n / 2).map((each) => each.nextAnswer()));
    assert.equal((await client.request('pool/status')).clients.length, n + 1);
    const peak = rss(daemon);
    turn.complete();
    await client.turnCompleted(threadId);
    assert.equal(client.notifications.filter((m) => m.method === 'item/agentMessage/delta').length, n / 40);
    await Promise.all([client, ...clients].map((each) => each.close()));
    await daemon.untilStatus((s) => s.clients.length === 1, 'all are gone');
    await untilGivenBack(t, daemon, before, peak);
});

test('one that reads nothing while its turn streams a gigabyte', async (t) => {
    const config = { clientStallTimeoutMs: 300, interruptTimeoutMs: 600000 };
    const [daemon] = await startPool(t, 2, { config, args: QUIET });
    const other = await runTurn(daemon, 'other');
    const slow = await runTurn(daemon, 'slow');
    const { waiting, client: next } = await waitInLine(daemon, 'next');
    const before = rss(daemon);
    slow.client.pause();
    slow.worker.order({ flood: { line: delta(slow, 8000), bytes: (sanitized ? 64 : 1024) * MB } });
    let flooded = false;
    slow.worker.expect('flooded').then(() => { flooded = true; });
    let trips = 0;
    let peak = before;
    while (!flooded) {
        other.turn.delta(`#${trips++}`);
        await other.client.next('item/agentMessage/delta', (p) => p.delta === `#${trips - 1}`);
        peak = Math.max(peak, rss(daemon));
    }
    if (!sanitized) assert.ok(peak < before + 4 * MB, `it took ${peak - before} bytes more`);
    t.diagnostic(`${trips} round trips of the other's meanwhile`);
    await waiting;
    assert.match(daemon.log, /dropped: read nothing for 300 ms/);
    other.turn.complete();
    await other.client.turnCompleted(other.threadId);
    assert.equal(daemon.fake.workers.length, 2, 'no worker was replaced');
    await Promise.all([next, other.client].map((each) => each.close()));
    await untilGivenBack(t, daemon, before, peak);
});

/** A client that reads one byte at a time: as fast as it can, or one every 20 ms. */
async function byteReader(t, daemon) {
    const self = { read: 0, slowly: false };
    const socket = connect({
        path: daemon.socket, allowHalfOpen: true,
        onread: {
            buffer: Buffer.alloc(1),
            callback: (n, bytes) => {
                self.read += n;
                socket.emit('data', bytes.toString('latin1', 0, n));
                return !self.slowly;
            },
        },
    });
    self.client = new PoolClient(socket, 'drip');
    const timer = setInterval(() => socket.resume(), 20);
    t.after(() => clearInterval(timer));
    await self.client.initialize();
    return self;
}

test('one that reads a byte now and then is dropped like one that reads nothing', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { clientStallTimeoutMs: 500 } });
    const drip = await byteReader(t, daemon);
    const threadId = await drip.client.startThread();
    await drip.client.startTurn(threadId);
    await drip.client.next('turn/started');
    const { waiting, client } = await waitInLine(daemon, 'next');
    drip.slowly = true;
    drip.read = 0;
    worker.order({ flood: { line: delta({ threadId, turn: worker.turn() }, 1000), bytes: 4 * MB } });
    await worker.expect('turn/interrupt', (p) => p.threadId === threadId);
    await waiting;
    assert.match(daemon.log, /dropped: read nothing for 500 ms/);
    assert.ok(drip.read > 0, 'it did read');
    await Promise.all([client, drip.client].map((each) => each.close()));
});
