// codex-pool run away from a terminal: what it sends, what it prints, how it ends.
import assert from 'node:assert/strict';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, run, shell } from '../lib/cli.mjs';
import { PlayedDaemon, temporary, THREAD, TURN } from '../lib/played-daemon.mjs';
import { until } from '../lib/wait.mjs';

/** A started run, its connection and its turn/start request. */
async function running(t, { answers, args = ['hi'], options } = {}) {
    const daemon = await PlayedDaemon.start(t, answers);
    const process = cli(t, daemon.args('run', ...args), options);
    const peer = await daemon.peer();
    const start = await peer.next('turn/start');
    return { daemon, process, peer, start };
}

const methods = (peer) => peer.received.map((m) => m.method);

test('opens a thread, runs a turn and streams its text as it comes', async (t) => {
    const { process, peer, start } = await running(t);
    assert.deepEqual(start.params, { threadId: THREAD, input: [{ type: 'text', text: 'hi' }] });
    peer.delta('Hel');
    await process.shows('Hel'); // before there is more
    assert.equal(process.out, 'Hel');
    peer.delta('another thread\'s', 'item-9', 'another');
    peer.delta('lo');
    await process.shows('Hello');
    peer.message('Hello');
    peer.complete();
    const { code, out, err } = await process.end();
    assert.equal(code, 0);
    assert.equal(out, 'Hello\n');
    assert.equal(err, `thread: ${THREAD}\n`);
    assert.deepEqual(methods(peer), ['initialize', 'pool/subscribe', 'thread/start', 'turn/start']);
    const [initialize, subscribe, open] = peer.received;
    assert.equal(initialize.params.clientInfo.name, 'codex-pool');
    assert.equal(initialize.params.capabilities.experimentalApi, true);
    assert.deepEqual(subscribe.params, { events: ['queue'] });
    assert.deepEqual(open.params, { cwd: await realpath('.') });
    await peer.gone();
});

test('prints a message that came without pieces, and each on a line of its own', async (t) => {
    const { process, peer } = await running(t);
    peer.message('first', 'item-1');
    peer.delta('sec', 'item-2');
    peer.delta('ond', 'item-2');
    peer.message('second', 'item-2');
    peer.message('third, with its own end\n', 'item-3');
    peer.message('last', 'item-4');
    const item = { type: 'reasoning', id: 'r', text: 'not this' };
    peer.notify('item/completed', { threadId: THREAD, item });
    peer.complete();
    assert.equal((await process.end()).out, 'first\nsecond\nthird, with its own end\nlast\n');
});

test('pieces of two messages in turns are not printed twice', async (t) => {
    const { process, peer } = await running(t);
    peer.delta('a', 'item-1');
    peer.delta('b', 'item-2');
    peer.message('a', 'item-1');
    peer.message('b', 'item-2');
    peer.complete();
    assert.equal((await process.end()).out, 'a\nb\n');
});

