// What the log says: fields for collectors, each way out of the queue, and never more than somebody can read.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { cleanEnv, poold, startDaemon, startPool } from '../lib/daemon.mjs';
import { moving } from '../lib/moving.mjs';
import { temporary } from '../lib/played-daemon.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';
import { until } from '../lib/wait.mjs';

const JSON_LOG = ['--log-format', 'json'];

/** The lines so far; the last one may still be on its way. */
const lines = (daemon) => daemon.log.split('\n').slice(0, -1).map((line) => JSON.parse(line));

/** The one line that tells of a request's way out of the queue, in this way. */
async function wayOut(daemon, how) {
    const found = () => lines(daemon).filter((line) => line.how === how);
    await until(() => found().length > 0, `the log has "how":"${how}"`);
    assert.equal(found().length, 1, 'one line an event');
    const { ts, level, PRIORITY, msg, client, wait_ms: wait, queue_length: length, ...rest } = found()[0];
    assert.ok(Date.parse(ts) > 0);
    assert.deepEqual([level, PRIORITY], ['debug', 7]);
    assert.equal(msg, msg.match(/^queue: [^:]+: client \d+, queue length \d+, waited \d+ ms$/)?.[0]);
    assert.ok(msg.includes(`client ${client}, queue length ${length}, waited ${wait} ms`), msg);
    return { client, wait, length, ...rest };
}

const numberOf = async (daemon, name) => (await daemon.status()).clients.find((c) => c.name === name).id;

/** A pool of one whose worker is taken by `a`, with `b` in line. */
async function oneWaits(t, config = {}) {
    const [daemon] = await startPool(t, 1, { args: JSON_LOG, config: { openLingerMs: 600000, ...config } });
    const a = await PoolClient.open(daemon, { name: 'a' });
    await a.startThread();
    const { client: b, waiting } = await waitInLine(daemon, 'b');
    return { daemon, a, b, waiting, number: await numberOf(daemon, 'b') };
}

test('a waiter is served', async (t) => {
    const s = await oneWaits(t);
    await s.a.close();
    await s.waiting;
    const { wait, ...rest } = await wayOut(s.daemon, 'served');
    assert.deepEqual(rest, { client: s.number, length: 1, how: 'served' });
    assert.ok(wait >= 0);
    const enters = lines(s.daemon).find((line) => /^queue: waits: /.test(line.msg));
    assert.deepEqual([enters.client, enters.queue_length, enters.how], [s.number, 1, undefined]);
});

test('a waiter is cancelled by its client', async (t) => {
    const s = await oneWaits(t);
    await s.b.request('pool/cancel', { id: s.waiting.id });
    await assert.rejects(s.waiting);
    assert.equal((await wayOut(s.daemon, 'cancelled')).client, s.number);
});

test('an administrator cancels a waiter', async (t) => {
    const s = await oneWaits(t);
    const admin = await PoolClient.connect(s.daemon.socket, 'admin');
    await admin.request('pool/cancel', { client: s.number, id: s.waiting.id });
    await assert.rejects(s.waiting);
    assert.equal((await wayOut(s.daemon, 'cancelledByAdmin')).client, s.number);
});

test('a waiter times out', async (t) => {
    const s = await oneWaits(t, { acquireTimeoutMs: 150 });
    await assert.rejects(s.waiting, (e) => e.code === -32010);
    const { client, wait } = await wayOut(s.daemon, 'timedOut');
    assert.equal(client, s.number);
    assert.ok(wait > 0, `${wait}`);
});

test('a waiter\'s client goes', async (t) => {
    const s = await oneWaits(t);
    await s.b.close();
    assert.equal((await wayOut(s.daemon, 'clientGone')).client, s.number);
});

test('the pool shuts down', async (t) => {
    const s = await oneWaits(t);
    s.daemon.signal('SIGTERM');
    await assert.rejects(s.waiting, (e) => e.code === -32012);
    assert.equal((await wayOut(s.daemon, 'shutdown')).client, s.number);
});

test('no worker can be started', async (t) => {
    const config = { poolSize: 1, prewarm: false, codex: { command: '/no/such/codex' } };
    const daemon = await startDaemon(t, { fake: false, args: JSON_LOG, config });
    const client = await PoolClient.connect(daemon.socket, 'a');
    await assert.rejects(client.request('pool/acquire'), (e) => e.code === -32015);
    assert.equal((await wayOut(daemon, 'workerStart')).client > 0, true);
    const failed = lines(daemon).find((line) => /cannot start codex/.test(line.msg));
    assert.deepEqual([failed.level, failed.PRIORITY, failed.worker], ['error', 3, 1]);
});

test('a waiter\'s thread is lost', async (t) => {
    const s = await moving(t, { config: { log: { format: 'json' } } });
    // Neither worker takes it.
    for (const worker of [s.owner, s.other]) worker.on('thread/resume', (r) => worker.refuse(r, -32603, 'cannot read it'));
    await assert.rejects(s.client.startTurn(s.threadId, 'go on'), (e) => e.code === -32013);
    const { client, thread } = await wayOut(s.daemon, 'threadLost');
    assert.deepEqual([client, thread], [await numberOf(s.daemon, 'a'), s.threadId]);
    const told = lines(s.daemon).find((line) => /could move neither/.test(line.msg));
    assert.deepEqual([told.level, told.thread], ['error', s.threadId]);
    s.busy.turn.complete();
});

test('one more than may wait is refused', async (t) => {
    const s = await oneWaits(t, { maxQueue: 1 });
    const c = await PoolClient.open(s.daemon, { name: 'c' });
    await assert.rejects(c.request('thread/start'), (e) => e.code === -32001);
    const { client, length } = await wayOut(s.daemon, 'refused');
    assert.deepEqual([client, length], [await numberOf(s.daemon, 'c'), 1]);
});

