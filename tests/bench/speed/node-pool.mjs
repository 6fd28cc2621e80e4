// What a pool inside a Node.js server does with its workers' messages: JSON.parse, an id of its own, JSON.stringify, a
// queue. Here on a socket, so that it can be measured like the others: node-pool.mjs SOCKET WORKER WORKERS
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

const [, , socketPath, workerProgram, workerCount] = process.argv;

/** Calls `take` with each message of a stream, then `rested` when there is none left for now. */
function readMessages(stream, take, rested = () => {}) {
    let parts = [];
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
        let at = 0;
        for (let end; (end = text.indexOf('\n', at)) >= 0; at = end + 1) {
            let line = text.slice(at, end);
            if (parts.length) {
                line = parts.join('') + line;
                parts = [];
            }
            take(JSON.parse(line));
        }
        if (at < text.length) parts.push(text.slice(at));
        rested();
    });
}

/** Those who wait, oldest first; takes and gives in constant time, as does leaving it. */
class Queue {
    constructor() {
        this.waiting = new Map();
        this.last = 0;
    }

    get length() { return this.waiting.size; }

    push(waiter) {
        waiter.ticket = ++this.last;
        this.waiting.set(waiter.ticket, waiter);
        waiter.client.waiting.add(waiter);
    }

    shift() {
        const { value } = this.waiting.values().next();
        if (value) this.remove(value);
        return value;
    }

    remove(waiter) {
        this.waiting.delete(waiter.ticket);
        waiter.client.waiting.delete(waiter);
    }
}

const queue = new Queue();
const workers = [];

class Worker {
    constructor(number) {
        this.number = number;
        this.pending = new Map();
        this.lastId = 0;
        this.holder = null;
        this.running = false;
        this.threads = new Map();
        this.written = new Set();
        const child = spawn(workerProgram, [], { stdio: ['pipe', 'pipe', 'inherit'] });
        this.input = child.stdin;
        this.output = child.stdout;
        readMessages(child.stdout, (message) => this.take(message), () => {
            for (const client of this.written) client.flush(this.output);
            this.written.clear();
        });
        this.initialized = new Promise((resolve) => {
            const clientInfo = { name: 'node-pool', title: null, version: '1' };
            this.pending.set(++this.lastId, { resolve });
            this.write({ id: this.lastId, method: 'initialize', params: { clientInfo } });
        });
    }

    write(message) {
        return this.input.write(`${JSON.stringify(message)}\n`);
    }

    send(client, message) {
        const id = ++this.lastId;
        this.pending.set(id, { client, id: message.id, method: message.method });
        if (message.method === 'turn/start') this.running = true;
        if (this.write({ ...message, id }) || client.stuck) return;
        client.stuck = true;
        client.socket.pause();
        this.input.once('drain', () => {
            client.stuck = false;
            client.socket.resume();
        });
    }

    give(client, message) {
        if (!client || client.gone) return;
        client.put(message);
        this.written.add(client);
    }

    take(message) {
        if (message.method === undefined) {
            this.answered(message);
            return;
        }
        this.give(this.threads.get(message.params?.threadId) ?? this.holder, message);
        if (message.method !== 'turn/completed') return;
        this.running = false;
        this.release();
    }

    answered(message) {
        const asked = this.pending.get(message.id);
        this.pending.delete(message.id);
        if (asked?.resolve) asked.resolve(message.result);
        if (!asked?.client) return;
        if (asked.method === 'thread/start') this.threads.set(message.result.thread.id, asked.client);
        this.give(asked.client, { ...message, id: asked.id });
    }

    lease(client) {
        this.holder = client;
        client.held = this;
    }

    release() {
        if (this.holder) this.holder.held = null;
        this.holder = null;
        const next = queue.shift();
        if (!next) return;
        this.lease(next.client);
        next.client.admitted(next);
    }
}

/** Sent once a worker is the client's own. */
const LEASED = new Set(['thread/start', 'turn/start', 'pool/acquire']);

class Client {
    constructor(socket) {
        this.socket = socket;
        this.held = null;
        this.waiting = new Set();
        this.text = '';
        readMessages(socket, (message) => this.take(message), () => this.flush());
        socket.on('error', () => {});
        socket.on('close', () => this.left());
    }

    put(message) { this.text += `${JSON.stringify(message)}\n`; }

    /** What `source` says next has to wait where the client does not read. */
    flush(source) {
        if (!this.text || this.gone) return;
        const goesOn = this.socket.write(this.text);
        this.text = '';
        if (goesOn || !source) return;
        source.pause();
        const goOn = () => {
            this.socket.off('drain', goOn).off('close', goOn);
            source.resume();
        };
        this.socket.on('drain', goOn).on('close', goOn);
    }

    answer(id, result) { this.put({ id, result }); }

    async take(message) {
        const { id, method } = message;
        if (method === 'initialize') {
            this.answer(id, await workers[0].initialized);
            this.flush();
        } else if (method === 'pool/status') this.answer(id, { queue: { length: queue.length } });
        else if (method === 'pool/release') {
            this.answer(id, {});
            this.held?.release();
        } else if (LEASED.has(method)) this.admit({ client: this, message, since: performance.now() });
        else if (id !== undefined) (this.held ?? workers[0]).send(this, message);
    }

    admit(request) {
        const free = this.held ?? workers.find(({ holder }) => !holder);
        if (!free) {
            queue.push(request);
            return;
        }
        if (!this.held) free.lease(this);
        this.admitted(request);
    }

    admitted({ message, since }) {
        if (message.method === 'pool/acquire') {
            this.answer(message.id, { worker: this.held.number, waitedMs: Math.round(performance.now() - since) });
            this.flush();
        } else this.held.send(this, message);
    }

    left() {
        this.gone = true;
        for (const waiter of this.waiting) queue.remove(waiter);
        // A turn that runs ends first.
        if (this.held && !this.held.running) this.held.release();
    }
}

for (let i = 0; i < Number(workerCount); i++) workers.push(new Worker(i + 1));
createServer((socket) => new Client(socket)).listen({ path: socketPath, backlog: 4096 });
