// codex-pool's commands for administrators: what they print, how they end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CTRL_C, onTerminal, run } from '../lib/cli.mjs';
import { startPool } from '../lib/daemon.mjs';
import { runTurn, waitInLine } from '../lib/scenes.mjs';
import { until, within } from '../lib/wait.mjs';

const LATE = { config: { drainTimeoutMs: 0 } };

/** The pool, and its commands: steer(...words) gives {code, out, err}. */
async function pool(t, size = 1, options = {}) {
    const [daemon] = await startPool(t, size, options);
    return { daemon, steer: (...words) => run(t, ['--socket', daemon.socket, ...words]) };
}

test('each does what it says, and says that it is done', async (t) => {
    const { daemon, steer } = await pool(t, 1);
    const done = async (words, out) => assert.deepEqual(await steer(...words), { code: 0, signal: null, out, err: '' });
    await done(['pause'], 'paused: running turns go on, the queue holds\n');
    assert.equal((await daemon.status()).admission, 'paused');
    await done(['resume'], 'the queue goes on\n');
    await done(['resize', '2'], 'the pool has its size\n');
    assert.equal((await daemon.status()).pool.ready, 2);
    await done(['recycle', '2'], 'replaced\n');
    await done(['recycle', 'all'], 'replaced\n');
    await done(['recycle', '--json'], '{"recycled":[1,2]}\n');
    await done(['drain'], 'drained: nothing runs, nothing new is taken; `codex-pool resume` ends that\n');
    assert.equal((await daemon.status()).accepting, false);
    await done(['reload'], 'the settings are read\n');
    await done(['log-level', 'warn'], 'the log\'s level is set\n');
    assert.equal((await daemon.status()).pool.size, 1);
});

test('interrupt, cancel and kick act on what the status shows', async (t) => {
    const { daemon, steer } = await pool(t, 1);
    const scene = await runTurn(daemon);
    const { client, waiting } = await waitInLine(daemon, 'waits');
    const { waiters } = await daemon.status();
    assert.equal((await steer('cancel', String(waiters[0].client), String(waiters[0].id))).out, 'cancelled\n');
    await assert.rejects(waiting, /aborted/);
    const named = client.request('thread/start', {}, 'by name');
    await client.next('pool/queued');
    assert.equal((await steer('cancel', String(waiters[0].client), 'by name')).out, 'cancelled\n');
    await assert.rejects(named, /aborted/);
    assert.equal((await steer('interrupt', scene.threadId)).out, 'interrupted\n');
    assert.equal((await scene.client.turnCompleted(scene.threadId)).params.turn.status, 'interrupted');
    assert.equal((await steer('kick', String(waiters[0].client))).out, 'dropped\n');
    await client.ended;
});

test('what was not there to be done is told, and exits 1', async (t) => {
    const { daemon, steer } = await pool(t, 1);
    const { client, threadId, turn } = await runTurn(daemon);
    const { clients } = await daemon.status();
    turn.complete();
    await client.turnCompleted(threadId);
    const number = String(clients.find((c) => c.name === 'a').id);
    assert.deepEqual(await steer('cancel', number, '77'),
        { code: 1, signal: null, out: '', err: 'codex-pool cancel: nothing to do: no such request waits\n' });
    assert.deepEqual(await steer('interrupt', threadId),
        { code: 1, signal: null, out: '', err: 'codex-pool interrupt: nothing to do: no turn runs there\n' });
    const kicked = await steer('kick', '999');
    assert.equal(kicked.code, 1);
    assert.match(kicked.err, /client must be the number of a client that is connected/);
    daemon.writeConfig({ poolSize: 0 });
    const reloaded = await steer('reload');
    assert.equal(reloaded.code, 1);
    assert.match(reloaded.err, /config\.json: poolSize: must be a whole number from 1 to 256/);
});

test('what takes its time says so, and Ctrl-C only stops waiting', async (t) => {
    const { daemon } = await pool(t, 1, LATE);
    await runTurn(daemon);
    const drain = onTerminal(t, ['--socket', daemon.socket, 'drain']);
    await until(() => drain.out.includes('drain: waiting until the queue is empty'), 'it says for what it waits');
    assert.match((await run(t, ['--socket', daemon.socket, 'status'])).out, /^asked {4}pool\/drain by client \d+, for \d/m);
    drain.write(CTRL_C);
    assert.equal((await within(drain.done, 'the command ends')).code, 130);
    assert.equal((await daemon.status()).admission, 'draining');
});

test('who is no administrator is told which setting decides', async (t) => {
    const { steer } = await pool(t, 1, { config: { adminUids: [12345] } });
    const { code, out, err } = await steer('pause');
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(err, /pool\/pause steers the pool: only users in adminUids may/);
    assert.match(err, /the daemon's settings .*adminUids/);
});

test('wrong usage is told with the right form', async (t) => {
    const { steer } = await pool(t, 1);
    for (const [words, why] of [
        [['resize'], /an argument is missing\nusage: codex-pool .*resize \[--json\] N/],
        [['resize', 'two'], /N must be a whole number/],
        [['resize', '2', '3'], /unexpected argument '3'/],
        [['recycle', 'first'], /WORKER must be/],
        [['pause', 'now'], /unexpected argument 'now'/],
        [['cancel', 'x', '1'], /CLIENT must be/],
        [['cancel', '1'], /an argument is missing/],
        [['kick', '-1'], /unknown option '-1'/],
        [['kick', 'me'], /CLIENT must be/],
        [['log-level'], /an argument is missing/],
    ]) {
        const { code, out, err } = await steer(...words);
        assert.deepEqual([code, out], [64, ''], words.join(' '));
        assert.match(err, why);
    }
    assert.equal((await steer('log-level', 'loud')).code, 1);
});

test('without a daemon there is advice', async (t) => {
    const { code, err } = await run(t, ['--socket', '/nonexistent/pool.sock', 'pause']);
    assert.equal(code, 69);
    assert.match(err, /no daemon at \/nonexistent\/pool\.sock/);
});
