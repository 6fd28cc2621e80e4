// Every command as a person sees it: typed to a shell on a screen of 80 by 24.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPool } from '../lib/daemon.mjs';
import { endTurns } from '../lib/load.mjs';
import { runTurn, waitInLine } from '../lib/scenes.mjs';
import { FakeCodexHost } from '../lib/script.mjs';
import { noTerminal, Terminal } from '../lib/tmux.mjs';

/** A terminal that knows the socket; `shows(words, what)`: the screen when the command has ended. */
async function terminalFor(t, daemon) {
    const terminal = await Terminal.start(t, { env: { CODEX_POOL_SOCKET: daemon.socket } });
    terminal.says = async (words, what) => {
        await terminal.command('clear');
        await terminal.shows(/^\$ ?$/);
        await terminal.pool(words);
        const screen = await terminal.shows((text) => what.test(text) && /\n\$ ?$/.test(text));
        screen.split('\n').forEach((line) => assert.ok(line.length <= 80, line));
        return screen;
    };
    return terminal;
}

test('the commands of every day', { skip: noTerminal }, async (t) => {
    const fake = await FakeCodexHost.start();
    t.after(() => fake.stop());
    endTurns(fake);
    const [daemon] = await startPool(t, 1, { fake });
    const terminal = await terminalFor(t, daemon);
    await terminal.says('--help', /\nexit: 0 done/);
    await terminal.says('--version', /^codex-pool \d+\.\d+\.\d+$/m);
    await terminal.says('ping', /^codex-poold .*, pid \d+, up .*answered in [\d.]+ ms$/m);
    await terminal.says('status', /^1 worker: 1 idle; nobody waits$/m);
    await terminal.says('call model/list', /"id": "fake"/);
    await terminal.says('run "hello there"', /thread 01900000-/);
    await terminal.says('locks', /lock/i);
    await terminal.says('nonsense', /^codex-pool: unknown command 'nonsense'$/m);
});

test('trace until Ctrl-C, app-server until the end of its input', { skip: noTerminal }, async (t) => {
    const [daemon] = await startPool(t, 1, { args: ['--log-level', 'trace'] });
    const terminal = await terminalFor(t, daemon);
    await terminal.pool('trace --method "turn/*"');
    await daemon.untilLog(/"method":"pool\/trace"/);
    const { turn } = await runTurn(daemon);
    await terminal.shows('turn/started');
    turn.complete();
    await terminal.shows('turn/completed');
    await terminal.press('C-c');
    await terminal.shows(/\$ ?$/);
    await terminal.command('clear');
    await terminal.pool('app-server');
    await terminal.command('{"id":1,"method":"pool/ping"}');
    await terminal.shows(/"result":\{"version"/);
    await terminal.press('C-d');
    await terminal.shows(/\$ ?$/);
});

test('the commands of administrators', { skip: noTerminal }, async (t) => {
    const [daemon] = await startPool(t, 1);
    const terminal = await terminalFor(t, daemon);
    const scene = await runTurn(daemon, 'runs');
    const { waiting } = await waitInLine(daemon, 'waits');
    const [waiter] = (await daemon.status()).waiters;
    await terminal.says('log-level info', /level is set/);
    await terminal.says('pause', /^paused: running turns go on/m);
    await terminal.says('status', /^paused; 1 worker: 1 busy; 1 waiting/m);
    await terminal.says('resume', /^the queue goes on$/m);
    await terminal.says(`cancel ${waiter.client} ${waiter.id}`, /^cancelled$/m);
    await assert.rejects(waiting, /aborted/);
    await terminal.says(`interrupt ${scene.threadId}`, /^interrupted$/m);
    await scene.client.turnCompleted(scene.threadId);
    await terminal.says('resize 2', /^the pool has its size$/m);
    await terminal.says('recycle all', /^replaced$/m);
    await terminal.says(`kick ${waiter.client}`, /^dropped$/m);
    await terminal.says('drain', /^drained: nothing runs/m);
    await terminal.says('resume', /^the queue goes on$/m);
    await terminal.says('reload', /^the settings are read$/m);
    await terminal.says('recycle nine', /^usage: codex-pool .*recycle/m);
});
