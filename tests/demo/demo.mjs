// Shows the pool at work on real Codex: who runs, who waits, who leaves, and what goes on without them.
// Run by `make demo`; with LOGIN=1 in the environment on the user's own login instead of a local model.
import { EventEmitter, once } from 'node:events';
import os from 'node:os';
import { Run } from './run.mjs';
import { Refusal, Stage } from './stage.mjs';
import { makeView } from './view.mjs';

const WORKERS = 2;
const LIMIT_MS = 280000;
const KILL_AFTER_CHARS = 50;
const SAME_MOMENT_MS = 50;
const RECALL = 'What did I ask you before this? Quote it.';
/** Each with the word by which one knows it again. */
const PROMPTS = new Map([
    ['Why is the sky blue? Briefly.', 'blue'],
    ['What is a lighthouse for? Briefly.', 'lighthouse'],
    ['How is a pencil made? Briefly.', 'pencil'],
    ['Why do cats purr? Briefly.', 'purr'],
    ['What is a queue good for? Briefly.', 'queue'],
]);

const startedAt = performance.now();

class Demo {
    constructor(login) {
        this.stage = new Stage(login);
        this.runs = [];
        /** Who got which worker, in order: { run, worker, at }. */
        this.served = [];
        this.changed = new EventEmitter();
        this.checks = [];
    }

    async play() {
        console.log(`codex-pool: ${WORKERS} Codex workers, ${PROMPTS.size} prompts at once.`);
        console.log(await this.stage.furnish());
        console.log();
        this.view = makeView(process.stdout, startedAt);
        this.view.progress(`starting the daemon and ${WORKERS} Codex workers`);
        const { version, codex } = await this.stage.open(WORKERS);
        this.view.say(`codex-poold ${version} is ready, with ${WORKERS} workers of Codex ${codex.version}`);
        this.view.progress('');
        this.assertOpen();
        const [victim, survivor] = await this.crowd();
        this.assertOpen();
        await this.goOn(victim, survivor);
        this.view.end();
    }

    start(name, prompt, thread) {
        const run = new Run(name, prompt, thread);
        this.runs.push(run);
        this.view.add(run);
        run.on('state', () => this.note(run));
        run.on('text', () => {
            this.view.text(run);
            this.changed.emit('change');
        });
        return run.start(this.stage);
    }

    note(run) {
        if (run.state === 'runs') {
            this.served.push({ run, worker: run.worker, at: performance.now() });
        }
        this.view.changed(run);
        this.changed.emit('change');
    }

    /** What `probe` finds, as soon as it finds something. */
    async until(probe) {
        for (;;) {
            const found = probe();
            if (found) {
                return found;
            }
            await once(this.changed, 'change');
        }
    }

    check(ok, text) {
        this.checks.push({ ok: Boolean(ok), text });
    }

    /** All at once; one is killed. Gives that one, and the first that got to its end. */
    async crowd() {
        const runs = [...PROMPTS.keys()].map((prompt, i) => this.start('ABCDE'[i], prompt));
        const victim = await this.until(() => inMidTurn(runs) ?? allEnded(runs));
        const waiting = runs.filter(({ state }) => state === 'waits').sort((a, b) => a.place - b.place);
        const killedAt = performance.now();
        victim.kill();
        this.view.say(`the client of ${victim.name} is killed (SIGKILL) in the middle of its answer`);
        const survivor = await Promise.race(runs.filter((run) => run !== victim).map(({ ended }) => ended));
        await Promise.all(runs.map(({ ended }) => ended));
        this.checkQueue(runs, victim);
        this.checkHandOver(victim, waiting, killedAt);
        await this.checkCut(victim);
        return [victim, survivor];
    }

    checkQueue(runs, victim) {
        const waited = runs.filter((run) => run.firstPlace).sort((a, b) => a.firstPlace - b.firstPlace);
        const served = this.served.map(({ run }) => run).filter((run) => waited.includes(run));
        const names = served.map(({ name }) => name).join(', ');
        this.check(
            runs.every((run) => run === victim || run.state === 'done'),
            `nobody was refused: ${waited.length} waited, and all were served`,
        );
        this.check(
            waited.length >= PROMPTS.size - WORKERS && waited.every(inOrder),
            `they were served in the order in which they came: ${names}`,
        );
    }

    checkHandOver(victim, waiting, killedAt) {
        const after = this.served.filter(({ at }) => at > killedAt);
        const next = after.findIndex(({ worker }) => worker === victim.worker);
        const ms = next < 0 ? '-' : Math.round(after[next].at - killedAt);
        victim.successor = after[next]?.run.name ?? 'nobody';
        // Those whom another worker took in the meantime stood before.
        this.check(
            victim.state === 'killed' && waiting[next] && waiting[next] === after[next].run,
            `${victim.name} was killed, and ${ms} ms later worker ${victim.worker} went to ` +
                `${victim.successor}, the next in line`,
        );
    }

