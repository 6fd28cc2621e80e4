// No memory for one thing or another: whoever it was for is told or dropped, the daemon lives and serves the next.
//
// Each thing that a client may do is done again and again; each time the next one of the allocations fails that the
// daemon makes meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { isAlive } from '../lib/daemon.mjs';
import { sanitized, startOnMachine } from '../lib/failing.mjs';
import { RawHttp, exchange } from '../lib/http.mjs';
import { OP, frame, handshake } from '../lib/websocket.mjs';
import { until, within } from '../lib/wait.mjs';

const APPROVAL = 'item/commandExecution/requestApproval';
// What a worker cannot be told for want of memory ends by these.
const CONFIG = { poolSize: 2, openLingerMs: 20, interruptTimeoutMs: 200, drainTimeoutMs: 50 };

/** A client for whom anything may fail, but nothing may stay without an end. */
class Unlucky {
    static async open(daemon, name) {
        const self = new Unlucky();
        self.client = await PoolClient.connect(daemon.socket, name);
        self.client.onRequest(APPROVAL, () => ({ decision: 'accept' }));
        const clientInfo = { name, version: '1' };
        const capabilities = { experimentalApi: true, optOutNotificationMethods: ['some/thing'] };
        self.initialized = await self.try('initialize', { clientInfo, capabilities });
        return self;
    }

    get gone() { return Boolean(this.client.box.closed); }

    /** The result; null where it was refused or the connection has been closed. */
    async try(method, params) {
        if (this.gone) return null;
        try {
            const result = await this.client.request(method, params);
            if (/^pool.(ping|status|acquire)|start$|resume$|initialize$/.test(method)) assert.notDeepEqual(result, {});
            return result;
        } catch (error) {
            if (error.code === undefined && !this.gone) throw error;
            return null;
        }
    }

    /** A turn that is begun comes to its end, unless the connection does. */
    async turn(threadId) {
        if (!await this.try('turn/start', { threadId, input: [] })) return;
        await this.client.turnCompleted(threadId).catch((error) => { if (!this.gone) throw error; });
    }

    close() {
        assertWhole(this.client.notifications);
        return this.client.close();
    }
}

/** The names of all that a status has. */
function members(status) {
    const names = (object) => Object.entries(object ?? {}).map(([name, value]) => (Array.isArray(value) ? name
        : value && typeof value === 'object' ? `${name} ${names(value)}` : name)).join();
    return [names(status), ...status.workers.map(names), ...status.clients.map(names)];
}

/** What is sent for want of a part of it would mean something else. */
function assertWhole(messages) {
    const required = {
        'pool/queued': ['id', 'position', 'length'], 'pool/assigned': ['id', 'worker', 'waitedMs'],
        'turn/interrupt': ['threadId', 'turnId'], 'thread/unsubscribe': ['threadId'],
        'initialize': ['clientInfo', 'capabilities'], 'turn/completed': ['threadId', 'turn'],
        'thread/closed': ['threadId'], 'thread/status/changed': ['threadId', 'status'], 'error': ['threadId', 'error'],
    };
    for (const { method, params } of messages) {
        for (const name of required[method] ?? []) assert.ok(params[name] !== undefined, `${method} has ${name}`);
    }
}

/** Two workers whose turns say something, ask for an approval, and end; and a client with a conversation. */
class Stage {
    static async build(t, config = {}) {
        const self = new Stage();
        [self.machine, self.daemon] = await startOnMachine(t, { config: { ...CONFIG, ...config } });
        const { fake } = self.daemon;
        fake.on('turn/start', async function start(request) {
            const { threadId } = request.params;
            this.default(request);
            const turn = this.turn(threadId);
            if (!turn || self.endless) return;
            turn.delta('some text');
            await this.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i' });
            turn.complete();
        });
        fake.on('some/echo', function echo(request) { this.reply(request, request.params); });
        for (let i = 0; i < 2; i++) (await fake.worker()).handlers = fake.handlers;
        await self.ready();
        return self;
    }

