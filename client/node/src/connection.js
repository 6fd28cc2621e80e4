/** One connection to the daemon: messages both ways, each side read only as fast as the other takes it. */
import { connect } from 'node:net';
import {
    AbortedError, ClosedError, ConnectionLostError, MessageTooLargeError, NoDaemonError, PoolError, ProtocolError, errorOf,
} from './errors.js';
import { Ledger, OWN } from './ledger.js';
import { Lines } from './lines.js';

/** As the daemon's own limit. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/**
 * @typedef {import('./ledger.js').Message} Message
 * @typedef {{ resolve: (result: any) => void, reject: (error: unknown) => void }} Waiting
 */

export class Connection {
    /**
     * @param {string} path
     * @param {{ signal?: AbortSignal, maxMessageBytes?: number }} [options] the signal counts until it is open
     * @returns {Promise<Connection>}
     */
    static open(path, { signal, maxMessageBytes = MAX_MESSAGE_BYTES } = {}) {
        return new Promise((resolve, reject) => {
            if (signal?.aborted) return reject(new AbortedError({ cause: signal.reason }));
            const socket = connect({ path });
            const onAbort = () => fail(new AbortedError({ cause: signal?.reason }));
            const onError = (/** @type {Error} */ error) => fail(new NoDaemonError(path, error));
            const fail = (/** @type {Error} */ error) => {
                settle();
                socket.on('error', () => {}).destroy();
                reject(error);
            };
            const settle = () => {
                signal?.removeEventListener('abort', onAbort);
                socket.off('error', onError);
            };
            signal?.addEventListener('abort', onAbort, { once: true });
            socket.once('error', onError).once('connect', () => {
                settle();
                resolve(new Connection(socket, maxMessageBytes));
            });
        });
    }

    /** @param {import('node:net').Socket} socket @param {number} maxMessageBytes */
    constructor(socket, maxMessageBytes) {
        this.socket = socket;
        this.maxMessageBytes = maxMessageBytes;
        this.ended = false;
        /** Gets each message that answers no request of ours; the next is read when it is done with this. */
        this.onMessage = /** @type {(message: Message) => unknown} */ (() => {});
        /** Told once of an end that is none of our doing, before our own requests fail. */
        this.onEnd = /** @type {(error: PoolError) => void} */ (() => {});
        /** What is lost if it ends now. */
        this.ledger = new Ledger();
        /** @type {Map<string, Waiting>} */
        this.waiting = new Map();
        this.lastId = 0;
        socket.on('error', () => {});
        void this.#read();
    }

    /** Leaving the loop destroys the socket. */
    async #read() {
        /** @type {unknown} */
        let why;
        try {
            const lines = new Lines(this.maxMessageBytes);
            for await (const chunk of this.socket) {
                for (const line of lines.take(chunk)) await this.#came(line);
            }
        } catch (error) {
            why = error;
        }
        if (this.ended) return;
        const error = why instanceof PoolError ? why : new ConnectionLostError(this.ledger.lost(), why);
        this.onEnd(error);
        this.close(error);
    }

    /** @param {Buffer} line */
    #came(line) {
        // What comes after we have closed is for nobody.
        if (this.ended) return undefined;
        /** @type {Message} */
        let message;
        try {
            message = JSON.parse(line.toString('utf8'));
        } catch (cause) {
            const data = { reason: 'parse', retryable: false };
            throw new ProtocolError({ code: -32700, message: 'A line that is not JSON came.', data, cause });
        }
        this.ledger.came(message);
        const waiting = message.method === undefined && this.waiting.get(message.id);
        if (!waiting) return this.onMessage(message);
        this.waiting.delete(message.id);
        if (message.error) waiting.reject(errorOf(message.error));
        else waiting.resolve(message.result);
        return undefined;
    }

    /**
     * Resolves when the system has taken the message: wait for it, and you are never ahead of the daemon.
     * @param {Message} message
     * @returns {Promise<void>}
     */
    send(message) {
        const line = Buffer.from(`${JSON.stringify(message)}\n`);
        if (line.length > this.maxMessageBytes) {
            const data = { reason: 'messageTooLarge', retryable: false };
            const text = `A message has ${line.length} bytes, more than ${this.maxMessageBytes}.`;
            return Promise.reject(new MessageTooLargeError({ code: -32016, message: text, data }));
        }
        this.ledger.sent(message);
        return new Promise((resolve, reject) => {
            this.socket.write(line, (error) => (error ? reject(this.#unsent(message, error)) : resolve()));
        });
    }

    /** @param {Message} message @param {Error} cause */
    #unsent({ id, method }, cause) {
        const requests = id === undefined || method === undefined ? [] : [{ id, method }];
        return new ConnectionLostError({ requests, turns: [], threads: [] }, cause);
    }

    /**
     * A request of our own; rejects with a PoolError.
     * @param {string} method
     * @param {object} [params]
     * @returns {Promise<any>}
     */
    request(method, params = {}) {
        const id = `${OWN}${++this.lastId}`;
        return new Promise((resolve, reject) => {
            this.waiting.set(id, { resolve, reject });
            this.send({ id, method, params }).catch((error) => {
                if (this.waiting.delete(id)) reject(error);
            });
        });
    }

    /**
     * It has what another connection left.
     * @param {{ threads: string[], turns: { threadId: string, turnId: string }[], requests: (string | number)[] }} left
     */
    adopt(left) {
        this.ledger.adopt(left);
        // Their answers are for nobody here.
        const taken = left.requests.map((id) => (String(id).startsWith(OWN) ? Number(String(id).slice(OWN.length)) : 0));
        this.lastId = Math.max(this.lastId, ...taken);
    }

    /** Ends it, and with it everything that runs or waits on it; our own requests fail with `why`. */
    close(why = /** @type {unknown} */ (new ClosedError())) {
        this.ended = true;
        this.socket.destroy();
        for (const { reject } of this.waiting.values()) reject(why);
        this.waiting.clear();
    }
}
