// HTTP on the socket: what is answered to whom, and what a client may send without an effect on others.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { RawHttp, ask, exchange } from '../lib/http.mjs';
import { runTurn } from '../lib/scenes.mjs';
import { until, within } from '../lib/wait.mjs';

const GET = (path, ...lines) => `GET ${path} HTTP/1.1\r\n${['Host: x', ...lines].join('\r\n')}\r\n\r\n`;
const statuses = (answers) => answers.map(({ status }) => status);

test('the daemon lives, is ready, and says what pool/status says', async (t) => {
    const [daemon] = await startPool(t);
    const health = await ask(daemon, '/healthz');
    assert.equal(health.status, 200);
    assert.equal(health.body, 'ok\n');
    assert.match(health.headers['content-type'], /^text\/plain/);
    assert.equal(Number(health.headers['content-length']), 3);
    assert.ok(Math.abs(Date.parse(health.headers.date) - Date.now()) < 3600e3);
    assert.equal((await ask(daemon, '/readyz?verbose')).body, 'ready\n');
    const { status, headers, body } = await ask(daemon, '/status');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    const { name, workers, transport } = JSON.parse(body).clients.at(-1);
    assert.deepEqual([transport, name, workers], ['http', null, []]);
    // Those who have asked may take a moment to close.
    const byLine = await daemon.untilStatus((s) => s.clients.every((c) => c.transport === 'lines'), 'they have left');
    assert.deepEqual(Object.keys(JSON.parse(body)), Object.keys(byLine));
});

test('a pool that is paused, or drains, is not ready', async (t) => {
    const [daemon] = await startPool(t);
    const admin = await PoolClient.connect(daemon.socket, 'admin');
    for (const [method, why] of [['pool/pause', 'The pool is paused.\n'], ['pool/drain', 'The pool drains.\n']]) {
        await admin.request(method);
        const { status, body } = await ask(daemon, '/readyz');
        assert.deepEqual([status, body], [503, why]);
        await admin.request('pool/resume');
        assert.equal((await ask(daemon, '/readyz')).status, 200);
    }
});

test('not ready while the first worker starts, and while none can be started', async (t) => {
    const daemon = await startDaemon(t, { waitReady: false, config: { poolSize: 1 } });
    daemon.fake.on('initialize', () => {});
    await daemon.ready();
    const worker = await daemon.fake.worker();
    const initialize = await worker.expect('initialize');
    const early = await ask(daemon, '/readyz');
    assert.equal(early.status, 503);
    assert.equal(early.body, 'The first worker is starting.\n');
    worker.default(initialize);
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it is ready');
    assert.equal((await ask(daemon, '/readyz')).status, 200);
    daemon.writeConfig({ codex: { command: '/no-such-codex' } });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    await worker.die();
    await daemon.untilStatus((s) => s.pool.ready === 0, 'it is gone');
    await until(async () => (await ask(daemon, '/readyz')).status === 503, 'it is not ready');
    assert.match((await ask(daemon, '/readyz')).body, /^Cannot start codex: .*No such file or directory\n$/);
    assert.equal((await ask(daemon, '/healthz')).status, 200);
});

test('ready without a worker where one is started on demand', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    assert.equal((await ask(daemon, '/readyz')).status, 200);
    assert.equal((await daemon.status()).counters.workerStarts, 0);
});

test('while the daemon stops it is alive, and not ready', async (t) => {
    const [daemon] = await startPool(t);
    const { client, threadId, turn } = await runTurn(daemon);
    const http = (await RawHttp.connect(daemon)).write(GET('/readyz'));
    await http.next();
    daemon.signal('SIGTERM');
    await daemon.untilLog(/stopping: running turns/);
    const [, ready, health] = await http.write(GET('/readyz') + GET('/healthz')).next(3);
    assert.equal(ready.status, 503);
    assert.equal(ready.body, 'The pool is being shut down.\n');
    assert.equal(health.status, 200);
    turn.complete();
    await client.turnCompleted(threadId);
    await http.all();
});

