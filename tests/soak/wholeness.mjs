// Invariant: when all clients have left and nothing misbehaves, nothing is left of what was: every worker idle and
// empty, nobody waits, no descriptor more than at the beginning, no zombie, no lock.
import { readFileSync, readdirSync } from 'node:fs';
import { until } from '../lib/wait.mjs';

/** Longer than every step by which the daemon may have to get rid of a worker that hangs. */
const LIMIT_MS = 60000;

/** Megabytes that the daemon has in memory. */
export function rss(daemon) {
    try {
        return Math.round(Number(readFileSync(`/proc/${daemon.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/)[1]) / 1024);
    } catch {
        return 0;
    }
}

/** Pids of children that have exited and not been waited for. */
function zombies(parent) {
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
        try {
            const [, state, ppid] = readFileSync(`/proc/${pid}/stat`, 'utf8').match(/\) (\S) (\d+)/);
            return state === 'Z' && Number(ppid) === parent;
        } catch {
            return false;
        }
    });
}

/** What is not as it should be; empty for nothing. */
function wrong(world, status) {
    const { daemon, host } = world;
    const { pool, queue, clients, workers, steering } = status;
    const fds = daemon.fds();
    const list = [];
    if (steering.length) list.push(`not done: ${JSON.stringify(steering)}`);
    if (queue.length) list.push(`${queue.length} wait`);
    if (clients.length !== 1) list.push(`${clients.length - 1} clients are left: ${JSON.stringify(clients)}`);
    if (pool.ready !== pool.size) list.push(`${pool.ready} of ${pool.size} workers are ready`);
    const uneasy = workers.filter((w) => w.state !== 'idle' || w.threads || w.client || w.waiting || w.replace);
    if (uneasy.length) list.push(`workers are not idle and empty: ${JSON.stringify(uneasy)}`);
    if (world.fds && fds.length > world.fds.length)
        list.push(`${fds.length - world.fds.length} more descriptors than at the beginning: ${fds.sort()}`);
    if (zombies(daemon.pid).length) list.push(`zombies: ${zombies(daemon.pid)}`);
    if (host.locks.size) list.push(`locks are held: ${[...host.locks].map(([id, w]) => `${id} by worker ${w.number}`)}`);
    return list;
}

/** Waits until all is well; what is not after a long while is a failure. */
export async function whole(world) {
    let list = [];
    try {
        await until(async () => {
            const { result } = await world.observer.request('pool/status').answered;
            if (world.daemon.exit) throw new Error(`it has exited: ${JSON.stringify(world.daemon.exit)}`);
            list = result ? wrong(world, result) : ['no status'];
            return list.length === 0;
        }, 'the pool is whole', LIMIT_MS);
    } catch (error) {
        const workers = world.host.workers.filter((worker) => !worker.gone);
        world.report.fail('wholeness', list.join('; ') || error.message, { others: workers });
    }
}