test('what a line is about is in fields of their own', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { args: JSON_LOG });
    const scene = await converse(daemon, 'a');
    worker.raw('no JSON\n');
    await daemon.untilLog(/dropped a line/);
    const number = await numberOf(daemon, 'a');
    await scene.client.close();
    await daemon.untilLog(/"msg":"client \d+: aborted|gone: disconnected/);
    const line = (pattern) => lines(daemon).find(({ msg }) => pattern.test(msg));
    assert.equal(line(/^worker 1 ready/).worker, 1);
    assert.equal(line(/^worker 1: idle -> busy/).worker, 1);
    assert.deepEqual([line(/dropped a line/).worker, line(/dropped a line/).level], [1, 'warn']);
    assert.equal(line(/initialized as a/).client, number);
    for (const { msg, client, worker: w } of lines(daemon)) {
        assert.equal(client !== undefined, /client \d/.test(msg), msg);
        if (/^worker \d/.test(msg)) assert.ok(w > 0, msg);
    }
});

/** All lines that match, told or left out and counted. */
function counted(daemon, pattern) {
    const like = lines(daemon).filter((line) => pattern.test(line.msg));
    const leftOut = like.filter((line) => line.left_out);
    for (const line of leftOut) assert.ok(line.msg.startsWith(`${line.left_out} more lines like this one were left out: `));
    return { written: like.length - leftOut.length, leftOut: leftOut.reduce((n, line) => n + line.left_out, 0) };
}

test('a worker that floods the log: a few lines, and how many were left out', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { args: JSON_LOG });
    worker.raw('no JSON\n'.repeat(3000));
    await daemon.untilStatus((s) => s.counters.droppedMessages === 3000, 'all of them are read');
    const { written } = counted(daemon, /dropped a line of 7 bytes/);
    assert.ok(written >= 1 && written < 1000, `${written}`);
    // Told though nothing else happens.
    await daemon.untilLog(/"left_out":\d+/);
    await daemon.stop();
    const all = counted(daemon, /dropped a line of 7 bytes/);
    assert.equal(all.written + all.leftOut, 3000);
});

test('users who may not connect cannot flood it either; what is left out is told at the end at the latest', async (t) => {
    const config = { allowUids: [4242424], poolSize: 1 };
    const daemon = await startDaemon(t, { waitReady: false, args: ['--log-level', 'info', ...JSON_LOG], config });
    await daemon.untilLog(/worker 1 ready/);
    for (let i = 0; i < 200; i++) {
        const client = await PoolClient.connect(daemon.socket, 'stranger');
        await client.ended;
    }
    await daemon.stop();
    const { written, leftOut } = counted(daemon, /refused uid/);
    assert.equal(written + leftOut, 200);
    assert.ok(written < 200);
});

test('what is asked for by the level is not left out', async (t) => {
    const [daemon] = await startPool(t, 1, { args: JSON_LOG });
    const client = await PoolClient.connect(daemon.socket);
    for (let i = 0; i < 150; i++) await (await PoolClient.connect(daemon.socket)).close();
    await client.request('pool/ping');
    await until(() => lines(daemon).filter((line) => /: connected, uid/.test(line.msg)).length >= 150, 'each is told');
});

/** The log of a daemon that cannot start, written to a file that JOURNAL_STREAM names, or does not. */
async function failure(t, journal, ...args) {
    const file = join(await temporary(t), 'log');
    const fd = openSync(file, 'w');
    const { dev, ino } = fstatSync(fd, { bigint: true });
    const env = { ...cleanEnv(), JOURNAL_STREAM: `${dev}:${journal ? ino : ino + 1n}` };
    const { status } = spawnSync(poold, ['--socket', '/proc/no/socket', ...args], { env, stdio: ['ignore', 'ignore', fd] });
    closeSync(fd);
    assert.ok(status > 0);
    return readFileSync(file, 'utf8');
}

test('in the journal text has a priority instead of the time, JSON has it as a field; elsewhere text has the time', async (t) => {
    assert.match(await failure(t, true), /^<3>error .*cannot open its directory.*\n$/);
    assert.match(await failure(t, false), /^20\d\d-\d\d-\d\dT[\d:.]+Z error .*cannot open its directory.*\n$/);
    const { PRIORITY, level, msg } = JSON.parse(await failure(t, true, ...JSON_LOG));
    assert.deepEqual([PRIORITY, level], [3, 'error']);
    assert.match(msg, /cannot open its directory/);
});

test('no line below trace has what is said, the environment, or what a serving worker writes on stderr', async (t) => {
    const secrets = ['PROMPT-SECRET', 'ANSWER-SECRET', 'ENV-SECRET', 'STDERR-SECRET', 'NAME-SECRET', 'BROKEN-SECRET'];
    const [prompt, answer, value, stderr, name, broken] = secrets;
    const [daemon, worker] = await startPool(t, 1, { args: JSON_LOG, config: { codex: { env: { TOKEN: value } } } });
    const { client, turn, threadId } = await runTurn(daemon);
    turn.delta(answer);
    worker.stderr(`${stderr}\n`);
    worker.raw(`{"${broken}\n`);
    await client.request('thread/name/set', { threadId, name });
    await client.startTurn(threadId, prompt);
    await daemon.untilLog(/dropped a line/);
    await worker.die(1);
    await client.next('turn/completed');
    await daemon.untilLog(/exited: exit code 1/);
    for (const secret of secrets) assert.ok(!daemon.log.includes(secret), secret);
});