test('text is what the escapes stand for', async (t) => {
    const { process, peer } = await running(t);
    const text = 'é€😀 "q" \\ / \b\f\t\r\n\u0001\u0000 end';
    const escaped = [...text].flatMap((c) => c.split('')).map((unit) =>
        `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    const params = `{"threadId":"${THREAD}","itemId":"i","delta":"${escaped}\\"\\\\\\/\\b\\f\\n\\r\\t"}`;
    peer.send(`{"method":"item/agentMessage/delta","params":${params}}\n`);
    peer.delta(text, 'i');
    peer.complete();
    assert.equal((await process.end()).out, `${text}"\\/\b\f\n\r\t${text}\n`);
});

test('--thread goes on with a thread and leaves its directory alone', async (t) => {
    const { process, peer, start } = await running(t, { args: ['--thread', 'thread-x', 'hi'] });
    peer.complete('completed', null, 'thread-x');
    assert.equal((await process.end()).code, 0);
    const resume = peer.received[2];
    assert.equal(resume.method, 'thread/resume');
    assert.equal(resume.params.threadId, 'thread-x');
    assert.ok(!('cwd' in resume.params));
    assert.equal(start.params.threadId, 'thread-x');
});

test('--cwd is made absolute, for a new thread and an old one', async (t) => {
    const here = await realpath(await temporary(t));
    const there = join(here, 'é "x"');
    await mkdir(there);
    for (const thread of [[], ['--thread=thread-x']]) {
        for (const directory of ['é "x"', there]) {
            const { process, peer } = await running(t, {
                args: [...thread, 'hi', '--cwd', directory], options: { cwd: here },
            });
            peer.complete('completed', null, thread.length ? 'thread-x' : THREAD);
            assert.equal((await process.end()).code, 0);
            assert.equal(peer.received[2].params.cwd, there);
        }
    }
});

test('the prompt reaches the model as it is', async (t) => {
    const long = `${'long "prompt" é😀\n'.repeat(60000)}end`;
    const prompts = [
        { args: ['--', '--help'], text: '--help' },
        { args: ['-'], input: 'from "stdin"\n\ttwo\\lines\u0000\n' },
        { args: ['-'], input: long },
        { args: ['--', '-'], input: 'also stdin' },
        { args: ['é😀 "x" \\ \u001b\u007f'], text: 'é😀 "x" \\ \u001b\u007f' },
    ];
    for (const { args, input, text } of prompts) {
        const { process, peer, start } = await running(t, { args, options: { input } });
        assert.equal(start.params.input[0].text, text ?? input);
        peer.complete();
        assert.equal((await process.end()).code, 0);
    }
});

test('a failed turn exits 1 and says why', async (t) => {
    const { process, peer } = await running(t);
    peer.delta('so far');
    peer.complete('failed', { message: 'the model said no', additionalDetails: 'at length' });
    const { code, out, err } = await process.end();
    assert.equal(code, 1);
    assert.equal(out, 'so far\n');
    assert.match(err, /codex-pool: the turn failed: the model said no\n {2}at length\n/);
});

test('a turn that somebody else interrupted is not done', async (t) => {
    const { process, peer } = await running(t);
    peer.complete('interrupted');
    const { code, err } = await process.end();
    assert.equal(code, 1);
    assert.match(err, /the turn was interrupted/);
});

test('only its own thread\'s turn ends it', async (t) => {
    const { process, peer } = await running(t);
    peer.complete('failed', { message: 'a sub-agent' }, 'another');
    peer.delta('still here');
    await process.shows('still here');
    peer.complete();
    assert.equal((await process.end()).code, 0);
});

test('a turn may be complete before its start is answered', async (t) => {
    const { process, peer } = await running(t, {
        answers: {
            'turn/start': (peer) => {
                peer.message('quick');
                peer.complete();
            },
        },
    });
    const { code, out } = await process.end();
    assert.equal(code, 0);
    assert.equal(out, 'quick\n');
    await peer.gone();
});

test('a thread that is closed under a turn ends it', async (t) => {
    const { process, peer } = await running(t);
    peer.notify('thread/closed', { threadId: 'another' });
    peer.delta('x');
    await process.shows('x');
    peer.notify('thread/closed', { threadId: THREAD });
    const { code, err } = await process.end();
    assert.equal(code, 1);
    assert.match(err, /the thread was closed/);
});

test('a turn\'s end that comes after its thread was closed counts', async (t) => {
    const { process, peer } = await running(t);
    peer.notify('thread/closed', { threadId: THREAD });
    peer.complete('failed', { message: 'Worker exited (signal 9)' });
    assert.match((await process.end()).err, /the turn failed: Worker exited \(signal 9\)/);
});

test('tells that codex tries again', async (t) => {
    const { process, peer } = await running(t);
    const error = { message: 'Reconnecting... 1/5' };
    peer.notify('error', { threadId: THREAD, turnId: TURN, willRetry: true, error });
    await process.shows('codex tries again: Reconnecting... 1/5', 'err');
    peer.complete();
    assert.equal((await process.end()).code, 0);
});

test('errors at every step: 75 where another try may help, else 1', async (t) => {
    const errors = [
        [-32600, 'no rollout found for thread id x', undefined, 1],
        [-32012, 'Worker pool has been shut down.', { reason: 'shutdown', retryable: true }, 75],
        [-32001, 'Server overloaded; retry later.', undefined, 75],
    ];
    for (const step of ['initialize', 'pool/subscribe', 'thread/start', 'turn/start']) {
        for (const [number, message, data, exit] of errors) {
            const fail = (peer, m) => peer.error(m, number, message, data);
            const daemon = await PlayedDaemon.start(t, { [step]: fail });
            const { code, out, err } = await run(t, daemon.args('run', 'hi'));
            assert.equal(code, exit, `${step}: ${message}`);
            assert.equal(out, '');
            assert.ok(err.includes(`codex-pool: ${message} (${number})\n`), err);
        }
    }
});

test('an answer that names no thread is an error', async (t) => {
    const daemon = await PlayedDaemon.start(t, { 'thread/start': (peer, m) => peer.result(m, {}) });
    const { code, err } = await run(t, daemon.args('run', 'hi'));
    assert.equal(code, 1);
    assert.match(err, /names no thread/);
});

test('a daemon that refuses the connection says why', async (t) => {
    const { process, peer } = await running(t);
    const data = { reason: 'shutdown', retryable: true };
    peer.send({ id: null, error: { code: -32012, message: 'Worker pool has been shut down.', data } });
    const { code, err } = await process.end();
    assert.equal(code, 75);
    assert.match(err, /shut down/);
});

test('a daemon that dies in the middle is gone', async (t) => {
    const { process, peer } = await running(t);
    peer.delta('so far');
    await process.shows('so far');
    peer.socket.destroy();
    const { code, out, err } = await process.end();
    assert.equal(code, 69);
    assert.equal(out, 'so far\n');
    assert.match(err, /closed the connection/);
});

test('--json prints every notification as it came, and nothing else', async (t) => {
    const { process, peer } = await running(t, { args: ['--json', 'hi'] });
    const raw = '{"method":"a/b" , "params":{"n":12345678901234567890,"t":"\\u00e9"}}';
    peer.send(`${raw}\n`);
    peer.delta('text');
    peer.message('text');
    peer.complete();
    const { code, out } = await process.end();
    const lines = out.split('\n');
    assert.equal(code, 0);
    assert.equal(lines.pop(), '');
    assert.ok(lines.includes(raw));
    assert.deepEqual(lines.map((line) => JSON.parse(line).method),
        ['turn/started', 'a/b', 'item/agentMessage/delta', 'item/completed', 'turn/completed']);
});

test('--json prints the place in the queue too', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        'thread/start': (peer, m) => {
            peer.notify('pool/queued', { id: m.id, position: 2, length: 3 });
            peer.notify('pool/assigned', { id: m.id, worker: 1, waitedMs: 5 });
            peer.error(m, -32600, 'enough');
        },
    });
    const { out, err } = await run(t, daemon.args('run', '--json', 'hi'));
    const printed = out.trim().split('\n').map((line) => JSON.parse(line).method);
    assert.deepEqual(printed, ['pool/queued', 'pool/assigned']);
    assert.ok(!err.includes('waiting'), 'the waiting line is for terminals');
});

