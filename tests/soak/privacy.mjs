// Invariant: no byte at the wrong client. Whatever a scripted worker says about a thread carries the names of those
// whose it is; here it is looked at where it arrives. The deltas of a turn are numbered: none may be missing, none
// come twice.

/** What the daemon may say of a thread by itself. */
const OWN = new Set(['thread/closed', 'thread/status/changed', 'turn/completed', 'error', 'serverRequest/resolved']);

/** Once its own resume is sent, what is said of the thread, not in it, is for the client that opens it. */
const opens = (client, { method, params }) => method.startsWith('thread/') &&
    [...client.pending.values()].some((each) => each.method === 'thread/resume' && each.params.threadId === params.threadId);

export class Privacy {
    constructor(report, world) {
        this.report = report;
        this.world = world;
    }

    /** A notification or a server request has arrived. */
    delivered(client, message) {
        const { method, params = {} } = message;
        const { soak } = params;
        this.report.count('messages checked for their reader');
        if (!soak) this.#untagged(client, message);
        else if (soak.for.includes(client.name) || opens(client, message)) this.#own(client, params);
        else
            this.report.fail('privacy', `${client.name} got ${method} of ${params.threadId}, which is for ${soak.for}`,
                { client, worker: this.#worker(soak) });
    }

    #own(client, params) {
        if (params.threadId) client.touched.add(params.threadId);
        if (params.soak.n !== undefined) this.#numbered(client, params);
    }

    #worker(soak) { return this.world.host.workers[soak.worker - 1]; }

    #untagged(client, { method, params = {} }) {
        if (!OWN.has(method)) this.report.fail('privacy', `${client.name} got ${method} that no worker said`, { client });
        else if (!client.touched.has(params.threadId))
            this.report.fail('privacy', `${client.name} got ${method} of ${params.threadId}, with which it has nothing to do`, { client });
    }

    #numbered(client, { threadId, turnId, soak }) {
        const last = client.deltas.get(turnId) ?? -1;
        client.deltas.set(turnId, soak.n);
        if (soak.n <= last || (soak.n > last + 1 && !client.gaveUp.has(threadId)))
            this.report.fail('privacy', `${client.name} got delta ${soak.n} of turn ${turnId} after ${last}`,
                { client, worker: this.#worker(soak) });
    }
}
