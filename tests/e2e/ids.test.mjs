// Whose message is whose: request ids, approvals, initialize, and bytes that nobody may change.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';

const approval = 'item/commandExecution/requestApproval';

/** A client with a running turn on a worker of its own: {client, thread, worker}. */
async function running(daemon, options) {
    const client = await PoolClient.open(daemon, options);
    const thread = await client.startThread();
    await client.startTurn(thread);
    await client.next('turn/started');
    return { client, thread, worker: daemon.fake.owner(thread) };
}

/** The next line that a client gets which contains a text. */
async function lineWith(client, text) {
    for (;;) {
        const found = client.lines.find((line) => line.includes(text));
        if (found) return found;
        await new Promise((resolve) => client.socket.once('data', resolve));
    }
}

test('equal ids of two clients meet nowhere, in whatever order they are answered', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.hold('model/list');
    const [a, b] = [await PoolClient.open(daemon), await PoolClient.open(daemon)];
    const forA = a.request('model/list', { of: 'a' }, 7);
    const atA = await worker.expect('model/list');
    const forB = b.request('model/list', { of: 'b' }, 7);
    const atB = await worker.expect('model/list');
    assert.notEqual(atA.id, atB.id);
    worker.reply(atB, 'for b');
    worker.reply(atA, 'for a');
    assert.equal(await forA, 'for a');
    assert.equal(await forB, 'for b');
});

test('an answer to someone who has left reaches nobody', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.hold('model/list');
    const a = await PoolClient.open(daemon);
    a.request('model/list', {}, 7);
    const late = await worker.expect('model/list');
    await a.close();
    await daemon.untilStatus((s) => s.clients.every((c) => c.name !== 'client'), 'a is gone');
    const b = await PoolClient.open(daemon);
    worker.reply(late, 'late');
    await b.request('thread/list');
    const forB = b.request('model/list', {}, 7);
    const own = await worker.expect('model/list');
    assert.notEqual(own.id, late.id);
    worker.reply(late, 'later');
    worker.reply(own, 'own');
    assert.equal(await forB, 'own');
    assert.ok(!b.lines.some((line) => line.includes('late')));
});

for (const id of ['0', '-1', '9223372036854775807', '-9223372036854775808', '""', '"x"', '"7"',
    '"\\u0061\\"\\\\ü"', `"${'long'.repeat(2000)}"`]) {
    test(`an id comes back as it was sent: ${id.slice(0, 24)}`, async (t) => {
        const [daemon] = await startPool(t);
        const client = await PoolClient.open(daemon);
        // Answered by a worker, by the daemon, with a list and with an error.
        for (const method of ['model/list', 'pool/ping', 'thread/loaded/list', 'turn/interrupt']) {
            client.send(`{"id":${id},"method":"${method}","params":{"threadId":"none"}}\n`);
            await client.nextAnswer();
            assert.ok(client.lines.at(-1).startsWith(`{"id":${id},`), client.lines.at(-1));
        }
    });
}

for (const id of ['null', '1.5', '1e3', '9223372036854775808', '-9223372036854775809', '{}', '[1]', 'true']) {
    test(`an id of ${id} is refused with id null, and the connection stays`, async (t) => {
        const [daemon] = await startPool(t);
        const client = await PoolClient.open(daemon);
        client.send(`{"id":${id},"method":"model/list","params":{}}\n`);
        const { id: answered, error } = await client.nextAnswer();
        assert.equal(answered, null);
        assert.equal(error.code, -32600);
        assert.equal(error.data.reason, 'invalidRequest');
        assert.match(error.message, /id must be a string or a 64-bit integer/);
        await client.request('model/list');
    });
}

test('two requests with one id in flight are both answered', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.hold('model/list');
    const client = await PoolClient.open(daemon);
    for (const n of [1, 2]) client.send({ id: 'same', method: 'model/list', params: { n } });
    const [one, two] = [await worker.expect('model/list'), await worker.expect('model/list')];
    worker.reply(two, two.params.n);
    worker.reply(one, one.params.n);
    const answers = [await client.nextAnswer(), await client.nextAnswer()];
    assert.deepEqual(answers, [{ id: 'same', result: 2 }, { id: 'same', result: 1 }]);
});

test('bytes of a request reach the worker as they are, but for the id', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    const line = '\t{ "x":[ ] , "params" :{"big":12345678901234567890123,"f":1.0E-07,' +
        '"u":"é\\u00e9😀\\/\\u0000",' +
        '"id":"q","":{"id":1}},"jsonrpc":"2.0",  "method":"odd/thing" , "id" :  "a\\"b"  , "y": -0 }  ';
    client.send(`${line}\r\n`);
    const { id } = await worker.expect('odd/thing');
    const arrived = worker.lines.find((each) => each.includes('odd/thing'));
    assert.equal(arrived, line.replace('"a\\"b"', String(id)));
    assert.deepEqual((await client.nextAnswer()).id, 'a"b');
});