// --- approvals

const PERMISSIONS = { network: { enabled: true }, fileSystem: { read: null, write: ['/x'] } };
const DENIED = { decision: { denied: { rejection: 'declined' } } };
const APPROVALS = [
    {
        method: 'item/commandExecution/requestApproval',
        params: { threadId: THREAD, itemId: 'i', command: 'rm -rf /', cwd: '/home/x', reason: 'to tidy up' },
        shown: ['rm -rf /', '/home/x', 'to tidy up', 'run a command'],
        accept: { decision: 'accept' }, decline: { decision: 'decline' },
    },
    {
        method: 'item/commandExecution/requestApproval',
        params: {
            threadId: THREAD, kind: 'writeStdin', command: 'yes', networkApprovalContext: { host: 'example.org' },
        },
        shown: ['type into a running command', 'example.org'],
        accept: { decision: 'accept' }, decline: { decision: 'decline' },
    },
    {
        method: 'item/fileChange/requestApproval',
        params: { threadId: THREAD, itemId: 'change', reason: 'because', grantRoot: '/srv' },
        shown: ['change files', '/srv', 'because', 'a.txt (update)', 'b.txt (add)'],
        accept: { decision: 'accept' }, decline: { decision: 'decline' },
    },
    {
        method: 'item/permissions/requestApproval',
        params: { threadId: THREAD, itemId: 'i', cwd: '/x', reason: null, permissions: PERMISSIONS },
        shown: ['have more permissions', '/x', '"write":["/x"]'],
        accept: { permissions: PERMISSIONS, scope: 'turn' }, decline: { permissions: {}, scope: 'turn' },
    },
    {
        method: 'execCommandApproval',
        params: { conversationId: THREAD, command: ['git', 'push', '--force'], cwd: '/x', reason: null },
        shown: ['git push --force', '/x'],
        accept: { decision: 'approved' }, decline: DENIED,
    },
    {
        method: 'applyPatchApproval',
        params: { conversationId: THREAD, fileChanges: { '/x/y': { type: 'delete', content: '' } } },
        shown: ['/x/y (delete)'],
        accept: { decision: 'approved' }, decline: DENIED,
    },
];

