// Conversations that take turns on a pool, and the record of when each turn waited, ran and ended.
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** A request that has waited beside an idle worker for longer than any move takes. */
const LONG_MS = 200;
const WATCH_MS = 20;
/** With nothing heard for so long beyond the longest turn, something hangs. */
const SILENCE_MS = 60000;

/**
 * One conversation's turns follow each other: one that arrives while another runs or waits is sent when that has ended.
 * Turns are { conversation, ms, arrived, sent, assigned, completed, worker, movedMs }, times by this process's clock.
 */
export class Driver {
    /** `say(ms)` is the prompt of a turn of that length; `watch`: whether a long wait beside an idle worker is news. */
    constructor(clients, { workers, say, watch }) {
        Object.assign(this, { clients, workers, say, watch });
        Object.assign(this, { conversations: [], byThread: new Map(), byId: new Map(), moves: [] });
        for (const client of clients) {
            // What nobody awaits by name comes here.
            client.box = { put: (message) => this.#heard(client, message), close: (why) => this.#fail(why) };
        }
        this.lastId = 0;
        this.failure = new Promise((_, reject) => { this.fail = reject; });
        this.failure.catch(() => {});
    }

    /** One more conversation on a client, with a first turn. */
    async open(client, params, ms) {
        const conversation = { client, id: await client.startThread(params), behind: [], current: null };
        this.conversations.push(conversation);
        this.byThread.set(conversation.id, conversation);
        const turn = this.#arrive(conversation, ms);
        // On the worker that has opened it for its client: no request for one.
        turn.assigned = turn.sent;
        return turn.ended;
    }

    turn(conversation, ms) {
        return this.#arrive(this.conversations[conversation], ms).ended;
    }

    /** `act(0)` to `act(count - 1)`, so many at a time: their results. */
    async all(atOnce, count, act) {
        const results = [];
        let next = 0;
        const lane = async () => {
            while (next < count) {
                const i = next++;
                results[i] = await act(i);
            }
        };
        await Promise.race([Promise.all(Array.from({ length: atOnce }, lane)), this.failure]);
        return results;
    }

    /** Every turn of a plan, to the last one's end. */
    async play(plan) {
        const start = performance.now();
        const turns = [];
        this.moves.length = 0;
        const unhang = this.#failWhenSilent(SILENCE_MS + Math.max(...plan.map(({ ms }) => ms)));
        const beheld = this.watch ? this.#watch() : async () => [];
        for (const { at, conversation, ms } of plan) {
            await Promise.race([sleep(Math.max(0, start + at - performance.now())), this.failure]);
            turns.push(this.#arrive(this.conversations[conversation], ms));
        }
        await Promise.race([Promise.all(turns.map(({ ended }) => ended)), this.failure]);
        unhang();
        return { turns, moves: [...this.moves], held: await beheld() };
    }

    #arrive(conversation, ms) {
        const turn = { conversation: conversation.id, ms, arrived: performance.now(), movedMs: 0 };
        turn.ended = new Promise((resolve) => { turn.end = () => resolve(turn); });
        if (conversation.current) conversation.behind.push(turn);
        else this.#send(conversation, turn);
        return turn;
    }

    #send(conversation, turn) {
        const id = `turn ${++this.lastId}`;
        conversation.current = turn;
        this.byId.set(id, turn);
        turn.sent = performance.now();
        conversation.client.send({
            id, method: 'turn/start',
            params: { threadId: conversation.id, input: [{ type: 'text', text: this.say(turn.ms) }] },
        });
    }

    #heard(client, { id, method, params, error }) {
        const now = performance.now();
        this.lastHeard = now;
        if (error) this.#fail(`${id} was refused: ${error.message}`);
        else if (!method) this.byId.get(id).answered = true;
        else if (method === 'pool/assigned' && this.byId.has(params.id)) {
            Object.assign(this.byId.get(params.id), { assigned: now, worker: params.worker });
        } else if (method === 'pool/moved') this.#moved(client, params);
        else if (method === 'turn/completed') this.#completed(this.byThread.get(params.threadId), params.turn, now);
        else if (method === 'thread/closed') this.#fail(`thread ${params.threadId} was closed`);
    }

    #moved(client, { threadId, ms }) {
        const conversation = this.byThread.get(threadId);
        // Others may hear of it, too.
        if (conversation.client !== client) return;
        // One that takes less than a millisecond is a move, too.
        if (conversation.current) conversation.current.movedMs += ms || 0.5;
        this.moves.push({ threadId, ms });
    }

    #completed(conversation, { status }, now) {
        const turn = conversation.current;
        if (status !== 'completed' || !turn?.assigned || !turn.answered) {
            this.#fail(`a turn ended out of turn: ${status}, ${JSON.stringify(turn)}`);
            return;
        }
        turn.completed = now;
        conversation.current = null;
        const next = conversation.behind.shift();
        if (next) this.#send(conversation, next);
        turn.end();
    }

    /**
     * While turns are played: asks the pool, which costs it some milliseconds, what holds a request that has waited for long
     * beside an idle worker. Gives what it saw, once it is told to stop.
     */
    #watch() {
        const seen = [];
        let over = false;
        const look = async () => {
            while (!over) {
                await sleep(WATCH_MS);
                if (!this.#waitsForLong()) continue;
                const { workers, waiters } = await this.clients[0].request('pool/status');
                const idle = workers.filter(({ state }) => state === 'idle').length;
                if (idle) seen.push(...waiters.filter(({ waitedMs }) => waitedMs > LONG_MS).map(({ stays }) => stays));
            }
        };
        const looking = look().catch((error) => this.#fail(error.message));
        return async () => {
            over = true;
            await looking;
            return seen;
        };
    }

    #failWhenSilent(limitMs) {
        this.lastHeard = performance.now();
        const timer = setInterval(() => {
            const open = this.conversations.filter(({ current }) => current).length;
            if (open && performance.now() - this.lastHeard > limitMs) this.#fail(`nothing heard, ${open} turns are open`);
        }, 1000);
        timer.unref();
        return () => clearInterval(timer);
    }

    #waitsForLong() {
        const current = this.conversations.map((each) => each.current).filter(Boolean);
        const waiting = current.filter(({ assigned }) => !assigned);
        const busy = current.length - waiting.length;
        const since = performance.now() - LONG_MS;
        return busy < this.workers && waiting.some(({ sent }) => sent < since);
    }

    #fail(why) {
        this.fail(new Error(why));
    }
}
