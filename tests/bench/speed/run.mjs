#!/usr/bin/env node
// What the pool costs between a worker and its reader: `make bench`. See ../README.md.
//   run.mjs [--only ROW,...] [--contenders NAME,...] [--rounds N] [--poold NAME=PROGRAM] [--json]
import { execFile } from 'node:child_process';
import { parseArgs, promisify } from 'node:util';
import { addPoold, contenders, program } from './contenders.mjs';
import { rows } from './rows.mjs';

const { values: args } = parseArgs({
    options: {
        only: { type: 'string' }, contenders: { type: 'string' }, rounds: { type: 'string' },
        poold: { type: 'string', multiple: true }, json: { type: 'boolean' },
    },
});
for (const each of args.poold ?? []) addPoold(...each.split('='));

const run = promisify(execFile);
const progress = (text) => console.error(`[${process.uptime().toFixed(0).padStart(4)} s] ${text}`);
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

class Scope {
    constructor() { this.undo = []; }
    after(undo) { this.undo.push(undo); }
    async end() { for (const undo of this.undo.reverse()) await undo(); }
}

async function measure(row, relay) {
    const to = relay.socket ? ['--socket', relay.socket, '--relay', relay.pid] : ['--worker', program('worker')];
    const { stdout } = await run(program('load'), [...row.load(1), ...to].map(String));
    return row.figures(JSON.parse(stdout));
}

async function measureRow(name, names, rounds) {
    const row = rows[name];
    const scope = new Scope();
    const results = Object.fromEntries(names.map((each) => [each, []]));
    try {
        const relays = {};
        for (const each of names) relays[each] = await contenders[each].start(scope, { workers: row.workers });
        for (let round = 0; round < rounds; round++) {
            progress(`${row.title}: round ${round + 1} of ${rounds}`);
            for (const each of names) results[each].push(await measure(row, relays[each]));
        }
    } finally {
        await scope.end();
    }
    return results;
}

const names = args.contenders?.split(',') ?? Object.keys(contenders);
for (const name of args.only?.split(',') ?? Object.keys(rows)) {
    const results = await measureRow(name, names, Number(args.rounds ?? 9));
    console.log(rows[name].title);
    for (const [each, figures] of Object.entries(results)) {
        const shown = Object.keys(figures[0]).map((key) => {
            const of = figures.map((figure) => figure[key]);
            return `${key} ${median(of).toFixed(2)} (${Math.min(...of).toFixed(2)} to ${Math.max(...of).toFixed(2)})`;
        });
        console.log(`  ${each.padEnd(8)} ${shown.join('   ')}`);
    }
}
