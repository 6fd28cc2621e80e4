#!/usr/bin/env node
// make soak SECONDS=n SEED=s: random clients against scripted workers that misbehave at random, with invariants that
// are checked all the time from outside. Ends with a table of what was done, and PASS or FAIL (exit code 1).
import { resolve } from 'node:path';
import { readFileSync } from 'node:fs';
import { Daemon, poold } from '../lib/daemon.mjs';
import { FakeCodexHost } from '../lib/script.mjs';
import { Answers } from './answers.mjs';
import { crowd } from './clients.mjs';
import { Connection } from './connection.mjs';
import { Fifo } from './fifo.mjs';
import { BASE, operate, reload } from './operations.mjs';
import { Privacy } from './privacy.mjs';
import { Report } from './report.mjs';
import { Streams } from './streams.mjs';
import { rss, whole } from './wholeness.mjs';
import { workerClass } from './workers.mjs';

const CLIENTS = 14;
/** SOAK_TRACE=1: every message in the daemon's log. */
const LOG = process.env.SOAK_TRACE ? ['--log-level', 'trace'] : [];
/** After each the pool must be whole. */
const ROUND_S = 60;
const CONFIG = {
    poolSize: BASE.poolSize, openLingerMs: BASE.openLingerMs, interruptTimeoutMs: 1500, startTimeoutMs: 20000, drainTimeoutMs: 0,
    maxStreamsPerWorker: 200, maxQueue: 25, maxMessageBytes: 500000, clientStallTimeoutMs: 2000, codex: { args: BASE.codexArgs },
};
/** Done in every run of at least so many seconds, or it has tested nothing. What is done now and then takes longer. */
const NEEDED = [
    [15, ['answers', 'assigned', 'queued', 'turns that ran to their end', 'turns that nobody asked for', 'turn/steer',
        'thread/resume', 'sub-agents', 'garbage lines of workers', 'garbage lines of clients', 'daemon: aborted']],
    [60, ['workers killed', 'workers that died', 'reloads', 'pool/recycle', 'long lines', 'long items']],
    [300, ['pool/pause', 'pool/resume', 'pool/kick', 'pool/interrupt', 'clients that came back by pool/attach']],
];

const seconds = Number(process.argv[2] || 60);
const seed = Number(process.argv[3] || Math.floor(Math.random() * 2 ** 31));
if (!(seconds > 0) || !Number.isInteger(seed)) {
    console.error('usage: main.mjs [SECONDS [SEED]]');
    process.exit(64);
}

class World {
    constructor() {
        const directory = resolve(build, `soak-${seed}`);
        this.seed = seed;
        this.report = new Report({ seed, directory });
        this.answers = new Answers(this.report);
        this.streams = new Streams(this.report);
        this.fifo = new Fifo(this.report);
        this.privacy = new Privacy(this.report, this);
        this.known = [];
        this.clients = 0;
        this.seconds = 0;
        this.calm = true;
        this.closing = false;
    }

