// Instructions that the daemon itself runs for a message, counted by callgrind: the same on a busy machine as on a
// quiet one. What the kernel does for it is not in them.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { contenders, program } from './contenders.mjs';

const run = promisify(execFile);

/** What takes the daemon up to a hundred times as long may, under valgrind, take longer than this. */
const LIMIT_MS = 120000;

/** Of a daemon that is started, does what `args` ask for, and stops. */
async function total(scope, name, workers, args) {
    let relay;
    try {
        const wrapper = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null'];
        relay = await contenders[name].start(scope, { workers, wrapper });
        await run(program('load'), [...args, '--socket', relay.socket].map(String), { timeout: LIMIT_MS });
    } finally {
        await scope.end();
    }
    return Number(relay.daemon.log.match(/^==\d+== Collected : (\d+)$/m)[1]);
}

/**
 * For each of `count` messages of a load, beyond those of starting and stopping. `load(count)`: its arguments. Ends the
 * scope, in which nothing else may run.
 */
export async function instructionsEach(scope, name, { workers, count, load }) {
    const less = await total(scope, name, workers, load(count));
    const more = await total(scope, name, workers, load(2 * count));
    return (more - less) / count;
}

export const hasValgrind = () => run('valgrind', ['--version']).then(() => true, () => false);
