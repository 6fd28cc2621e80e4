// codex-pool run on a terminal: the place in the queue, questions, Ctrl-C.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { onTerminal, CTRL_C, CTRL_D } from '../lib/cli.mjs';
import { PlayedDaemon, THREAD } from '../lib/played-daemon.mjs';

/** A run on a terminal whose turn has started. */
async function running(t, { answers, args = ['hi'], redirect, options } = {}) {
    const daemon = await PlayedDaemon.start(t, answers);
    const terminal = onTerminal(t, daemon.args('run', ...args), { redirect, ...options });
    const peer = await daemon.peer();
    await peer.next('turn/start');
    return { daemon, terminal, peer };
}

/** What is on the screen's lines in the end: "\r" goes back to the start of a line. */
function screen(out) {
    return out.split('\n').map((line) => {
        let cells = [], at = 0;
        for (const c of line) {
            if (c === '\r') at = 0;
            else cells[at++] = c;
        }
        return cells.join('').trimEnd();
    });
}

const QUEUED = {
    'thread/start': (peer, m) => peer.notify('pool/queued', { id: m.id, position: 2, length: 3 }),
};

test('shows its place in the queue, and takes it away when it starts', async (t) => {
    const daemon = await PlayedDaemon.start(t, QUEUED);
    const terminal = onTerminal(t, daemon.args('run', 'hi'));
    const peer = await daemon.peer();
    const start = await peer.next('thread/start');
    await terminal.shows('waiting, place 2 of 3');
    peer.notify('pool/queued', { id: 999, position: 7, length: 7 }); // of another request
    peer.notify('pool/queued', { id: start.id, position: 1, length: 12 });
    await terminal.shows('waiting, place 1 of 12');
    assert.deepEqual(screen(terminal.out), ['waiting, place 1 of 12']);
    peer.notify('pool/assigned', { id: start.id, worker: 1, waitedMs: 5 });
    await terminal.shows(/\r +\r$/);
    assert.deepEqual(screen(terminal.out), ['']);
    peer.result(start, { thread: { id: THREAD } });
    await peer.next('turn/start');
    peer.delta('Hello');
    peer.complete();
    const { code, out } = await terminal.end();
    assert.equal(code, 0);
    assert.ok(!out.includes('place 7'));
    assert.deepEqual(screen(out), ['Hello', `go on with: codex-pool run --thread ${THREAD} PROMPT`, '']);
});

test('the place is gone before an error is shown', async (t) => {
    const daemon = await PlayedDaemon.start(t, QUEUED);
    const terminal = onTerminal(t, daemon.args('run', 'hi'));
    const peer = await daemon.peer();
    const start = await peer.next('thread/start');
    await terminal.shows('place 2 of 3');
    peer.error(start, -32012, 'Worker pool has been shut down.', { reason: 'shutdown', retryable: true });
    const { code, out } = await terminal.end();
    assert.equal(code, 75);
    assert.equal(screen(out)[0], 'codex-pool: Worker pool has been shut down. (-32012)');
});

test('the place is not for standard output', async (t) => {
    const daemon = await PlayedDaemon.start(t, QUEUED);
    const file = join(daemon.directory, 'out');
    const terminal = onTerminal(t, daemon.args('run', 'hi'), { redirect: `>'${file}'` });
    const peer = await daemon.peer();
    const start = await peer.next('thread/start');
    await terminal.shows('waiting, place 2 of 3');
    peer.notify('pool/assigned', { id: start.id, worker: 1, waitedMs: 5 });
    peer.result(start, { thread: { id: THREAD } });
    await peer.next('turn/start');
    peer.message('text');
    peer.complete();
    await terminal.end();
    assert.equal(await readFile(file, 'utf8'), 'text\n');
});

test('Ctrl-C while it waits leaves the queue', async (t) => {
    const daemon = await PlayedDaemon.start(t, QUEUED);
    const terminal = onTerminal(t, daemon.args('run', 'hi'));
    const peer = await daemon.peer();
    await terminal.shows('place 2 of 3');
    terminal.write(CTRL_C);
    assert.equal((await terminal.end()).code, 130);
    await peer.gone();
});

test('Ctrl-C in a turn interrupts it and says how to leave at once', async (t) => {
    const { terminal, peer } = await running(t);
    peer.delta('so far');
    await terminal.shows('so far');
    terminal.write(CTRL_C);
    await peer.next('turn/interrupt');
    await terminal.shows('Ctrl-C again leaves at once');
    peer.complete('interrupted');
    const { code, out } = await terminal.end();
    assert.equal(code, 130);
    assert.ok(out.includes(`--thread ${THREAD}`), 'and how to go on');
});

test('what the model says cannot command the terminal', async (t) => {
    const text = 'tab\t\u001b[2J\u009b31m\u0007 é😀 \u202e end';
    const { terminal, peer } = await running(t);
    peer.delta(text);
    peer.complete();
    const { out } = await terminal.end();
    assert.ok(out.includes('tab\t\\x1b[2J\\u009b31m\\x07 é😀 \u202e end'), out);
});

// --- questions

const COMMAND = { threadId: THREAD, itemId: 'i', command: 'ls -l', cwd: '/srv', reason: 'to look' };
const ask = (peer, id, params = {}) =>
    peer.send({ id, method: 'item/commandExecution/requestApproval', params: { ...COMMAND, ...params } });

const ANSWERS = [['y\n', 'accept'], ['yes\n', 'accept'], [' Y \n', 'accept'], ['n\n', 'decline'],
    ['\n', 'decline'], [CTRL_D, 'decline']];

