// `make demo-chat`: the chat server of client/node/example on a pool of one worker, until Ctrl-C. Open it in two tabs.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Refusal, Stage } from './stage.mjs';

const SERVER = fileURLToPath(new URL('../../client/node/example/server.mjs', import.meta.url));

const stage = new Stage(process.env.LOGIN === '1');
let server;
let ended = false;

/** Starts the server, prints its address, and waits until somebody ends it. */
async function play(asked) {
    console.log(await stage.furnish());
    await stage.open(1);
    if (ended) return;
    const env = { ...process.env, CODEX_POOL: stage.program, CODEX_POOL_SOCKET: stage.socket };
    if (!stage.login) env.MODEL = 'local';
    server = spawn(process.execPath, [SERVER], { cwd: stage.cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
    server.exited = once(server, 'exit');
    const [address] = await once(createInterface({ input: server.stdout }), 'line');
    console.log(`Chat: ${address}  (two tabs share one worker; Ctrl-C ends it all)`);
    await Promise.race([asked, server.exited]);
}

/** @returns {Promise<void>} a promise of the first signal */
function signals() {
    return new Promise((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
            process.on(signal, () => {
                ended = true;
                resolve();
            });
        }
    });
}

async function close() {
    if (server) {
        server.kill();
        await server.exited;
    }
    const wrong = await stage.close(new Set());
    wrong.forEach((line) => console.error(line));
    return wrong.length === 0;
}

try {
    await play(signals());
} catch (error) {
    if (!ended) console.error(error instanceof Refusal ? error.message : error);
    process.exitCode = ended ? 0 : 1;
}
if (!(await close())) process.exitCode = 1;
