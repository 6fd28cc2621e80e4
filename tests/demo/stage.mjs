// Where the demo plays: a temp dir with a daemon in it, on a local model or on the user's own login.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PoolClient } from '../lib/client.mjs';
import { codexBinary, makeCodexHome } from '../lib/codex-home.mjs';
import { chat, startModelServer } from '../lib/model-server.mjs';
import { within } from '../lib/wait.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD = path.resolve(ROOT, process.env.CODEX_POOL_BUILD ?? 'build');
const PATIENCE_MS = 20000;
const STOP_MS = 3000;

/** Says in plain words what is missing; no stack is shown. */
export class Refusal extends Error {}

export class Stage {
    constructor(login) {
        this.login = login;
        this.program = path.join(BUILD, 'codex-pool');
        this.env = process.env;
        this.log = '';
    }

    /** A local model and a home of its own, or the user's. Says in a line which. */
    async furnish() {
        for (const program of ['codex-pool', 'codex-poold']) {
            if (!fs.existsSync(path.join(BUILD, program))) {
                throw new Refusal(`there is no ${path.join(BUILD, program)}: run \`make demo\``);
            }
        }
        return this.login ? this.useLogin() : this.useLocalModel();
    }

    useLogin() {
        const home = process.env.CODEX_HOME || path.join(os.homedir(), '.codex');
        if (!fs.existsSync(path.join(home, 'auth.json'))) {
            throw new Refusal(
                `LOGIN=1 needs a login, and there is no ${path.join(home, 'auth.json')}.\n` +
                    'Log in with `build/npm/node_modules/.bin/codex login`, or run `make demo` without LOGIN.',
            );
        }
        this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'codex-pool-demo-'));
        this.cwd = path.join(this.dir, 'work');
        fs.mkdirSync(this.cwd);
        this.codexEnv = {};
        return `Model: your own login in ${home}. The threads are deleted afterwards.`;
    }

    async useLocalModel() {
        this.model = await startModelServer({ behaviour: chat({ wordMs: 70 }) });
        this.home = makeCodexHome({ model: this.model.url });
        this.dir = this.home.dir;
        this.cwd = this.home.cwd;
        this.codexEnv = this.home.env;
        return (
            `Model: a small one on this machine, on port ${this.model.port}; no account is needed.
` + 'With `make demo LOGIN=1` it is your own login.'
        );
    }

    /** Starts the daemon; resolves with its status when so many workers are ready. */
    async open(workers) {
        this.socket = path.join(this.dir, 'pool.sock');
        const config = path.join(this.dir, 'config.json');
        fs.writeFileSync(
            config,
            JSON.stringify({ poolSize: workers, drainTimeoutMs: 1000, codex: this.codex() }),
        );
        this.daemon = spawn(path.join(BUILD, 'codex-poold'), ['--config', config, '--socket', this.socket], {
            cwd: this.cwd,
            env: this.env,
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        this.daemon.stderr.on('data', (text) => (this.log = (this.log + text).slice(-20000)));
        this.daemonExited = new Promise((resolve) => {
            this.daemon.once('error', resolve);
            this.daemon.once('exit', (code, signal) => resolve(signal ?? code));
        });
        this.daemonExited.then((exit) => (this.daemonExit = exit));
        const status = await this.poll(({ pool }) => pool.ready === workers);
        this.workerPids = status.workers.map(({ pid }) => pid);
        return status;
    }

    /** Reads only, asks nobody: on a login nothing that the model says can do harm. */
    codex() {
        const settings = [
            'thread_unload_delay_secs=0',
            'sandbox_mode="read-only"',
            'approval_policy="never"',
        ];
        const args = [...settings.flatMap((setting) => ['-c', setting]), 'app-server'];
        return { command: codexBinary(), args, env: this.codexEnv };
    }

    async poll(accepts) {
        const end = performance.now() + PATIENCE_MS;
        for (;;) {
            const status = await this.status().catch(() => null);
            if (status && accepts(status)) {
                return status;
            }
            if (this.daemonExit !== undefined || performance.now() > end) {
                throw new Error('the daemon did not get ready');
            }
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    }

    async status() {
        this.control ??= await PoolClient.connect(this.socket, 'demo');
        return this.control.request('pool/status');
    }

    /** What a login would keep of the demo. */
    async deleteThreads(ids) {
        await this.control.initialize();
        for (const threadId of ids) {
            await this.control.request('thread/delete', { threadId });
        }
    }

    /** Ends all and removes all, at any moment; `threads` are the ids of ours. Gives what was wrong, as lines. */
    async close(threads) {
        const wrong = [];
        if (this.login && this.workerPids && threads.size > 0) {
            const deleted = within(this.deleteThreads(threads), 'the threads to be deleted', STOP_MS);
            await deleted.catch((error) => wrong.push(`threads were left: ${error.message}`));
        }
        await this.control?.close();
        if (this.daemon) {
            const exit = await this.stopDaemon();
            // Stopped before it was ready, a signal may have ended it before it could listen to signals.
            if (exit !== 0 && this.workerPids) {
                wrong.push(`the daemon ended with ${exit}`);
            }
        }
        wrong.push(...this.leftovers());
        this.home?.dispose();
        await this.model?.close();
        if (this.dir) {
            fs.rmSync(this.dir, { recursive: true, force: true });
        }
        return wrong;
    }

    /** First politely, then with a second signal, then for good. */
    async stopDaemon() {
        for (const signal of ['SIGTERM', 'SIGTERM', 'SIGKILL']) {
            if (this.daemonExit === undefined) {
                this.daemon.kill(signal);
            }
            let timer;
            const late = new Promise((resolve) => (timer = setTimeout(resolve, STOP_MS)));
            await Promise.race([this.daemonExited, late]);
            clearTimeout(timer);
        }
        return this.daemonExited;
    }

    leftovers() {
        const pids = this.home ? this.home.processes() : (this.workerPids ?? []).filter(isAlive);
        const wrong = pids.map((pid) => `process ${pid} was left`);
        if (this.socket && fs.existsSync(this.socket)) {
            wrong.push('the socket file was left');
        }
        return wrong;
    }
}

function isAlive(pid) {
    try {
        process.kill(pid, 0);
        return true;
    } catch {
        return false;
    }
}
