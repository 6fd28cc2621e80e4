// codex-pool top on a real terminal: what it shows, what its keys do, and how it leaves the terminal.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { onTerminal, run } from '../lib/cli.mjs';
import { isAlive, startPool } from '../lib/daemon.mjs';
import { valgrind } from '../lib/memory.mjs';
import { PlayedDaemon, temporary } from '../lib/played-daemon.mjs';
import { runTurn, waitInLine } from '../lib/scenes.mjs';
import { noTerminal, Terminal } from '../lib/tmux.mjs';
import { until } from '../lib/wait.mjs';

const THREAD = '019a0000-0000-7000-8000-0000000000';
const worker = (id, more = {}) => ({
    id, pid: 100 + id, state: 'idle', client: null, turn: null, lease: null, lastEvent: null, unansweredAsks: 0, threads: 0,
    streams: 0, restarts: 0, version: '0.169.0', rssBytes: id * 1e8, processes: 1, ageMs: 60000, replace: null, ...more,
});
const busy = (id, client, runningMs, more = {}) => worker(id, {
    state: 'busy', client, lease: { for: 'turn', heldMs: runningMs },
    turn: { threadId: `${THREAD}0${id}`, turnId: `turn-${id}`, runningMs, lastEventMs: 40 - id },
    lastEvent: { method: 'item/agentMessage/delta', agoMs: 40 - id }, ...more,
});
const client = (id, name) => ({ id, uid: 0, pid: 900 + id, name, waiting: 0, workers: [], threads: 0, connectedMs: 1000 });

/** Three workers, two of them busy; two who wait. */
const STATUS = {
    version: '1.2.3', pid: 77, uptimeMs: 3723000, accepting: true, admission: 'open', codex: {},
    pool: { size: 3, ready: 3, busy: 2, starting: 0, down: 0 }, queue: { length: 2, max: 1024, oldestWaitMs: 12000 },
    workers: [busy(1, 4, 61000), worker(2), busy(3, 5, 1000, { rssBytes: 5e7 })],
    waiters: [
        {
            position: 1, client: 6, id: 7, method: 'turn/start', threadId: `${THREAD}09`, waitedMs: 12000, worker: 1,
            stays: 'it is ephemeral', why: 'worker 1 is busy and has its thread, which stays: it is ephemeral',
        },
        {
            position: 2, client: 4, id: 'x', method: 'thread/start', threadId: null, waitedMs: 250, worker: null,
            stays: null, why: 'all workers are busy',
        },
    ],
    clients: [client(4, 'chat'), client(5, 'cron'), client(6, 'night')],
    counters: { turns: 10 }, waitMs: {},
};

/** A played daemon with this status (or what a function gives each time), and top on a terminal. */
async function top(t, { status = STATUS, answers = {}, ...options } = {}) {
    const daemon = await PlayedDaemon.start(t, {
        'pool/status': (peer, m) => peer.result(m, typeof status === 'function' ? status() : status), ...answers,
    });
    const terminal = await Terminal.start(t, options);
    await terminal.pool('--socket', daemon.socket, 'top');
    return { daemon, terminal };
}

/** The peer that asks for the status: the first connection only looks whether there is a daemon. */
const asker = (daemon) => daemon.peer(1);

/** The words of the rows below a line of titles, up to an empty line. */
function rows(screen, title) {
    const lines = screen.split('\n');
    const at = lines.findIndex((line) => line.trimStart().startsWith(title));
    const end = lines.indexOf('', at);
    return lines.slice(at + 1, end < 0 ? undefined : end);
}

const STATUS_LINE = '3 workers: 2 busy, 1 idle; 2 waiting, longest 12.0 s';
const order = (screen) => rows(screen, 'WORKER').map((line) => line.trim()[0]).join('');

/** Without what depends on the time. */
const steady = (screen) => screen.replace(/(?<=turns\/s|wait) [ ▁█]* (?=\d)/g, ' BARS ');

