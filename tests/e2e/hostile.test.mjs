// Clients that misbehave, one after the other, beside one whose turn goes on all the while: each of them gets a clear
// error or a clean end, and the bystander hears nothing of it.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { runTurn } from '../lib/scenes.mjs';
import { until, within } from '../lib/wait.mjs';

const MB = 1024 * 1024;
const MAX = 4 * MB;
const APPROVAL = 'item/commandExecution/requestApproval';
/** How often the bystander asks without an attack, and at least during one. */
const TRIPS = 30;

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** One whose turn streams, and who asks the daemon and a worker in turn without a pause. */
class Bystander {
    static async start(daemon) {
        const scene = await runTurn(daemon, 'bystander');
        const self = Object.assign(new Bystander(), scene, { said: 0, trips: [] });
        self.seen = scene.client.notifications.length;
        self.timer = setInterval(() => scene.turn.delta(`#${self.said++}`), 2);
        self.asking = self.ask();
        return self;
    }

    async ask() {
        while (!this.enough) {
            const began = performance.now();
            await this.client.request('pool/ping');
            await this.client.request('model/list');
            this.trips.push(performance.now() - began);
        }
    }

    /** How long the next `n` round trips take, one as the other (median), and each (longest). */
    async next(n = TRIPS) {
        const from = this.trips.length;
        await within(Promise.race([until(() => this.trips.length >= from + n, 'round trips'), this.asking]),
            'the bystander\'s round trips');
        const times = this.trips.slice(from, from + n);
        return { median: median(times), longest: Math.max(...times) };
    }

    /** Its turn ends; it has heard of that, of all its deltas in order, and of nothing else. */
    async finish() {
        clearInterval(this.timer);
        this.turn.complete();
        await this.client.turnCompleted(this.threadId);
        this.enough = true;
        await this.asking;
        const heard = this.client.notifications.slice(this.seen);
        const deltas = heard.filter((m) => m.method === 'item/agentMessage/delta');
        assert.deepEqual(deltas.map((m) => m.params.delta), Array.from({ length: this.said }, (_, i) => `#${i}`));
        const rest = heard.filter((m) => !deltas.includes(m)).map((m) => m.method);
        assert.deepEqual(rest.sort(), ['thread/status/changed', 'turn/completed']);
        assert.deepEqual(this.client.asked.map((m) => m.params.whose), ['bystander']);
        assert.equal(this.client.box.has((m) => !m.method), false, 'no answer that it has not asked for');
    }
}

const attackers = [];

/** A client that is closed at the end of the attack, if it is not before. */
async function attacker(daemon, options) {
    const client = await PoolClient.open(daemon, { name: 'attacker', ...options });
    attackers.push(client);
    return client;
}

