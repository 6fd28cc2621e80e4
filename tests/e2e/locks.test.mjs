// codex-pool locks: who holds which thread's writer lock, and what helps.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../lib/cli.mjs';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { PlayedDaemon, temporary } from '../lib/played-daemon.mjs';
import { converse, runTurn } from '../lib/scenes.mjs';

/** Where the workers' locks are, by thread. */
function locksOf(daemon) {
    const directory = join(daemon.dir, 'codex-home', 'thread-writer-locks');
    mkdirSync(directory);
    return { directory, file: (id) => join(directory, `${id}.lock`) };
}

/** A worker locks a thread's file; the pid of the process below it that has the lock. */
async function lock(worker, file) {
    worker.order({ lock: file });
    return (await worker.expect('spawned')).params.spawned;
}

/** A process of nobody's that locks a file. */
async function lockOutside(t, file) {
    const child = spawn('flock', [file, '-c', 'echo locked; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => child.stdin.end());
    await once(child.stdout, 'data');
    // It ends with its input, so at the latest with this process.
    for (const each of [child, child.stdin, child.stdout]) each.unref();
    return child.pid;
}

async function locks(t, socket, options) {
    const { code, out, err } = await run(t, ['--socket', socket, 'locks', '--json'], options);
    assert.deepEqual([code, err], [0, '']);
    return JSON.parse(out);
}

test('each lock has its holder: a client\'s turn, an open thread, one nobody uses, a process outside, nobody', async (t) => {
    const [daemon] = await startPool(t, 2);
    const { directory, file } = locksOf(daemon);
    const busy = await runTurn(daemon, 'busy');
    const open = await converse(daemon, 'open');
    const unused = `${open.threadId.slice(0, -1)}x`;
    const [pid, openPid, unusedPid] = [await lock(busy.worker, file(busy.threadId)),
        await lock(open.worker, file(open.threadId)), await lock(open.worker, file(unused))];
    const foreign = await lockOutside(t, file('outside'));
    for (const name of [file('stale'), join(directory, '.coordination.lock'), join(directory, 'else')])
        writeFileSync(name, '');
    const { workers, clients } = await daemon.status();
    const client = (name) => clients.find((c) => c.name === name).id;
    const worker = (w) => workers.find((each) => each.pid === w.pid).id;
    const told = await locks(t, daemon.socket);
    assert.deepEqual([told.directory, told.complete, told.notes], [directory, true, []]);
    const by = Object.fromEntries(told.locks.map(({ threadId, ...rest }) => [threadId, rest]));
    assert.deepEqual(Object.keys(by).sort(), ['outside', 'stale', unused, busy.threadId, open.threadId].sort());
    const none = { worker: null, client: null, pid: null, command: null, uid: null };
    const of = (scene, holder) => ({ ...none, state: 'worker', worker: worker(scene.worker), client: client(scene.client.name), pid: holder });
    assert.deepEqual(by[busy.threadId],
        { ...of(busy, pid), help: `a turn runs: wait for its end, then for client ${client('busy')} to leave it` });
    assert.deepEqual(by[open.threadId],
        { ...of(open, openPid), help: `client ${client('open')} has it open: free when that leaves it` });
    assert.deepEqual(by[unused],
        { ...of(open, unusedPid), client: null, help: 'nothing: served to whoever asks the pool for it' });
    assert.deepEqual(by.outside, {
        ...none, state: 'outside', pid: foreign, uid: process.getuid(),
        command: `flock ${file('outside')} -c echo locked; exec cat`.slice(0, 159),
        help: `close this conversation there, or end it: kill ${foreign}`,
    });
    assert.deepEqual(by.stale, { ...none, state: 'free', help: 'nothing: left behind, the next to open the thread takes it' });

    const { code, out } = await run(t, ['--socket', daemon.socket, 'locks']);
    assert.equal(code, 0);
    const lines = out.trimEnd().split('\n');
    assert.match(lines[0], /^THREAD +CLIENT +PID +HOLDER +WHAT HELPS$/);
    const line = (id) => lines.find((each) => each.startsWith(id));
    assert.match(line(busy.threadId), new RegExp(`^\\S+ +${client('busy')} +${pid}  worker ${worker(busy.worker)} +a turn runs: `));
    assert.match(line('outside'), new RegExp(`^outside +- +${foreign}  flock .* kill ${foreign}$`));
    assert.match(line('stale'), /^stale +- +-  free +nothing: /);
    assert.equal(new Set(lines.map((each) => each.search(/WHAT HELPS|a turn runs|client \d+ has|nothing: |close this/))).size, 1);
    busy.turn.complete();
    await busy.client.turnCompleted(busy.threadId);
});

test('pool/locks tells what the daemon knows, to everybody', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { adminUids: [4242424] } });
    const scene = await converse(daemon, 'a');
    const client = await PoolClient.connect(daemon.socket);
    const known = await client.request('pool/locks');
    const { clients } = await daemon.status();
    assert.deepEqual(known, {
        directory: join(daemon.dir, 'codex-home', 'thread-writer-locks'), pid: daemon.pid,
        workers: [{ id: 1, pid: worker.pid }],
        threads: [{ threadId: scene.threadId, worker: 1, client: clients.find((c) => c.name === 'a').id, running: false }],
        threadsLeftOut: 0,
    });
});

