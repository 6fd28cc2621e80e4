// A CODEX_HOME of its own for real Codex workers: a local model, an empty HOME, nothing of the user's.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MODULES = path.join(ROOT, 'build/npm/node_modules');

/** The program that npm puts on the path: a Node.js script that starts the native one. */
export const codexWrapper = path.join(MODULES, '.bin/codex');

/** Codex itself, or the one that $TEST_CODEX names. Fails with what to do where it is not installed. */
export function codexBinary() {
    if (process.env.TEST_CODEX) return process.env.TEST_CODEX;
    const vendor = path.join(MODULES, `@openai/codex-linux-${process.arch}/vendor`);
    const [target] = fs.existsSync(vendor) ? fs.readdirSync(vendor) : [];
    const binary = path.join(vendor, target ?? '', 'bin/codex');
    if (!target || !fs.existsSync(binary)) {
        throw new Error(`no Codex below ${vendor}: run \`make npm\` first`);
    }
    return binary;
}

/**
 * Makes the folders. `model` is the URL of a model server; `settings` are lines for the top of config.toml.
 * By default Codex asks nobody and sandboxes nothing: the commands are harmless, and not every machine can
 * sandbox.
 */
export function makeCodexHome({ model, settings = [], policy = 'never', sandbox = 'danger-full-access' }) {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'codex-pool-home-'));
    return new CodexHome(dir, { model, settings, policy, sandbox });
}

class CodexHome {
    constructor(dir, { model, settings, policy, sandbox }) {
        this.dir = dir;
        this.home = this.folder('home');
        this.codexHome = this.folder('codex');
        /** Where the threads work. */
        this.cwd = this.folder('work');
        /** For a worker, on top of what it inherits. */
        this.env = { HOME: this.home, CODEX_HOME: this.codexHome, RUST_LOG: 'error' };
        const lines = [
            'model = "local"',
            'model_provider = "local"',
            `approval_policy = "${policy}"`,
            `sandbox_mode = "${sandbox}"`,
            'check_for_update_on_startup = false',
            ...settings,
            '[model_providers.local]',
            'name = "local"',
            `base_url = "${model}"`,
            'wire_api = "responses"',
            `[projects."${this.cwd}"]`,
            'trust_level = "trusted"',
        ];
        this.lines = lines;
        this.configure();
    }

    /** Writes config.toml, with more lines at its top than before. */
    configure(...settings) {
        this.lines.unshift(...settings);
        fs.writeFileSync(path.join(this.codexHome, 'config.toml'), `${this.lines.join('\n')}\n`);
    }

    folder(name) {
        const folder = path.join(this.dir, name);
        fs.mkdirSync(folder);
        return folder;
    }

    /**
     * The ids of the threads whose writer lock some process holds now. The file alone proves nothing: a Codex that
     * closes two threads at once leaves one behind, unlocked.
     */
    locks() {
        const folder = path.join(this.codexHome, 'thread-writer-locks');
        const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
        const held = heldInodes();
        return names
            .filter((name) => !name.startsWith('.') && held.has(inodeOf(path.join(folder, name))))
            .map((name) => name.replace(/\.lock$/, ''));
    }

    /** The pids of all processes with this home: workers, their shells, what those left behind. */
    processes() {
        const pids = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
        return pids.filter((pid) => this.isEnvironmentOf(pid)).map(Number);
    }

    isEnvironmentOf(pid) {
        try {
            return fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`HOME=${this.home}`);
        } catch {
            return false;
        }
    }

    /** Kills what still runs and removes the folders. Returns how many processes it had to kill. */
    dispose() {
        const left = this.processes();
        for (const pid of left) {
            try {
                process.kill(pid, 'SIGKILL');
            } catch {
                // gone meanwhile
            }
        }
        fs.rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
        return left.length;
    }
}

/** The inodes that somebody holds an flock on: lines such as "3: FLOCK  ADVISORY  WRITE 812 fe:00:1835 0 EOF". */
function heldInodes() {
    const lines = fs.readFileSync('/proc/locks', 'utf8').matchAll(/^\d+: FLOCK .* \S+:\S+:(\d+) /gm);
    return new Set(Array.from(lines, ([, inode]) => inode));
}

/** The file's inode as text; of a file that is gone, none. */
function inodeOf(file) {
    return fs.statSync(file, { throwIfNoEntry: false })?.ino.toString();
}
