// codex-pool locks on the locks that Codex itself takes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { run } from '../lib/cli.mjs';
import { codexBinary } from '../lib/codex-home.mjs';
import { hold } from '../lib/model-server.mjs';
import { until, within } from '../lib/wait.mjs';
import { startRig } from './rig.mjs';

/** A Codex outside the pool, on the same CODEX_HOME. */
async function codexOutside(t, home) {
    const child = spawn(codexBinary(), ['app-server'], {
        env: { PATH: process.env.PATH, ...home.env }, stdio: ['pipe', 'pipe', 'ignore'],
    });
    const waiting = new Map();
    createInterface({ input: child.stdout }).on('line', (line) => {
        const message = JSON.parse(line);
        if (!message.method) waiting.get(message.id)?.(message);
    });
    let last = 0;
    const ask = (method, params) => {
        const id = ++last;
        const answered = new Promise((resolve) => waiting.set(id, resolve));
        child.stdin.write(`${JSON.stringify({ id, method, params })}\n`);
        return within(answered, `the outside Codex's answer to ${method}`);
    };
    const end = async () => {
        if (child.exitCode !== null) return;
        const closed = once(child, 'close');
        child.stdin.end();
        await within(closed, 'the end of the outside Codex');
    };
    t.after(end);
    await ask('initialize', { clientInfo: { name: 'outside', title: null, version: '1' }, capabilities: null });
    child.stdin.write('{"method":"initialized"}\n');
    return { ask, end, pid: child.pid };
}

async function locks(t, rig) {
    const { code, out, err } = await run(t, ['--socket', rig.daemon.socket, 'locks', '--json']);
    assert.deepEqual([code, err], [0, '']);
    return JSON.parse(out);
}

test('the locks of workers, of a Codex outside the pool, and one left behind are told apart', async (t) => {
    const rig = await startRig(t, { poolSize: 2 });
    rig.model.on('long', hold('thinking'));
    const client = await rig.holding('a', 'long');
    const outside = await codexOutside(t, rig.home);
    const { result } = await outside.ask('thread/start', { cwd: rig.home.cwd });
    const directory = path.join(rig.home.codexHome, 'thread-writer-locks');
    fs.writeFileSync(path.join(directory, 'left-behind.lock'), '');
    const told = await locks(t, rig);
    assert.deepEqual([told.directory, told.complete, told.notes], [directory, true, []]);
    const by = Object.fromEntries(told.locks.map((lock) => [lock.threadId, lock]));
    assert.deepEqual(Object.keys(by).sort(), [client.threadId, result.thread.id, 'left-behind'].sort());
    const own = by[client.threadId];
    const { pid } = await rig.worker(client.worker);
    assert.deepEqual([own.state, own.worker, own.pid], ['worker', client.worker, pid]);
    assert.match(own.help, /^a turn runs/);
    const foreign = by[result.thread.id];
    assert.deepEqual([foreign.state, foreign.worker, foreign.client, foreign.pid, foreign.uid],
        ['outside', null, null, outside.pid, process.getuid()]);
    assert.match(foreign.command, /codex app-server$/);
    assert.equal(by['left-behind'].state, 'free');

    await outside.end();
    await client.close();
    await until(async () => (await locks(t, rig)).locks.every((lock) => lock.state === 'free'),
        'with their holders the locks are gone');
});
