// What happens to the daemon and its workers from outside: signals, reloads, turns out of nowhere.
import { end } from './misbehaviour.mjs';
import { Random } from './random.mjs';
import { STEERING } from './steering.mjs';
import { beginAlone } from './turns.mjs';

export const BASE = { poolSize: 3, codexArgs: ['app-server'], openLingerMs: 100 };

/** Writes the configuration and has it read. */
export function reload(world, { poolSize, codexArgs, openLingerMs }) {
    world.daemon.writeConfig({ poolSize, openLingerMs, codex: { args: codexArgs } });
    world.daemon.signal('SIGHUP');
}

const alive = (world) => world.host.workers.filter((worker) => !worker.gone);

function kill(world, rng) {
    const worker = rng.pick(alive(world));
    if (!worker) return;
    world.report.count('workers killed');
    world.signal(worker, 'SIGKILL');
}

/** It stands still for a while. */
function stop(world, rng) {
    const worker = rng.pick(alive(world));
    if (!worker || worker.stopped) return;
    world.report.count('workers stopped for a while');
    worker.stopped = true;
    world.signal(worker, 'SIGSTOP');
    setTimeout(() => {
        world.signal(worker, 'SIGCONT');
        worker.stopped = false;
    }, rng.chance(0.2) ? rng.between(1000, 2500) : rng.below(500));
}

function reloadChanged(world, rng) {
    world.report.count('reloads');
    const codexArgs = rng.chance(0.5) ? [...BASE.codexArgs, `--soak-${rng.below(1000)}`] : BASE.codexArgs;
    reload(world, { poolSize: rng.between(2, 5), codexArgs, openLingerMs: rng.between(50, 200) });
}

function reloadNonsense(world) {
    world.report.count('reloads of a bad file');
    world.daemon.writeConfig({ poolSize: -1 });
    world.daemon.signal('SIGHUP');
}

/** A turn begins where nothing runs. */
function startTurn(world, rng) {
    const worker = rng.pick(alive(world));
    const idle = [...worker?.threads.values() ?? []].filter((thread) => !thread.turn && !thread.closing && !thread.parent);
    if (idle.length) beginAlone(worker, rng.pick(idle).id);
}

/** It ends by itself, perhaps in the middle of a line. */
function die(world, rng) {
    const worker = rng.pick(alive(world));
    if (worker) end(worker);
}

/** It leaves a process behind, whose parent it is not any more, or which has left its group and holds its pipes. */
function orphan(world, rng) {
    const worker = rng.pick(alive(world));
    world.report.count('processes left behind by workers');
    worker?.order({ [rng.pick(['orphan', 'spawn'])]: true });
}

const OPERATIONS = [kill, kill, die, die, stop, stop, orphan, reloadChanged, reloadChanged, reloadNonsense, startTurn, startTurn,
    startTurn, startTurn, ...STEERING];

/** All of them in any order, again and again, until the world closes. */
export async function operate(world, round) {
    const rng = new Random(world.seed, 'operations', round);
    let deck = [];
    while (!world.closing) {
        if (!deck.length) deck = [...OPERATIONS];
        await world.sleep(rng.between(200, 1300));
        const [operation] = deck.splice(rng.below(deck.length), 1);
        if (!world.closing) operation(world, rng);
    }
}
