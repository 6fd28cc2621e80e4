// The Node.js client's ways to the pool: the socket that it finds, the transport for providers that take one, the
// bridge for those that start a program.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AbortedError, NoDaemonError, bridge, codexTransport, findSocket } from '../../client/node/src/index.js';
import { CODEX_POOL, Process } from '../lib/cli.mjs';
import { PoolClient } from '../lib/client.mjs';
import { pool, startPool } from '../lib/daemon.mjs';
import { kill, open, startAgain } from '../lib/node-client.mjs';
import { temporary } from '../lib/played-daemon.mjs';
import { Mailbox, until, within } from '../lib/wait.mjs';

const NEVER = { openLingerMs: 600000, drainTimeoutMs: 0 };

test('it finds the socket that codex-pool finds', async (t) => {
    const dir = await temporary(t);
    for (const name of ['empty', 'broken', 'set']) mkdirSync(join(dir, name, 'codex-pool'), { recursive: true });
    writeFileSync(join(dir, 'broken/codex-pool/config.json'), '{"socket": ');
    writeFileSync(join(dir, 'set/codex-pool/config.json'), JSON.stringify({ socket: '/c/set' }));
    const configs = ['', ...['none', 'empty', 'broken', 'set'].map((name) => join(dir, name))];
    const seen = new Set();
    for (const XDG_CONFIG_HOME of configs) {
        for (const CODEX_POOL_SOCKET of ['', '/c/variable']) {
            for (const XDG_RUNTIME_DIR of ['', '/c/runtime']) {
                const env = { XDG_CONFIG_HOME, CODEX_POOL_SOCKET, XDG_RUNTIME_DIR };
                const { stderr } = spawnSync(CODEX_POOL, ['ping'], { env, encoding: 'utf8' });
                assert.ok(stderr.includes(findSocket(undefined, env)), `${JSON.stringify(env)}: ${stderr}`);
                seen.add(findSocket('', env));
            }
        }
    }
    assert.deepEqual([...seen].sort(),
        ['/c/runtime/codex-pool/codex-pool.sock', '/c/set', '/c/variable', '/run/codex-pool/codex-pool.sock']);
    assert.equal(findSocket('/given', { CODEX_POOL_SOCKET: '/c/variable' }), '/given');
});

/** What a provider does with a transport: requests by id, notifications by name. */
class ProviderClient {
    constructor(transport) {
        Object.assign(this, { transport, box: new Mailbox('provider'), errors: [], lastId: 0 });
    }

    async connect() {
        await this.transport.connect();
        this.transport.on('message', (message) => this.box.put(message));
        this.transport.on('error', (error) => this.errors.push(error));
        this.closed = new Promise((resolve) => this.transport.on('close', (...how) => resolve(how)));
    }

    async request(method, params) {
        const id = ++this.lastId;
        await this.transport.sendMessage({ id, method, params });
        const { result, error } = await this.box.take((m) => m.id === id && !m.method, method);
        if (error) throw Object.assign(new Error(error.message), error);
        return result;
    }

    async turn() {
        await this.request('initialize', { clientInfo: { name: 'provider', version: '1' } });
        await this.transport.sendNotification('initialized');
        const { thread } = await this.request('thread/start', {});
        await this.request('turn/start', { threadId: thread.id, input: [] });
        return thread.id;
    }
}

test('the transport for a provider: connect waits, disconnect gives back', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const occupier = await open(t, daemon);
    const places = new Mailbox('places');
    const transport = codexTransport({ socket: daemon.socket, onQueue: (place) => places.put(place) });
    const client = new ProviderClient(transport);
    await assert.rejects(transport.sendMessage({ id: 1, method: 'x' }), /not connected/);
    const connected = client.connect();
    await places.take((p) => p.position === 1, 'a place');
    occupier.close();
    await within(connected, 'a worker');
    const threadId = await client.turn();
    await worker.expect('turn/start');
    worker.turn(threadId).complete();
    const ended = await client.box.take((m) => m.method === 'turn/completed', 'the end');
    assert.equal(ended.params.turn.status, 'completed');
    await transport.disconnect();
    await daemon.untilStatus((s) => s.clients.length === 1 && s.pool.busy === 0, 'it is given back');
    assert.deepEqual(client.errors, []);
});

