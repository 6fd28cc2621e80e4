// Workers that are killed, and the daemon itself.
import assert from 'node:assert/strict';
import test from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { codexWrapper } from '../lib/codex-home.mjs';
import { isAlive } from '../lib/daemon.mjs';
import { hang, hold, say, shell, steps } from '../lib/model-server.mjs';
import { until } from '../lib/wait.mjs';
import { said, startRig, told, turn } from './rig.mjs';

test('a worker killed in mid-turn: its client learns it, the next in line gets its successor', async (t) => {
    const rig = await startRig(t, { poolSize: 1 });
    rig.model.on('long', hang()).on('next one', say('served'));
    const client = await rig.holding('loses', 'long');
    const next = await rig.connect('next');
    const { answer } = await rig.waiting(next);
    const before = await rig.worker(1);
    process.kill(before.pid, 'SIGKILL');

    const { params: error } = await client.next('error');
    assert.equal(error.threadId, client.threadId);
    assert.equal(error.willRetry, false);
    assert.match(error.error.message, /SIGKILL|signal 9|killed/i);
    const { params: end } = await client.turnCompleted(client.threadId);
    assert.equal(end.turn.status, 'failed');
    await client.next('thread/closed', ({ threadId }) => threadId === client.threadId);
    await client.asked.cut();

    assert.equal((await turn(next, (await answer).thread.id, 'next one')).text, 'served');
    const after = await rig.worker(1);
    assert.notEqual(after.pid, before.pid);
    assert.equal(after.restarts, 1);
    assert.ok(!next.has('error'));
});

test('what a killed worker was doing can go on: the thread, on its successor', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang()).on('go on', say('gladly'));
    const client = await rig.holding('loses', 'long');
    process.kill((await rig.worker(1)).pid, 'SIGKILL');
    await client.turnCompleted(client.threadId);
    await client.resumeThread(client.threadId, { excludeTurns: true });
    assert.equal((await turn(client, client.threadId, 'go on')).text, 'gladly');
    assert.ok(told(rig.model.requests.at(-1)).includes('user: long'));
});

test('a worker killed while its shell runs takes the shell along; the other worker goes on', async (t) => {
    const rig = await startRig(t, { poolSize: 2 });
    rig.model.on('run it', steps(shell('sleep 1000'))).on('other', hold('one', ' two'));
    const other = await rig.holding('other');
    const client = await rig.connect('loses');
    const threadId = await client.startThread({ cwd: rig.home.cwd });
    await client.startTurn(threadId, 'run it');
    const shells = await rig.untilShell('sleep 1000');
    const [{ worker }] = client.notifications
        .filter(({ method }) => method === 'pool/assigned')
        .map((m) => m.params);
    assert.notEqual(worker, other.worker);
    process.kill((await rig.worker(worker)).pid, 'SIGKILL');
    assert.equal((await client.turnCompleted(threadId)).params.turn.status, 'failed');
    await until(() => !shells.some(isAlive), `the shell is dead: ${shells}`);

    other.asked.release();
    assert.equal(said(await other.turnCompleted(other.threadId), other), 'one two');
    assert.ok(!other.has('error'));
});

test('a daemon killed in mid-turn leaves no Codex and no shell', async (t) => {
    const rig = await startRig(t, { poolSize: 2, endsItself: true });
    rig.model.on('run it', steps(shell('sleep 1000'))).on('long', hang());
    const client = await rig.holding('one', 'long');
    const runs = await rig.connect('two');
    await runs.startTurn(await runs.startThread({ cwd: rig.home.cwd }), 'run it');
    await rig.untilShell('sleep 1000');
    rig.daemon.signal('SIGKILL');
    await client.ended;
    await client.asked.cut();
    await until(() => rig.home.processes().length === 0, `nothing is left: ${rig.home.processes()}`);
    assert.deepEqual(await rig.daemon.exited, { code: null, signal: 'SIGKILL' });
});

test("npm's wrapper as the worker: a turn, an abort, and the death of the daemon", async (t) => {
    const rig = await startRig(t, { codex: { command: codexWrapper }, endsItself: true });
    assert.equal((await rig.daemon.status()).workers[0].version, '0.169.0');
    rig.model.on('short', say('well')).on('long', hang());
    const client = await rig.connect('first');
    assert.equal((await turn(client, await client.startThread({ cwd: rig.home.cwd }), 'short')).text, 'well');
    await client.close();
    const leaves = await rig.holding('leaves', 'long');
    const before = await rig.worker(1);
    await leaves.close();
    await leaves.asked.cut();
    await rig.untilClean();
    assert.equal((await rig.worker(1)).pid, before.pid, 'the worker was not replaced');

    const again = await rig.holding('again', 'long');
    assert.ok(rig.home.processes().length >= 2, 'a wrapper and a Codex');
    rig.daemon.signal('SIGKILL');
    await again.asked.cut();
    await until(() => rig.home.processes().length === 0, `nothing is left: ${rig.home.processes()}`);
});

test("npm's wrapper as the worker: stopping the daemon stops both", async (t) => {
    const rig = await startRig(t, { codex: { command: codexWrapper } });
    assert.ok(rig.home.processes().length >= 2);
    rig.daemon.signal('SIGTERM');
    assert.deepEqual(await rig.daemon.exited, { code: 0, signal: null });
    await until(() => rig.home.processes().length === 0, `nothing is left: ${rig.home.processes()}`);
});

test('the first worker of a fresh home starts alone, and requests wait for it', async (t) => {
    const rig = await startRig(t, { poolSize: 4, config: { prewarm: false } });
    assert.deepEqual(rig.home.processes(), []);
    rig.model.on('short', say('well'));
    const names = ['a', 'b', 'c', 'd'];
    const clients = await Promise.all(names.map((name) => PoolClient.open(rig.daemon, { name })));
    rig.clients.push(...clients);
    const texts = await Promise.all(
        clients.map(async (client) => {
            const threadId = await client.startThread({ cwd: rig.home.cwd });
            return (await turn(client, threadId, 'short')).text;
        }),
    );
    assert.deepEqual(
        texts,
        names.map(() => 'well'),
    );
    const { counters } = await rig.daemon.status();
    assert.equal(counters.workerExits, 0);
});
