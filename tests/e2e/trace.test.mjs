// pool/trace and codex-pool trace: live traffic, filtered in the daemon, at nobody's cost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, CODEX_POOL, CTRL_C, Process, run } from '../lib/cli.mjs';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';
import { runTurn, settled } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

/** A client that traces. */
async function tracer(daemon, filter = {}, name = 'tracer') {
    const client = await PoolClient.connect(daemon.socket, name);
    await client.request('pool/trace', filter);
    client.traced = () => client.notifications.filter((m) => m.method === 'pool/trace').map((m) => m.params);
    return client;
}

/** What goes by is told before the answer to what is asked later. */
const told = async (client) => {
    await client.request('pool/ping');
    return client.traced();
};

/** Ends its turn, so that the daemon need not wait for it. */
async function finish({ client, threadId, turn }) {
    turn.complete();
    await client.turnCompleted(threadId);
}

const idOf = async (daemon, name) => (await daemon.status()).clients.find((c) => c.name === name).id;

test('a request is seen on both of its ways, with the ids of both sides', async (t) => {
    const [daemon, worker] = await startPool(t);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const client = await idOf(daemon, 'a');
    const watch = await tracer(daemon, { client });
    const threadId = await a.startThread();
    await a.request('thread/name/set', { threadId, name: 'n' }, 'my "own" id');
    await a.next('thread/name/updated');
    const lines = await told(watch);
    const [sent] = worker.received('thread/name/set');
    const ways = lines.filter((m) => m.method === 'thread/name/set');
    assert.deepEqual(ways.map((m) => [m.way, m.kind, m.clientId, m.workerId]), [
        ['client>daemon', 'request', 'my "own" id', undefined],
        ['daemon>worker', 'request', 'my "own" id', sent.id],
        ['worker>daemon', 'result', 'my "own" id', sent.id],
        ['daemon>client', 'result', 'my "own" id', sent.id],
    ]);
    assert.deepEqual(ways.map((m) => m.worker), [undefined, 1, 1, 1]);
    for (const { time, threadId: thread, payload, bytes } of ways) {
        assert.ok(Math.abs(Date.parse(time) - Date.now()) < 600000, time);
        assert.equal(thread, threadId);
        assert.ok(bytes > payload.length);
    }
    assert.deepEqual(ways.map((m) => JSON.parse(m.payload)), [{ threadId, name: 'n' }, { threadId, name: 'n' }, {}, {}]);
    const notified = lines.filter((m) => m.method === 'thread/name/updated');
    assert.deepEqual(notified.map((m) => [m.way, m.kind, m.client, m.worker, m.threadId]), [
        ['worker>daemon', 'notification', client, 1, threadId],
        ['daemon>client', 'notification', client, 1, threadId],
    ]);
    const opened = lines.filter((m) => m.method === 'thread/start' && m.kind === 'result');
    assert.deepEqual(opened.map((m) => m.threadId), [threadId, threadId], 'the answer names the thread');
});

test('a server request and its answer are seen with the ids of both sides', async (t) => {
    const [daemon] = await startPool(t);
    const { client: a, threadId, turn, worker } = await runTurn(daemon);
    const method = 'item/commandExecution/requestApproval';
    const watch = await tracer(daemon, { method });
    worker.lastAsk = 70;
    const asked = worker.ask(method, { threadId, turnId: turn.id });
    const request = await a.next(method);
    a.send({ id: request.id, result: { decision: 'accept' } });
    await asked;
    const lines = await told(watch);
    assert.deepEqual(lines.map((m) => [m.way, m.kind, m.clientId, m.workerId, m.worker, m.threadId]), [
        ['worker>daemon', 'request', undefined, 70, 1, threadId],
        ['daemon>client', 'request', request.id, 70, 1, threadId],
        ['client>daemon', 'result', request.id, 70, 1, threadId],
        ['daemon>worker', 'result', request.id, 70, 1, threadId],
    ]);
    assert.equal(new Set(lines.map((m) => m.client)).size, 1);
    await finish({ client: a, threadId, turn });
});