test('shows who does what, who waits and why', { skip: noTerminal }, async (t) => {
    const { terminal } = await top(t);
    await terminal.looks([
        '3 workers: 2 busy, 1 idle; 2 waiting, longest 12.0 s                    up 1h 2m',
        'turns/s BARS 0.00      longest wait BARS 12.0 s',
        '',
        'WORKER STATE CLIENT      TURN  SILENT LAST EVENT          MEMORY PROCS THREAD',
        '     1 busy  4 chat     1m 1s   39 ms agentMessage/delta  100 MB     1 …00000001',
        '     2 idle  -              -       - -                   200 MB     1 -',
        '     3 busy  5 cron     1.0 s   37 ms agentMessage/delta   50 MB     1 …00000003',
        '',
        ' PLACE CLIENT   REQUEST       WAITED FOR      THREAD        WHY',
        '     1 6 night  turn/start    12.0 s worker 1 …000000000009 it is ephemeral',
        '     2 4 chat   thread/start  250 ms any      -             all workers are busy',
        ...Array(8).fill(''),
        'worker 1: thread 019a0000-0000-7000-8000-000000000001, turn turn-1; last event',
        'item/agentMessage/delta, 39 ms ago; pid 101, codex 0.169.0, up 1m 0s; 0 threads,',
        '0 streams, 0 restarts',
        '',
        'q quit  ? help  s sort: worker  i interrupt  k drop  r recycle  p pause',
    ], steady);
});

test('a small screen has what matters most, and a larger one more', { skip: noTerminal }, async (t) => {
    const { terminal } = await top(t, { width: 40, height: 10 });
    await terminal.looks([
        '3 workers: 2 busy, 1 idle; 2 waiting, l…',
        'WORKER STATE CLIENT      TURN  MEMORY',
        '     1 busy  4 chat     1m 1s  100 MB',
        '     2 idle  -              -  200 MB',
        '     3 busy  5 cron     1.0 s   50 MB',
        ' PLACE CLIENT   REQUEST       WAITED',
        '     1 6 night  turn/start    12.0 s',
        '     2 4 chat   thread/start  250 ms',
        '',
        'q quit  ? help  s sort  i k r p',
    ]);
    for (const [width, height] of [[1, 1], [3, 2], [20, 4], [7, 24], [200, 3]]) {
        await terminal.resize(width, height);
        await terminal.shows((screen) => screen.startsWith(STATUS_LINE.slice(0, Math.min(width - 1, 20))) &&
            screen.split('\n').length <= height);
    }
    await terminal.resize(150, 30);
    await terminal.shows((screen) => screen.split('\n').length === 30 &&
        /agentMessage\/delta +100 MB +1 019a0000-0000-7000-8000-000000000001$/m.test(screen));
    await terminal.resize(80, 24);
    await terminal.shows((screen) => /…00000001$/m.test(screen) && screen.split('\n').length === 24);
});

test('a list that is too long is scrolled to what is selected', { skip: noTerminal }, async (t) => {
    const workers = Array.from({ length: 30 }, (_, i) => worker(i + 1));
    const { terminal } = await top(t, { status: { ...STATUS, workers, waiters: [], queue: { length: 0 } } });
    const shown = (screen) => rows(screen, 'WORKER').map((line) => Number(line.trim().split(' ')[0]));
    await terminal.shows((screen) => shown(screen)[0] === 1 && screen.includes('1-12 of 30'));
    await terminal.press('End');
    await terminal.shows((screen) => shown(screen).at(-1) === 30 && screen.includes('19-30 of 30'));
    await terminal.press('Up');
    await terminal.shows(/^worker 29/m);
    await terminal.press('PPage', 'PPage');
    await terminal.shows((screen) => shown(screen)[0] === 9 && /^worker 9/m.test(screen));
    await terminal.press('Home');
    await terminal.shows((screen) => shown(screen)[0] === 1 && /^worker 1/m.test(screen));
});

test('s sorts, arrows select, and what is selected stays so', { skip: noTerminal }, async (t) => {
    const { terminal } = await top(t);
    await terminal.shows((screen) => order(screen) === '123' && /^worker 1:/m.test(screen));
    for (const [sort, wanted] of [['turn', '132'], ['silent', '132'], ['memory', '213'], ['client', '132'], ['worker', '123']]) {
        await terminal.type('s');
        await terminal.shows((screen) => order(screen) === wanted && screen.includes(`s sort: ${sort}`) &&
            /^worker 1:/m.test(screen));
    }
    await terminal.press('Down', 'Down');
    await terminal.shows(/^worker 3: thread 019a0000/m);
    await terminal.press('Down');
    await terminal.shows(/^client 6 waits with turn\/start \(id 7\): worker 1 is busy and has its thread/m);
    await terminal.press('Down', 'Down', 'Down');
    await terminal.shows(/^client 4 waits with thread\/start \(id "x"\): all workers are busy/m);
    await terminal.press('Up', 'Up', 'Up', 'Up', 'Up', 'Up');
    await terminal.shows(/^worker 1:/m);
});

