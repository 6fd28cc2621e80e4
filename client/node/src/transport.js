/** A line to Codex through the pool. */
import { AbortedError, ClosedError, ConnectionLostError } from './errors.js';
import { Patience } from './patience.js';
import { openSession } from './session.js';
import { isGone } from './connect.js';

/**
 * @typedef {import('./ledger.js').Message} Message
 * @typedef {import('./connection.js').Connection} Connection
 * @typedef {import('./connect.js').ConnectOptions & { path: string, worker: number | null, waitedMs: number,
 *     isQueue: (message: Message) => boolean }} Settings
 */

export class Transport {
    /** Made by `connect`. @param {Connection} connection @param {Settings} settings */
    constructor(connection, settings) {
        this.settings = settings;
        /** The worker that is held; null once the daemon has gone. @type {number | null} */
        this.worker = settings.worker;
        this.waitedMs = settings.waitedMs;
        this.closed = false;
        /** What was missed is for the first listener. @type {() => void} */
        this.heard = () => {};
        this.listened = /** @type {Promise<void> | null} */ (null);
        if (settings.attach !== undefined) this.listened = new Promise((resolve) => { this.heard = () => resolve(undefined); });
        /** @type {Set<(message: Message) => unknown>} */
        this.listeners = new Set();
        /** @type {Set<(error: unknown) => void>} */
        this.closeListeners = new Set();
        /** What the client has said of itself, for the daemon's successor. @type {object | undefined} */
        this.hello = undefined;
        /** Sends wait for this one. @type {Promise<Connection>} */
        this.connected = Promise.resolve(connection);
        this.connection = this.#use(connection);
        this.onAbort = () => void this.#abort();
        settings.signal?.addEventListener('abort', this.onAbort, { once: true });
    }

    /** @param {Connection} connection */
    #use(connection) {
        connection.onMessage = (message) => this.settings.isQueue(message) || this.#tell(message);
        connection.onEnd = (error) => void this.#lose(error);
        return connection;
    }

    /**
     * Sends a message. Resolves when the system has taken it, so that who waits for it is never ahead of the
     * daemon; while the daemon is being restarted, when that is over.
     * @param {Message} message
     * @returns {Promise<void>}
     */
    async send(message) {
        const connection = await this.#open();
        if (message.method === 'initialize') this.hello = message.params;
        await connection.send(message);
    }

    /**
     * A request, of Codex's protocol or the pool's, with an id of the transport's own.
     * @param {string} method
     * @param {object} [params]
     * @returns {Promise<any>} the result; rejects with a PoolError
     */
    async request(method, params = {}) {
        const connection = await this.#open();
        if (method === 'initialize') this.hello = params;
        return connection.request(method, params);
    }

    async #open() {
        const connection = await this.connected;
        if (this.closed) throw new ClosedError();
        return connection;
    }

    /**
     * Gets each message that answers no `request`. Where it returns a promise, the next message is read when that
     * is done: a slow reader slows the daemon. Its failure closes the transport.
     * @param {(message: Message) => unknown} listener
     * @returns {() => void} takes the listener out
     */
    onMessage(listener) {
        this.listeners.add(listener);
        this.heard();
        return () => this.listeners.delete(listener);
    }

    /**
     * Told once if the transport ends by itself: with an AbortedError after the signal, a ConnectionLostError or a
     * NoDaemonError where the daemon went and did not come back, or what a listener of messages threw.
     * @param {(error: unknown) => void} listener
     * @returns {() => void} takes the listener out
     */
    onClose(listener) {
        this.closeListeners.add(listener);
        return () => this.closeListeners.delete(listener);
    }

    /**
     * Leaves without ending anything: what runs goes on, and so does who waits for a person's answer. Resolves with a
     * token by which `connect({ attach: token })` goes on with it, here or in another process, within `ttlMs`; whatever
     * comes meanwhile is kept by the daemon. Rejects with a PoolError where that is not possible; then the transport is
     * as it was.
     * @param {{ ttlMs?: number }} [options] 10 minutes by default
     * @returns {Promise<string>}
     */
    async detach({ ttlMs } = {}) {
        const connection = await this.#open();
        const { token } = await connection.request('pool/detach', { ttlMs });
        this.#end(new ClosedError());
        return token;
    }

    /** Gives the worker back. What runs is aborted: it ends at the model. */
    close() {
        this.#end(new ClosedError());
    }

    /** @param {unknown} why @returns {boolean} whether it was open */
    #end(why) {
        if (this.closed) return false;
        this.closed = true;
        this.worker = null;
        this.heard();
        this.settings.signal?.removeEventListener('abort', this.onAbort);
        this.connection.close(why);
        return true;
    }

    /** @param {unknown} error */
    #fail(error) {
        if (this.#end(error)) this.closeListeners.forEach((listener) => listener(error));
    }

    /** @param {Message} message */
    async #tell(message) {
        try {
            if (this.listened) await this.listened;
            await Promise.all([...this.listeners].map((listener) => listener(message)));
        } catch (error) {
            this.#fail(error);
        }
    }

    /** Nothing comes any more, but whoever waits for something hears that it has ended. */
    async #abort() {
        const error = new AbortedError({ cause: this.settings.signal?.reason });
        const endings = this.connection.ledger.endings(error, 'interrupted');
        if (!this.#end(error)) return;
        for (const message of endings) await this.#tell(message);
        this.closeListeners.forEach((listener) => listener(error));
    }

    /** The daemon went, or says what we do not understand. @param {import('./errors.js').PoolError} error */
    async #lose(error) {
        const endings = this.connection.ledger.endings(error, 'failed');
        this.worker = null;
        this.heard();
        this.connected = this.#succeed(error, endings);
        try {
            await this.connected;
        } catch (reason) {
            this.#fail(reason);
        }
    }

    /**
     * Says so to whoever waits for something, then goes on with the daemon's successor.
     * @param {import('./errors.js').PoolError} error
     * @param {Message[]} endings
     */
    async #succeed(error, endings) {
        if (error instanceof ConnectionLostError) this.settings.onLost?.(error);
        for (const message of endings) await this.#tell(message);
        const patience = new Patience(this.settings.reconnectMs, this.settings.signal);
        /** @type {unknown} */
        let why = error;
        while (!this.closed && isGone(why) && (await patience.again())) {
            try {
                return await this.#reconnect();
            } catch (reason) {
                why = reason;
            }
        }
        throw why;
    }

    async #reconnect() {
        const connection = await openSession(this.settings.path, this.settings);
        if (this.closed) {
            connection.close();
            throw new ClosedError();
        }
        // From here on it is closed with us.
        this.connection = connection;
        if (this.hello) {
            await connection.request('initialize', this.hello);
            await connection.send({ method: 'initialized' });
        }
        return this.#use(connection);
    }
}
