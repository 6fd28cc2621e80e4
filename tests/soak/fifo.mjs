// Invariant: first come, first served, among requests that wait for the same thing: for any worker, or for the same
// thread.
//
// Different connections have no common order, so two requests count only where cause and effect order them: one was
// known to be queued (pool/queued had arrived) before the other was sent. When the later one is served first, a ping
// on the connection of the earlier one tells whether its own pool/assigned was merely still on the way.

/** What waits for any worker; everything else that queues names a thread. */
const ANY = new Set(['thread/start', 'command/exec', 'pool/acquire']);

const lane = (entry) => entry.params.threadId ?? (ANY.has(entry.method) ? 'any worker' : null);

export class Fifo {
    constructor(report) {
        this.report = report;
        this.clock = 0;
        this.waiting = new Set();
    }

    sent(entry) { entry.sentAt = ++this.clock; }

    queued(entry) {
        if (entry.queued) return;
        entry.queued = ++this.clock;
        this.report.count('queued');
        if (lane(entry)) this.waiting.add(entry);
    }

    assigned(entry) {
        this.waiting.delete(entry);
        entry.assigned = true;
        this.report.count('assigned');
        // Who keeps a worker has it at once; and so may whoever holds the thread's owner.
        const { client } = entry;
        if (!lane(entry) || client.keepsWorkers || (entry.params.threadId && !entry.queued)) return;
        for (const older of this.waiting)
            if (older.queued < entry.sentAt && lane(older) === lane(entry)) this.#suspect(older, entry);
    }

    /** Answered without having been assigned, or its client has left. */
    over(entry) { this.waiting.delete(entry); }

    async #suspect(older, later) {
        const { client } = older;
        this.report.count('order looked at twice');
        await client.request('pool/ping').answered;
        if (!this.waiting.has(older) || client.left) return;
        this.report.fail('fifo', `${later.method} (${later.tag}), sent when ${older.method} (${older.tag}) was queued, was served ` +
            `before it; both wait for ${lane(older)}`, { client, others: [later.client] });
    }
}
