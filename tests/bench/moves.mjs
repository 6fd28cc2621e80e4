// What moving threads between workers is worth: `make bench-moves`. See README.md beside this file.
import { readSettings, repeatCommand } from './settings.mjs';
import { figures } from './figures.mjs';
import { WORKERS, measureOverhead, openPool } from './pools.mjs';
import { makePlan } from './plan.mjs';
import { describeMachine, goals, table } from './report.mjs';

const CONVERSATIONS = 100;
const POLICIES = ['never', 'auto'];

const progress = (text) => console.error(`[${process.uptime().toFixed(0).padStart(4)} s] ${text}`);

/** What the pools of the tests leave to be done at their end. */
class Scope {
    constructor() {
        this.undo = [];
        this.passed = true;
    }

    after(undo) { this.undo.push(undo); }

    end() {
        this.ending ??= this.undo.reduce((before, undo) => before.then(undo), Promise.resolve());
        return this.ending;
    }
}

/** The results for all of them, once all have come to an end, well or not. */
async function forAll(items, act) {
    const results = await Promise.allSettled(items.map(act));
    const failed = results.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
    return results.map(({ value }) => value);
}

/** One pool: a Codex, a number of clients, a policy. */
class Case {
    constructor(run, settings, clients, policy) {
        Object.assign(this, { run, settings, clients, policy, scope: new Scope() });
        this.name = `${run.codex}, ${clients} client${clients === 1 ? '' : 's'}, moves: ${policy}`;
    }

    async open() {
        const { run: { codex }, clients, policy, settings: { logLevel } } = this;
        const options = { codex, clients, moves: policy, conversations: CONVERSATIONS, logLevel };
        this.driver = (await openPool(this.scope, options)).driver;
    }

    async calibrate() {
        this.overheadMs = await measureOverhead(this.driver);
        progress(`${this.name}: ready; a turn takes ${this.overheadMs.toFixed(1)} ms beside its model`);
    }

    /** All loads, one after the other: [{ codex, clients, load, policy, ...figures }]. */
    async play() {
        const { run: { codex, seconds, loads, turnMs }, clients, policy, settings: { seed } } = this;
        const rows = [];
        for (const load of loads) {
            const plan = makePlan({
                seed: seed + load, seconds, load, workers: WORKERS, conversations: CONVERSATIONS, meanMs: turnMs,
            });
            const atModel = plan.map((turn) => ({ ...turn, ms: Math.max(1, turn.ms - this.overheadMs) }));
            const record = await this.driver.play(atModel);
            rows.push({ codex, clients, load, policy, ...figures(record, { workers: WORKERS, seconds }) });
            progress(`${this.name}: ${plan.length} turns at ${load} %, mean wait ${rows.at(-1).waits.mean.toFixed(1)} ms`);
        }
        return rows;
    }
}

/** All pools of a Codex at the same time: they sleep more than they work. */
async function measure(cases) {
    try {
        await forAll(cases, (each) => each.open());
        await forAll(cases, (each) => each.calibrate());
        return (await forAll(cases, (each) => each.play())).flat();
    } catch (error) {
        for (const { scope } of cases) scope.passed = false;
        throw error;
    } finally {
        await forAll(cases, ({ scope }) => scope.end());
    }
}

async function main() {
    const settings = readSettings();
    const rows = [];
    console.log(describeMachine());
    for (const run of settings.runs) {
        const ofPolicies = (clients) => POLICIES.map((policy) => new Case(run, settings, clients, policy));
        const cases = settings.clients.flatMap(ofPolicies);
        process.once('SIGINT', () => forAll(cases, ({ scope }) => scope.end()).finally(() => process.exit(130)));
        rows.push(...await measure(cases));
        process.removeAllListeners('SIGINT');
    }
    console.log(`\n${table(rows)}\n\n${goals(rows).join('\n')}\n\nrepeat: ${repeatCommand(settings)}`);
}

await main();
