// Codex's own terminal interface, on a terminal that tmux keeps.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { codexBinary } from './codex-home.mjs';
import { isAlive } from './daemon.mjs';
import { until } from './wait.mjs';

export const hasTmux = () => spawnSync('tmux', ['-V']).status === 0;

export class Tui {
    /** `codex ARGS --remote` on the socket, with the home of a rig, with which it ends. */
    static async start(rig, args = []) {
        const self = new Tui();
        self.env = { PATH: process.env.PATH, TERM: 'xterm-256color', LANG: 'C.UTF-8', ...rig.home.env };
        for (const name of ['TMPDIR', 'CODEX_POOL_CHECK']) if (process.env[name]) self.env[name] = process.env[name];
        self.server = join(rig.home.dir, `tmux-${rig.tuis = (rig.tuis ?? 0) + 1}`);
        rig.clients.push(self);
        const command = [codexBinary(), ...args, '--remote', `unix://${rig.daemon.socket}`, '-C', rig.home.cwd,
            '-c', 'disable_paste_burst=true'];
        const { status, stderr } = self.tmux('new-session', '-d', '-x', '120', '-y', '50', ...command);
        if (status !== 0) throw new Error(`tmux: ${stderr}`);
        // What it says when it has ended is still to be read.
        self.tmux('set-option', '-g', 'remain-on-exit', 'on');
        self.pid = Number(self.tmux('display-message', '-p', '#{pid}').stdout);
        await self.shows(/› \w.*\n/);
        return self;
    }

    tmux(...args) {
        return spawnSync('tmux', ['-S', this.server, '-f', '/dev/null', ...args], { env: this.env, encoding: 'utf8' });
    }

    get screen() { return this.tmux('capture-pane', '-p', '-S', '-200').stdout; }

    /** Until it is on the screen. */
    async shows(what) {
        const there = (text) => (typeof what === 'string' ? text.includes(what) : what.test(text));
        let last = '';
        await until(() => there(last = this.screen), `the terminal shows ${what}`).catch((error) => {
            throw new Error(`${error.message}:\n${last}`);
        });
    }

    key(name) { this.tmux('send-keys', name); }

    /** Presses a key until it has done what it should: for a while it takes none, lest one be meant for what was before. */
    async press(name, done) {
        let last = 0;
        await until(() => {
            if (done(this.screen)) return true;
            if (Date.now() - last < 1000) return false;
            last = Date.now();
            this.key(name);
            return false;
        }, `${name} has done it`).catch((error) => {
            throw new Error(`${error.message}:\n${this.screen}`);
        });
    }

    /** Types a line that is not on the screen yet, and enters it. */
    async enter(text) {
        this.key('C-u');
        this.tmux('send-keys', '-l', text);
        await this.shows(`› ${text}`);
        await this.press('Enter', (screen) => !screen.trimEnd().split('\n').slice(-8).includes(`› ${text}`));
    }

    /** Whatever it does: it and its terminal are gone then. */
    async close() {
        this.tmux('kill-server');
        await until(() => !isAlive(this.pid), 'tmux has ended');
    }

    /** Leaves it, and awaits its end. */
    async quit() {
        this.key('C-u');
        this.tmux('send-keys', '-l', '/quit');
        await this.shows('› /quit');
        const ended = () => this.tmux('display-message', '-p', '#{pane_dead}').stdout.trim() === '1';
        await this.press('Enter', ended);
    }
}