test('help', { skip: noTerminal }, async (t) => {
    const { terminal } = await top(t);
    await terminal.shows('WORKER');
    await terminal.type('?');
    const help = await terminal.shows(/^q, Ctrl-C  quit$/m);
    for (const line of ['k          drop', 'i, k, r and p are for administrators', 'turns/s of the last minute'])
        assert.ok(help.includes(line), line);
    await terminal.type('q'); // goes back and does not quit
    await terminal.shows(/WORKER/);
});

// --- what changes something

const nothing = () => {};
const asked = (peer, method) => peer.received.some((m) => m.method === method);

const ACTS = [
    ['i', [], 'pool/interrupt', { threadId: `${THREAD}01` }, 'interrupt the turn of client 4 (chat) on worker 1'],
    ['k', [], 'pool/kick', { client: 4 }, 'drop client 4 (chat)', ', and end all it does'],
    ['k', ['Down', 'Down', 'Down'], 'pool/kick', { client: 6 }, 'drop client 6 (night)', ', and end all it does'],
    ['r', ['Down'], 'pool/recycle', { worker: 2 }, 'recycle worker 2'],
    ['r', [], 'pool/recycle', { worker: 1 }, 'recycle worker 1', ', when its turn has ended'],
    ['p', [], 'pool/pause', {}, 'pause the pool', ': what runs goes on, nobody else gets a worker'],
];

for (const [key, before, method, params, what, how = ''] of ACTS) {
    test(`${key} asks, and y is ${method} ${JSON.stringify(params)}`, { skip: noTerminal }, async (t) => {
        const { daemon, terminal } = await top(t, { answers: { [method]: nothing } });
        await terminal.shows('WORKER');
        for (const press of before) await terminal.press(press);
        await terminal.type(key);
        await terminal.shows(`\n${what}${how}? (y/n)\n`);
        const peer = await asker(daemon);
        assert.ok(!asked(peer, method), 'not before it is confirmed');
        await terminal.type('y');
        const request = await peer.next(method);
        assert.deepEqual(request.params, params);
        await terminal.shows(`\n${what}: asked for, not done yet\n`);
        peer.result(request);
        await terminal.shows(`\n${what}: done\n`);
    });
}

test('any other key leaves it as it was', { skip: noTerminal }, async (t) => {
    const { daemon, terminal } = await top(t);
    await terminal.shows('WORKER');
    for (const key of ['n', 'i', 'q', ' ']) {
        await terminal.type('i');
        await terminal.shows('? (y/n)');
        await terminal.type(key);
        await terminal.shows('left as it was');
    }
    await terminal.press('Down');
    await terminal.shows((screen) => !screen.includes('left as it was'));
    assert.ok(!asked(await asker(daemon), 'pool/interrupt'));
});

test('what does not go for a row is said', { skip: noTerminal }, async (t) => {
    const { terminal } = await top(t);
    await terminal.shows('WORKER');
    await terminal.press('Down');
    await terminal.type('i');
    await terminal.shows('no turn runs there to be interrupted');
    await terminal.type('k');
    await terminal.shows('no client is there to be dropped');
    await terminal.press('End');
    await terminal.type('r');
    await terminal.shows('select a worker to be recycled');
});

test('a refusal is shown', { skip: noTerminal }, async (t) => {
    const refuse = (peer, m) => peer.error(m, -32014, 'pool/pause is for administrators\u001b[2J', { reason: 'forbidden' });
    const { terminal } = await top(t, { answers: { 'pool/pause': refuse } });
    await terminal.shows('WORKER');
    await terminal.type('py');
    await terminal.shows('\npause the pool: pool/pause is for administrators?[2J (-32014)\n');
});

test('p resumes what is paused', { skip: noTerminal }, async (t) => {
    let admission = 'paused';
    const resume = (peer, m) => {
        admission = 'open';
        peer.result(m);
    };
    const { terminal } = await top(t, { status: () => ({ ...STATUS, admission }), answers: { 'pool/resume': resume } });
    await terminal.shows(/^paused; 3 workers: [^]*  p resume$/m);
    await terminal.type('p');
    await terminal.shows('resume the pool? (y/n)');
    await terminal.type('y');
    await terminal.shows(/^3 workers: [^]*resume the pool: done[^]*  p pause$/m);
});