    /** The model must have heard of it; only the local one can tell. */
    async checkCut(victim) {
        const [asked] = this.stage.model?.asked(victim.prompt) ?? [];
        if (asked) {
            const cut = await asked.cut().then(
                () => true,
                () => false,
            );
            this.check(cut, `the answer to ${victim.name} was cut off at the model, too`);
        }
    }

    /** Both clients have left; their conversations go on in others. */
    async goOn(...before) {
        const names = before.map(({ name }) => name).join(' and ');
        this.view.say(`${names} have left; other clients go on with their threads`);
        const runs = before.map((run, i) => this.start('FG'[i], RECALL, run.threadId));
        await Promise.all(runs.map(({ ended }) => ended));
        runs.forEach((run, i) => this.checkMemory(run, before[i]));
    }

    checkMemory(run, before) {
        const asked = this.stage.model?.asked(RECALL).find(({ threadId }) => threadId === run.threadId);
        const told = !this.stage.model || asked?.history.some(({ text }) => text === before.prompt);
        const knows = run.text.toLowerCase().includes(PROMPTS.get(before.prompt));
        this.check(
            run.state === 'done' && told && knows,
            `${run.name} went on with ${before.name}'s thread on worker ${run.worker}, and the model knew its past`,
        );
    }

    /** After Ctrl-C the rest of the play is not given. */
    assertOpen() {
        if (this.closing) {
            throw new Error('stopped');
        }
    }

    /** Whatever there is, at any moment. */
    async close() {
        this.closing = true;
        this.view?.end();
        this.runs.forEach((run) => run.exit === undefined && run.kill());
        await Promise.all(this.runs.map(({ ended }) => ended));
        return this.stage.close(new Set(this.runs.map(({ threadId }) => threadId).filter(Boolean)));
    }

    summary() {
        console.log('\n     waited      ran   worker  outcome');
        for (const run of this.runs) {
            const waited = `${(run.waitedMs / 1000).toFixed(1)} s`.padStart(9);
            const ran = `${(run.ranMs / 1000).toFixed(1)} s`.padStart(9);
            console.log(
                `  ${run.name}${waited}${ran}${String(run.worker ?? '-').padStart(9)}  ${outcome(run)}`,
            );
        }
        console.log();
        for (const { ok, text } of this.checks) {
            console.log(`  ${ok ? 'ok    ' : 'FAILED'}  ${text}`);
        }
    }
}

/** Not before the one who came before it; what two processes say at the same moment comes in any order. */
function inOrder(run, i, runs) {
    return i === 0 || run.assignedAt > runs[i - 1].assignedAt - SAME_MOMENT_MS;
}

/** One that has begun to speak, once all the others run or wait. */
function inMidTurn(runs) {
    const begun = runs.every(({ state }) => state !== 'starts');
    return begun
        ? runs.find(({ state, text }) => state === 'runs' && text.length >= KILL_AFTER_CHARS)
        : undefined;
}

function allEnded(runs) {
    return runs.every(({ exit }) => exit !== undefined) ? runs[0] : undefined;
}

function outcome(run) {
    const last = run.stderr.trim().split('\n').at(-1);
    switch (run.state) {
        case 'done':
            return run.resumes ? 'done, on an old thread' : 'done';
        case 'killed':
            return `killed; its worker went to ${run.successor}`;
        default:
            return `failed (${run.exit}): ${last}`;
    }
}

/** Ctrl-C and its like: the same cleaning up as at the end, then what the signal says. */
function onSignals(demo) {
    let stopping = false;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE']) {
        process.on(signal, async () => {
            if (!stopping) {
                stopping = true;
                const wrong = await demo.close();
                console.log(`\n${signal}: stopped, ${wrong.join(', ') || 'nothing is left behind'}`);
                process.exit(128 + os.constants.signals[signal]);
            }
        });
    }
    return () => stopping;
}

async function main() {
    const demo = new Demo(/^(1|y|yes|true)$/i.test(process.env.LOGIN ?? ''));
    const stopping = onSignals(demo);
    process.stdout.on('error', () => process.kill(process.pid, 'SIGTERM'));
    let problem = null;
    const limit = setTimeout(() => {
        console.error(`after ${LIMIT_MS / 1000} s it has not come to its end`);
        process.kill(process.pid, 'SIGTERM');
    }, LIMIT_MS);
    try {
        await demo.play();
    } catch (error) {
        problem = error;
    }
    clearTimeout(limit);
    if (stopping()) {
        return;
    }
    const wrong = await demo.close();
    if (problem) {
        console.error(problem instanceof Refusal ? problem.message : `${problem.stack}\n${demo.stage.log}`);
        process.exit(1);
    }
    demo.check(wrong.length === 0, wrong.join(', ') || 'nothing was left: no process, no socket, no file');
    demo.summary();
    const failed = demo.checks.filter(({ ok }) => !ok).length;
    if (failed) {
        console.log(`\n${failed} of these did not hold. The daemon's last words:\n${demo.stage.log}`);
        process.exit(1);
    }
    console.log(`\nAll of it held, in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
}

await main();