test('bytes of an answer, a notification and a server request reach the client as they are', async (t) => {
    const [daemon] = await startPool(t);
    const { client, thread, worker } = await running(daemon);
    worker.hold('model/list');
    client.send('{"id":"\\u0071","method":"model/list"}\n');
    const { id } = await worker.expect('model/list');
    const answer = (of) =>
        ` {"result" : {"n":1.50,"id":${id}, "s":"\\u00fc😀"} ,"more":null,  "id": ${of} } `;
    worker.raw(`${answer(id)}\n`);
    assert.equal(await lineWith(client, '"more"'), answer('"\\u0071"'));
    const told = `{"params": {"threadId" :"${thread}","delta":"\\ud83d\\ude00 ü","n":9007199254740993},` +
        '"method":"odd/told"}';
    worker.raw(`${told}\r\n`);
    assert.equal(await lineWith(client, 'odd/told'), told);
    const ask = (of) => `{"method":"odd/ask","params":{"threadId":"${thread}", "id":5},"id" : ${of}}`;
    worker.raw(`${ask('5')}\n`);
    assert.equal(await lineWith(client, 'odd/ask'), ask('0'));
    client.send('{ "result":{"a" : 1.0,"id":0}, "id":0 }\n');
    await worker.box.take((m) => m.id === 5, 'the answer');
    assert.equal(worker.lines.at(-1), '{ "result":{"a" : 1.0,"id":0}, "id":5 }');
    await client.close();
});

test('approvals of two workers that both count from 0 have own ids and get their answers', async (t) => {
    const [daemon, one, two] = await startPool(t, 2);
    const client = await PoolClient.open(daemon);
    const threads = await Promise.all([client.startThread(), client.startThread()]);
    for (const thread of threads) await client.startTurn(thread);
    const [threadOne, threadTwo] = threads.sort((a) => (daemon.fake.owner(a) === one ? -1 : 1));
    const answerOne = one.ask(approval, { threadId: threadOne });
    const askOne = await client.next(approval);
    const answerTwo = two.ask(approval, { threadId: threadTwo });
    const askTwo = await client.next(approval);
    assert.deepEqual([answerOne.id, answerTwo.id], [0, 0]);
    assert.deepEqual([askOne.id, askTwo.id], [0, 1]);
    client.send({ id: askTwo.id, result: { decision: 'for two' } });
    client.send({ id: askOne.id, error: { code: 1, message: 'for one' } });
    assert.deepEqual(await answerTwo, { id: 0, result: { decision: 'for two' } });
    assert.deepEqual(await answerOne, { id: 0, error: { code: 1, message: 'for one' } });
    two.notify('serverRequest/resolved', { threadId: threadTwo, requestId: 0 });
    const resolved = async () => (await client.next('serverRequest/resolved')).params;
    assert.deepEqual(await resolved(), { threadId: threadTwo, requestId: 1 });
    one.notify('serverRequest/resolved', { threadId: threadOne, requestId: 0 });
    assert.deepEqual(await resolved(), { threadId: threadOne, requestId: 0 });
    await client.close();
});

test('a server request goes to the lease holder, and nobody else can answer it', async (t) => {
    const [daemon, worker] = await startPool(t);
    const stranger = await PoolClient.open(daemon, { name: 'stranger' });
    const { client, thread } = await running(daemon);
    const answer = worker.ask(approval, { threadId: thread });
    const { id } = await client.next(approval);
    stranger.send({ id, result: { decision: 'accept' } });
    await stranger.request('pool/ping');
    client.send({ id: String(id), result: { decision: 'a string is no number' } });
    client.send({ id, result: { decision: 'decline' } });
    client.send({ id, result: { decision: 'too late' } });
    assert.deepEqual((await answer).result, { decision: 'decline' });
    await client.request('model/list');
    assert.equal(worker.log.filter((m) => !m.method).length, 1);
    assert.ok(!stranger.lines.some((line) => line.includes(approval)));
    assert.equal((await daemon.status()).counters.droppedMessages, 2);
    await client.close();
});

test('a notification that its client has opted out of is dropped; what follows from it is not', async (t) => {
    const [daemon] = await startPool(t);
    const optOutNotificationMethods = ['item/agentMessage/delta', 'serverRequest/resolved', 'turn/completed'];
    const { client, thread, worker } = await running(daemon, { capabilities: { optOutNotificationMethods } });
    const answer = worker.ask(approval, { threadId: thread });
    const ask = await client.next(approval);
    worker.notify('serverRequest/resolved', { threadId: thread, requestId: answer.id });
    worker.turn().delta('unwanted');
    worker.notify('item/started', { threadId: thread });
    await client.next('item/started');
    client.send({ id: ask.id, result: { decision: 'too late' } });
    await client.request('model/list');
    assert.equal(worker.log.filter((m) => !m.method).length, 0, 'a resolved request can be answered no more');
    worker.turn().complete();
    await daemon.untilStatus((s) => s.workers[0].state === 'idle', 'the lease ends');
    assert.ok(!client.lines.some((line) => optOutNotificationMethods.some((each) => line.includes(each))));
    const other = await running(daemon);
    other.worker.turn(other.thread).complete();
    await other.client.turnCompleted(other.thread);
});

