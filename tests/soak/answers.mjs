// Invariant: every request is answered exactly once, with the answer to it, in reasonable time, or its client has left.

import { TAKES_ITS_TIME } from './steering.mjs';

/** Seconds for what nothing excuses: it neither waits in the queue nor lies at a worker. */
const UNEXCUSED = 25;
/** Seconds from a worker's answer to its arrival at the client. */
const DELIVERY = 12;
/** Seconds for anything; the load is such that no wait comes near. */
const ALTOGETHER = 150;

export class Answers {
    constructor(report) {
        this.report = report;
        this.clients = new Set();
        this.byTag = new Map();
    }

    joined(client) { this.clients.add(client); }

    left(client) {
        this.clients.delete(client);
        for (const entry of client.pending.values()) this.byTag.delete(entry.tag);
    }

    sent(entry) {
        Object.assign(entry, { unexcused: 0, undelivered: 0, seconds: 0, worker: null, replied: false });
        this.byTag.set(entry.tag, entry);
    }

    /** A worker has got it. */
    arrived(tag, worker) {
        const entry = this.byTag.get(tag);
        if (entry) Object.assign(entry, { worker, replied: false, undelivered: 0 });
    }

    /** The worker has answered it. */
    replied(tag) {
        const entry = this.byTag.get(tag);
        if (entry) entry.replied = true;
    }

    answered(client, entry, message) {
        this.byTag.delete(entry.tag);
        const about = `${entry.method} (${entry.tag})`;
        const tag = message.result?.soak ?? message.error?.data?.soak;
        if (tag !== undefined && tag !== entry.tag)
            this.report.fail('answers', `${about} was answered with the answer to ${tag}`, { client });
        if (message.error) this.#refused(client, entry, message.error, about);
    }

    #refused(client, entry, error, about) {
        const { message, code } = error;
        this.report.count(`refused: ${error.data?.reason ?? (error.data?.soak ? 'by the worker' : 'as Codex would')}`);
        if (code === -32603) this.report.fail('answers', `${about}: ${message}`, { client });
        // Archive and delete are refused so while somebody else's turn runs, which is what is wanted.
        const ends = entry.method === 'thread/archive' || entry.method === 'thread/delete';
        if (/already has an active writer/.test(message) && !ends)
            this.report.fail('answers', `${about} was refused: ${message}`, { client });
    }

    /** An answer that no open request has. */
    unexpected(client, message) {
        this.report.fail('answers', `an answer to nothing, or a second one: ${JSON.stringify(message).slice(0, 300)}`, { client });
    }

    /**
     * Once a second of this process's own time, so that a machine that stands still is no failure. `listed` is
     * what the pool says of its clients: who waits in its queue.
     */
    second(listed) {
        const waiting = new Set(listed.filter((each) => each.waiting).map((each) => each.name));
        for (const client of this.clients) if (client.reading) this.#look(client, waiting.has(client.unnamed ? null : client.name));
    }

    /** What waits in the queue or lies at a worker excuses the client's other requests, which may have to wait for it. */
    #look(client, waits) {
        const entries = [...client.pending.values()];
        const excused = waits || entries.some((e) => e.worker && !e.replied && !e.worker.gone);
        for (const entry of entries) {
            if (TAKES_ITS_TIME.has(entry.method)) continue;
            entry.seconds++;
            entry.unexcused = excused ? 0 : entry.unexcused + 1;
            entry.undelivered = entry.replied && !entry.worker.stopped ? entry.undelivered + 1 : 0;
            this.#judge(client, entry);
        }
    }

    #judge(client, entry) {
        const where = entry.worker ? `, which worker ${entry.worker.number} ${entry.replied ? 'has answered' : 'got'}` : '';
        const late = entry.undelivered > DELIVERY ? `${entry.undelivered} s after the worker's answer`
            : entry.unexcused > UNEXCUSED ? `${entry.unexcused} s without an excuse`
                : entry.seconds > ALTOGETHER ? `${entry.seconds} s` : null;
        if (late) this.report.fail('answers', `${entry.method} (${entry.tag})${where} is not answered, ${late}`,
            { client, worker: entry.worker });
    }
}
