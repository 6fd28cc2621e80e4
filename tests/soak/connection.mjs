// A client's connection as the soak test sees it: whatever arrives is looked at by the invariants. Every request
// carries a tag, `name.number`, which the scripted workers send back.
import { connect } from 'node:net';
import { within } from '../lib/wait.mjs';
import { Events } from './report.mjs';

/** Where the tag does not count as a setting that the client wants. */
const tagged = (method, params, tag) => (method === 'thread/resume'
    ? { ...params, initialTurnsPage: { limit: 1, soak: tag } } : { ...params, soak: tag });

export class Connection {
    static async open(world, name) {
        const client = new Connection(world, name);
        await client.#connect();
        world.answers.joined(client);
        world.report.count('connections');
        return client;
    }

    constructor(world, name) {
        Object.assign(this, { world, name });
        this.events = new Events();
        this.pending = new Map(); // JSON of the id -> entry
        this.lastId = 0;
        this.badLines = 0; // sent, and not yet answered with id null
        this.touched = new Set(); // threads that it has named or been given
        this.gaveUp = new Set(); // threads that it has let go of
        this.deltas = new Map(); // turn id -> number of the last
        this.turns = new Map(); // thread id -> whom to tell that its turn is over
        this.left = false;
        this.mayBeDropped = false;
        this.reading = true;
        this.keepsWorkers = false;
        this.token = null; // by which it may come back
        this.held = null; // what it says while it has no connection
    }

    async #connect() {
        const socket = connect({ path: this.world.daemon.socket, allowHalfOpen: true });
        this.socket = socket;
        this.#listen(socket);
        await within(new Promise((resolve, reject) => {
            socket.once('connect', resolve);
            socket.once('error', reject);
        }), `${this.name} connects`);
    }

    #listen(socket) {
        let rest = '';
        socket.setEncoding('utf8');
        socket.on('data', (text) => {
            const lines = (rest + text).split('\n');
            rest = lines.pop();
            for (const line of lines) this.#line(line);
        });
        socket.on('error', () => {});
        socket.once('end', () => socket.destroy());
        socket.once('close', () => this.#closed());
    }

    #closed() {
        if (this.token) return;
        if (!this.left && !this.mayBeDropped)
            this.world.report.fail('answers', `the daemon has hung up on ${this.name}`, { client: this });
        this.#leave();
    }

    #leave() {
        if (!this.left) this.world.report.count('disconnects with requests open', this.pending.size ? 1 : 0);
        this.left = true;
        this.world.answers.left(this);
        for (const entry of this.pending.values()) {
            this.world.fifo.over(entry);
            entry.settle({ gone: true });
        }
        this.pending.clear();
        for (const done of this.turns.values()) done();
    }

    #line(line) {
        let message;
        try {
            message = JSON.parse(line);
        } catch {
            this.world.report.fail('privacy', `${this.name} got what is not JSON: ${line.slice(0, 200)}`, { client: this });
            return;
        }
        this.events.add('<', line);
        const opened = message.result?.thread?.id;
        if (opened) this.touched.add(opened);
        // Answers may cross a half-close.
        const ofRequest = !message.method || message.method.startsWith('pool/');
        if (ofRequest && this.left) return;
        if (!message.method) this.#answer(message);
        else if (ofRequest) this.#told(message);
        else {
            this.world.privacy.delivered(this, message);
            if (message.id !== undefined) this.onAsk?.(message);
            else if (message.method === 'turn/completed') this.turns.get(message.params.threadId)?.();
        }
    }

    #told({ method, params }) {
        const entry = this.pending.get(JSON.stringify(params.id));
        if (method === 'pool/moved') this.world.report.count('moves told');
        else if (!entry) this.world.report.fail('privacy', `${this.name} got ${method} of a request that it does not have`, { client: this });
        else if (method === 'pool/queued') this.world.fifo.queued(entry);
        else this.world.fifo.assigned(entry);
    }

    #answer(message) {
        const key = JSON.stringify(message.id);
        const entry = this.pending.get(key);
        if (message.id === null && this.badLines > 0) {
            this.badLines--;
            return;
        }
        if (!entry) {
            this.world.answers.unexpected(this, message);
            return;
        }
        this.pending.delete(key);
        if (entry.method === 'pool/detach') this.token = message.result?.token ?? null;
        this.world.report.count('answers');
        this.world.answers.answered(this, entry, message);
        this.world.fifo.over(entry);
        const opened = message.result?.thread?.id;
        if (opened) this.gaveUp.delete(opened);
        entry.settle(message);
    }

    /** Bytes as they are. */
    send(text) {
        if (this.left) return;
        if (this.held) {
            this.held.push(text);
            return;
        }
        this.events.add('>', text);
        this.socket.write(text);
    }

    #speak() {
        const held = this.held ?? [];
        this.held = null;
        for (const text of held) this.send(text);
    }

    /** Leaves, to come back by attach(). False where the daemon does not want that, or it has left altogether. */
    async detach(params) {
        const { answered } = this.request('pool/detach', params);
        this.held = [];
        this.reading = false;
        await answered;
        if (this.token) await this.gone();
        else {
            this.reading = true;
            this.#speak();
        }
        return this.token !== null;
    }

    /** Comes back on another connection. False where it has been dropped meanwhile. */
    async attach() {
        const { token, held } = this;
        this.token = null;
        if (this.left) return false;
        await this.#connect();
        this.held = null;
        const { answered } = this.request('pool/attach', { token });
        this.held = held;
        this.reading = true;
        const { result, error } = await answered;
        if (result) this.#speak();
        else if (error && !this.mayBeDropped)
            this.world.report.fail('answers', `${this.name} cannot come back: ${error.message}`, { client: this });
        if (!result) await this.close();
        return Boolean(result);
    }

    /** Does not come back. */
    forsake() { this.#leave(); }

    /** Sends a request: an entry, whose `answered` resolves with the answer, or with {gone}. */
    request(method, params = {}) {
        const n = ++this.lastId;
        const id = n % 3 ? n : `r${n}`;
        const tag = `${this.name}.${n}`;
        const entry = { client: this, id, method, params, tag };
        entry.answered = new Promise((resolve) => { entry.settle = resolve; });
        if (this.left) {
            entry.settle({ gone: true });
            return entry;
        }
        if (params.threadId) this.touched.add(params.threadId);
        this.pending.set(JSON.stringify(id), entry);
        this.world.answers.sent(entry);
        this.world.fifo.sent(entry);
        this.send(`${JSON.stringify({ id, method, params: tagged(method, params, tag) })}\n`);
        return entry;
    }

    /** Resolves when a turn of this thread completes, or it has left. */
    turnOver(threadId) {
        if (this.left) return Promise.resolve();
        return new Promise((resolve) => this.turns.set(threadId, resolve));
    }

    pause() {
        this.reading = false;
        this.socket.pause();
    }

    resume() {
        this.reading = true;
        this.socket.resume();
    }

    /** Half-close; the daemon then closes. */
    async end() {
        this.#leave();
        this.socket.resume();
        this.socket.end();
        await this.gone();
    }

    async close() {
        this.#leave();
        this.socket.destroy();
        await this.gone();
    }

    async gone() {
        if (this.socket.closed) return;
        await within(new Promise((resolve) => this.socket.once('close', resolve)), `the end of ${this.name}'s connection`);
    }
}