for (const [typed, decision] of ANSWERS) {
    test(`asks, and ${JSON.stringify(typed)} means ${decision}`, async (t) => {
        const { terminal, peer } = await running(t);
        peer.delta('Let me see');
        ask(peer, 0);
        await terminal.shows('allow it? [y/N] ');
        assert.deepEqual(screen(terminal.out), [
            'Let me see', 'codex wants to run a command', '  command  ls -l', '  in       /srv',
            '  reason   to look', 'allow it? [y/N]',
        ]);
        assert.ok(!peer.received.some((m) => m.id === 0 && !m.method), 'no answer before there is one');
        terminal.write(typed);
        assert.deepEqual((await peer.answer(0)).result, { decision });
        peer.complete();
        assert.equal((await terminal.end()).code, 0);
    });
}

test('what is neither yes nor no is asked again', async (t) => {
    const { terminal, peer } = await running(t);
    ask(peer, 0);
    await terminal.shows('[y/N] ');
    terminal.write('perhaps\n');
    await terminal.shows('y or n? ');
    terminal.write('y\n');
    assert.equal((await peer.answer(0)).result.decision, 'accept');
    peer.complete();
    await terminal.end();
});

test('a question shows what is really asked', async (t) => {
    const { terminal, peer } = await running(t);
    const command = 'echo ok\u001b[1A\u001b[2K\u202e\u200b\u0085\r\nrm -rf /\t';
    ask(peer, 0, { command, reason: null, cwd: null });
    await terminal.shows('[y/N] ');
    assert.deepEqual(screen(terminal.out), [
        'codex wants to run a command',
        '  command  echo ok\\x1b[1A\\x1b[2K\\u202e\\u200b\\u0085\\x0d', '           rm -rf /\\x09',
        'allow it? [y/N]',
    ]);
    terminal.write('n\n');
    await peer.answer(0);
    peer.complete();
    await terminal.end();
});

test('questions come one after the other, and what is typed before one is not its answer', async (t) => {
    const { terminal, peer } = await running(t);
    ask(peer, 'a', { command: 'first' });
    ask(peer, 'b', { command: 'second' });
    await terminal.shows('[y/N] ');
    assert.ok(!terminal.out.includes('second'));
    terminal.write('y\ny\n');
    assert.equal((await peer.answer('a')).result.decision, 'accept');
    await terminal.shows(/second[^]*\[y\/N\] /);
    assert.ok(!peer.box.has((m) => m.id === 'b'), 'the second y was typed too early');
    terminal.write('n\n');
    assert.equal((await peer.answer('b')).result.decision, 'decline');
    peer.complete();
    assert.equal((await terminal.end()).out.split('allow it?').length - 1, 2, 'each is asked once');
});

test('half an answer to one question is no part of the next', async (t) => {
    const { terminal, peer } = await running(t);
    ask(peer, 1, { command: 'first' });
    await terminal.shows('[y/N] ');
    ask(peer, 2, { command: 'second' });
    terminal.write(`y${CTRL_D}`); // read without the end of its line
    await terminal.shows('[y/N] y');
    peer.notify('serverRequest/resolved', { threadId: THREAD, requestId: 1 });
    await terminal.shows(/second[^]*\[y\/N\] /);
    terminal.write('\n');
    assert.deepEqual((await peer.answer(2)).result, { decision: 'decline' });
    peer.complete();
    await terminal.end();
});

test('a question that is settled elsewhere is taken back', async (t) => {
    const { terminal, peer } = await running(t);
    ask(peer, 1, { command: 'first' });
    ask(peer, 2, { command: 'second' });
    ask(peer, 3, { command: 'third' });
    await terminal.shows('first');
    peer.notify('serverRequest/resolved', { threadId: THREAD, requestId: 2 });
    peer.notify('serverRequest/resolved', { threadId: THREAD, requestId: 1 });
    await terminal.shows(/no answer is needed any more[^]*third/);
    assert.ok(!terminal.out.includes('second'));
    terminal.write('y\n');
    assert.equal((await peer.answer(3)).result.decision, 'accept');
    peer.complete();
    assert.equal((await terminal.end()).code, 0);
    assert.deepEqual(peer.received.filter((m) => !m.method).map((m) => m.id), [3]);
});

test('text goes on while a question is open', async (t) => {
    const { terminal, peer } = await running(t);
    ask(peer, 0);
    await terminal.shows('[y/N] ');
    peer.delta('meanwhile');
    await terminal.shows('meanwhile');
    peer.complete();
    assert.equal((await terminal.end()).code, 0);
});

test('Ctrl-C at a question interrupts the turn', async (t) => {
    const { terminal, peer } = await running(t);
    ask(peer, 0);
    await terminal.shows('[y/N] ');
    terminal.write(CTRL_C);
    await peer.next('turn/interrupt');
    peer.complete('interrupted');
    assert.equal((await terminal.end()).code, 130);
});

test('asks with standard output elsewhere, and not with standard input elsewhere', async (t) => {
    const { terminal, peer } = await running(t, { redirect: '>/dev/null' });
    ask(peer, 0);
    await terminal.shows('[y/N] ');
    terminal.write('y\n');
    assert.equal((await peer.answer(0)).result.decision, 'accept');
    peer.complete();
    await terminal.end();

    const other = await running(t, { redirect: '</dev/null' });
    ask(other.peer, 0);
    assert.equal((await other.peer.answer(0)).result.decision, 'decline');
    other.peer.complete();
    assert.ok(!(await other.terminal.end()).out.includes('[y/N]'));
});

for (const [approve, decision] of [['never', 'decline'], ['always', 'accept']]) {
    test(`--approve ${approve} does not ask`, async (t) => {
        const { terminal, peer } = await running(t, { args: ['--approve', approve, 'hi'] });
        ask(peer, 0);
        assert.equal((await peer.answer(0)).result.decision, decision);
        peer.complete();
        assert.ok(!(await terminal.end()).out.includes('[y/N]'));
    });
}