    ready() {
        return this.daemon.untilStatus((s) => s.pool.ready === 2 && s.pool.busy === 0 && s.queue.length === 0, 'all is quiet');
    }

    /** Its client, and a thread of its that has had a turn. */
    async conversation() {
        const owner = this.daemon.fake.owner(this.threadId);
        if (this.a && !this.a.gone && owner) return;
        await this.a?.close();
        await this.ready();
        this.a = await Unlucky.open(this.daemon, 'a');
        this.threadId = (await this.a.client.request('thread/start', { cwd: '/x', config: { a: 1 } })).thread.id;
        await this.a.turn(this.threadId);
        await this.a.client.request('pool/subscribe', { events: ['queue'] });
    }

    open(name) { return Unlucky.open(this.daemon, name); }
}

/** What is done, and whether it takes the client with the conversation. */
const acts = [
    ['connecting', false, async ({ open }) => {
        await (await open('b')).close();
    }],
    ['opening a thread', false, async ({ open }) => {
        const b = await open('b');
        const opened = await b.try('thread/start', { cwd: '/x', developerInstructions: 'be brief' });
        if (opened) await b.try('thread/unsubscribe', { threadId: opened.thread.id });
        await b.close();
    }],
    ['a turn', true, async ({ a, threadId }) => {
        await a.turn(threadId);
    }],
    ['questions', false, async ({ open, stage }) => {
        const b = await open('b');
        await b.try('pool/ping');
        const status = await b.try('pool/status');
        if (status) assert.deepEqual(members(status), stage.members ??= members(status), 'it is answered whole');
        for (const method of ['thread/loaded/list', 'model/list']) await b.try(method);
        await b.try('pool/cancel', { id: 1 });
        b.client.send('no message\n');
        await b.close();
    }],
    ['resuming one\'s own thread', true, async ({ a, threadId }) => {
        await a.try('thread/resume', { threadId });
    }],
    ['resuming somebody else\'s thread', true, async ({ open, threadId }) => {
        const b = await open('b');
        await b.try('thread/resume', { threadId, sandbox: 'read-only' });
        await b.close();
    }],
    ['waiting in line', false, async ({ open }) => {
        const [b, c, d] = [await open('b'), await open('c'), await open('d')];
        await b.try('pool/acquire');
        await c.try('pool/acquire');
        await d.try('pool/subscribe', { events: ['queue'] });
        const waiting = d.try('thread/start');
        await b.try('pool/release');
        await c.close();
        await waiting;
        await Promise.all([b.close(), d.close()]);
    }],
    ['leaving a turn that asks, and coming back', false, async ({ open, fake }) => {
        const b = await open('b');
        b.client.handlers.clear();
        const opened = await b.try('thread/start');
        const begun = opened && await b.try('turn/start', { threadId: opened.thread.id, input: [] });
        const left = begun && await b.try('pool/detach', { ttlMs: 300 });
        await (left ? b.client.ended : b.close());
        const c = await open('c');
        const attached = left && await c.try('pool/attach', { token: left.token });
        if (attached) assert.deepEqual(attached.threads, [opened.thread.id], 'it is answered whole');
        if (attached) await c.client.turnCompleted(opened.thread.id).catch((error) => { if (!c.gone) throw error; });
        await c.close();
        await until(() => !opened || !fake.owner(opened.thread.id), 'the thread is closed');
    }],
    ['a move', true, async ({ a, open, stage, threadId }) => {
        // Its owner gets busy with a turn of somebody else's.
        const b = await open('b');
        const own = await b.try('pool/acquire', { threadId });
        const there = own && await b.try('thread/start');
        stage.endless = true;
        if (there) await b.try('turn/start', { threadId: there.thread.id, input: [] });
        stage.endless = false;
        // Where it cannot move it waits until that is over.
        const turn = a.turn(threadId);
        await within(turn, 'the move', 100).catch(() => {});
        await b.close();
        await turn;
    }],
    ['leaving in a turn', false, async ({ open, stage, fake }) => {
        const b = await open('b');
        const opened = await b.try('thread/start');
        stage.endless = true;
        if (opened) await b.try('turn/start', { threadId: opened.thread.id, input: [] });
        stage.endless = false;
        await b.close();
        await until(() => !opened || !fake.owner(opened.thread.id), 'the thread is closed');
    }],
    ['leaving a command behind, whose worker is replaced', false, async ({ open, fake }) => {
        const before = fake.workers.length;
        const b = await open('b');
        const sent = b.try('command/exec', { command: ['x'] });
        await b.try('pool/ping');
        await b.close();
        await sent;
        await until(() => fake.workers.filter((each) => !each.gone).length === 2, 'both workers are there');
        if (fake.workers.length > before) fake.started.messages.length = 0;
    }],
    ['long lines', true, async ({ a, open, threadId }) => {
        const text = 'x'.repeat(300000);
        const b = await open('b');
        // Both ways, and one that waits.
        await b.try('some/echo', { text });
        const waiting = b.try('thread/resume', { threadId, config: { text } });
        await a.try('thread/read', { threadId, text });
        await waiting;
        await b.close();
    }],
    ['asking by HTTP', false, async ({ stage: { daemon } }) => {
        for (const path of ['/readyz', '/metrics', '/status', '/nope']) {
            for (const { status, body } of await exchange(daemon, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)) {
                assert.equal(status, path === '/nope' ? 404 : 200);
                if (path === '/metrics') assert.match(body, /^codex_pool_move_seconds_count \d+\n$/m);
                if (path === '/status') assert.ok(JSON.parse(body).moveMs);
            }
        }
    }],
    ['a WebSocket', false, async ({ stage: { daemon } }) => {
        const ping = '{"id":1,"method":"pool/ping"}';
        const frames = [frame(OP.text, ping.slice(0, 9), { fin: false }), frame(OP.ping, 'p'), frame(OP.more, ping.slice(9)),
            frame(OP.text, `{"id":2,"method":"model/list","params":{"x":"${'y'.repeat(100000)}"}}`), frame(OP.close)];
        const http = (await RawHttp.connect(daemon)).write(Buffer.concat([Buffer.from(handshake()), ...frames]));
        await within(Promise.race([http.ended, http.closed]), 'the end');
        await http.close();
    }],
];

