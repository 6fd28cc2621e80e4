// codex-pool status on a real terminal: the table, and --watch in place.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startPool } from '../lib/daemon.mjs';
import { PlayedDaemon } from '../lib/played-daemon.mjs';
import { runTurn, waitInLine } from '../lib/scenes.mjs';
import { noTerminal, Terminal } from '../lib/tmux.mjs';

const worker = (id) => ({
    id, pid: 100 + id, state: 'idle', client: null, turn: null, threads: 0, streams: 0, restarts: 0, version: '1',
    rssBytes: 1e8, processes: 1, ageMs: 60000, lastEvent: null,
});
const STATUS = {
    version: '1.2.3', pid: 77, uptimeMs: 60000, accepting: true, codex: {}, pool: { size: 2, ready: 2 },
    queue: { length: 0, max: 9, oldestWaitMs: 0 }, workers: [worker(1), worker(2)], waiters: [], clients: [], waitMs: {},
};

/** A played daemon whose status is what `status()` gives, and a terminal. */
async function played(t, status, options) {
    const daemon = await PlayedDaemon.start(t, { 'pool/status': (peer, m) => peer.result(m, status()) });
    return { daemon, terminal: await Terminal.start(t, options) };
}

test('status is a table on a terminal that is wide enough', { skip: noTerminal }, async (t) => {
    const [daemon] = await startPool(t);
    const terminal = await Terminal.start(t, { width: 180 });
    const { turn, threadId } = await runTurn(daemon, 'first');
    const { waiting } = await waitInLine(daemon, 'second');
    await terminal.pool('--socket', daemon.socket, 'status');
    const screen = await terminal.shows(/\n\$$/);
    assert.match(screen, /^1 worker: 1 busy; 1 waiting, longest \d/m);
    assert.match(screen, new RegExp(`^ +1  busy  .*  turn/started  .*  ${threadId}$`, 'm'));
    assert.match(screen, /^ +1 +\d+ +second +thread\/start .*  any worker +- +all workers are busy$/m);
    turn.complete();
    await waiting;
});

test('its colours are for how things are, and none where NO_COLOR is set', { skip: noTerminal }, async (t) => {
    const down = { ...STATUS, workers: [{ ...worker(1), state: 'down' }], pool: { size: 1, down: 1 } };
    for (const [status, env, expected] of [[STATUS, {}, /\u001b\[32m2 workers: 2 idle/], [down, {}, /\u001b\[31m1 worker: 1 down/],
        [down, { NO_COLOR: '1' }, /^1 worker: 1 down/m]]) {
        const { daemon, terminal } = await played(t, () => status, { env, width: 150 });
        await terminal.pool('--socket', daemon.socket, 'status');
        await terminal.shows(/\n\$$/);
        assert.match(await terminal.screen({ styled: true }), expected);
    }
});

for (const [width, height] of [[80, 24], [40, 10]]) {
    test(`--watch stays in place on ${width}x${height}, and is gone from the terminal's ways afterwards`, { skip: noTerminal }, async (t) => {
        let length = 0;
        const { daemon, terminal } = await played(t, () => ({ ...STATUS, queue: { length: ++length, max: 99 } }), { width, height });
        const settings = join(daemon.directory, 'stty');
        await terminal.command(`stty -a > ${settings}`);
        await terminal.pool('--socket', daemon.socket, 'status --watch');
        const screen = await terminal.shows(/^2 workers: 2 idle; [3-9] waiting,/);
        assert.ok(screen.split('\n').length < height);
        await terminal.press('C-c');
        await terminal.shows(/\$$/);
        // What is typed is told from what is said by its quotes.
        await terminal.command(`clear; stty -a | diff - ${settings} && echo "sa"me; echo ${'x'.repeat(width + 5)}`);
        await terminal.shows(/^same\nx+\nx{5}\n\$$/); // lines wrap again
    });
}

test('--watch follows the size of the terminal', { skip: noTerminal }, async (t) => {
    const { daemon, terminal } = await played(t, () => STATUS, { width: 60, height: 8 });
    await terminal.pool('--socket', daemon.socket, 'status --watch');
    await terminal.shows((screen) => screen.startsWith('2 workers') && !screen.includes(' 2  idle'));
    await terminal.resize(120, 30);
    const large = await terminal.shows(/ 2  idle/);
    assert.ok(large.startsWith('2 workers'));
    await terminal.resize(60, 8);
    await terminal.shows((screen) => screen.startsWith('2 workers') && !screen.includes(' 2  idle'));
});
