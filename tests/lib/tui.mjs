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
        const command = [codexBinary(), ...args, '--remote', `unix://${rig.daemon.socket}`, '-C', rig.home.cwd];
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

    /** Types a line, and enters it once it is there: keys that come all at once are taken for a paste. */
    async enter(text) {
        this.tmux('send-keys', '-l', text);
        await this.shows(`› ${text}`);
        this.key('Enter');
    }

    /** Whatever it does: it and its terminal are gone then. */
    async close() {
        this.tmux('kill-server');
        await until(() => !isAlive(this.pid), 'tmux has ended');
    }

    /** Leaves it, and awaits its end. */
    async quit() {
        await this.enter('/quit');
        await until(() => this.tmux('display-message', '-p', '#{pane_dead}').stdout.trim() === '1', 'it has ended');
    }
}