test('an answer that takes long holds up nothing', { skip: noTerminal }, async (t) => {
    let uptimeMs = 60000;
    const { daemon, terminal } = await top(t, {
        status: () => ({ ...STATUS, uptimeMs: uptimeMs += 60000 }), answers: { 'pool/recycle': nothing, 'pool/kick': nothing },
    });
    await terminal.shows('WORKER');
    await terminal.type('ry');
    const peer = await asker(daemon);
    const recycle = await peer.next('pool/recycle');
    await terminal.shows(/asked for, not done yet/);
    const from = uptimeMs / 60000;
    await terminal.shows((screen) => Number(/up (\d+)m/.exec(screen)?.[1]) >= from + 2);
    await terminal.press('Down', 'Down');
    await terminal.type('ky');
    peer.result(await peer.next('pool/kick'));
    await terminal.shows('drop client 5 (cron): done');
    peer.result(recycle);
    await terminal.shows('recycle worker 1: done');
});

test('bars of turns and waits grow with what happens', { skip: noTerminal }, async (t) => {
    let turns = 1000, oldestWaitMs = 0;
    const { terminal } = await top(t, {
        status: () => ({ ...STATUS, counters: { turns }, queue: { length: oldestWaitMs ? 1 : 0, max: 9, oldestWaitMs } }),
    });
    await terminal.shows(/turns\/s +▁+ 0\.00 +longest wait +▁+ 0 ms/);
    turns += 30; // of one bar's time: 10 s
    oldestWaitMs = 90000;
    await terminal.shows(/turns\/s +▁*█▁* [13]\.\d0 +longest wait +▁*█+ 1m 30s/);
});

// --- the daemon goes away and comes back

test('a daemon that goes away is awaited', { skip: noTerminal }, async (t) => {
    const { daemon, terminal } = await top(t, { answers: { 'pool/recycle': nothing } });
    await terminal.shows('WORKER');
    await terminal.type('ry');
    await (await asker(daemon)).next('pool/recycle');
    await daemon.stop();
    const lost = await terminal.shows(/^no daemon, trying again\n[^]*recycle worker 1: the daemon went away before it was done/);
    assert.ok(!lost.includes('WORKER'), 'what is not known any more is not shown');
    assert.ok(lost.includes(daemon.socket));
    await terminal.shows('No such file or directory');
    await terminal.type('py?x'); // nothing to be paused; help works
    await new Promise((resolve) => daemon.server.listen(daemon.socket, resolve));
    await terminal.shows(/^3 workers: /);
});

test('a daemon that does not answer', { skip: noTerminal }, async (t) => {
    const held = [];
    const { terminal } = await top(t, { answers: { 'pool/status': (peer, m) => held.push([peer, m]) } });
    await terminal.shows("waiting for the daemon's answer");
    await until(() => held.length, 'the status is asked for');
    const [peer, request] = held.pop();
    peer.result(request, STATUS);
    await terminal.shows(/^3 workers: .* up 1h 2m$/m);
    await terminal.shows(/^3 workers: .*no answer for \d\.\d s$/m);
    assert.equal(held.length, 1, 'it is asked once');
    await terminal.type('q');
    await terminal.shows(/top\n\$$/);
});

test('a daemon that lets nobody in says why', { skip: noTerminal }, async (t) => {
    let closed = true;
    const { terminal } = await top(t, {
        answers: {
            'pool/status': (peer, m) => {
                if (!closed) {
                    peer.result(m, STATUS);
                    return;
                }
                peer.send({ id: null, error: { code: -32014, message: 'uid 7 may not connect' } });
                peer.socket.end();
            },
        },
    });
    await terminal.shows(/^no daemon, trying again\n.*: uid 7 may not connect \(-32014\)\n/);
    closed = false;
    await terminal.shows(/^3 workers: /);
});

test('no daemon at the start', { skip: noTerminal }, async (t) => {
    const terminal = await Terminal.start(t);
    await terminal.pool('--socket', join(await temporary(t), 's'), 'top; echo "code $?"');
    await terminal.shows(/no daemon at[^]*code 69/);
});

// --- how it leaves the terminal

const ENDS = [
    ['q', (terminal) => terminal.type('q'), 0],
    ['Ctrl-C', (terminal) => terminal.press('C-c'), 0],
    ['SIGTERM', async (terminal) => process.kill(await terminal.foreground(), 'SIGTERM'), 143],
    ['Ctrl-\\', (terminal) => terminal.press('C-\\'), 131],
];

