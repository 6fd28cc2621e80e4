// What is measured: each starts a relay on a socket of its own, with the scripted worker behind it.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../lib/daemon.mjs';
import { until } from '../../lib/wait.mjs';

const ROOT = resolve(fileURLToPath(import.meta.url), '../../../..');
const BUILD = resolve(ROOT, process.env.CODEX_POOL_BUILD ?? 'build');
export const program = (name) => join(BUILD, `speed-${name}`);

const NODE_POOL = fileURLToPath(new URL('node-pool.mjs', import.meta.url));

const pinned = (cpu) => (cpu === undefined ? [] : ['taskset', '-c', String(cpu)]);

/** A relay that is one program with its socket as `command(socket)` says. */
async function startProgram(scope, command, { cpu }) {
    const dir = mkdtempSync(join(tmpdir(), 'speed-'));
    const socket = join(dir, 's');
    const [file, ...args] = [...pinned(cpu), ...command(socket)];
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const exited = new Promise((done) => child.once('close', done));
    let failure;
    child.once('error', (error) => { failure = error; });
    scope.after(async () => {
        child.kill('SIGKILL');
        await exited;
        rmSync(dir, { recursive: true, force: true });
    });
    await until(() => {
        if (failure) throw failure;
        if (child.exitCode !== null) throw new Error(`${file} has exited: ${child.exitCode}`);
        return existsSync(socket);
    }, `${file} listens`);
    return { socket, pid: child.pid };
}

/** Room for as many clients and waiters as any row has. */
const CONFIG = { maxClients: 30000, maxQueue: 30000 };

async function startPoold(scope, { workers, cpu, wrapper = pinned(cpu) }, { poold, config } = {}) {
    const daemon = await startDaemon(scope, {
        fake: false, poold, wrapper, args: ['--log-level', 'info'],
        config: { ...CONFIG, ...config, poolSize: workers, codex: { command: program('worker'), args: [] } },
    });
    await daemon.untilStatus(({ pool }) => pool.ready === workers, 'all workers are ready');
    return { socket: daemon.socket, pid: daemon.pid, daemon };
}

/**
 * By name: `start(scope, { workers, cpu })` gives { socket, pid }; without a socket the load has workers of its own. What
 * starts a daemon also takes a `wrapper`, words before its command.
 */
export const contenders = {
    direct: { start: async () => ({}) },
    floor: {
        start: (scope, options) => startProgram(scope, (socket) => [program('floor'), socket, program('worker'),
            String(options.workers)], options),
    },
    // A process and a worker for each connection, however many there are.
    socat: {
        start: (scope, options) => startProgram(scope, (socket) => ['socat', '-lf', '/dev/null', '-b', '262144',
            `UNIX-LISTEN:${socket},fork,backlog=128`, `EXEC:${program('worker')},pipes`], options),
    },
    node: {
        start: (scope, options) => startProgram(scope, (socket) => [process.execPath, NODE_POOL, socket,
            program('worker'), String(options.workers)], options),
    },
    poold: { start: startPoold },
    // What shows why a goal is out of reach: the least that does what the pool has to.
    whole: {
        start: (scope, options) => startProgram(scope, (socket) => [program('whole'), socket, program('worker')], options),
    },
    grants: { start: (scope, options) => startProgram(scope, (socket) => [program('grants'), socket], options) },
    stays: { start: (scope, options) => startPoold(scope, options, { config: { moves: 'never' } }) },
};

/** One more codex-poold, to compare with: `name` and the program's path. */
export function addPoold(name, path) {
    contenders[name] = { start: (scope, options) => startPoold(scope, options, { poold: resolve(path) }) };
}
