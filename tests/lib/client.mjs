// A client of the pool over its socket: JSON lines, requests by promise, notifications by await.
import { connect } from 'node:net';
import { Mailbox, within } from './wait.mjs';

export class RpcError extends Error {
    constructor({ code, message, data }) {
        super(message);
        this.code = code;
        this.data = data;
    }
}

export class PoolClient {
    /** Connects and, unless told otherwise, initializes. */
    static async open(daemon, options = {}) {
        const client = await PoolClient.connect(daemon.socket ?? daemon, options.name);
        if (options.initialize !== false) await client.initialize(options.capabilities);
        return client;
    }

    static async connect(path, name = 'client') {
        const client = new PoolClient(connect({ path, allowHalfOpen: true }), name);
        await within(new Promise((resolve, reject) => {
            client.socket.once('connect', resolve);
            client.socket.once('error', reject);
        }), `connecting to ${path}`);
        return client;
    }

    constructor(socket, name) {
        this.socket = socket;
        this.name = name;
        this.lastId = 0;
        this.pending = new Map();
        this.box = new Mailbox(name);
        this.notifications = [];
        this.lines = [];
        this.handlers = new Map();
        this.asked = [];
        let rest = '';
        socket.setEncoding('utf8');
        socket.on('data', (text) => {
            rest += text;
            if (!text.includes('\n')) return;
            const lines = rest.split('\n');
            rest = lines.pop();
            for (const line of lines) this.#line(line);
        });
        socket.on('error', () => {});
        this.ended = new Promise((resolve) => socket.once('close', resolve));
        socket.once('end', () => socket.destroy());
        socket.once('close', () => {
            this.box.close('connection closed');
            for (const { reject } of this.pending.values()) reject(new Error(`${name}: connection closed`));
            this.pending.clear();
        });
    }

    #line(line) {
        this.lines.push(line);
        const message = JSON.parse(line);
        if (message.method && message.id !== undefined) this.#asked(message);
        else if (message.method) {
            this.notifications.push(message);
            this.box.put(message);
        } else this.#answered(message);
    }

    #answered(message) {
        const waiting = this.pending.get(message.id);
        if (!waiting) {
            this.box.put(message);
            return;
        }
        this.pending.delete(message.id);
        if (message.error) waiting.reject(new RpcError(message.error));
        else waiting.resolve(message.result);
    }

    async #asked(message) {
        this.asked.push(message);
        const handler = this.handlers.get(message.method);
        if (!handler) {
            this.box.put(message);
            return;
        }
        this.send({ id: message.id, result: await handler(message.params, message) });
    }

    /** An object, or bytes as they are. */
    send(message) {
        const raw = typeof message === 'string' || Buffer.isBuffer(message);
        this.socket.write(raw ? message : `${JSON.stringify(message)}\n`);
    }

    /** The result, or RpcError. The promise has the request's id as `id`. */
    request(method, params = {}, id = ++this.lastId) {
        const promise = new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
        // Whoever awaits it gets the rejection; one that nobody awaits must not end the test run.
        promise.catch(() => {});
        this.send({ id, method, params });
        const limited = within(promise, `${this.name}: answer to ${method}`);
        limited.catch(() => {});
        limited.id = id;
        return limited;
    }

    notify(method, params) {
        this.send(params === undefined ? { method } : { method, params });
    }

    async initialize(capabilities = { experimentalApi: true }) {
        const result = await this.request('initialize', {
            clientInfo: { name: this.name.replace(/[^\w-]/g, '_'), title: null, version: '1' }, capabilities,
        });
        this.notify('initialized');
        return result;
    }

    /** Awaits a notification (or a server request without a handler); taken out. */
    next(method, filter = () => true) {
        return this.box.take((m) => m.method === method && filter(m.params ?? {}, m), method);
    }

    /** Awaits a message with no method: an answer that no request() waits for. */
    nextAnswer(filter = () => true) {
        return this.box.take((m) => !m.method && filter(m), 'an answer');
    }

    has(method, filter = () => true) {
        return this.notifications.some((m) => m.method === method && filter(m.params ?? {}, m));
    }

    onRequest(method, handler) {
        this.handlers.set(method, handler);
    }

    /** The new thread's id. */
    async startThread(params = {}) {
        return (await this.request('thread/start', params)).thread.id;
    }

    async resumeThread(threadId, params = {}) {
        return (await this.request('thread/resume', { threadId, ...params })).thread.id;
    }

    /** The answer to turn/start. */
    startTurn(threadId, text = 'hello', params = {}) {
        return this.request('turn/start', { threadId, input: [{ type: 'text', text }], ...params });
    }

    turnCompleted(threadId) {
        return this.next('turn/completed', (p) => p.threadId === threadId);
    }

    /** Stops and goes on reading. */
    pause() { this.socket.pause(); }
    resume() { this.socket.resume(); }

    /** Half-close: the end of input. */
    end() { this.socket.end(); }

    /** Closes and awaits it. */
    async close() {
        this.socket.destroy();
        await this.ended;
    }
}