for (const [name, end, code] of ENDS) {
    test(`${name} leaves the terminal as it was`, { skip: noTerminal }, async (t) => {
        const daemon = await PlayedDaemon.start(t, { 'pool/status': (peer, m) => peer.result(m, STATUS) });
        const terminal = await Terminal.start(t);
        const settings = join(daemon.directory, 'stty');
        await terminal.command(`stty -a > ${settings}; for i in 1 2 3; do echo line $i; done`);
        const before = await terminal.shows(/line 3\n\$$/);
        await terminal.pool('--socket', daemon.socket, 'top; echo "code $?"');
        await terminal.shows('WORKER');
        assert.equal(await terminal.ask('#{alternate_on} #{cursor_flag}'), '1 0');
        await end(terminal);
        const after = await terminal.shows(`code ${code}`);
        assert.ok(after.startsWith(before), `${before}\n---\n${after}`);
        assert.equal(await terminal.ask('#{alternate_on} #{cursor_flag} #{keypad_flag}'), '0 1 0');
        await terminal.command(`clear; stty -a | diff - ${settings} && echo "sa"me`);
        await terminal.shows(/^same\n\$$/);
    });
}

test('Ctrl-Z gives the terminal back until fg', { skip: noTerminal || (valgrind && 'valgrind does not stop') }, async (t) => {
    const { terminal } = await top(t);
    await terminal.shows('WORKER');
    await terminal.press('C-z');
    await terminal.shows((screen) => /top\n[^]*\$$/.test(screen) && !screen.includes('WORKER'));
    await terminal.command('fg');
    await terminal.shows(/WORKER[^]*q quit/);
    await terminal.type('q');
    await terminal.shows((screen) => !screen.includes('WORKER') && screen.endsWith('$'));
});

test('a terminal that is closed ends it', { skip: noTerminal }, async (t) => {
    // The kernel sends SIGCONT, too, and that would end the leak sanitizer's own stop of the process for good.
    const ASAN_OPTIONS = `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0`;
    const { daemon, terminal } = await top(t, { env: { ASAN_OPTIONS } });
    await terminal.shows('WORKER');
    const pid = await terminal.foreground();
    await terminal.tmux('kill-pane').catch(() => {});
    await (await asker(daemon)).gone();
    await until(() => !isAlive(pid), 'it has ended');
});

test('where there is no terminal it says so', async (t) => {
    const daemon = await PlayedDaemon.start(t);
    const { code, out, err } = await run(t, daemon.args('top'));
    assert.deepEqual([code, out], [64, '']);
    assert.match(err, /no terminal that it can use.*status --watch/s);
    for (const TERM of ['no-such-terminal', 'dumb']) {
        const unfit = await onTerminal(t, daemon.args('top'), { env: { TERM } }).end();
        assert.equal(unfit.code, 64);
        assert.ok(unfit.out.includes(`TERM is '${TERM}'`), unfit.out);
    }
});

// --- what is shown cannot do anything

const ODD = 'a\u001b[2J\u0007\u009b31m é漢字\u202e\u200b\t\nz';