test('HEAD, and what is not there or not to be done', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false, denyMethods: ['pool/status'] } });
    const head = await ask(daemon, '/healthz', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '3', '']);
    for (const path of ['/', '/nope', '/healthz/', '/HEALTHZ']) assert.equal((await ask(daemon, path)).status, 404);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
        const { status, headers } = await ask(daemon, '/metrics', { method });
        assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], method);
    }
    const denied = await ask(daemon, '/status');
    assert.equal(denied.status, 403);
    assert.match(denied.body, /denyMethods/);
    assert.equal((await ask(daemon, 'http://other.example/healthz?x=1')).status, 200, 'a target with its host');
    assert.deepEqual(statuses(await exchange(daemon, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n')), [405]);
});

test('a page in a browser gets nothing, wherever it is; a strange Host is fine', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    for (const Origin of ['http://localhost', 'null', '', 'https://evil.example']) {
        for (const path of ['/healthz', '/status', '/nope']) {
            assert.equal((await ask(daemon, path, { headers: { Origin } })).status, 403, Origin);
        }
    }
    const cased = await exchange(daemon, GET('/healthz', 'oRiGiN: x', 'Connection: close'));
    assert.deepEqual(statuses(cased), [403]);
    assert.equal((await ask(daemon, '/healthz', { headers: { Host: 'a.b.c:99999', Origins: 'x' } })).status, 200);
});

test('connections are kept, and closed when they are asked to be', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (let i = 0; i < 5; i++) assert.equal((await ask(daemon, '/healthz', { agent })).status, 200);
    const { clients, counters } = JSON.parse((await ask(daemon, '/status', { agent })).body);
    assert.equal(clients.length, 1);
    assert.equal(counters.clients, 2, 'the test\'s own at the start, and this one');

    const [one, two] = await exchange(daemon, GET('/healthz') + GET('/healthz', 'Connection: close') + GET('/healthz'));
    assert.equal(one.status, 200);
    assert.doesNotMatch(one.head, /^connection:/im);
    assert.match(two.head, /^Connection: close$/m);
    const old = await exchange(daemon, 'GET /healthz HTTP/1.0\r\n\r\n');
    assert.match(old[0].head, /^Connection: close$/m);
    const oldKept = (await RawHttp.connect(daemon)).write('GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.match((await oldKept.next())[0].head, /^Connection: keep-alive$/m);
    assert.equal((await oldKept.write('GET /nope HTTP/1.0\r\n\r\n').all())[1].status, 404);
});

/** Requests in a row, and what becomes of them. */
const ROW = {
    bytes: GET('/healthz') + 'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /' + GET('/nope') +
        'HEAD /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n' +
        'GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n' + GET('/nope'),
    answers: [200, 405, 404, 200, 200, 404],
};

/** The statuses, whose bodies need not be told apart from the heads. */
const inRow = (text) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

test('requests in a row are answered in order, however they are cut', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    for (const size of [ROW.bytes.length, 100, 7, 1]) {
        const http = await RawHttp.connect(daemon);
        for (let at = 0; at < ROW.bytes.length; at += size) {
            http.socket.write(ROW.bytes.slice(at, at + size));
            // Each piece is a read of its own; Node has written it when it calls back.
            await new Promise((done) => setImmediate(done));
        }
        http.socket.end();
        await http.all();
        assert.deepEqual(inRow(http.text), ROW.answers, `in pieces of ${size}`);
    }
    // More than the daemon answers in one turn or keeps for one who does not read yet.
    const n = 5000;
    const http = await RawHttp.connect(daemon);
    http.socket.pause();
    http.write(GET('/healthz').repeat(n));
    http.socket.end();
    await daemon.status();
    http.socket.resume();
    await http.all();
    assert.equal(inRow(http.text).length, n);
});

