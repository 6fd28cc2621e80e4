// /metrics: what Prometheus reads, and what the alerts and the dashboard make of it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { ask } from '../lib/http.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';
import { openWebSocket } from '../lib/websocket.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const rules = `${root}systemd/prometheus/codex-pool.rules.yml`;
const dashboard = `${root}systemd/prometheus/grafana.json`;

/** The program, or null; where everything must be tested it has to be there. */
function promtool() {
    const unpacked = `${root}build/promtool`;
    if (existsSync(unpacked)) return unpacked;
    if (spawnSync('promtool', ['--version']).status === 0) return 'promtool';
    assert.ok(!process.env.CI, 'no promtool');
    return null;
}

/** Every sample: its name with its labels, as written, to its value. */
async function scrape(daemon) {
    const { status, headers, body } = await ask(daemon, '/metrics');
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const samples = {};
    for (const line of body.trimEnd().split('\n')) {
        if (line.startsWith('#')) continue;
        const [, name, value] = line.match(/^(\S+(?:\{.*\})?) (\S+)$/);
        assert.ok(!(name in samples), `${name} is there once`);
        samples[name] = Number(value);
    }
    return { text: body, samples };
}

const times = (samples, name) => samples[`codex_pool_${name}_seconds_count`];

test('states and queue as they are, with nobody\'s id', async (t) => {
    const [daemon] = await startPool(t, 2);
    const first = await runTurn(daemon, 'a');
    const second = await runTurn(daemon, 'b');
    const { client, waiting } = await waitInLine(daemon, 'c');
    const socket = await openWebSocket(daemon);
    const { text, samples } = await scrape(daemon);
    const expected = {
        'size': 2, 'workers{state="busy"}': 2, 'workers{state="idle"}': 0, 'workers{state="down"}': 0,
        'queue_length': 1, 'threads': 2, 'turns_running': 2, 'clients{transport="lines"}': 3,
        'clients{transport="websocket"}': 1, 'clients{transport="http"}': 1, 'accepting': 1, 'queued_total': 1,
        'streams_total': 2, 'worker_starts_total': 2, 'queue_limit': 1024, 'clients_limit': 4096,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(samples[`codex_pool_${name}`], value, name);
    const positive = ['uptime_seconds', 'queue_oldest_wait_seconds', 'resident_memory_bytes',
        'workers_resident_memory_bytes', 'workers_processes'];
    for (const name of positive) assert.ok(samples[`codex_pool_${name}`] > 0, name);
    for (const id of [first.threadId, second.threadId]) assert.ok(!text.includes(id));
    assert.match(text, /^codex_pool_build_info\{version="[\d.]+",codex_version="[\w.-]*"\} 1$/m);
    first.turn.complete();
    await first.client.turnCompleted(first.threadId);
    await first.client.close();
    await waiting;
    await Promise.all([client, second.client, socket].map((each) => each.close()));
});

test('counters are those of pool/status', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { client, threadId } = await runTurn(daemon);
    await client.close();
    await worker.expect('turn/interrupt', (p) => p.threadId === threadId);
    const bad = await PoolClient.connect(daemon.socket);
    bad.send('no message\n');
    await bad.nextAnswer();
    await bad.close();
    await daemon.untilStatus((s) => s.pool.busy === 0, 'it is clean');
    await worker.die();
    await daemon.untilStatus((s) => s.counters.workerStarts === 2 && s.pool.ready === 1, 'another has started');
    const { counters } = JSON.parse((await ask(daemon, '/status')).body);
    const { samples } = await scrape(daemon);
    for (const [name, value] of Object.entries(counters)) {
        const metric = `codex_pool_${name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}_total`;
        assert.equal(samples[metric], value + (name === 'clients' ? 1 : 0), metric);
    }
    assert.ok(counters.aborted && counters.invalidMessages && counters.workerExits);
});

test('each time is counted once, where it ends', async (t) => {
    const [daemon] = await startPool(t, 1);
    const before = (await scrape(daemon)).samples;
    assert.deepEqual(['wait', 'turn_duration', 'handoff', 'worker_start', 'move'].map((name) => times(before, name)),
        [0, 0, 0, 1, 0]);
    const { client, threadId, turn } = await runTurn(daemon);
    const { client: next, waiting } = await waitInLine(daemon);
    const during = (await scrape(daemon)).samples;
    assert.deepEqual([times(during, 'wait'), times(during, 'turn_duration'), times(during, 'handoff')], [1, 0, 0]);
    turn.complete();
    await client.turnCompleted(threadId);
    await waiting;
    const { samples } = await scrape(daemon);
    assert.deepEqual([times(samples, 'wait'), times(samples, 'turn_duration'), times(samples, 'handoff')], [2, 1, 1]);
    for (const name of ['wait', 'turn_duration', 'handoff', 'worker_start', 'move']) {
        const buckets = Object.keys(samples).filter((each) => each.startsWith(`codex_pool_${name}_seconds_bucket`));
        const counts = buckets.map((each) => samples[each]);
        assert.deepEqual([...counts].sort((a, b) => a - b), counts, `${name}: each bucket has those before it`);
        assert.equal(counts.at(-1), times(samples, name));
        assert.match(buckets.at(-1), /le="\+Inf"/);
    }
    await client.close();
    await next.close();
});

test('a move is timed', async (t) => {
    const [daemon] = await startPool(t, 2);
    const scene = await converse(daemon);
    const owner = daemon.fake.owner(scene.threadId);
    // Somebody else is busy where its thread is, so that it has to move.
    const other = await PoolClient.open(daemon, { name: 'other' });
    await other.request('pool/subscribe', { events: ['queue'] });
    await scene.client.request('pool/subscribe', { events: ['queue'] });
    await other.request('pool/acquire', { threadId: scene.threadId });
    await scene.client.startTurn(scene.threadId);
    const { params } = await scene.client.next('pool/moved');
    assert.equal(params.threadId, scene.threadId);
    assert.notEqual(daemon.fake.owner(scene.threadId), owner);
    const { samples } = await scrape(daemon);
    assert.equal(times(samples, 'move'), 1);
    assert.equal(samples.codex_pool_moves_total, 1);
    await scene.client.close();
    await other.close();
});

test('promtool finds nothing to say of the metrics and of the rules', async (t) => {
    const program = promtool();
    if (!program) return t.skip('promtool is not there (Debian\'s package prometheus)');
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    const { text } = await scrape(daemon);
    const check = (args, input) => {
        const { status, stdout, stderr } = spawnSync(program, ['check', ...args], { input, encoding: 'utf8' });
        assert.deepEqual([status, stderr], [0, ''], stdout);
    };
    check(['metrics'], text);
    check(['rules', rules]);
});

test('every metric that the alerts and the dashboard name is there', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    const { samples } = await scrape(daemon);
    const there = new Set(Object.keys(samples).map((name) => name.replace(/\{.*/s, '')));
    const panels = JSON.parse(readFileSync(dashboard, 'utf8')).panels;
    const texts = { rules: readFileSync(rules, 'utf8').match(/^ +expr: .*$/gm), dashboard: panels.flatMap((p) => p.targets.map((q) => q.expr)) };
    for (const [where, expressions] of Object.entries(texts)) {
        const names = expressions.join('\n').match(/codex_pool_\w+/g);
        assert.ok(names.length > 5);
        for (const name of names) assert.ok(there.has(name), `${where}: ${name}`);
    }
});