test('before initialize only pool/ works, and a second initialize is refused', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon, { initialize: false });
    await client.request('pool/ping');
    await assert.rejects(client.request('thread/start'), (e) => e.code === -32600 &&
        e.message === 'Not initialized' && e.data === undefined);
    const { userAgent } = await client.initialize();
    assert.match(userAgent, /0\.169\.0/);
    await assert.rejects(client.initialize(), (e) => e.code === -32600 &&
        e.message === 'Already initialized');
    await client.request('model/list');
    assert.deepEqual(worker.log.slice(0, 2).map((m) => m.method), ['initialize', 'initialized']);
    assert.equal(worker.received('initialize').length, 1);
    assert.equal(worker.received('initialized').length, 1, 'a client\'s own is swallowed');
});

const refused = {
    'no params': [undefined, /missing field `clientInfo`/],
    'no clientInfo': [{}, /missing field `clientInfo`/],
    'no name': [{ clientInfo: { version: '1' } }, /missing field `name`/],
    'no version': [{ clientInfo: { name: 'x' } }, /missing field `version`/],
    'a line break in the name': [{ clientInfo: { name: 'a\nb', version: '1' } },
        /^Invalid clientInfo\.name: 'a\nb'\. Must be a valid HTTP header value\.$/],
    'a very long wrong name': [{ clientInfo: { name: `\n${'ü'.repeat(1000)}`, version: '1' } },
        /^Invalid clientInfo/],
};

for (const [what, [params, message]] of Object.entries(refused)) {
    test(`an initialize with ${what} is refused in Codex's words, and can be sent again`, async (t) => {
        const [daemon] = await startPool(t);
        const client = await PoolClient.open(daemon, { initialize: false });
        client.send({ id: 1, method: 'initialize', ...(params && { params }) });
        const { id, error } = await client.nextAnswer();
        assert.equal(id, 1);
        assert.equal(error.code, -32600);
        assert.match(error.message, message);
        assert.ok(!error.message.includes('\ufffd'));
        await assert.rejects(client.request('model/list'), /Not initialized/);
        await client.initialize();
        await client.request('model/list');
    });
}

test('a name that Codex takes is taken', async (t) => {
    const [daemon] = await startPool(t);
    for (const name of ['', 'x y', 'ü', 'a\tb']) {
        const client = await PoolClient.open(daemon, { initialize: false });
        await client.request('initialize', { clientInfo: { name, version: '1' } });
        assert.ok((await daemon.status()).clients.some((each) => each.name === name));
        await client.close();
    }
});

test('what is no message is answered with an error, and the connection stays', async (t) => {
    const [daemon, worker] = await startPool(t);
    const client = await PoolClient.open(daemon);
    await worker.expect('initialized');
    const before = worker.lines.length;
    for (const [line, code, id] of [
        ['{"id":1,"method":', -32700, null],
        ['no JSON', -32700, null],
        [Buffer.from('{"id":1,"method":"m","params":"\xff"}', 'latin1'), -32700, null],
        [`{"id":1,"method":"m","params":${'['.repeat(200)}${']'.repeat(200)}}`, -32700, null],
        ['[{"id":1,"method":"model/list"}]', -32600, null],
        ['"text"', -32600, null],
        ['{}', -32600, null],
        ['{"id":1}', -32600, 1],
        ['{"id":1,"method":7}', -32600, 1],
        ['{"id":1,"method":"a","method":"b"}', -32600, 1],
        ['{"id":1,"id":2,"method":"a"}', -32600, 1],
        ['{"id":1,"method":"a","result":{}}', -32600, 1],
        ['{"id":1,"result":{},"error":{}}', -32600, 1],
        ['{"id":1,"method":"config\\/value\\/write","params":{}}', -32600, 1],
        ['{"id":1,"method":"thread/read","params":{"threadId":"a","threadId":"b"}}', -32600, 1],
        ['{"id":1,"method":"thread/read","params":{"thread\\u0049d":"a"}}', -32600, 1],
    ]) {
        client.send(line);
        client.send('\n');
        const { id: answered, error } = await client.nextAnswer();
        assert.deepEqual([answered, error.code], [id, code], String(line));
        assert.equal(error.data.reason, code === -32700 ? 'parse' : 'invalidRequest');
    }
    client.send('\n\r\n');
    await client.request('model/list');
    assert.equal(worker.lines.length, before + 1, 'nothing of it went to the worker');
});

test('an unknown pool/ method is refused by its name, another unknown method goes to a worker', async (t) => {
    const [daemon, worker] = await startPool(t);
    worker.on('no/such', (request) => worker.refuse(request, -32600, 'Invalid request: unknown variant'));
    const client = await PoolClient.open(daemon);
    await assert.rejects(client.request('pool/nope'), (e) => e.code === -32601 &&
        e.message === 'Unknown method: pool/nope');
    await assert.rejects(client.request(`pool/${'ü'.repeat(100)}`), (e) => e.code === -32601 &&
        !e.message.includes('\ufffd'));
    await assert.rejects(client.request('no/such'), (e) => e.code === -32600 && e.data === undefined);
});