test('what is no request is refused, and ends the connection', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    const long = 'x'.repeat(20000);
    const cases = [
        [400, 'GARBAGE\r\n\r\n'], [400, 'GET\r\n\r\n'], [505, 'GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n'],
        [505, 'GET /healthz\r\n\r\n'],
        [400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], [400, GET('/healthz', 'no colon')],
        [400, GET('/healthz', 'Content-Length: x')], [400, GET('/healthz', 'Content-Length: 1', 'Content-Length: 2')],
        [400, GET('/healthz', 'Content-Length: 1', 'Transfer-Encoding: chunked')],
        [400, `${GET('/healthz', 'Transfer-Encoding: chunked')}zz\r\n`], [400, GET('/healthz', 'A\0B: c')],
        [431, GET('/healthz', `X: ${long}`)], [431, GET(`/${long}`)],
        [431, GET('/healthz', ...Array.from({ length: 3000 }, (_, i) => `h${i}: x`))],
        [413, GET('/healthz', 'Content-Length: 100000')], [413, GET('/healthz', 'Content-Length: 99999999999999999')],
        [413, `${GET('/healthz', 'Transfer-Encoding: chunked')}20000\r\n${'y'.repeat(0x20000)}\r\n0\r\n\r\n`],
    ];
    for (const [status, bytes] of cases) {
        const answers = await exchange(daemon, bytes + GET('/healthz'));
        assert.deepEqual(statuses(answers), [status], bytes.slice(0, 80));
        assert.match(answers[0].head, /^Connection: close$/m);
    }
    // These are requests, which end nothing.
    const refused = [
        [400, 'GET /healthz HTTP/1.1\r\n\r\n'], [400, GET('/healthz', 'Host: y')], [414, GET(`/${'x'.repeat(5000)}`)],
    ];
    for (const [status, bytes] of refused) {
        const http = (await RawHttp.connect(daemon)).write(bytes + GET('/healthz'));
        assert.deepEqual(statuses(await http.next(2)), [status, 200], bytes.slice(0, 80));
        await http.close();
    }
    assert.equal((await ask(daemon, '/healthz')).status, 200);
});

test('one who waits to be told to send its body is told so', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    const http = await RawHttp.connect(daemon);
    http.write('POST /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n');
    assert.equal((await http.next())[0].status, 100);
    assert.equal((await http.write('abc').next(2))[1].status, 405);
    await http.close();
});

test('half a request or none does not keep its place for ever', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false, maxClients: 2, clientStallTimeoutMs: 200 } });
    const half = (await RawHttp.connect(daemon)).write('GET /healthz HTTP/1.1\r\nHos');
    const idle = (await RawHttp.connect(daemon)).write(GET('/healthz'));
    assert.equal((await idle.next())[0].status, 200);
    assert.equal((await ask(daemon, '/healthz')).status, 200, 'as soon as there is a place');
    assert.deepEqual(statuses(await half.all()), [408]);
    assert.deepEqual(statuses(await idle.all()), [200], 'closed without a word');
});

test('one who does not read its answers is dropped, and holds up nobody', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false, clientStallTimeoutMs: 300 } });
    const deaf = await RawHttp.connect(daemon);
    deaf.socket.pause();
    deaf.socket.write(GET('/metrics').repeat(2000));
    await daemon.untilLog(/dropped: read nothing/);
    await daemon.untilStatus((s) => s.clients.length === 1, 'it is gone');
    deaf.socket.destroy();
});

test('lines stay lines, whatever they are, and HTTP stays HTTP', async (t) => {
    const daemon = await startDaemon(t, { config: { prewarm: false } });
    for (const first of ['\n', ' ', '{}\n', 'get / http/1.1\r\n', '[]\n', '"GET"\n']) {
        const client = await PoolClient.connect(daemon.socket);
        client.send(`${first}{"id":"x","method":"pool/ping"}\nGET / HTTP/1.1\n`);
        await client.nextAnswer((m) => m.id === 'x');
        await client.nextAnswer((m) => m.error?.code === -32700);
        await client.close();
    }
    const mixed = await exchange(daemon, `${GET('/healthz')}{"id":1,"method":"pool/ping"}\n`);
    assert.deepEqual(statuses(mixed), [200, 400]);
});

test('users who may not connect get nothing by HTTP either', async (t) => {
    const daemon = await startDaemon(t, { waitReady: false, config: { prewarm: false, allowUids: [54321] } });
    await daemon.untilLog(/listens at/);
    const http = (await RawHttp.connect(daemon)).write(GET('/healthz'));
    await within(Promise.race([http.closed, http.ended]), 'the end');
    // It is closed before it is read, which may come before what it is told.
    assert.match(http.text, /^(\{.*"reason":"forbidden".*\n)?$/);
    http.socket.destroy();
});
