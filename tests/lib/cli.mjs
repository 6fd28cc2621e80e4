// The command line client as a process: its output as it comes, its end, its signals, its terminal.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { until, within } from './wait.mjs';

export const CODEX_POOL = resolve(process.env.CODEX_POOL_BUILD ?? 'build', 'codex-pool');

/** The environment that a client sees: nothing of this machine's own that matters to it. */
export function cleanEnv(more = {}) {
    const env = { ...process.env, TERM: 'xterm', ...more };
    for (const name of ['CODEX_POOL_SOCKET', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'NO_COLOR'])
        if (!(name in more)) delete env[name];
    return env;
}

const quote = (word) => `'${String(word).replaceAll('\'', '\'\\\'\'')}'`;

/** A process whose output is kept. Ended at the end of the test `t`, if it has not by itself. */
export class Process {
    constructor(t, command, args, options = {}) {
        this.out = '';
        this.err = '';
        this.child = spawn(command, args, { ...options, env: cleanEnv(options.env) });
        this.child.stdin?.on('error', () => {});
        if (options.read !== false) this.read();
        this.child.stderr?.setEncoding('utf8').on('data', (text) => { this.err += text; });
        this.done = once(this.child, 'close').then(([code, signal]) => ({
            code, signal, out: this.out, err: this.err,
        }));
        t.after(async () => {
            this.#end(options.detached);
            this.child.stdout?.destroy();
            this.child.stderr?.destroy();
            await this.done;
        });
        if (options.input !== undefined) this.child.stdin.end(options.input);
    }

    /** With all that it has started, where it leads a group. */
    #end(group) {
        if (!group) {
            this.child.kill('SIGKILL');
            return;
        }
        try {
            process.kill(-this.pid, 'SIGKILL');
        } catch { /* gone already */ }
    }

    /** Starts to read standard output. */
    read() {
        this.child.stdout?.setEncoding('utf8').on('data', (text) => { this.out += text; });
    }

    get pid() { return this.child.pid; }

    write(bytes) { this.child.stdin.write(bytes); }

    kill(signal) { this.child.kill(signal); }

    /** Waits until standard output (or `from`: 'err') contains a text or matches an expression. */
    shows(what, from = 'out') {
        const found = () => (what instanceof RegExp ? what.test(this[from]) : this[from].includes(what));
        return until(found, `${from} shows ${what}; it is ${JSON.stringify(this[from])}`)
            .catch(() => { throw new Error(`never showed ${what}: ${JSON.stringify(this[from])}`); });
    }

    /** { code, signal, out, err } once it has ended and all its output is read. */
    end() {
        return within(this.done, `the end of the client; it said ${JSON.stringify(this.out + this.err)}`);
    }
}

/** codex-pool with arguments; standard input is empty unless `input` or `stdio` says otherwise. */
export function cli(t, args, options = {}) {
    const input = options.input === undefined && !options.stdio && !options.openInput ? '' : options.input;
    return new Process(t, CODEX_POOL, args, { ...options, input });
}

/** Runs to the end. */
export function run(t, args, options) {
    return cli(t, args, options).end();
}

/** A shell command; CODEX_POOL is in its environment. */
export function shell(t, script, options = {}) {
    const env = { ...options.env, CODEX_POOL };
    return new Process(t, '/bin/bash', ['-c', script], { ...options, env, detached: true });
}

/**
 * codex-pool on a terminal of its own: `out` is what the screen is sent, `write` what is typed.
 * `redirect` is shell syntax (such as `>file`) for what is not to be on the terminal.
 */
export function onTerminal(t, args, { redirect = '', ...options } = {}) {
    // exec: a shell that waited would take Ctrl-C as well, and its own end would be what is seen.
    const command = `exec ${[CODEX_POOL, ...args].map(quote).join(' ')} ${redirect}`;
    return new Process(t, 'script', ['-qec', command, '/dev/null'], options);
}

export const CTRL_C = '\x03';
export const CTRL_D = '\x04';