test('what the daemon itself asks and answers is seen, too', async (t) => {
    const [daemon] = await startPool(t);
    const { client: a, threadId } = await runTurn(daemon);
    const watch = await tracer(daemon, { threadId });
    const interrupts = await tracer(daemon, { method: 'turn/interrupt' }, 'interrupts');
    await a.close();
    await until(async () => (await told(watch)).some((m) => m.method === 'thread/closed'), 'the thread is closed');
    const own = await told(interrupts);
    assert.deepEqual(own.slice(0, 2).map((m) => `${m.way} ${m.kind}`), ['daemon>worker request', 'worker>daemon result']);
    // It asks again where the end is slow to come, maybe when the thread is there no more.
    assert.ok(own.every((m) => m.way === (m.kind === 'request' ? 'daemon>worker' : 'worker>daemon')));
    assert.ok(own.every((m) => m.client === undefined && m.clientId === undefined));
    assert.ok(own.every((m) => m.workerId > 0));
    const all = await tracer(daemon, {}, 'all');
    const b = await PoolClient.connect(daemon.socket, 'b');
    await assert.rejects(b.request('no/such', {}));
    b.send('{broken "\u0001\n');
    await b.nextAnswer((m) => m.error?.code === -32700);
    const refusal = (await told(all)).find((m) => m.kind === 'error' && /Not initialized/.test(m.payload));
    assert.equal(refusal.worker, undefined);
    const unreadable = all.traced().find((m) => m.kind === 'unreadable');
    assert.deepEqual([unreadable.way, unreadable.payload], ['client>daemon', '{broken "\u0001']);
});

test('each part of the filter lets through what it names, and nothing else', async (t) => {
    const [daemon] = await startPool(t, 2);
    const a = await runTurn(daemon, 'a');
    const b = await runTurn(daemon, 'b');
    const id = await idOf(daemon, 'a');
    assert.notEqual(a.worker, b.worker);
    const watches = {
        client: await tracer(daemon, { client: id }, 'byClient'),
        worker: await tracer(daemon, { worker: (await daemon.status()).workers.find((w) => w.pid === a.worker.pid).id }, 'byWorker'),
        thread: await tracer(daemon, { threadId: a.threadId, client: null }, 'byThread'),
        method: await tracer(daemon, { method: 'item/*/d?lta' }, 'byMethod'),
        none: await tracer(daemon, { method: 'item/*/delt', threadId: a.threadId }, 'none'),
    };
    for (const scene of [a, b]) {
        scene.turn.delta('text');
        await scene.client.next('item/agentMessage/delta');
        await scene.client.request('thread/read', { threadId: scene.threadId });
        scene.turn.complete();
        await scene.client.turnCompleted(scene.threadId);
    }
    const lines = {};
    for (const [name, watch] of Object.entries(watches)) lines[name] = await told(watch);
    const { id: workerId } = (await daemon.status()).workers.find((w) => w.pid === a.worker.pid);
    assert.ok(lines.client.length >= 8 && lines.client.every((m) => m.client === id));
    assert.ok(lines.worker.length >= 6 && lines.worker.every((m) => m.worker === workerId));
    assert.ok(lines.thread.length >= 8 && lines.thread.every((m) => m.threadId === a.threadId));
    assert.deepEqual(lines.method.map((m) => [m.way, m.threadId]), [
        ['worker>daemon', a.threadId], ['daemon>client', a.threadId],
        ['worker>daemon', b.threadId], ['daemon>client', b.threadId],
    ]);
    assert.deepEqual(lines.none, []);
});

test('payloads are shortened unless all is asked for', async (t) => {
    const [daemon] = await startPool(t);
    const { client: a, threadId, turn } = await runTurn(daemon);
    const method = 'item/agentMessage/delta';
    const short = await tracer(daemon, { method }, 'short');
    const full = await tracer(daemon, { method, full: true }, 'full');
    for (const [n, ch] of [[10, 'x'], [400, 'ü'], [300000, '"'], [1500000, '\u0001']]) {
        const text = ch.repeat(n);
        turn.delta(text);
        await a.next(method);
        const [cut, whole] = [(await told(short)).at(-1), (await told(full)).at(-1)];
        if (n < 100) assert.equal(cut.payload, whole.payload);
        else assert.match(cut.payload, /^\{"threadId".{100,199}…$/);
        assert.ok(!cut.payload.includes('\ufffd') && !cut.payload.includes('?'), 'no character is cut');
        if (n < 1e6) assert.equal(JSON.parse(whole.payload).delta, text);
        else assert.equal(whole.payload.length, 1024 * 1024 + 1);
        assert.equal(whole.bytes, cut.bytes);
        assert.ok(cut.bytes > n);
    }
    await finish({ client: a, threadId, turn });
});

test('tracers do not see traces, neither their own nor those of others', async (t) => {
    const [daemon] = await startPool(t);
    const [one, two] = [await tracer(daemon, {}, 'one'), await tracer(daemon, {}, 'two')];
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('model/list');
    await one.request('pool/trace', { method: 'model/*' });
    await a.request('model/list');
    for (const watch of [one, two]) {
        const lines = await told(watch);
        assert.equal(lines.filter((m) => /pool\/trace/.test(m.method + m.payload)).length, 0);
    }
    const pings = two.traced().filter((m) => m.method === 'pool/ping');
    assert.ok(pings.length > 0, 'what else they say is traffic like any other');
    assert.equal(one.traced().filter((m) => m.method === 'model/list').length, 8);
    assert.equal(two.traced().filter((m) => m.method === 'model/list').length, 8);
    const before = one.traced().length;
    await a.request('thread/list');
    assert.equal((await told(one)).length, before, 'a second pool/trace replaces the first');
    await two.close();
    await a.request('thread/list');
});

test('only admins may trace', async (t) => {
    const [daemon] = await startPool(t, 1, { config: { adminUids: [4242424] } });
    const client = await PoolClient.connect(daemon.socket, 'nobody');
    await assert.rejects(client.request('pool/trace', {}), (e) => e.code === -32014 && e.data.reason === 'forbidden' &&
        /adminUids/.test(e.message));
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('model/list');
    await client.request('pool/ping');
    assert.equal(client.has('pool/trace'), false);
    const { code, out, err } = await run(t, ['--socket', daemon.socket, 'trace']);
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /only users in adminUids may/);
});

