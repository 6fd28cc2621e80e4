// SIGHUP: what a changed configuration means for workers that run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeFileSync } from 'node:fs';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { converse, runTurn, waitInLine } from '../lib/scenes.mjs';

test('a changed codex replaces idle workers at once, one in use when it is free', async (t) => {
    const [daemon, one, two] = await startPool(t, 2);
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    const busy = daemon.fake.owner(threadId);
    const idle = busy === one ? two : one;
    daemon.writeConfig({ codex: { args: ['-c', 'thread_unload_delay_secs=0', 'app-server', '--new'] } });
    daemon.signal('SIGHUP');
    await idle.exited;
    const successor = await daemon.fake.worker();
    assert.equal(successor.argv.at(-1), '--new');
    assert.equal(busy.gone, false);
    busy.turn().complete();
    await a.turnCompleted(threadId);
    await busy.exited;
    assert.equal(daemon.fake.owner(threadId), successor, 'its thread has moved');
    await daemon.untilStatus((s) => s.pool.ready === 2, 'both are new');
    assert.equal(a.has('thread/closed'), false);
});

test('a changed binary replaces idle workers', async (t) => {
    const [daemon] = await startPool(t, 1);
    const copy = `${daemon.dir}/codex`;
    writeFileSync(copy, `#!/bin/sh\nexec '${daemon.fake.command}' "$@"\n`, { mode: 0o755 });
    daemon.writeConfig({ codex: { command: copy } });
    daemon.signal('SIGHUP');
    const second = await daemon.fake.worker();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'it runs');
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded[^]*configuration reloaded/);
    assert.equal(second.gone, false, 'nothing has changed');
    writeFileSync(copy, `#!/bin/sh\n# upgraded\nexec '${daemon.fake.command}' "$@"\n`);
    daemon.signal('SIGHUP');
    await second.exited;
    await daemon.fake.worker();
});

test('poolSize grows and shrinks without dropping a stream', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { openLingerMs: 600000 } });
    const a = await PoolClient.open(daemon);
    const threadId = await a.startThread();
    await a.startTurn(threadId);
    await a.next('turn/started');
    const b = await PoolClient.open(daemon);
    const waiting = b.request('thread/start');
    await daemon.untilStatus((s) => s.queue.length === 1, 'b waits');
    daemon.writeConfig({ poolSize: 2 });
    daemon.signal('SIGHUP');
    await waiting;
    daemon.writeConfig({ poolSize: 1 });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded[^]*configuration reloaded/);
    assert.equal((await daemon.status()).pool.busy, 2, 'both streams go on');
    await b.close();
    await daemon.untilStatus((s) => s.pool.ready === 1, 'the second worker has left');
    worker.turn().complete();
    await a.turnCompleted(threadId);
});

test('a worker that a smaller poolSize has dismissed is started again with a larger one', async (t) => {
    const [daemon, , second] = await startPool(t, 2);
    daemon.writeConfig({ poolSize: 1 });
    daemon.signal('SIGHUP');
    await second.exited;
    await daemon.untilStatus((s) => s.workers.length === 1, 'it is gone');
    daemon.writeConfig({ poolSize: 2 });
    daemon.signal('SIGHUP');
    await daemon.untilStatus((s) => s.pool.ready === 2, 'both are ready, though nobody waits');
});

test('so is one that has yet to exit', async (t) => {
    const [daemon, , second] = await startPool(t, 2);
    second.order({ onEof: 'nothing' });
    second.order({ ignoreTerm: true });
    daemon.writeConfig({ poolSize: 1 });
    daemon.signal('SIGHUP');
    await second.eof;
    daemon.writeConfig({ poolSize: 2 });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded[^]*configuration reloaded/);
    second.die();
    await daemon.untilStatus((s) => s.pool.ready === 2, 'both are ready, though nobody waits');
});

test('an idle one that was to go serves who waits when it may stay', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { drainTimeoutMs: 0 } });
    await runTurn(daemon, 'a');
    const b = await converse(daemon, 'b');
    await daemon.untilStatus((s) => s.workers[1].state === 'idle', 'the second has a thread and nothing to do');
    daemon.writeConfig({ poolSize: 1 });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    const { waiting } = await waitInLine(daemon, 'c');
    assert.equal((await daemon.status()).workers[1].state, 'idle');
    daemon.writeConfig({ poolSize: 2 });
    daemon.signal('SIGHUP');
    await waiting;
    assert.equal(b.client.has('thread/closed'), false);
});

test('a worker beyond a reduced poolSize serves who waited for its thread before it had that', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { openLingerMs: 600000, drainTimeoutMs: 0, moves: 'never' } });
    daemon.fake.disk.add('known');
    const busy = [await runTurn(daemon, 'one'), await runTurn(daemon, 'two')];
    const second = busy.find(({ worker }) => worker.number === 2);
    const a = await PoolClient.open(daemon, { name: 'a' });
    const resumed = a.request('thread/resume', { threadId: 'known' });
    await daemon.untilStatus((s) => s.queue.length === 1, 'the resume waits');
    const b = await PoolClient.open(daemon, { name: 'b' });
    const waits = b.startTurn('known');
    await daemon.untilStatus((s) => s.queue.length === 2, 'the turn waits');
    second.turn.complete();
    await resumed;
    daemon.writeConfig({ poolSize: 1 });
    daemon.signal('SIGHUP');
    await daemon.untilLog(/configuration reloaded/);
    await a.startTurn('known');
    await a.next('turn/started');
    second.worker.turn('known').complete();
    await waits;
    assert.equal(daemon.fake.owner('known'), second.worker);
});

test('a bad file changes nothing and says why', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    writeFileSync(daemon.configFile, '{"poolSize": 3, "colour": 1}');
    daemon.signal('SIGHUP');
    await daemon.untilLog(/not reloaded, nothing is changed: .*config\.json: colour: unknown key/);
    const status = await daemon.status();
    assert.equal(status.pool.size, 1);
    assert.equal(worker.gone, false);
});

test('a shorter idleTimeoutMs counts for workers that are idle already', async (t) => {
    const [daemon, one, two] = await startPool(t, 2, { config: { idleTimeoutMs: 0, minWorkers: 0 } });
    daemon.writeConfig({ idleTimeoutMs: 20 });
    daemon.signal('SIGHUP');
    await Promise.all([one.exited, two.exited]);
});

test('a worker beyond a reduced poolSize that could not be started stands in nobody\'s way', async (t) => {
    const [daemon, one, two] = await startPool(t, 2, { config: { minWorkers: 0 } });
    const { command } = daemon.fake;
    daemon.writeConfig({ codex: { command: '/nonexistent/codex' } });
    daemon.signal('SIGHUP');
    await one.exited;
    await two.die();
    await daemon.untilLog(/worker 2: cannot start codex/);
    daemon.writeConfig({ poolSize: 1, idleTimeoutMs: 20, codex: { command } });
    daemon.signal('SIGHUP');
    await (await daemon.fake.worker()).exited;
    const a = await PoolClient.open(daemon);
    await a.startThread();
});
