// Runs the real codex-poold in a directory of its own, and sees to it that nothing of it is left.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PoolClient } from './client.mjs';
import { FakeCodexHost } from './script.mjs';
import { until, within } from './wait.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const build = resolve(root, process.env.CODEX_POOL_BUILD ?? 'build');
export const poold = join(build, 'codex-poold');
export const pool = join(build, 'codex-pool');

/** Marks every process that a test has started, also those that have lost their parent. */
const MARK = `CODEX_POOL_TEST=${process.pid}.${Date.now()}`;
let started = 0;

/** Pids of all that carries a mark, zombies left out. */
export function marked(mark) {
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
        try {
            if (/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return false;
            return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark);
        } catch {
            return false;
        }
    }).map(Number);
}

export function isAlive(pid) {
    try {
        return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
        return false;
    }
}

/** Runs the daemon to its end: {code, stdout, stderr}. For --check-config and failures to start. */
export function runDaemon(args, env = {}) {
    const result = spawnSync(poold, args, { env: { ...cleanEnv(), ...env }, encoding: 'utf8', timeout: 60000 });
    return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** Nothing of the caller's own Codex or pool. */
export function cleanEnv() {
    const { PATH, ASAN_OPTIONS, UBSAN_OPTIONS, LSAN_OPTIONS, CODEX_POOL_CHECK, TMPDIR } = process.env;
    const env = { PATH, HOME: '/nonexistent', LANG: 'C' };
    return Object.assign(env, ASAN_OPTIONS && { ASAN_OPTIONS }, UBSAN_OPTIONS && { UBSAN_OPTIONS },
        CODEX_POOL_CHECK && { CODEX_POOL_CHECK }, TMPDIR && { TMPDIR },
        LSAN_OPTIONS && { LSAN_OPTIONS });
}

export class Daemon {
    constructor(options) {
        this.options = options;
        this.dir = mkdtempSync(join(tmpdir(), 'codex-pool-'));
        this.socket = join(this.dir, 'run', 'pool.sock');
        this.configFile = join(this.dir, 'config.json');
        this.log = '';
        this.mark = `${MARK}.${++started}`;
        for (const name of ['run', 'home', 'codex-home']) mkdirSync(join(this.dir, name), { mode: 0o700 });
    }

    /** The configuration file, with the fake Codex as command where there is one. */
    writeConfig(changes = {}) {
        this.options.config = { ...this.options.config, ...changes };
        const { codex = {}, ...rest } = this.options.config;
        const { fake } = this.options;
        const env = { HOME: join(this.dir, 'home'), CODEX_HOME: join(this.dir, 'codex-home'), ...fake?.env, ...codex.env };
        const command = codex.command ?? fake?.command;
        const config = { ...rest, codex: { ...codex, ...(command && { command }), env } };
        // Whole from the first moment on: a daemon may be about to read it.
        writeFileSync(`${this.configFile}.new`, JSON.stringify(config));
        renameSync(`${this.configFile}.new`, this.configFile);
    }

    spawn() {
        const { args = [], env = {}, stdio = [], wrapper = [] } = this.options;
        const [name, value] = [this.mark.slice(0, this.mark.indexOf('=')), this.mark.slice(this.mark.indexOf('=') + 1)];
        const command = [...wrapper, this.options.poold ?? poold, '--config', this.configFile, '--socket', this.socket,
            '--log-level', 'debug', ...args];
        this.child = spawn(command[0], command.slice(1), {
            env: { ...cleanEnv(), [name]: value, ...env }, stdio: ['ignore', 'ignore', 'pipe', ...stdio],
        });
        this.child.stderr.setEncoding('utf8');
        this.child.stderr.on('data', this.options.onLog ?? ((text) => { this.log += text; }));
        this.exited = new Promise((done) => this.child.once('close', (code, signal) => {
            this.exit = { code, signal };
            done(this.exit);
        }));
    }

    /** Until it answers on its socket. */
    async ready() {
        await until(async () => {
            if (this.exit) throw new Error(`codex-poold exited: ${JSON.stringify(this.exit)}\n${this.log}`);
            const client = await PoolClient.connect(this.socket, 'probe').catch(() => null);
            if (!client) return false;
            await client.request('pool/ping');
            await client.close();
            return true;
        }, 'codex-poold answers');
        return this;
    }

    get pid() { return this.child.pid; }

    async status() {
        const client = await PoolClient.connect(this.socket, 'status');
        const status = await client.request('pool/status');
        await client.close();
        return status;
    }

    /** Polls the status, for what is told to nobody. */
    untilStatus(probe, what) {
        return until(async () => {
            const status = await this.status();
            return probe(status) && status;
        }, what);
    }

    untilLog(pattern) {
        return until(() => this.log.match(pattern), `the log has ${pattern}`);
    }

    signal(name) { this.child.kill(name); }

    fds() {
        return readdirSync(`/proc/${this.pid}/fd`).map((fd) => {
            try { return readlinkSync(`/proc/${this.pid}/fd/${fd}`); } catch { return ''; }
        }).filter(Boolean);
    }

    /** Everything that it has started, itself not. */
    children() { return marked(this.mark).filter((pid) => pid !== this.pid); }

    /** Ends it and checks that nothing is left. */
    async stop({ signal = 'SIGTERM', code = 0 } = {}) {
        if (!this.exit) this.child.kill(signal);
        const exit = await within(this.exited, 'codex-poold to exit');
        await until(() => marked(this.mark).length === 0, `nothing of codex-poold is left: ${marked(this.mark)}`);
        assert.doesNotMatch(this.log, /(Address|Leak|UndefinedBehavior)Sanitizer|runtime error:/, this.log);
        assert.deepEqual(exit, { code, signal: null }, this.log);
        assert.equal(existsSync(this.socket), false, 'the socket file is gone');
    }

    /** Whatever happened, nothing may stay behind. */
    remove() {
        for (const pid of marked(this.mark)) {
            try { process.kill(pid, 'SIGKILL'); } catch { /* gone meanwhile */ }
        }
        rmSync(this.dir, { recursive: true, force: true });
    }
}

/**
 * Starts a daemon for a test (its context is `t`), which is stopped and checked at the test's end.
 * `fake`: a FakeCodexHost, false for the real Codex, or nothing for a host of its own (daemon.fake).
 */
export async function startDaemon(t, options = {}) {
    const own = options.fake === undefined;
    const fake = own ? await FakeCodexHost.start() : options.fake;
    const daemon = new Daemon({ ...options, fake });
    daemon.fake = fake;
    daemon.writeConfig();
    let failed = true;
    t.after(async () => {
        try {
            if (!options.endsItself) await daemon.stop();
            failed = false;
        } finally {
            if (failed || t.passed === false) console.error(`--- log of codex-poold\n${daemon.log}`);
            daemon.remove();
            if (own) await fake.stop();
        }
    });
    daemon.spawn();
    return options.waitReady === false ? daemon : daemon.ready();
}

/** A daemon with its first worker(s) ready: [daemon, ...workers]. */
export async function startPool(t, poolSize = 1, options = {}) {
    const daemon = await startDaemon(t, { ...options, config: { poolSize, ...options.config } });
    const workers = [];
    for (let i = 0; i < poolSize; i++) workers.push(await daemon.fake.worker());
    await daemon.untilStatus((s) => s.pool.ready === poolSize, 'all workers are ready');
    return [daemon, ...workers];
}