test('a filter that makes no sense is refused, and what was traced before goes on', async (t) => {
    const [daemon] = await startPool(t);
    const watch = await tracer(daemon, { method: 'model/list' });
    const wrong = [{ client: 0 }, { client: 'a' }, { client: -1 }, { worker: 1.5 }, { worker: 1e12 }, { threadId: 7 },
        { method: ['a'] }, { full: 'yes' }];
    for (const params of wrong)
        await assert.rejects(watch.request('pool/trace', params), (e) => e.code === -32602, JSON.stringify(params));
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.request('model/list');
    assert.equal((await told(watch)).length, 4);
});

test('a tracer that does not read loses lines, which are counted; nobody waits for it', async (t) => {
    const [daemon] = await startPool(t);
    const { client: a, threadId, turn, worker } = await runTurn(daemon);
    const method = 'item/agentMessage/delta';
    const watch = await tracer(daemon, { method });
    watch.pause();
    const delta = JSON.stringify({ method, params: { threadId, turnId: turn.id, itemId: 'i', delta: 'x'.repeat(150) } });
    worker.order({ flood: { line: delta, bytes: 20e6 } });
    await worker.expect('flooded');
    turn.delta('the end');
    await a.next(method, (p) => p.delta === 'the end');
    const all = a.notifications.filter((m) => m.method === method).length;
    watch.resume();
    const last = await until(async () => {
        turn.delta('once more');
        await a.next(method, (p) => p.delta === 'once more');
        return (await told(watch)).find((m) => m.dropped);
    }, 'it is told how many it has lost');
    const before = watch.traced().indexOf(last);
    assert.ok(before > 1000, 'it has what there was room for');
    const lines = watch.traced().slice(0, before + 1);
    // Each of the flood goes by twice; of the last one it may have both or the second alone.
    const extra = a.notifications.filter((m) => m.method === method).length - all;
    const seen = lines.length + last.dropped;
    assert.ok(seen >= 2 * all && seen <= 2 * (all + extra), `${seen} of ${2 * all}`);
    assert.equal(watch.traced().filter((m) => m.dropped).length, 1);
    await finish({ client: a, threadId, turn });
});

test('what a trace tells is no reason to read less from the worker that its client holds', async (t) => {
    const [daemon] = await startPool(t, 2);
    const own = await runTurn(daemon, 'own');
    const other = await runTurn(daemon, 'other');
    await own.client.request('pool/trace', { client: await idOf(daemon, 'other') });
    own.client.pause();
    const method = 'item/agentMessage/delta';
    const params = { threadId: other.threadId, turnId: other.turn.id, itemId: 'i', delta: 'x'.repeat(150) };
    other.worker.order({ flood: { line: JSON.stringify({ method, params }), bytes: 20e6 } });
    await other.worker.expect('flooded');
    for (let i = 0; i < 20; i++) own.turn.delta('y'.repeat(2000));
    // Its answer is behind all that.
    const third = await PoolClient.open(daemon, { name: 'third' });
    await third.request('thread/read', { threadId: own.threadId });
    own.client.resume();
    await settled(own.client);
    assert.equal(own.client.notifications.filter((m) => m.method === method).length, 20);
    for (const scene of [own, other]) await finish(scene);
});

