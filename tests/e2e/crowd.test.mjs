// More clients, requests and descriptors than there is room for.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { cannotLimit, limitFds } from '../lib/limits.mjs';

const MB = 1024 * 1024;
const approval = 'item/commandExecution/requestApproval';

test('beyond maxClients the next one waits until somebody leaves', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false, maxClients: 3 } });
    const clients = [];
    for (let i = 0; i < 3; i++) {
        clients.push(await PoolClient.connect(daemon.socket));
        await clients[i].request('pool/ping');
    }
    const waiting = await PoolClient.connect(daemon.socket);
    let answered = false;
    const answer = waiting.request('pool/ping').then(() => { answered = true; });
    assert.equal((await clients[0].request('pool/status')).clients.length, 3);
    assert.equal(answered, false);
    await clients[1].close();
    await answer;
    await waiting.close();
    await clients[0].close();
});

test('without descriptors accepting pauses, and goes on when there are some', async (t) => {
    if (cannotLimit) return t.skip(cannotLimit);
    const [daemon] = await startPool(t, 1, { wrapper: ['prlimit', '--nofile=48:48'] });
    const clients = [];
    const answers = [];
    for (let i = 0; i < 60; i++) {
        clients.push(await PoolClient.connect(daemon.socket));
        answers.push(clients[i].request('pool/ping'));
    }
    await daemon.untilLog(/cannot accept: Too many open files/);
    await clients[0].request('pool/status');
    for (let i = 0; i < 30; i++) {
        await answers[i];
        await clients[i].close();
    }
    await Promise.all(answers);
    for (const each of clients.slice(30)) await each.close();
    await (await PoolClient.open(daemon)).startThread();
    assert.equal(daemon.log.match(/cannot accept/g).length, 1, 'it is said once, not at every try');
});

test('accepting goes on by itself when descriptors come from elsewhere', async (t) => {
    if (cannotLimit) return t.skip(cannotLimit);
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    limitFds(daemon, 20);
    const clients = [];
    for (let i = 0; i < 30; i++) clients.push(await PoolClient.connect(daemon.socket));
    await daemon.untilLog(/cannot accept/);
    limitFds(daemon, 100);
    await Promise.all(clients.map((each) => each.request('pool/ping')));
    for (const each of clients) await each.close();
});

test('a worker that cannot be started for lack of descriptors is started later', async (t) => {
    if (cannotLimit) return t.skip(cannotLimit);
    const daemon = await startDaemon(t, {
        wrapper: ['prlimit', '--nofile=24:24'], config: { poolSize: 1, prewarm: false },
    });
    const clients = [];
    for (let i = 0; i < 30; i++) clients.push(await PoolClient.connect(daemon.socket));
    const first = clients[0];
    await daemon.untilLog(/cannot accept/);
    await assert.rejects(first.initialize(), (e) => e.code === -32015 &&
        /Too many open files/.test(e.message));
    for (const each of clients.slice(1)) await each.close();
    await daemon.untilStatus((s) => s.clients.length <= 2, 'the others are gone');
    const again = await PoolClient.open(daemon, { initialize: false });
    for (;;) {
        const failed = await again.initialize().then(() => null, (e) => e);
        if (!failed) break;
        assert.equal(failed.code, -32015);
    }
    await again.startThread();
});

test('200 clients at once are all served', async (t) => {
    const [daemon, ...workers] = await startPool(t, 2);
    for (const worker of workers) {
        worker.on('turn/start', (request) => {
            worker.default(request);
            worker.turn(request.params.threadId).complete();
        });
    }
    await Promise.all(Array.from({ length: 200 }, async (_, i) => {
        const client = await PoolClient.open(daemon, { name: `c${i}` });
        const thread = await client.startThread();
        await client.startTurn(thread);
        const { params } = await client.turnCompleted(thread);
        assert.equal(params.turn.status, 'completed');
        assert.ok(client.notifications.every((m) => (m.params.threadId ?? m.params.thread?.id) === thread));
        await client.close();
    }));
    const { counters, queue } = await daemon.untilStatus(
        (s) => s.pool.busy === 0 && s.clients.length === 1, 'all have left');
    assert.equal(queue.length, 0);
    assert.ok(counters.streams >= 200);
    assert.equal(counters.workerStarts, 2);
});

test('a client whose requests wait can still answer, steer and interrupt', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    const thread = await client.startThread();
    await client.startTurn(thread);
    await client.next('turn/started');
    const picture = 'x'.repeat(MB);
    const waiting = Array.from({ length: 20 }, () => client.request('thread/start', { picture }));
    await daemon.untilStatus((s) => s.queue.length === 20, 'all wait');
    const answer = worker.ask(approval, { threadId: thread });
    const { id } = await client.next(approval);
    client.send({ id, result: { decision: 'accept' } });
    assert.deepEqual((await answer).result, { decision: 'accept' });
    await client.request('turn/steer', { threadId: thread });
    await client.request('turn/interrupt', { threadId: thread, turnId: '' });
    await client.turnCompleted(thread);
    for (const each of waiting) each.catch(() => {});
    await waiting[0];
    await client.close();
});

test('what one client keeps waiting is limited; beyond that its requests fail as overload', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { maxMessageBytes: 4 * MB } });
    const holder = await PoolClient.open(daemon);
    await holder.request('pool/acquire');
    const client = await PoolClient.open(daemon);
    const picture = 'x'.repeat(MB);
    const sent = Array.from({ length: 20 }, () => client.request('thread/start', { picture }));
    const refused = await Promise.all(sent.slice(10).map((each) => each.catch((e) => e)));
    for (const each of refused) {
        assert.equal(each.code, -32001);
        assert.equal(each.message, 'Server overloaded; retry later.');
        assert.equal(each.data.codex_error_info, 'server_overloaded');
    }
    assert.equal((await daemon.status()).queue.length, 8);
    await holder.close();
    await sent[0];
    await client.close();
});

test('a worker that leaves a process behind which writes without end holds nobody up', async (t) => {
    const daemon = await startDaemon(t, { waitReady: false, config: { poolSize: 1, prewarm: false } });
    const file = join(daemon.dir, 'codex.sh');
    // Out of its process group and without its environment, so that nothing ends it but its own broken pipe.
    writeFileSync(file, `#!/bin/sh
        [ -p "$0.fifo" ] || mkfifo "$0.fifo"
        line=$(printf %060d 0)
        setsid env -u CODEX_POOL_WORKER sh -c "yes $line | head -c 3000000; echo >$0.fifo; exec yes $line" &
        read started <"$0.fifo"
        exit 1`, { mode: 0o755 });
    daemon.writeConfig({ codex: { command: file } });
    await daemon.ready();
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    const client = await PoolClient.open(daemon, { initialize: false });
    await assert.rejects(client.initialize(), (e) => e.code === -32015 && /exit code 1/.test(e.message));
    await client.request('pool/ping');
});
