// Long lines, which are held and not copied: whole at the other end, whatever comes beside, before and behind them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { MB, forgetPeak, peakRss, rss, sanitized, untilGivenBack } from '../lib/memory.mjs';
import { runTurn } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';
import { openWebSocket } from '../lib/websocket.mjs';

const APPROVAL = 'item/commandExecution/requestApproval';
const NEVER = { openLingerMs: 600000, drainTimeoutMs: 50 };

/** `n` characters, none of which repeats its neighbours for long. */
function long(n, seed = '') {
    let text = '';
    for (let i = 0; text.length < n; i++) text += `${seed}${i} `;
    return text.slice(0, n);
}

const echoes = (worker) => worker.on('some/echo', (r) => worker.reply(r, r.params));

for (const [dialect, open] of [['lines', PoolClient.open], ['WebSocket', openWebSocket]]) {
    test(`long and short ones in turn, by ${dialect}`, async (t) => {
        const [daemon, worker] = await startPool(t);
        const client = await open(daemon, { name: 'a' });
        echoes(worker);
        const texts = [10, 2 * MB, 20, 300000, 300000, 1000, MB, 30].map((n) => long(n));
        const before = rss(daemon);
        const answers = await Promise.all(texts.map((text) => client.request('some/echo', { text })));
        assert.ok(answers.every((answer, i) => answer.text === texts[i]), 'each has its own text back');
        const peak = rss(daemon);
        await untilGivenBack(t, daemon, before, peak);
    });
}

test('as long as a power of two, so that they end where the room for them does', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    worker.on('some/echo', (r) => worker.reply(r, { text: r.params.text }));
    for (let size = MB / 4; size <= 2 * MB; size *= 2) {
        for (const id of ['r1', 'r2', 'r3']) {
            const without = JSON.stringify({ method: 'some/echo', id, params: { text: '' } }).length + 1;
            const text = long(size - without);
            const answer = client.nextAnswer((m) => m.id === id);
            client.send(`${JSON.stringify({ method: 'some/echo', id, params: { text } })}\n`);
            assert.ok((await answer).result.text === text, `${size} bytes`);
        }
    }
});

test('short ones in the same write, before and behind it', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    echoes(worker);
    const texts = ['before', long(600000), 'behind', long(400000), 'last'];
    const lines = texts.map((text, id) => JSON.stringify({ method: 'some/echo', id: `r${id}`, params: { text } }));
    // The id comes last in one of them, so that all but a few bytes is before it.
    lines.push(JSON.stringify({ method: 'some/echo', params: { text: long(500000) }, id: 'r5' }));
    const answers = lines.map((_, id) => client.nextAnswer((m) => m.id === `r${id}`));
    client.send(`${lines.join('\n')}\r\n`);
    for (const [id, answer] of answers.entries())
        assert.ok((await answer).result.text === (texts[id] ?? long(500000)), `answer ${id}`);
});

test('one that waits in the queue while its client says more', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const a = await runTurn(daemon);
    const b = await PoolClient.open(daemon, { name: 'b' });
    const config = { note: long(2 * MB) };
    const waits = b.request('thread/start', { config });
    // What it says later is read into other memory than what waits.
    for (let i = 0; i < 50; i++) await b.request('model/list', { note: long(20000, `${i}`) });
    await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
    a.turn.complete();
    await a.client.close();
    await waits;
    const { params } = await worker.expect('thread/start', (p) => p.config);
    assert.ok(params.config.note === config.note, 'it came as it was sent');
});

test('one that is refused and tried again', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const client = await PoolClient.open(daemon);
    const threadId = daemon.fake.newThreadId();
    const note = long(MB);
    worker.hold('thread/resume');
    const resumed = client.resumeThread(threadId, { config: { note } });
    for (let i = 0; i < 3; i++) {
        const resume = await worker.expect('thread/resume');
        assert.ok(resume.params.config.note === note, `try ${i}`);
        await client.request('model/list', { note: long(20000) });
        if (i < 2) worker.refuse(resume, -32600, `thread ${threadId} already has an active writer`);
        else worker.default(resume);
    }
    await assert.rejects(resumed, /no rollout/);
});

test('what a worker asks and tells, also whoever is parked', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { ...NEVER, maxParkedBytes: 16 * MB } });
    const { client, threadId, turn } = await runTurn(daemon);
    const command = long(700000);
    const item = { type: 'agentMessage', id: 'i', text: long(800000) };
    client.onRequest(APPROVAL, (params) => ({ decision: 'accept', echo: params.command }));
    const answer = await worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i', command });
    assert.ok(answer.result.echo === command, 'asked and answered');
    worker.notify('item/completed', { threadId, turnId: turn.id, item });
    assert.deepEqual((await client.next('item/completed')).params.item, item);

    let there = client;
    for (const open of [PoolClient.open, openWebSocket]) {
        const { token } = await there.request('pool/detach', {});
        await there.ended;
        worker.notify('item/completed', { threadId, turnId: turn.id, item });
        turn.delta('short');
        worker.notify('item/completed', { threadId, turnId: turn.id, item });
        await daemon.untilStatus((s) => s.parked[0]?.missedBytes > 1600000, 'all is kept for it');
        there = await open(daemon, { initialize: false, name: 'back' });
        const { missedBytes } = await there.request('pool/attach', { token }, 'attach');
        assert.ok(missedBytes > 1600000);
        for (let i = 0; i < 2; i++) assert.deepEqual((await there.next('item/completed')).params.item, item);
        await there.next('item/agentMessage/delta');
    }
    turn.complete();
    await there.turnCompleted(threadId);
});

test('whoever leaves or dies in the middle of one leaves nothing of it behind', async (t) => {
    const [daemon, first] = await startPool(t, 1, { config: NEVER });
    let worker = first;
    const warm = await PoolClient.open(daemon);
    echoes(worker);
    await warm.request('some/echo', { text: long(4 * MB) });
    await warm.close();
    await daemon.untilStatus((s) => s.clients.length === 1, 'it has gone');
    const before = rss(daemon);
    let peak = before;
    for (const end of ['client', 'worker', 'client', 'worker']) {
        const client = await PoolClient.open(daemon);
        const answered = client.request('some/echo', { text: long(4 * MB) });
        if (end === 'client') {
            // Its answer has begun to come.
            client.pause();
            await worker.expect('some/echo');
            await until(() => rss(daemon) > before + 2 * MB || client.socket.readableLength, 'the answer is on its way');
            peak = Math.max(peak, rss(daemon));
            await client.close();
        } else {
            // It takes no more than a pipe has room for.
            process.kill(worker.pid, 'SIGSTOP');
            await until(() => !client.socket.writableLength, 'the daemon has read all');
            peak = Math.max(peak, rss(daemon));
            process.kill(worker.pid, 'SIGKILL');
            await assert.rejects(answered, (e) => e.code === -32013);
            worker = await daemon.fake.worker();
            echoes(worker);
            await client.close();
        }
    }
    await daemon.untilStatus((s) => s.clients.length === 1, 'all have gone');
    await untilGivenBack(t, daemon, before, peak);
});

test('there is one of it in memory, not two', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const client = await PoolClient.open(daemon);
    worker.on('some/sink', (r) => worker.reply(r, {}));
    await client.request('some/sink', {});
    const before = rss(daemon);
    forgetPeak(daemon);
    await client.request('some/sink', { text: long(16 * MB) });
    const grown = peakRss(daemon) - before;
    if (!sanitized) assert.ok(grown < 20 * MB, `${grown / MB} MB at most`);
});