/** Sends lines that are each refused with this code and leave the connection as it is. */
async function refused(client, lines, code) {
    for (const line of lines) {
        client.send(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
        const { error } = await client.nextAnswer();
        assert.equal(error.code, code, String(line).slice(0, 80));
        assert.equal(typeof error.data.reason, 'string');
    }
    await client.request('pool/ping');
}

/** Bytes on a connection of their own; `answers` counts the lines that come back. */
function flood(daemon, bytes) {
    const socket = connect(daemon.socket);
    const self = { socket, answers: 0, closed: new Promise((resolve) => socket.once('close', resolve)) };
    socket.on('data', (chunk) => {
        for (let at = -1; (at = chunk.indexOf(10, at + 1)) >= 0;) self.answers++;
    });
    socket.on('error', () => {});
    const params = { clientInfo: { name: 'attacker', version: '1' } };
    socket.write(`${JSON.stringify({ id: 'i', method: 'initialize', params })}\n${bytes}`);
    return self;
}

const requests = (n, method, params = {}) =>
    Array.from({ length: n }, (_, i) => `${JSON.stringify({ id: i, method, params })}\n`).join('');

/** Gets what a flood asks for, while the bystander makes its round trips: it must not have to wait for all of it. */
async function notAllFirst({ daemon, bystander, during }, n, bytes) {
    const from = bystander.trips.length;
    const attack = flood(daemon, bytes);
    await until(() => attack.answers > 10, 'the attack goes on');
    await during();
    const trips = bystander.trips.length - from;
    assert.ok(attack.answers < n, `it was served ${attack.answers} times while the bystander asked ${trips} times`);
    attack.socket.destroy();
    await within(attack.closed, 'the end');
}

const attacks = {
    async 'bytes that are no JSON'({ daemon, during }) {
        const client = await attacker(daemon);
        const noise = Array.from({ length: 200 }, (_, i) => Buffer.from(Array.from({ length: 50 }, (__, j) =>
            128 + ((i * 7919 + j * 104729) % 128))));
        const words = ['GET / HTTP/1.1', '{', '}', '{"id":1,}', '{"id":01}', '{id:1}', 'NaN', '\u2028'];
        await refused(client, [...noise, ...words], -32700);
        await during();
    },
    async 'a line without end, up to maxMessageBytes and past it'({ daemon, during }) {
        const client = await attacker(daemon);
        const params = JSON.stringify('x'.repeat(MAX - 100));
        const line = `{"id":"long","method":"some/thing","params":${params}`;
        client.send(line);
        await during();
        client.send(`${' '.repeat(MAX - line.length - 1)}}\n`);
        assert.deepEqual((await client.nextAnswer()).id, 'long', 'exactly so many bytes pass');
        client.send('x'.repeat(MAX + 2));
        assert.equal((await client.nextAnswer()).error.code, -32016);
        await within(client.ended, 'the end');
    },
    async 'a line cut in the middle'({ daemon, during, workers }) {
        const sent = () => workers.reduce((n, worker) => n + worker.received('never/sent').length, 0);
        const [stays, goes] = [await attacker(daemon), await attacker(daemon)];
        for (const client of [stays, goes]) client.send('{"id":1,"method":"never/sent","par');
        await during();
        goes.end();
        await within(goes.ended, 'the daemon to close, too');
        assert.equal(sent(), 0);
        stays.send('ams":{}}\n');
        await stays.nextAnswer();
        assert.equal(sent(), 1);
    },
    async 'NUL and invalid UTF-8'({ daemon, during }) {
        const client = await attacker(daemon);
        const head = Buffer.from('{"id":1,"method":"m","params":"');
        const inside = (...bytes) => Buffer.concat([head, Buffer.from(bytes), Buffer.from('"}')]);
        await refused(client, [Buffer.from([0]), inside(0), inside(0xff), inside(0xc0, 0xaf), inside(0xed, 0xa0, 0x80),
            inside(0xf4, 0x90, 0x80, 0x80), inside(0xe2, 0x82), '{"id":1,"method":"m","params":"\\ud800"}',
            '{"id":1,"method":"m\0"}', '\0{"id":1,"method":"m"}'], -32700);
        // As an escape it is a character like others, but not where it would name something.
        await refused(client, ['{"id":1,"method":"m\\u0000"}',
            '{"id":1,"method":"thread/read","params":{"threadId":"a\\u0000"}}'], -32600);
        client.send('{"id":"\\u0000","method":"model/list","params":"\\u0000"}\n');
        assert.equal((await client.nextAnswer()).id, '\0');
        await during();
    },
    async 'ids of every kind'({ daemon, during }) {
        const client = await attacker(daemon);
        const wrong = ['null', '1.5', '9223372036854775808', '-9223372036854775809', '1e400', '{}', '{"a":[1]}', '[]',
            'true', '9'.repeat(100000)];
        await refused(client, wrong.map((id) => `{"id":${id},"method":"model/list"}`), -32600);
        const id = 'i'.repeat(MB);
        await client.request('pool/subscribe', { events: ['queue'] });
        for (const method of ['pool/ping', 'model/list', 'turn/interrupt', 'no/such']) {
            client.send({ id, method, params: { threadId: 'none' } });
            assert.ok((await client.nextAnswer()).id === id);
        }
        await client.request('pool/acquire');
        const waiter = await attacker(daemon);
        waiter.send({ id, method: 'thread/start', params: { threadId: id } });
        const { waiters } = await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
        assert.ok(JSON.stringify(waiters).length < 1000, 'nobody else\'s status is longer for it');
        await during();
        assert.deepEqual(await waiter.request('pool/cancel', { id }), { cancelled: true });
        assert.ok((await waiter.nextAnswer()).id === id);
    },
    async 'duplicate ids in flight'({ daemon, during }) {
        const client = await attacker(daemon);
        await client.request('pool/acquire');
        const methods = ['model/list', 'pool/ping', 'thread/start'];
        for (let i = 0; i < 200; i++) client.send({ id: 'same', method: methods[i % 3], params: {} });
        await during();
        for (let i = 0; i < 200; i++) assert.equal((await client.nextAnswer()).id, 'same');
    },
    async 'duplicate keys'({ daemon, during }) {
        const client = await attacker(daemon);
        await refused(client, ['{"id":1,"id":1,"method":"pool/ping"}', '{"id":1,"method":"pool/ping","method":"pool/ping"}',
            '{"id":1,"method":"pool/ping","params":{},"params":{}}', '{"id":1,"result":1,"result":2}',
            '{"id":1,"method":"turn/start","params":{"threadId":"a","threadId":"b"}}'], -32600);
        await during();
    },
    async 'nesting 100,000 deep'({ daemon, during }) {
        const client = await attacker(daemon);
        const deep = (open, close) => open.repeat(100000) + close.repeat(100000);
        await refused(client, ['['.repeat(100000), deep('[', ']'), `${'{"a":'.repeat(100000)}1${'}'.repeat(100000)}`,
            `{"id":1,"method":"pool/subscribe","params":${deep('[', ']')}}`, `{"id":${deep('[', ']')},"method":"m"}`,
            `{"id":1,"method":"initialize","params":{"clientInfo":${'{"a":'.repeat(100000)}1${'}'.repeat(100001)}}`], -32700);
        await during();
    },
    async 'batches'({ daemon, during }) {
        const client = await attacker(daemon);
        const one = '{"id":1,"method":"model/list"}';
        const many = Array(50000).fill(one).join();
        await refused(client, ['[]', `[${one}]`, `[${one},${one}]`, `[${many}]`, '[1,2]', '"x"', '7', 'null'], -32600);
        await during();
    },
    async 'answers to requests that nobody made'({ daemon, during, workers }) {
        const client = await attacker(daemon);
        const answers = () => workers.reduce((n, worker) => n + worker.log.filter((m) => !m.method).length, 0);
        const before = answers();
        for (const id of [...Array(1000).keys(), -1, 2 ** 53, '0', '', 'x'.repeat(100000)]) {
            client.send({ id, result: { decision: 'accept' } });
            client.send({ id, error: { code: 1, message: 'x' } });
        }
        await client.request('model/list');
        assert.equal(answers(), before);
        await during();
    },
    async 'answers to another client\'s request'({ daemon, bystander, during }) {
        const client = await attacker(daemon);
        const answer = bystander.worker.ask(APPROVAL, { threadId: bystander.threadId, whose: 'bystander' });
        const { id } = await bystander.client.next(APPROVAL);
        for (let i = 0; i <= id + 100; i++) client.send({ id: i, result: { decision: 'accept' } });
        for (const decision of ['accept', 'decline']) client.send({ id: answer.id, result: { decision } });
        await client.request('model/list');
        await during();
        bystander.client.send({ id, result: { decision: 'its own' } });
        assert.deepEqual((await answer).result, { decision: 'its own' });
    },
    async 'methods of the wrong direction'({ daemon, bystander, during, workers }) {
        const { threadId } = bystander;
        const client = await attacker(daemon);
        const told = ['turn/completed', 'thread/closed', 'item/agentMessage/delta', 'serverRequest/resolved',
            'thread/started', 'pool/assigned', 'initialized', 'turn/interrupt', 'turn/start', 'error'];
        for (const method of told) client.notify(method, { threadId, requestId: 0, turn: { id: bystander.turn.id } });
        for (const method of ['pool/queued', 'pool/moved']) {
            await assert.rejects(client.request(method, { threadId }), (e) => e.code === -32601);
        }
        for (const method of [APPROVAL, 'item/tool/call', 'turn/completed', 'thread/closed']) {
            await client.request(method, { threadId });
        }
        for (const method of ['turn/interrupt', 'turn/steer']) {
            await assert.rejects(client.request(method, { threadId, turnId: bystander.turn.id }), /thread not found/);
        }
        const sent = workers.flatMap((worker) => worker.log.filter((m) => m.method && m.id === undefined));
        assert.deepEqual(sent.map((m) => m.method), workers.map(() => 'initialized'), 'none but the daemon\'s own');
        await during();
    },
    async '100,000 pipelined requests'({ daemon, during }) {
        const attack = flood(daemon, requests(100000, 'pool/ping'));
        await during();
        await until(() => attack.answers === 100001, 'all are answered');
        attack.socket.destroy();
    },
    '30,000 pipelined requests that take long': (scene) =>
        notAllFirst(scene, 30000, requests(30000, 'pool/status')),
    'requests that look at many others': (scene) =>
        notAllFirst(scene, 250000, requests(5000, 'thread/resume', { threadId: 'none' }) +
            requests(5000, 'thread/start') + requests(250000, 'pool/cancel', { id: -1 })),
    async 'connecting and leaving 2,000 times'({ daemon, during, bystander }) {
        const fds = daemon.fds().length;
        const before = bystander.trips.length;
        const hello = ['', '{"id":1,"meth', '{"id":1,"method":"pool/ping"}\n', '{"id":1,"method":"pool/acquire"}\n'];
        for (let i = 0; i < 2000; i++) {
            const socket = connect(daemon.socket);
            socket.on('error', () => {});
            await new Promise((resolve) => socket.once('connect', resolve));
            socket.write(hello[i % hello.length], () => socket.destroy());
        }
        assert.ok(bystander.trips.length > before);
        await during();
        await daemon.untilStatus((s) => s.clients.length === 2 && s.queue.length === 0, 'all are gone');
        await until(() => daemon.fds().length <= fds, 'no descriptor is left');
    },
    async 'never sending initialize'({ daemon, during }) {
        const clients = await Promise.all(Array.from({ length: 300 }, () => attacker(daemon, { initialize: false })));
        for (const client of clients) await assert.rejects(client.request('thread/start'), /Not initialized/);
        await during();
        assert.equal((await daemon.status()).clients.length, clients.length + 2);
    },
    async 'an initialize of any size'({ daemon, during }) {
        const client = await attacker(daemon, { initialize: false });
        const initialize = (name, optOutNotificationMethods) => client.request('initialize', {
            clientInfo: { name, version: '1' }, capabilities: { optOutNotificationMethods },
        });
        await assert.rejects(initialize('n'.repeat(3 * MB), []), /too long/);
        await assert.rejects(initialize('n', Array(500000).fill('x')), /too long/);
        await assert.rejects(initialize('n', Array(2000).fill('x')), /too many/);
        await initialize(`${'n'.repeat(127)}${'ü'.repeat(1000)}`, Array(1000).fill('x'));
        const { clients } = await daemon.status();
        assert.ok(clients.every((each) => (each.name ?? '').length <= 128), 'nobody\'s status is long for it');
        await during();
    },
    async 'half-closing'({ daemon, during }) {
        const clients = await Promise.all(Array.from({ length: 200 }, () => attacker(daemon)));
        for (const [i, client] of clients.entries()) {
            if (i % 2) client.send({ id: 'x', method: ['thread/start', 'model/list', 'pool/acquire'][i % 3], params: {} });
            client.end();
        }
        await during();
        await Promise.all(clients.map((each) => within(each.ended, 'the daemon to close, too')));
    },
};

test('whatever a client does, one whose turn runs notices nothing', async (t) => {
    const config = { maxMessageBytes: MAX, maxQueue: 20000, openLingerMs: 20 };
    // Where each client is told of at debug level, the test would read more than anybody.
    const [daemon, ...workers] = await startPool(t, 2, { config, args: ['--log-level', 'info'] });
    const bystander = await Bystander.start(daemon);
    for (const [name, attack] of Object.entries(attacks)) {
        await t.test(name, async (st) => {
            const without = await bystander.next();
            let beside;
            try {
                await attack({ daemon, bystander, workers, during: async () => { beside = await bystander.next(); } });
            } finally {
                await Promise.all(attackers.splice(0).map((each) => each.close()));
            }
            const ms = (times) => `median ${times.median.toFixed(2)} ms, longest ${times.longest.toFixed(1)} ms`;
            st.diagnostic(`round trips ${(beside.median / without.median).toFixed(2)} times those without it: ` +
                `${ms(without)} without, ${ms(beside)} with it`);
        });
    }
    await bystander.finish();
    await bystander.client.close();
});
