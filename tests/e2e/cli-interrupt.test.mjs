// codex-pool run that is interrupted, and whose reader leaves or is slow.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { cli, shell } from '../lib/cli.mjs';
import { PlayedDaemon, startRun, THREAD } from '../lib/played-daemon.mjs';
import { until, within } from '../lib/wait.mjs';

const methods = (peer) => peer.received.map((m) => m.method);

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
    const { process, peer } = await startRun(t);
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
    const { process, peer } = await startRun(t, { answers: { 'turn/start': () => {} } });
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    peer.complete('interrupted');
    assert.equal((await process.end()).code, 130);
});

test('Ctrl-C after the turn was served from the queue interrupts it', async (t) => {
    const { process, peer } = await startRun(t, {
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
    const { process, peer } = await startRun(t);
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    process.kill('SIGINT');
    assert.equal((await process.end()).code, 130);
    await peer.gone();
    assert.equal(methods(peer).filter((method) => method === 'turn/interrupt').length, 1);
});

test('a turn that does not end after Ctrl-C is left', { timeout: 60000 }, async (t) => {
    const { process, peer } = await startRun(t);
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
    const { process, peer } = await startRun(t);
    process.child.stdout.destroy();
    await peer.gone();
    assert.equal((await process.end()).code, 1);
});

test('a reader that is slow stops the daemon\'s output, and loses nothing', async (t) => {
    const { process, peer } = await startRun(t, { options: { read: false } });
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
    const { process, peer } = await startRun(t, { options: { read: false } });
    const exited = once(process.child, 'exit');
    for (let i = 0; i < 2000; i++) peer.delta('x'.repeat(1024));
    await until(() => peer.socket.writableLength > 0, 'the daemon cannot send any more');
    process.kill('SIGINT');
    await peer.next('turn/interrupt');
    process.kill('SIGINT');
    await peer.gone();
    // Nobody has read what is left; that does not keep it.
    const [code] = await within(exited, 'the client to leave');
    assert.equal(code, 130);
});

test('the tail of the text is written after the end, however slowly it is read', async (t) => {
    const { process, peer } = await startRun(t, { options: { read: false } });
    const text = 'y'.repeat(230 * 1024);
    peer.delta(text);
    peer.complete();
    await peer.gone(); // the worker is free though we still print
    process.read();
    const { code, out } = await process.end();
    assert.equal(code, 0);
    assert.equal(out, `${text}\n`);
});
