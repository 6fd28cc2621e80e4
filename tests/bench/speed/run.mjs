#!/usr/bin/env node
// What the pool costs between a worker and its reader: `make bench`. See README.md beside this file.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseArgs, promisify } from 'node:util';
import { describeMachine } from '../report.mjs';
import { addPoold, contenders, program } from './contenders.mjs';
import { hasValgrind, instructionsEach } from './instructions.mjs';
import { medians, summary, table } from './report.mjs';
import { rows } from './rows.mjs';
import { Scope, progress } from './scope.mjs';

const USAGE = `usage: run.mjs [--only ROW,...] [--contenders NAME,...] [--rounds N] [--poold NAME=PROGRAM]... [--fast] [--json]
rows: ${Object.keys(rows).join(' ')}
contenders: ${Object.keys(contenders).join(' ')}`;
/** With whom all are compared. */
const OTHERS = ['floor', 'socat', 'node'];
/** All on this core, where a row wants one: the last that may be used. */
const CPU = Number(readFileSync('/proc/self/status', 'utf8').match(/^Cpus_allowed_list:.*?(\d+)$/m)[1]);
const ROUNDS = { slow: 9, fast: 2 };
const FAST_SHARE = 0.05;
/** One that takes longer does not come to an end. */
const LIMIT_MS = 60000;
/** What takes a contender that is slower than the others about as long as them. */
const NODE_SHARE = { even: 0.5, uneven: 0.05 };

const run = promisify(execFile);

function usage() {
    console.error(USAGE);
    process.exit(64);
}

function readSettings() {
    const options = {
        only: { type: 'string' }, contenders: { type: 'string' }, rounds: { type: 'string' },
        poold: { type: 'string', multiple: true }, json: { type: 'boolean' }, fast: { type: 'boolean' },
    };
    try {
        const { values } = parseArgs({ options });
        const added = (values.poold ?? []).map((each) => each.split('='));
        for (const [name, path] of added) addPoold(name, path);
        const fast = values.fast || Boolean(Number(process.env.FAST));
        const settings = {
            fast, json: values.json, added: added.map(([name]) => name),
            only: values.only?.split(',') ?? Object.keys(rows), contenders: values.contenders?.split(','),
            judged: ['poold', ...added.map(([name]) => name)],
            rounds: Number(values.rounds ?? (fast ? ROUNDS.fast : ROUNDS.slow)),
        };
        const good = settings.only.every((name) => rows[name]) && settings.rounds >= 1
            && (settings.contenders ?? []).every((name) => contenders[name]);
        return good ? settings : usage();
    } catch {
        return usage();
    }
}

class Row {
    constructor(name, settings, scope) {
        Object.assign(this, { name, settings, scope, row: rows[name], relays: {} });
        const { on, scan } = this.row;
        const all = [...on, ...(on.includes('poold') && !scan ? settings.added : [])];
        const chosen = [...(settings.contenders ?? all), ...settings.added];
        this.names = scan ? all : all.filter((each) => chosen.includes(each));
        this.rounds = Math.max(1, Math.round(settings.rounds / (this.row.fewer ?? 1)));
    }

    /** By contender the figures of each round. */
    async measure() {
        const results = Object.fromEntries(this.names.map((each) => [each, []]));
        try {
            for (let round = 1; round <= this.rounds; round++) {
                progress(`${this.row.title}: round ${round} of ${this.rounds}`);
                await (this.row.scan ? this.#scan(results) : this.#round(results));
            }
        } finally {
            await this.scope.end();
        }
        return results;
    }

    /** Of each daemon, where they are counted: { name: number }. */
    async instructions() {
        const { title, instructions, workers } = this.row;
        const counted = {};
        if (!instructions) return counted;
        for (const name of this.names.filter((each) => this.settings.judged.includes(each))) {
            progress(`${title}: instructions of ${name}`);
            counted[name] = await instructionsEach(this.scope, name, { workers, ...instructions });
        }
        return counted;
    }

    async #round(results) {
        for (const name of this.names) {
            const relay = this.relays[name] ??= await this.#start(name);
            results[name].push(await this.#load(name, relay));
            if (!this.row.fresh) continue;
            await this.scope.end();
            this.relays = {};
        }
    }

    #start(name) {
        const { workers, pin } = this.row;
        return contenders[name].start(this.scope, { workers, cpu: pin && CPU });
    }

    async #load(name, { socket, pid }) {
        const { row, settings: { fast } } = this;
        const share = (fast ? FAST_SHARE : 1) * (name !== 'node' ? 1 : row.even ? NODE_SHARE.even : NODE_SHARE.uneven);
        const to = socket ? ['--socket', socket, '--relay', pid] : ['--worker', program('worker')];
        const pinned = row.pin ? ['--cpu', CPU] : [];
        const { stdout } = await run(program('load'), [...row.load(share, fast), ...pinned, ...to].map(String), { timeout: LIMIT_MS })
            .catch(({ stderr, message }) => { throw new Error(`${row.title}, ${name}: ${stderr.trim() || message}`); });
        return row.figures(JSON.parse(stdout));
    }

    async #scan(results) {
        const seconds = this.settings.fast ? 0.05 : 0.3;
        const { stdout } = await run(program('scan'), [this.row.scan, seconds].map(String));
        const found = JSON.parse(stdout);
        results.cjson.push({ ns: found.cjsonNs, allocations: found.cjsonAllocations });
        results.poold.push({ ns: found.scanNs, allocations: found.scanAllocations });
    }
}

const settings = readSettings();
const scope = new Scope().endOnSignals();
const results = {};
const instructions = {};
const counts = !settings.fast && await hasValgrind();
try {
    for (const name of settings.only) {
        const row = new Row(name, settings, scope);
        results[name] = await row.measure();
        instructions[name] = counts ? await row.instructions() : {};
    }
} catch (error) {
    console.error(error.message);
    process.exit(1);
}
if (settings.json) {
    console.log(JSON.stringify({ machine: describeMachine(), fast: settings.fast, results, medians: medians(results), instructions }));
} else {
    console.log(describeMachine());
    if (settings.fast) console.log('FAST: few rounds of few messages, to see that it works; the figures mean little');
    console.log(`\n${table(rows, results, settings.judged, OTHERS, instructions)}\n\n${summary(rows, results, 'poold')}`);
}