const ALL = Boolean(process.env.NO_MEMORY_ALL);

for (const [what, converses, act] of acts) {
    test(`no memory, once: ${what}`, { skip: sanitized && 'the sanitizer has an allocator of its own' }, async (t) => {
        const stage = await Stage.build(t);
        const { machine, daemon } = stage;
        const perform = async (k) => {
            if (converses) await stage.conversation();
            const before = machine.allocations;
            if (k) machine.failAllocations(k);
            const { a, threadId } = stage;
            await within(act({ open: (name) => stage.open(name), stage, fake: daemon.fake, a, threadId }), what);
            machine.enoughMemory();
            return machine.allocations - before;
        };
        await perform();
        const n = await perform();
        let failed = 0;
        // Where there are many, some of them will do.
        for (let k = 1; k <= n; k += ALL ? 1 : Math.ceil(n / 40)) {
            await perform(k);
            failed += machine.failed;
            assert.ok(isAlive(daemon.pid), `it has survived number ${k} of ${n}`);
        }
        assert.ok(failed > 3, `${failed} have failed`);
        for (const worker of daemon.fake.workers) assertWhole(worker.log);
        await stage.a?.close();
        await stage.ready();
        const last = await PoolClient.open(daemon, { name: 'last' });
        await Promise.all([last.startThread(), last.startThread()]);
    });
}
