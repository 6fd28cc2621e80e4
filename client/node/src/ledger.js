/** What is outstanding on a connection, hence lost with it: seen from the messages that pass. */

/**
 * @typedef {{ id?: any, method?: any, params?: any, result?: any, error?: any }} Message
 * @typedef {{ requests: { id: string | number, method: string }[], turns: string[], threads: string[] }} Lost
 */

/** What the ids of our own requests begin with, which no client of ours will use. */
export const OWN = 'codex-pool:';

const OPENS = new Set(['thread/start', 'thread/resume', 'thread/fork']);

export class Ledger {
    constructor() {
        /** Requests without an answer. @type {Map<string | number, { method: string, threadId?: string }>} */
        this.requests = new Map();
        /** Thread ids with the id of the turn that runs, '' until it is known. @type {Map<string, string>} */
        this.turns = new Map();
        /** @type {Set<string>} */
        this.threads = new Set();
    }

    /** @param {Message} message */
    sent({ id, method, params }) {
        if (id === undefined || method === undefined) return;
        const threadId = params?.threadId;
        this.requests.set(id, { method, threadId });
        // Counts from here on: whoever sends this waits for the end of a turn.
        if (method === 'turn/start' && threadId && !this.turns.has(threadId)) this.turns.set(threadId, '');
    }

    /** @param {Message} message */
    came({ id, method, params, result }) {
        if (method === undefined) this.#answered(id, result);
        else if (method === 'turn/started') this.turns.set(params.threadId, params.turn?.id);
        else if (method === 'turn/completed') this.turns.delete(params.threadId);
        else if (method === 'thread/closed') this.threads.delete(params.threadId);
    }

    /** @param {string | number} id @param {any} result undefined after an error */
    #answered(id, result) {
        const { method, threadId = '' } = this.requests.get(id) ?? {};
        this.requests.delete(id);
        if (method && OPENS.has(method) && result?.thread?.id) this.threads.add(result.thread.id);
        if (method !== 'turn/start' || this.turns.get(threadId) !== '') return;
        if (result?.turn?.id) this.turns.set(threadId, result.turn.id);
        else this.turns.delete(threadId);
    }

    /**
     * What another connection left is on this one.
     * @param {{ threads: string[], turns: { threadId: string, turnId: string }[], requests: (string | number)[] }} left
     */
    adopt({ threads, turns, requests }) {
        for (const id of threads) this.threads.add(id);
        for (const { threadId, turnId } of turns) this.turns.set(threadId, turnId);
        for (const id of requests) this.requests.set(id, { method: '' });
    }

    /** @returns {Lost} */
    lost() {
        const requests = [...this.requests].map(([id, { method }]) => ({ id, method }));
        return { requests, turns: [...this.turns.keys()], threads: [...this.threads] };
    }

    /**
     * What a client waits for and will not hear from the daemon any more, as the daemon itself would put it: an
     * answer to each request, an end to each turn, a close of each thread.
     * @param {import('./errors.js').PoolError} why
     * @param {'failed' | 'interrupted'} status
     * @returns {Message[]}
     */
    endings({ code, message, data }, status) {
        const theirs = [...this.requests.keys()].filter((id) => !String(id).startsWith(OWN));
        const answers = theirs.map((id) => ({ id, error: { code, message, data } }));
        const error = { message, codexErrorInfo: null, additionalDetails: null };
        // A turn that nobody has been told of ends with the answer to its request.
        const told = [...this.turns].filter(([, turnId]) => turnId);
        const turns = told.flatMap(([threadId, turnId]) => [
            ...(status === 'failed'
                ? [{ method: 'error', params: { error, willRetry: false, threadId, turnId } }]
                : []),
            {
                method: 'turn/completed',
                params: {
                    threadId,
                    turn: { id: turnId, items: [], status, error: status === 'failed' ? error : null },
                },
            },
        ]);
        const closes = [...this.threads].map((threadId) => ({
            method: 'thread/closed', params: { threadId },
        }));
        return [...answers, ...turns, ...closes];
    }
}