const CHANGE = {
    type: 'fileChange', id: 'change', status: 'inProgress',
    changes: [
        { path: 'a.txt', kind: { type: 'update', move_path: null }, diff: '' },
        { path: 'b.txt', kind: { type: 'add' }, diff: '' },
    ],
};

for (const [args, verdict, word] of [
    [[], 'decline', 'declined'],
    [['--approve', 'ask'], 'decline', 'declined'],
    [['--approve', 'never'], 'decline', 'declined'],
    [['--approve=always'], 'accept', 'accepted'],
]) {
    test(`without a terminal, ${args.join(' ') || 'by default'}, approvals are ${word}`, async (t) => {
        const { process, peer } = await running(t, { args: [...args, 'hi'] });
        peer.notify('item/started', { threadId: THREAD, item: CHANGE });
        for (const [i, approval] of APPROVALS.entries()) {
            const id = i % 2 ? `string-${i}` : i;
            peer.send({ id, method: approval.method, params: approval.params });
            assert.deepEqual((await peer.answer(id)).result, approval[verdict], approval.method);
        }
        peer.complete();
        const { code, err } = await process.end();
        assert.equal(code, 0);
        assert.equal(err.split(word).length - 1, APPROVALS.length);
        assert.equal(err.includes('no terminal to ask on'), word === 'declined' && !args.includes('never'));
        APPROVALS.flatMap((each) => each.shown).forEach((text) => assert.ok(err.includes(text), text));
    });
}

test('what else it is asked is refused, and the turn goes on', async (t) => {
    const { process, peer } = await running(t, { args: ['--approve', 'always', 'hi'] });
    const asked = ['item/tool/call', 'item/tool/requestUserInput', 'mcpServer/elicitation/request',
        'account/chatgptAuthTokens/refresh', 'something/new'];
    for (const [i, method] of asked.entries()) {
        peer.send({ id: i, method, params: { threadId: THREAD } });
        const { error } = await peer.answer(i);
        assert.equal(error.code, -32601);
        assert.match(error.message, new RegExp(method));
        await process.shows(method, 'err');
    }
    peer.complete();
    assert.equal((await process.end()).code, 0);
});

// --- Ctrl-C and readers that leave

test('Ctrl-C while it waits for a worker leaves at once', async (t) => {
    for (const step of ['initialize', 'thread/start', 'turn/start']) {
        const wait = (peer, m) => peer.notify('pool/queued', { id: m.id, position: 1, length: 1 });
        const daemon = await PlayedDaemon.start(t, { [step]: wait });
        const process = cli(t, daemon.args('run', '--json', 'hi'));
        const peer = await daemon.peer();
        await process.shows('pool/queued');
        process.kill('SIGINT');
        assert.equal((await process.end()).code, 130, step);
        await peer.gone();
        assert.ok(!methods(peer).includes('turn/interrupt'));
    }
});

test('Ctrl-C interrupts the turn and waits for its end', async (t) => {
    const { process, peer } = await running(t);
    peer.delta('so far');
    await process.shows('so far');
    process.kill('SIGINT');
    const interrupt = await peer.next('turn/interrupt');
    assert.deepEqual(interrupt.params, { threadId: THREAD, turnId: '' });
    peer.result(interrupt);
    peer.delta(' and its end');
    peer.complete('interrupted');
    const { code, out, err } = await process.end();
    assert.equal(code, 130);
    assert.equal(out, 'so far and its end\n');
    assert.match(err, new RegExp(`thread: ${THREAD}`));
});