test('the transport for a provider: its signal ends the wait, and no turn, which the provider interrupts', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const abort = new AbortController();
    const client = new ProviderClient(codexTransport({ socket: daemon.socket, signal: abort.signal }));
    await client.connect();
    const waiting = codexTransport({ socket: daemon.socket, signal: abort.signal }).connect();
    const refused = assert.rejects(waiting, AbortedError);
    const threadId = await client.turn();
    await daemon.untilStatus((s) => s.queue.length === 1, 'one waits');
    abort.abort();
    await within(refused, 'the end of the wait');
    worker.turn(threadId).delta('still there');
    await client.box.take((m) => m.method === 'item/agentMessage/delta', 'a delta');
    await client.request('turn/interrupt', { threadId, turnId: '' });
    await client.transport.disconnect();
});

test('the transport for a provider: an error where the daemon goes', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const client = new ProviderClient(codexTransport({ socket: daemon.socket, reconnectMs: 0 }));
    await client.connect();
    const threadId = await client.turn();
    await kill(daemon);
    assert.deepEqual(await within(client.closed, 'its close'), [null, null]);
    assert.deepEqual(client.errors.map((error) => [error.reason, error.turns]), [['connectionLost', [threadId]]]);
    await startAgain(daemon);
});

/** Starts what a provider would start. */
function startBridged(t, { codexPath, env }) {
    const process = new Process(t, codexPath, ['app-server', '--listen', 'stdio://'], { env, read: false });
    const box = new Mailbox('bridged');
    let rest = '';
    process.child.stdout.setEncoding('utf8').on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        lines.forEach((line) => box.put(JSON.parse(line)));
    });
    const send = (message) => process.write(`${JSON.stringify(message)}\n`);
    return { process, box, send, answer: (id) => box.take((m) => m.id === id && !m.method, `an answer to ${id}`) };
}

async function greet(bridged) {
    bridged.send({ id: 0, method: 'initialize', params: { clientInfo: { name: 'bridged', version: '1' } } });
    await bridged.answer(0);
    bridged.send({ method: 'initialized' });
}

test('a bridge: what a provider starts is seen to wait, and hears nothing of it', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: NEVER });
    const occupier = await PoolClient.open(daemon, { name: 'occupier' });
    await occupier.request('pool/acquire');
    const places = new Mailbox('places');
    const own = await bridge({ socket: daemon.socket, codexPath: pool, onQueue: (place) => places.put(place) });
    t.after(() => own.close());
    const bridged = startBridged(t, own);
    await greet(bridged);
    bridged.send({ id: 1, method: 'thread/start', params: {} });
    assert.equal((await places.take(() => true, 'a place')).position, 1);
    await occupier.close();
    const { thread } = (await bridged.answer(1)).result;
    assert.equal((await places.take(() => true, 'the end of the wait')).position, 0);
    bridged.send({ id: 2, method: 'turn/start', params: { threadId: thread.id, input: [] } });
    await bridged.answer(2);
    worker.turn(thread.id).delta('so 12345678901234567890');
    await bridged.box.take((m) => m.method === 'item/agentMessage/delta', 'a delta');
    assert.deepEqual(bridged.box.messages.filter((m) => m.method?.startsWith('pool/') || `${m.id}`.includes('pool')), []);
    await own.close();
    await worker.expect('turn/interrupt');
    assert.equal((await within(bridged.process.done, 'its end')).code, 69);
});

test('a bridge: its signal ends the wait at once', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    await open(t, daemon);
    const abort = new AbortController();
    const own = await bridge({ socket: daemon.socket, codexPath: pool, signal: abort.signal });
    t.after(() => own.close());
    const bridged = startBridged(t, own);
    await greet(bridged);
    bridged.send({ id: 1, method: 'thread/start', params: {} });
    await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
    abort.abort();
    await daemon.untilStatus((s) => s.queue.length === 0, 'it has left');
    await within(bridged.process.done, 'its end');
    await assert.rejects(bridge({ socket: daemon.socket, signal: abort.signal }), AbortedError);
});

test('a bridge: a client that goes takes its connection with it; without a daemon there is none', async (t) => {
    const [daemon] = await startPool(t, 1, { config: NEVER });
    const own = await bridge({ socket: daemon.socket, codexPath: pool });
    t.after(() => own.close());
    const bridged = startBridged(t, own);
    await greet(bridged);
    bridged.process.child.stdin.end();
    assert.equal((await within(bridged.process.done, 'its end')).code, 0);
    await until(async () => (await daemon.status()).clients.length === 1, 'the connection is gone');
    await assert.rejects(bridge({ socket: join(daemon.dir, 'none') }), NoDaemonError);
});
