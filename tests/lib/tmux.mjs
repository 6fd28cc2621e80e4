// A real terminal, played by tmux: a shell on a screen of any size, which is typed to and looked at.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnv, CODEX_POOL } from './cli.mjs';
import { isAlive } from './daemon.mjs';
import { until } from './wait.mjs';

const exec = promisify(execFile);

/** For `test(name, { skip })`: why there are no terminals here, or false. In CI there must be some. */
export const noTerminal = !process.env.CI && spawnSync('tmux', ['-V']).status !== 0 && 'tmux is not installed';

export class Terminal {
    /**
     * A shell at its first prompt, "$ ". `env` is for what runs in it: the locale is UTF-8 and CODEX_POOL the
     * client's path unless it says otherwise. Nothing is left of it after the test `t`.
     */
    static async start(t, { width = 80, height = 24, env = {} } = {}) {
        const terminal = new Terminal(width, height);
        t.after(() => terminal.end());
        await terminal.#begin({ LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', CODEX_POOL, ...env });
        return terminal;
    }

    constructor(width, height) {
        Object.assign(this, { width, height });
        this.dir = mkdtempSync(join(tmpdir(), 'tmux-'));
    }

    async #begin(env) {
        const { TMUX: _, TMUX_PANE: __, ENV: ___, ...clean } = cleanEnv({ ...env, SHELL: '/bin/sh' });
        this.env = clean;
        await this.tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(this.width), '-y', String(this.height),
            "exec env 'PS1=$ ' /bin/sh");
        this.server = Number(await this.ask('#{pid}'));
        await this.tmux('set-option', '-g', 'window-size', 'manual');
        await this.shows(/^\$ ?$/);
    }

    /** A command of tmux's on this server alone; what it prints. */
    async tmux(...args) {
        return (await exec('tmux', ['-u', '-S', join(this.dir, 's'), ...args], { env: this.env })).stdout;
    }

    /** The value of a format of tmux's, such as '#{cursor_flag}'. */
    async ask(format) {
        return (await this.tmux('display-message', '-p', format)).trim();
    }

    /** What is on the screen now, without the empty lines at its end; `styled`: with its colours. */
    async screen({ styled = false } = {}) {
        return (await this.tmux('capture-pane', '-p', ...(styled ? ['-e'] : []))).replace(/\n+$/, '');
    }

    /** Waits until the screen contains a text, matches an expression or satisfies a function; the screen. */
    async shows(what) {
        let screen = '';
        const found = () => (what instanceof RegExp ? what.test(screen)
            : typeof what === 'function' ? what(screen) : screen.includes(what));
        try {
            await until(async () => {
                screen = await this.screen();
                return found();
            }, `the terminal shows ${what}`);
        } catch (error) {
            throw new Error(`${error.message}; it is\n${screen}`);
        }
        return screen;
    }

    /** Waits until the whole screen is these lines; `by` makes it comparable first. */
    async looks(lines, by = (screen) => screen) {
        const wanted = lines.join('\n');
        let last = '';
        await this.shows((screen) => (last = by(screen)) === wanted)
            .catch((error) => assert.equal(last, wanted, error.message));
    }

    /** Types characters as they are. */
    type(text) { return this.tmux('send-keys', '-l', '--', text); }

    /** Presses keys by tmux's names: 'Enter', 'Up', 'C-c'. */
    press(...keys) { return this.tmux('send-keys', ...keys); }

    /** Gives the shell a command. */
    async command(line) {
        await this.type(line);
        await this.press('Enter');
    }

    /** codex-pool with arguments, which the shell takes as they are. */
    pool(...args) { return this.command(['"$CODEX_POOL"', ...args].join(' ')); }

    async resize(width, height) {
        Object.assign(this, { width, height });
        await this.tmux('resize-window', '-x', String(width), '-y', String(height));
    }

    /** The pids of what the shell runs. */
    async children() {
        const shell = await this.ask('#{pane_pid}');
        return readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    }

    /** The pid of the one thing that the shell runs. */
    async foreground() {
        return (await this.children())[0];
    }

    /** What runs in the shell, before it would be told by the end of its terminal. */
    async #endChildren() {
        const pids = await this.children().catch(() => []); // the server may have ended by itself
        for (const pid of pids) process.kill(pid, 'SIGTERM');
        try {
            await until(() => !pids.some(isAlive), `all in the terminal has ended by SIGTERM: ${pids}`);
        } finally {
            for (const pid of pids.filter(isAlive)) process.kill(pid, 'SIGKILL');
        }
    }

    async end() {
        try {
            await this.#endChildren();
        } finally {
            await this.tmux('kill-server').catch(() => {});
            if (this.server) await until(() => !isAlive(this.server), 'tmux has ended');
            rmSync(this.dir, { recursive: true, force: true });
        }
    }
}