test('codex-pool trace shows aligned lines until Ctrl-C', async (t) => {
    const [daemon] = await startPool(t);
    const trace = cli(t, ['--socket', daemon.socket, 'trace', '--method', 'm*/list']);
    const a = await PoolClient.open(daemon, { name: 'a' });
    await until(async () => {
        await a.request('model/list', { n: 'x\u001b[2J' });
        return trace.out.split('\n').length > 8;
    }, 'lines are shown');
    trace.kill('SIGINT');
    const { code, out, err } = await trace.end();
    assert.deepEqual([code, err], [0, '']);
    const lines = out.trimEnd().split('\n');
    const at = lines.findIndex((line) => / -> pool /.test(line));
    const [asked, sent, answered, passed] = lines.slice(at, at + 4);
    assert.match(asked, /^\d\d:\d\d:\d\d\.\d{3} +\d+ -> pool {8}\d+ +request model\/list +- +\{"n":"x\\u001b\[2J"\}$/);
    assert.match(sent, /^\S+ +\d+ {4}pool -> 1 {3}\d+=\d+ +request model\/list /);
    assert.match(answered, /^\S+ +\d+ {4}pool <- 1 {3}\d+=\d+ +result +model\/list .*\{"data":/);
    assert.match(passed, /^\S+ +\d+ <- pool {4}1 {3}\d+=\d+ +result +model\/list /);
    assert.equal(new Set([asked, sent, answered, passed].map((line) => line.indexOf('model/list'))).size, 1);
});

test('codex-pool trace --json prints what it is told, a line a message, with all filters', async (t) => {
    const answered = (peer, m) => {
        peer.result(m);
        peer.notify('pool/trace', { time: 'T', way: 'worker>daemon', kind: 'result', worker: 2, payload: '{}', bytes: 2 });
        peer.notify('pool/else', {});
        peer.notify('pool/trace', { dropped: 7 });
    };
    const daemon = await PlayedDaemon.start(t, { 'pool/trace': answered });
    const trace = cli(t, daemon.args('trace', '--json', '--full', '--client', '3', '--worker=2', '--thread', 'ID', '--method', 'turn/*'));
    const peer = await daemon.peer();
    const { params } = await peer.next('pool/trace');
    assert.deepEqual(params, { client: 3, worker: 2, threadId: 'ID', method: 'turn/*', full: true });
    await trace.shows('dropped');
    trace.kill('SIGTERM');
    const { code, out } = await trace.end();
    assert.equal(code, 0);
    assert.deepEqual(out.trimEnd().split('\n').map((line) => JSON.parse(line)), [
        { time: 'T', way: 'worker>daemon', kind: 'result', worker: 2, payload: '{}', bytes: 2 }, { dropped: 7 },
    ]);
});

test('codex-pool trace says how many lines are lost, and when the daemon is', async (t) => {
    const line = { time: '2026-11-25T23:16:34.123Z', way: 'daemon>worker', kind: 'notification', worker: 12, workerId: 5,
        method: 'a/b', payload: 'p\u001b[0m', dropped: 42 };
    const daemon = await PlayedDaemon.start(t, {
        'pool/trace'(peer, m) {
            peer.result(m);
            peer.notify('pool/trace', line);
            peer.socket.end();
        },
    });
    const { code, out, err } = await run(t, daemon.args('trace'));
    assert.equal(code, 69);
    assert.match(err, /closed the connection/);
    const [lost, shown] = out.split('\n');
    assert.equal(lost, '42 lines lost');
    assert.match(shown, /^23:16:34\.123 {9}pool -> 12 {2}=5 +notify {2}a\/b +- +p\\x1b\[0m$/);
});

test('codex-pool trace ends with whoever reads it, and refuses what is no number', async (t) => {
    const [daemon] = await startPool(t);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const trace = cli(t, ['--socket', daemon.socket, 'trace'], { read: false });
    await daemon.untilStatus((s) => s.clients.length >= 2, 'it is connected');
    trace.child.stdout.destroy();
    await a.request('model/list');
    assert.equal((await trace.end()).code, 0);
    for (const args of [['--client', '0'], ['--worker', 'x'], ['--client', '-1'], ['now']])
        assert.equal((await run(t, ['--socket', daemon.socket, 'trace', ...args])).code, 64, args.join(' '));
});

test('on a terminal lines end at its edge, and threads are shown by their end where it is narrow', async (t) => {
    const threadId = '01900000-0000-7000-8000-00000000abcd';
    const line = { time: '2026-11-25T23:16:34.123Z', way: 'client>daemon', kind: 'request', client: 3, clientId: 5,
        method: 'turn/start', threadId, payload: 'ü'.repeat(300) };
    for (const [columns, thread] of [[110, '00000000abcd'], [200, threadId]]) {
        const daemon = await PlayedDaemon.start(t, {
            'pool/trace'(peer, m) {
                peer.result(m);
                peer.notify('pool/trace', line);
            },
        });
        const command = `stty cols ${columns}; exec ${CODEX_POOL} --socket ${daemon.socket} trace`;
        const terminal = new Process(t, 'script', ['-qec', command, '/dev/null'], {});
        await terminal.shows(/ü\r?\n/);
        terminal.write(CTRL_C);
        const { code, out } = await terminal.end();
        assert.equal(code, 0);
        const shown = out.split(/\r?\n/).find((each) => each.includes('turn/start'));
        assert.equal([...shown].length, columns);
        assert.match(shown, new RegExp(`turn/start +${thread} ü+$`));
    }
});
