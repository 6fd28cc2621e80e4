// Invariant: one stream a worker, seen from the worker. When a request that needs a worker to itself arrives, no
// turn that a client has asked for may run there on another thread (sub-agents of its own aside), and no such
// request of another client may be unanswered there.
//
// It holds by cause and effect, however slow the pipes are: a turn of the scripted worker is over for this check
// before the daemon can know that it is. Turns that a worker begins by itself (later goal turns, queued messages)
// can cross the daemon's next request on the way, so they hold nothing up here.

export const STREAMS = new Set(['thread/start', 'thread/resume', 'thread/fork', 'turn/start', 'review/start',
    'thread/compact/start', 'thread/shellCommand', 'command/exec', 'thread/goal/set', 'thread/queue/add',
    'thread/queue/start']);

export const clientOf = (tag) => tag?.slice(0, tag.indexOf('.'));

/** `thread` is `of` or one of its sub-agents, at any depth. */
function descends(worker, thread, of) {
    for (let { id } = thread; id; id = worker.threads.get(id)?.parent) if (id === of) return true;
    return false;
}

export class Streams {
    constructor(report) {
        this.report = report;
    }

    arrived(worker, request) {
        const { method, params, tag } = request;
        // What has no tag the daemon asks for itself. A resume of its own brings a thread for a client that has
        // the worker then; unless it brings it back, perhaps from one that had loaded it and died.
        const move = !tag && method === 'thread/resume' && !worker.host.lastAt.get(params.threadId)?.includes(worker);
        const client = tag ? clientOf(tag) : move && worker.host.openers.get(params.threadId);
        if (!client || !STREAMS.has(method)) return;
        if (tag) this.report.count('stream requests at workers');
        for (const thread of worker.threads.values()) {
            // A client's own resume may be on its way (its thread is unloaded first) when it starts a turn.
            const own = method === 'thread/resume' && thread.turn?.client === client;
            const guessed = thread.guessed && thread.turn?.client === client;
            if (!thread.turn?.asked || own || guessed || descends(worker, thread, params.threadId)) continue;
            this.report.fail('streams', `worker ${worker.number} got ${method} of ${client} (${tag ?? 'a move'}) while ` +
                `${thread.turn.client}'s turn ${thread.turn.id} runs on ${thread.id}`, { worker });
        }
        for (const other of worker.open.values()) {
            if (other === request || !other.tag || !STREAMS.has(other.method) || clientOf(other.tag) === client) continue;
            this.report.fail('streams', `worker ${worker.number} got ${method} of ${client} (${tag ?? 'a move'}) while ` +
                `it has yet to answer ${other.method} (${other.tag})`, { worker });
        }
    }
}