test('Ctrl-C right after turn/start was sent interrupts too', async (t) => {
    const { process, peer } = await running(t, { answers: { 'turn/start': () => {} } });
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    peer.complete('interrupted');
    assert.equal((await process.end()).code, 130);
});

test('Ctrl-C after the turn was served from the queue interrupts it', async (t) => {
    const { process, peer } = await running(t, {
        args: ['--json', 'hi'],
        answers: {
            'turn/start': (peer, m) => {
                peer.notify('pool/queued', { id: m.id, position: 1, length: 1 });
                peer.notify('pool/assigned', { id: m.id, worker: 1, waitedMs: 1 });
            },
        },
    });
    await process.shows('pool/assigned');
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    peer.complete('completed'); // it was faster; still, it was interrupted
    assert.equal((await process.end()).code, 130);
});

test('a second Ctrl-C leaves at once', async (t) => {
    const { process, peer } = await running(t);
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    process.kill('SIGINT');
    assert.equal((await process.end()).code, 130);
    await peer.gone();
});

test('a turn that does not end after Ctrl-C is left', { timeout: 60000 }, async (t) => {
    const { process, peer } = await running(t);
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    const { code, err } = await process.end();
    assert.equal(code, 130);
    assert.match(err, /did not end in time/);
});

test('a reader that leaves aborts the turn', async (t) => {
    const daemon = await PlayedDaemon.start(t);
    const script = '("$CODEX_POOL" --socket "$S" run hi; echo "exit $?" >&2) | head -n 1';
    const process = shell(t, script, { env: { S: daemon.socket } });
    const peer = await daemon.peer();
    await peer.next('turn/start');
    peer.delta('one\ntwo\n');
    await peer.gone(); // though the turn goes on and there is nothing more to print
    const { out, err } = await process.end();
    assert.equal(out, 'one\n');
    assert.match(err, /exit 1\n/);
});

test('a reader that was never there is noticed before there is any text', async (t) => {
    const { process, peer } = await running(t);
    process.child.stdout.destroy();
    await peer.gone();
    assert.equal((await process.end()).code, 1);
});

test('a reader that is slow stops the daemon\'s output, and loses nothing', async (t) => {
    const { process, peer } = await running(t, { options: { read: false } });
    const text = 'x'.repeat(1023);
    let lines = 0;
    peer.delta('begin\n');
    // Until the socket is full for good: nothing more is taken while we look.
    await until(() => {
        while (lines < 60000 && peer.socket.writableLength < 1 << 20) {
            peer.delta(`${text}\n`);
            lines++;
        }
        return peer.socket.writableLength >= 1 << 20;
    }, 'the daemon cannot send any more');
    const stuck = peer.socket.writableLength;
    process.read();
    await until(() => peer.socket.writableLength < stuck, 'it goes on');
    peer.complete();
    const { code, out } = await process.end();
    assert.equal(code, 0);
    assert.ok(lines < 8000, `${lines} lines went in before it stopped`);
    assert.equal(out, `begin\n${`${text}\n`.repeat(lines)}`);
});

test('Ctrl-C is heard while the reader is slow', async (t) => {
    const { process, peer } = await running(t, { options: { read: false } });
    for (let i = 0; i < 2000; i++) peer.delta('x'.repeat(1024));
    await until(() => peer.socket.writableLength > 0, 'the daemon cannot send any more');
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    process.kill('SIGINT');
    await peer.gone();
    process.read();
    assert.equal((await process.end()).code, 130);
});

test('the tail of the text is written after the end, however slowly it is read', async (t) => {
    const { process, peer } = await running(t, { options: { read: false } });
    const text = 'y'.repeat(230 * 1024);
    peer.delta(text);
    peer.complete();
    await peer.gone(); // the worker is free though we still print
    process.read();
    const { code, out } = await process.end();
    assert.equal(code, 0);
    assert.equal(out, `${text}\n`);
});