test('without a lock it says so; a directory that is not there is said where threads are loaded', async (t) => {
    const [daemon] = await startPool(t);
    const args = ['--socket', daemon.socket, 'locks'];
    const directory = join(daemon.dir, 'codex-home', 'thread-writer-locks');
    assert.deepEqual(await locks(t, daemon.socket), { directory, notes: [], locks: [], complete: true });
    assert.deepEqual(await run(t, args), { code: 0, signal: null, err: '', out: `no thread is locked below ${directory}\n` });
    await converse(daemon, 'a');
    assert.match((await run(t, args)).out, /^no thread is locked below .*\nnote: .*thread-writer-locks: not there: .*before 0\.148/);
});

/** A daemon that knows of one thread, whose locks are at `directory`. */
const knows = (directory, more = {}) => ({
    'pool/locks': (peer, m) => peer.result(m, {
        directory, pid: 77, workers: [{ id: 3, pid: 1 << 29 }], threadsLeftOut: 0,
        threads: [{ threadId: 'known', worker: 3, client: 9, running: false }], ...more,
    }),
});

test('where the directory cannot be read, what the pool has loaded is shown, and that it is not all', async (t) => {
    for (const [directory, said] of [['/etc/passwd', /^\/etc\/passwd: Not a directory: shown is only what the pool has loaded; root/],
        [null, /does not know its workers' CODEX_HOME/]]) {
        const daemon = await PlayedDaemon.start(t, knows(directory));
        const told = await locks(t, daemon.socket);
        assert.equal(told.complete, false);
        assert.equal(told.notes.length, 1);
        assert.match(told.notes[0], said);
        assert.deepEqual(told.locks.map((l) => [l.threadId, l.state, l.worker, l.client, l.pid]), [['known', 'worker', 3, 9, null]]);
        const { code, out } = await run(t, daemon.args('locks'));
        assert.equal(code, 0);
        assert.match(out, /\nnote: /);
    }
});

test('another user, who may not read the directory, is told so', { skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
    const directory = await temporary(t);
    chmodSync(directory, 0o700);
    writeFileSync(join(directory, 'known.lock'), '');
    const daemon = await PlayedDaemon.start(t, knows(directory));
    chmodSync(daemon.directory, 0o711);
    chmodSync(daemon.socket, 0o666);
    const told = await locks(t, daemon.socket, { uid: 65534, gid: 65534 });
    assert.match(told.notes[0], /Permission denied: shown is only what the pool has loaded/);
    assert.deepEqual([told.complete, told.locks.length, told.locks[0].state], [false, 1, 'worker']);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
});

test('threads that the daemon has left out are told, and a lock whose holder is out of sight is the worker\'s', async (t) => {
    const directory = await temporary(t);
    writeFileSync(join(directory, 'known.lock'), '');
    writeFileSync(join(directory, 'bad\u001b[2J.lock'), '');
    const daemon = await PlayedDaemon.start(t, knows(directory, { threadsLeftOut: 5 }));
    const told = await locks(t, daemon.socket);
    assert.deepEqual([told.complete, told.notes], [false, ['the daemon has left out 5 of its threads']]);
    assert.deepEqual(told.locks.map((l) => [l.threadId, l.state, l.worker]), [['bad\u001b[2J', 'free', null], ['known', 'worker', 3]]);
    const { out } = await run(t, daemon.args('locks'));
    assert.ok(!out.includes('\u001b'), 'nothing moves the cursor');
});

test('wrong use, and a daemon that does not know the method', async (t) => {
    const daemon = await PlayedDaemon.start(t, {
        'pool/locks': (peer, m) => peer.error(m, -32601, 'Unknown method: pool/locks'),
    });
    assert.equal((await run(t, daemon.args('locks', 'now'))).code, 64);
    const { code, err } = await run(t, daemon.args('locks'));
    assert.equal(code, 1);
    assert.match(err, /Unknown method/);
});