    async begin() {
        this.host = await FakeCodexHost.start(workerClass(this));
        this.host.openers = new Map(); // thread id -> name of the client that has it open
        this.host.askers = new Map(); // thread id -> names of those who have changed it without having it open
        this.host.lastAt = new Map(); // thread id -> the last two workers that had it loaded
        this.daemon = new Daemon({ fake: this.host, config: CONFIG, onLog: (text) => this.#log(text), args: LOG });
        this.daemon.writeConfig();
        this.daemon.spawn();
        this.report.rss = () => rss(this.daemon);
        await this.daemon.ready();
        this.observer = await Connection.open(this, 'observer');
        await whole(this);
        this.fds = this.daemon.fds();
    }

    #log(text) {
        this.report.log.add(text);
        const bad = text.match(/.*((Address|Leak|UndefinedBehavior)Sanitizer|runtime error:|Assertion).*/);
        if (bad) this.report.fail('daemon', bad[0]);
    }

    /** To a worker, if it is there. */
    signal(worker, name) {
        try {
            if (!worker.gone) process.kill(worker.pid, name);
        } catch { /* it has just ended */ }
    }

    /** Ends early where something fails. */
    sleep(ms) {
        return Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), this.report.failed]);
    }

    /** Load for a while; then all leave, all is well again, and the pool must be whole. */
    async round(number, ms) {
        this.calm = this.closing = false;
        const load = Promise.all([crowd(this, CLIENTS), operate(this, number)]);
        await this.sleep(ms);
        this.closing = true;
        await Promise.race([load, this.report.failed]);
        this.calm = true;
        if (this.report.failures.length) return;
        for (const worker of this.host.workers) this.signal(worker, 'SIGCONT');
        await this.observer.request('pool/resume').answered;
        reload(this, BASE);
        await whole(this);
        this.#forget();
        this.report.count('times the pool was whole');
    }

    /** What was is over: an hour of it would fill the memory. */
    #forget() {
        this.known.length = 0;
        for (const each of [this.host.disk, this.host.stored, this.host.openers, this.host.lastAt, this.host.askers]) each.clear();
        for (const worker of this.host.workers)
            if (worker.gone) Object.assign(worker, { events: null, answers: new Map(), threads: new Map() });
    }

    async end() {
        const { result } = await this.observer.request('pool/status').answered;
        for (const [name, n] of Object.entries(result?.counters ?? {})) this.report.count(`daemon: ${name}`, n);
        if (result) for (const name of ['p50', 'p99', 'max']) this.report.count(`daemon: ms waited, ${name}`, result.waitMs[name]);
        this.checkMemory();
        await this.observer.close();
        await this.daemon.stop();
    }

    /** What has been freed stays resident under the sanitizer, so there it says nothing. */
    checkMemory() {
        const now = rss(this.daemon);
        console.error(`RSS ${this.warm} MB after the first round, ${now} MB at the end`);
        if (!sanitized && now > this.warm + 12)
            this.report.fail('wholeness', `the daemon has grown from ${this.warm} MB to ${now} MB`);
    }

    checkDone() {
        const needed = NEEDED.filter(([from]) => seconds >= from).flatMap(([, names]) => names);
        for (const what of ['answers', ...needed])
            if (!this.report.get(what)) this.report.fail('report', `the run did nothing worth its name: no ${what}`);
    }
}

/** Once a second: who waits for answers for too long, and a line of progress now and then. */
async function observe(world) {
    const { result } = await world.observer?.request('pool/status').answered ?? {};
    if (!result) return;
    world.answers.second(result.clients);
    if (++world.seconds % 5 === 0) world.report.progress(result);
}

async function run(world) {
    const until = Date.now() + seconds * 1000;
    await world.begin();
    // A first round to warm up, whose memory is what later is compared with.
    for (let number = 1, ms = Math.min(ROUND_S, seconds / 4) * 1000; ms > 0 && !world.report.failures.length; number++) {
        await world.round(number, ms);
        world.warm ??= rss(world.daemon);
        ms = Math.min(ROUND_S * 1000, until - Date.now());
    }
    if (world.report.failures.length) return;
    await world.end();
    world.checkDone();
}

const build = process.env.CODEX_POOL_BUILD ?? 'build';
const sanitized = readFileSync(poold).includes('__asan_init');
const repeat = `make soak${build === 'build' ? '' : ` BUILD=${build}`}${sanitized ? ' SANITIZE=1' : ''} SECONDS=${seconds} SEED=${seed}`;
console.error(`soak: ${seconds} s, seed ${seed} (repeat: ${repeat})`);
const world = new World();
const ticks = setInterval(() => observe(world), 1000);
process.on('uncaughtException', (error) => world.report.fail('run', error.stack));
for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
        world.daemon?.remove();
        process.exit(130);
    });
}
try {
    await run(world);
} catch (error) {
    world.report.fail('run', error.stack);
}
clearInterval(ticks);
const well = world.report.end(repeat);
world.daemon.remove();
await world.host.stop();
process.exit(well ? 0 : 1);
