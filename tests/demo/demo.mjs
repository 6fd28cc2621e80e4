// Shows the pool at work on real Codex: who runs, who waits, who leaves, and what goes on without them.
// Run by `make demo`; with LOGIN=1 in the environment on the user's own login instead of a local model.
import os from 'node:os';
import { Run } from './run.mjs';
import { Refusal, Stage } from './stage.mjs';
import { makeView } from './view.mjs';

const WORKERS = 2;
const LIMIT_MS = 120000;
const KILL_AFTER_CHARS = 50;
const RECALL = 'What did I ask you before this? Quote it.';
const PROMPTS = [
    'Why is the sky blue? Three sentences.',
    'How does a lighthouse work? Three sentences.',
    'What is a semaphore? Three sentences.',
    'Who invented the pencil? Three sentences.',
    'Why do cats purr? Three sentences.',
];

const startedAt = performance.now();

class Demo {
    constructor(login) {
        this.stage = new Stage(login);
        this.runs = [];
        /** What happened, in order: { type: 'waits' | 'runs', run, at }. */
        this.events = [];
        this.checks = [];
    }

    async play() {
        console.log(`codex-pool: ${WORKERS} Codex workers, ${PROMPTS.length} prompts at once.`);
        console.log(await this.stage.furnish());
        console.log();
        this.view = makeView(process.stdout, startedAt);
        this.view.progress(`starting the daemon and ${WORKERS} Codex workers`);
        const { version, codex } = await this.stage.open(WORKERS);
        this.view.say(`codex-poold ${version} is ready, with ${WORKERS} workers of Codex ${codex.version}`);
        this.view.progress('');
        const [victim, survivor] = await this.crowd();
        await this.goOn(victim, survivor);
        if (this.stage.login) {
            this.view.progress('deleting the threads');
            await this.stage.deleteThreads(new Set(this.runs.map(({ threadId }) => threadId).filter(Boolean)));
        }
        this.view.end();
    }

    start(name, prompt, thread) {
        const run = new Run(name, prompt, thread);
        this.runs.push(run);
        this.view.add(run);
        run.on('state', () => this.note(run));
        run.on('text', () => this.view.text(run));
        return run.start(this.stage);
    }

    note(run) {
        this.events.push({ type: run.state, run, worker: run.worker, at: performance.now() });
        this.view.changed(run);
    }

    check(ok, text) {
        this.checks.push({ ok: Boolean(ok), text });
    }

    /** Five at once; one of them is killed. Gives that one, and the first that got to its end. */
    async crowd() {
        const runs = PROMPTS.map((prompt, i) => this.start('ABCDE'[i], prompt));
        const first = await Promise.race(runs.map(async (run) => await run.saying(KILL_AFTER_CHARS) && run));
        const victim = first || runs[0];
        const waiting = runs.filter(({ state }) => state === 'waits');
        const killedAt = performance.now();
        victim.kill();
        this.view.say(`${victim.name}'s client is killed (SIGKILL) in the middle of its answer`);
        const survivor = await Promise.race(runs.filter((run) => run !== victim).map(({ ended }) => ended));
        await Promise.all(runs.map(({ ended }) => ended));
        this.checkQueue(runs, victim);
        this.checkHandOver(victim, waiting, killedAt);
        await this.checkCut(victim);
        return [victim, survivor];
    }

    checkQueue(runs, victim) {
        const came = this.order('waits');
        const served = this.order('runs').filter((run) => came.includes(run));
        const others = runs.filter((run) => run !== victim);
        this.check(others.every(({ state }) => state === 'done'), `nobody was refused: ${came.length} waited, all were served`);
        const names = served.map(({ name }) => name).join(', ');
        this.check(came.length === PROMPTS.length - WORKERS && came.every((run, i) => run === served[i]),
            `they were served in the order in which they came: ${names}`);
    }

    order(type) {
        const events = this.events.filter((event) => event.type === type);
        return [...new Set(events.map(({ run }) => run))];
    }

    checkHandOver(victim, waiting, killedAt) {
        const next = this.events.find(({ type, worker, at }) => type === 'runs' && worker === victim.worker && at > killedAt);
        const inLine = waiting.sort((a, b) => a.place - b.place);
        victim.successor = next?.run;
        this.check(victim.state === 'killed' && next && waiting.includes(next.run),
            `${victim.name} was killed, and worker ${victim.worker} went to ${next?.run.name ?? 'nobody'} `
            + `${Math.round((next?.at ?? 0) - killedAt)} ms later`);
        return inLine;
    }

    /** The model must have heard of it; only the local one can tell. */
    async checkCut(victim) {
        const [asked] = this.stage.model?.asked(victim.prompt) ?? [];
        if (asked) {
            this.check(await asked.cut().then(() => true, () => false), `${victim.name}'s answer was cut off at the model, too`);
        }
    }

    /** Both clients have left; their conversations go on in others. */
    async goOn(...before) {
        this.view.say(`${before.map(({ name }) => name).join(' and ')} have left; other clients go on with their threads`);
        const runs = before.map((run, i) => this.start('FG'[i], RECALL, run.threadId));
        await Promise.all(runs.map(({ ended }) => ended));
        runs.forEach((run, i) => this.checkMemory(run, before[i]));
    }

    checkMemory(run, before) {
        const topic = before.prompt.split('?')[0].split(' ').at(-1);
        const asked = this.stage.model?.asked(RECALL).find(({ threadId }) => threadId === run.threadId);
        const told = !this.stage.model || asked?.history.some(({ text }) => text === before.prompt);
        this.check(run.state === 'done' && told && run.text.toLowerCase().includes(topic.toLowerCase()),
            `${run.name} went on with ${before.name}'s thread on worker ${run.worker}, and the model knows what was said`);
    }

    /** Whatever there is, at any moment. */
    async close() {
        this.view?.end();
        this.runs.forEach((run) => run.exit === undefined && run.kill());
        await Promise.all(this.runs.map(({ ended }) => ended));
        return this.stage.close();
    }

    summary() {
        console.log('\n     waited      ran   worker  outcome');
        for (const run of this.runs) {
            const waited = `${(run.waitedMs / 1000).toFixed(1)} s`.padStart(9);
            const ran = `${((run.ranMs ?? 0) / 1000).toFixed(1)} s`.padStart(9);
            console.log(`  ${run.name}${waited}${ran}${String(run.worker ?? '-').padStart(9)}  ${outcome(run)}`);
        }
        console.log();
        for (const { ok, text } of this.checks) {
            console.log(`  ${ok ? 'ok    ' : 'FAILED'}  ${text}`);
        }
    }
}

function outcome(run) {
    const last = run.stderr.trim().split('\n').at(-1);
    switch (run.state) {
    case 'done': return run.resumes ? 'done, on an old thread' : 'done';
    case 'killed': return `killed; its worker went to ${run.successor?.name ?? 'nobody'}`;
    default: return `failed (${run.exit}): ${last}`;
    }
}

/** Ctrl-C and its like: the same cleaning up as at the end, then what the signal says. */
function onSignals(demo) {
    let stopping = false;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE']) {
        process.on(signal, async () => {
            if (!stopping) {
                stopping = true;
                await demo.close();
                console.log(`\n${signal}: stopped, nothing is left behind`);
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
    const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
    console.log(failed ? `\n${failed} of these did not hold. The daemon's last words:\n${demo.stage.log}` : `\nAll of it held, in ${took}.`);
    process.exit(failed ? 1 : 0);
}

await main();
