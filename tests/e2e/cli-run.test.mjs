// codex-pool run away from a terminal: what it sends, what it prints, how it ends.
import assert from 'node:assert/strict';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../lib/cli.mjs';
import { PlayedDaemon, startRun, temporary, THREAD, TURN } from '../lib/played-daemon.mjs';

const methods = (peer) => peer.received.map((m) => m.method);

test('opens a thread, runs a turn and streams its text as it comes', async (t) => {
    const { process, peer, start } = await startRun(t);
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
    const { process, peer } = await startRun(t);
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
    const { process, peer } = await startRun(t);
    peer.delta('a', 'item-1');
    peer.delta('b', 'item-2');
    peer.message('a', 'item-1');
    peer.message('b', 'item-2');
    peer.complete();
    assert.equal((await process.end()).out, 'a\nb\n');
});

test('text is what the escapes stand for', async (t) => {
    const { process, peer } = await startRun(t);
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
    const { process, peer, start } = await startRun(t, { args: ['--thread', 'thread-x', 'hi'] });
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
            const { process, peer } = await startRun(t, {
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
        const { process, peer, start } = await startRun(t, { args, options: { input } });
        assert.equal(start.params.input[0].text, text ?? input);
        peer.complete();
        assert.equal((await process.end()).code, 0);
    }
});

test('a failed turn exits 1 and says why', async (t) => {
    const { process, peer } = await startRun(t);
    peer.delta('so far');
    peer.complete('failed', { message: 'the model said no', additionalDetails: 'at length' });
    const { code, out, err } = await process.end();
    assert.equal(code, 1);
    assert.equal(out, 'so far\n');
    assert.match(err, /codex-pool: the turn failed: the model said no\n {2}at length\n/);
});

test('a turn that somebody else interrupted is not done', async (t) => {
    const { process, peer } = await startRun(t);
    peer.complete('interrupted');
    const { code, err } = await process.end();
    assert.equal(code, 1);
    assert.match(err, /the turn was interrupted/);
});

test('only its own thread\'s turn ends it', async (t) => {
    const { process, peer } = await startRun(t);
    peer.complete('failed', { message: 'a sub-agent' }, 'another');
    peer.delta('still here');
    await process.shows('still here');
    peer.complete();
    assert.equal((await process.end()).code, 0);
});

test('a turn may be complete before its start is answered', async (t) => {
    const { process, peer } = await startRun(t, {
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
    const { process, peer } = await startRun(t);
    peer.notify('thread/closed', { threadId: 'another' });
    peer.delta('x');
    await process.shows('x');
    peer.notify('thread/closed', { threadId: THREAD });
    const { code, err } = await process.end();
    assert.equal(code, 1);
    assert.match(err, /the thread was closed/);
});

test('a turn\'s end that comes after its thread was closed counts', async (t) => {
    const { process, peer } = await startRun(t);
    peer.notify('thread/closed', { threadId: THREAD });
    peer.complete('failed', { message: 'Worker exited (signal 9)' });
    assert.match((await process.end()).err, /the turn failed: Worker exited \(signal 9\)/);
});

test('tells that codex tries again', async (t) => {
    const { process, peer } = await startRun(t);
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
    const { process, peer } = await startRun(t);
    const data = { reason: 'shutdown', retryable: true };
    peer.send({ id: null, error: { code: -32012, message: 'Worker pool has been shut down.', data } });
    const { code, err } = await process.end();
    assert.equal(code, 75);
    assert.match(err, /shut down/);
});

test('a daemon that refuses a request in the middle of it is heard', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        'thread/start': (peer, m) => {
            peer.socket.pause();
            peer.result(m, { thread: { id: THREAD } });
            const error = { code: -32016, message: 'Message too large.' };
            peer.socket.write(`${JSON.stringify({ id: null, error })}\n`, () => peer.socket.destroy());
        },
    });
    const { code, err } = await run(t, daemon.args('run', '-'), { input: 'x'.repeat(4 << 20) });
    assert.equal(code, 1);
    assert.match(err, /Message too large\. \(-32016\)/);
});

test('a daemon that dies in the middle is gone', async (t) => {
    const { process, peer } = await startRun(t);
    peer.delta('so far');
    await process.shows('so far');
    peer.socket.destroy();
    const { code, out, err } = await process.end();
    assert.equal(code, 69);
    assert.equal(out, 'so far\n');
    assert.match(err, /closed the connection/);
});

test('--json prints every notification as it came, and nothing else', async (t) => {
    const { process, peer } = await startRun(t, { args: ['--json', 'hi'] });
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