test('names of any kind are shown and do nothing', { skip: noTerminal }, async (t) => {
    const clients = [client(4, ODD), client(5, '漢'.repeat(200)), client(6, 'x'.repeat(5000))];
    const workers = [busy(1, 4, 1000), busy(2, 5, 1000, { lastEvent: { method: ODD, agoMs: 0 } }),
        worker(3, { state: 'down', pid: null, processes: 0, lastError: `exit code 1: ${ODD}` })];
    const { terminal } = await top(t, { status: { ...STATUS, clients, workers }, width: 160 });
    const screen = await terminal.shows(/^ +1 busy +4 a\?\[2J\?\?31m é漢字\?\?\?\?z +1\.0 s[^]*q quit/m);
    assert.match(screen, /^ +2 busy +5 漢{10}…    1\.0 s +38 ms a\?\[2J\?\?31m é漢字\?\?\?\?z /m);
    assert.match(screen, /^ +3 down  .* exit code 1: a\?\[2J\?\?31m é漢字\?\?\?\?z /m);
    assert.match(screen, /^ +1 6 x{21}… turn\/start/m);
    await terminal.press('Down', 'Down');
    await terminal.shows('worker 3; last failure: exit code 1: a?[2J??31m é漢字????z;');
});

test('a locale without UTF-8 gets ASCII', { skip: noTerminal }, async (t) => {
    const clients = [client(4, 'é漢字'), client(5, null), client(6, null)];
    const { terminal } = await top(t, { status: { ...STATUS, clients }, env: { LANG: 'C', LC_ALL: 'C' } });
    const screen = await terminal.shows(/^ +1 busy +4 \?\?\? +1m 1s .* ~0+1$/m);
    assert.match(screen, /longest wait +#+ 12\.0 s/);
    assert.match(screen, /^[\x20-\x7e\n]+$/);
});

test('colours, and none where NO_COLOR is set', { skip: noTerminal }, async (t) => {
    const status = { ...STATUS, workers: [worker(1, { state: 'down' })], pool: { size: 1, down: 1 } };
    const coloured = (await top(t, { status })).terminal;
    await coloured.shows('WORKER');
    assert.match(await coloured.screen({ styled: true }), /\u001b\[[\d;]*31m/, 'red');
    const plain = (await top(t, { status, env: { NO_COLOR: '1' } })).terminal;
    await plain.shows('WORKER');
    const styled = await plain.screen({ styled: true });
    assert.doesNotMatch(styled, /\u001b\[([\d;]*;)?3[0-7]m/);
    assert.match(styled, /\u001b\[([\d;]*;)?7m/, 'what is selected is still reversed');
});

// --- beside the real daemon

test('a pool at work', { skip: noTerminal }, async (t) => {
    const [daemon] = await startPool(t, 2, { config: { drainTimeoutMs: 0 } });
    const terminal = await Terminal.start(t);
    await terminal.pool('--socket', daemon.socket, 'top');
    await terminal.shows(/^2 workers: 2 idle; nobody waits[^]*\nnobody waits\n/);
    const a = await runTurn(daemon, 'first');
    const b = await runTurn(daemon, 'second');
    await terminal.shows(/^2 workers: 2 busy; nobody waits[^]* busy +\d+ (first|second)/);
    const { client: waiter, waiting } = await waitInLine(daemon, 'third');
    await terminal.shows(/^2 workers: 2 busy; 1 waiting, longest[^]*^ +1 \d+ third +thread\/start .* any +- +all workers are busy$/m);
    a.turn.complete();
    await waiting;
    await terminal.shows(/^2 workers: 2 busy; nobody waits[^]* busy +\d+ third .* (thread\/started|thread\/status\/changed)/);
    await terminal.shows(/turns\/s .* 0\.[01]\d /);
    await b.worker.die();
    await terminal.shows(/^2 workers: /);
    await waiter.close();
    await terminal.shows(/^2 workers: 2 idle; nobody waits/);
});

test('its keys steer a pool', { skip: noTerminal }, async (t) => {
    const [daemon] = await startPool(t, 2, { config: { drainTimeoutMs: 0 } });
    const terminal = await Terminal.start(t);
    await terminal.pool('--socket', daemon.socket, 'top');
    await terminal.shows(/^2 workers: 2 idle; nobody waits/);
    await terminal.type('py');
    await terminal.shows(/^paused; 2 workers: 2 idle[^]*pause the pool: done/);
    const { waiting } = await waitInLine(daemon, 'patient');
    await terminal.shows(/ patient +thread\/start .* any +- +the pool is paused$/m);
    await terminal.type('py');
    await terminal.shows(/^2 workers: [^]*resume the pool: done/);
    await waiting;

    const { client: caller, threadId, worker } = await runTurn(daemon, 'caller');
    const selected = new RegExp(`^worker ${worker.number}: thread ${threadId}`, 'm');
    await terminal.press(...(worker.number === 1 ? ['Home'] : ['Home', 'Down']));
    await terminal.shows(selected);
    await terminal.type('iy');
    await terminal.shows(`(caller) on worker ${worker.number}: done`);
    await caller.next('turn/completed', (p) => p.turn.status === 'interrupted');

    await caller.startTurn(threadId);
    await terminal.shows(selected);
    await terminal.type('ky');
    await terminal.shows(/drop client \d+ \(caller\): done/);
    await caller.ended;

    await terminal.type('ry');
    const next = await daemon.fake.worker();
    await terminal.shows(`recycle worker ${worker.number}: done`);
    assert.ok(worker.gone && next.number > 2);
});
