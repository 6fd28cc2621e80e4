// A scripted worker of the soak test: says whose everything is that it says, and hands its output on in lumps.
import { FakeWorker } from '../lib/script.mjs';
import { behave } from './misbehaviour.mjs';
import { Random } from './random.mjs';
import { Events } from './report.mjs';
import { clientOf } from './streams.mjs';

/** Whoever does this to a thread with success has it then. */
const SUBSCRIBES = new Set(['thread/resume', 'turn/start', 'thread/compact/start', 'thread/shellCommand', 'review/start']);

/** Takes the client's tag out of the parameters. */
function takeTag(params) {
    const at = params.initialTurnsPage ?? params;
    const tag = at.soak;
    delete at.soak;
    return tag;
}

/** The class of the workers of one run. */
export const workerClass = (world) => class SoakWorker extends FakeWorker {
    constructor(host, control) {
        super(host, control);
        this.world = world;
        this.events = new Events();
        this.open = new Map(); // id -> request that is not answered
        this.output = '';
        this.held = 0;
        this.solid = false;
        this.dying = false;
        this.stopped = false;
        this.lastKey = 0;
        this.answering = []; // names of those who have asked for what it says
        this.exited.then(() => { this.open.clear(); });
    }

    get rng() {
        this.random ??= new Random(world.seed, 'worker', this.number);
        return this.random;
    }

    /** Something that goes wrong now and then, unless all is to be well. */
    odd(p) { return !world.calm && this.rng.chance(p); }

    /** A while later, if it is still there. */
    later(ms, then) {
        setTimeout(() => { if (!this.gone) then(); }, ms);
    }

    act(message) {
        for (const list of [this.log, this.lines, this.box.messages]) list.length = 0;
        this.events.add('<', JSON.stringify(message));
        if (this.gone || this.dying || message.id === undefined) return;
        message.params ??= {};
        message.tag = takeTag(message.params);
        this.open.set(message.id, message);
        world.answers.arrived(message.tag, this);
        world.streams.arrived(this, message);
        behave(this, message);
    }

    reply(request, result) {
        if (!this.open.delete(request.id)) return;
        this.#opens(request, result);
        world.answers.replied(request.tag);
        super.reply(request, request.tag ? { ...result, soak: request.tag } : result);
        if (!this.odd(0.005)) return;
        world.report.count('answers given twice by workers');
        this.write({ id: request.id, result: { soak: 'second' } });
    }

    refuse(request, code, message) {
        if (!this.open.delete(request.id)) return;
        world.answers.replied(request.tag);
        this.unanswered--;
        this.write({ id: request.id, error: { code, message, ...(request.tag && { data: { soak: request.tag } }) } });
    }

    /** From this answer on, the thread is its client's. */
    #opens({ method, params, tag }, result) {
        const opens = method === 'thread/start' || method === 'thread/fork' ? result.thread.id
            : SUBSCRIBES.has(method) ? params.threadId : null;
        if (opens && tag) this.host.openers.set(opens, clientOf(tag));
    }

    /** Those whose messages of a thread are, now: also those of a resume that is not answered. */
    readers(threadId) {
        const turn = this.threads.get(threadId)?.turn;
        if (turn?.asked) return [turn.reader];
        const opening = [...this.open.values()].filter((r) => r.method === 'thread/resume' &&
            r.params.threadId === threadId).map((r) => clientOf(r.tag));
        return [this.host.openers.get(threadId), ...opening, ...this.answering].filter(Boolean);
    }

    /** What is said of a thread in answer to a request is for who asked, too, where the thread is not loaded. */
    whileAnswering({ params, tag }, then) {
        const { askers } = this.host;
        this.answering = askers.get(params.threadId) ?? new Set();
        if (tag) askers.set(params.threadId, this.answering.add(clientOf(tag)));
        then();
        this.answering = [];
    }

    notify(method, params, readers = this.readers(params.threadId ?? params.thread?.id)) {
        const soak = { for: readers, worker: this.number };
        const turn = this.threads.get(params.threadId)?.turn;
        if (method === 'item/agentMessage/delta' && turn?.asked) soak.n = turn.deltas++;
        super.notify(method, { ...params, soak });
    }

    /** Says something of a thread that is not loaded here any more: for nobody else than who had it. */
    late(threadId, turn) {
        if (this.threads.has(threadId)) return;
        world.report.count('late deltas of closed threads');
        super.notify('item/agentMessage/delta', {
            threadId, turnId: turn.id, itemId: 'item-1', delta: 'late', soak: { for: [turn.reader], worker: this.number },
        });
    }

    /** Asks the client, and looks whether it gets the answer to this and nothing else. */
    async ask(method, params) {
        const key = `${this.number}.${++this.lastKey}`;
        world.report.count('questions to clients');
        const answer = await super.ask(method, { ...params, soak: { for: this.readers(params.threadId), ask: key, worker: this.number } });
        const got = answer.result?.soak;
        if (answer.result) world.report.count('answers of clients');
        if (answer.result && got !== key)
            world.report.fail('answers', `worker ${this.number} asked ${key} and got the answer to ${got}`, { worker: this });
        return answer;
    }

    load(threadId, extra) {
        const { lastAt } = this.host;
        lastAt.set(threadId, [this, ...(lastAt.get(threadId) ?? [])].slice(0, 2));
        return super.load(threadId, extra);
    }

    begin(threadId, turnId) {
        const turn = super.begin(threadId, turnId);
        world.report.count('turns');
        return turn;
    }

    /** All that is said meanwhile goes out in one piece: no time passes in it. */
    corked(then) {
        this.held++;
        then();
        this.held--;
        this.solid = true;
        this.#flush();
    }

    raw(text) {
        if (this.dying) return;
        this.events.add('>', text);
        this.output += text;
        this.#flush();
    }

    #hold(ms) {
        this.held++;
        this.later(ms, () => {
            this.held--;
            this.#flush();
        });
    }

    #flush() {
        if (!this.output || this.held) return;
        let upTo = this.output.length;
        if (!this.solid && this.odd(0.02)) {
            upTo = this.rng.below(upTo);
            this.#hold(this.rng.below(40));
            world.report.count('lines broken in two');
        } else if (this.odd(0.02)) {
            upTo = 0;
            this.#hold(this.rng.below(80));
            world.report.count('bursts');
        }
        if (!upTo) return;
        this.order({ out: this.output.slice(0, upTo) });
        this.output = this.output.slice(upTo);
        this.solid = false;
    }

    /** Says nothing more from now on, though its process may yet have to get to its end. */
    die(how) {
        if (this.output) this.order({ out: this.output });
        this.output = '';
        this.dying = true;
        return super.die(how);
    }
};
