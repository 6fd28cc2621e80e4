/** Waits for a worker. */
import { Connection } from './connection.js';
import { AbortedError, AcquireTimeoutError, ConnectionLostError, NoDaemonError, ShutdownError } from './errors.js';
import { Patience } from './patience.js';
import { openSession, queueReader } from './session.js';
import { findSocket } from './socket-path.js';
import { Transport } from './transport.js';

/**
 * @typedef {object} ConnectOptions
 * @property {string} [socket] the daemon's socket; by default found as `codex-pool` finds it
 * @property {AbortSignal} [signal] leaves the queue at once; later it ends what runs, at the model, too
 * @property {string} [threadId] a thread that is to be resumed: waits for the worker that has it loaded
 * @property {number} [timeoutMs] longest wait in the queue; by default the daemon's own limit
 * @property {(place: import('./session.js').Place) => void} [onQueue] told of each change of the place in the queue
 * @property {(error: ConnectionLostError) => void} [onLost] told of what was lost when the daemon went
 * @property {number} [reconnectMs] for how long to try to reach a daemon that went, 10000 by default; 0: not at all
 * @property {string} [attach] what `detach` of another transport resolved with: goes on with what that one left
 * @property {number} [maxMessageBytes] longest message either way, 64 MiB by default
 */

/**
 * Waits in the pool's queue, then resolves with a transport that holds a worker until it is closed. Where the daemon
 * is restarted meanwhile, the wait begins again; where there is none, it fails at once. Rejects with a PoolError.
 * @param {ConnectOptions} [options]
 * @returns {Promise<Transport>}
 */
export async function connect(options = {}) {
    const path = findSocket(options.socket);
    if (options.attach !== undefined) return attach(path, options.attach, options);
    const until = options.timeoutMs === undefined ? Infinity : Date.now() + options.timeoutMs;
    const patience = new Patience(options.reconnectMs, options.signal);
    for (let wasThere = false; ; ) {
        try {
            const connection = await openSession(path, options);
            wasThere = true;
            return await acquire(connection, path, options, until);
        } catch (error) {
            if (!isGone(error) || (error instanceof NoDaemonError && !wasThere)) throw error;
            if (!(await patience.again())) throw error;
        }
    }
}

/** Whether a daemon that is being restarted may be the reason. @param {unknown} error */
export function isGone(error) {
    return (
        error instanceof NoDaemonError || error instanceof ConnectionLostError || error instanceof ShutdownError
    );
}

/**
 * @param {import('./connection.js').Connection} connection
 * @param {string} path
 * @param {ConnectOptions} options
 * @param {number} until
 */
async function acquire(connection, path, options, until) {
    const { signal, threadId, timeoutMs } = options;
    const isQueue = queueReader(options.onQueue);
    connection.onMessage = isQueue;
    const onAbort = () => connection.close(new AbortedError({ cause: signal?.reason }));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
        if (signal?.aborted) throw new AbortedError({ cause: signal.reason });
        const left = timeoutMs === undefined ? undefined : until - Date.now();
        if (left !== undefined && left < 1) throw timedOut(timeoutMs);
        const { worker, waitedMs } = await connection.request('pool/acquire', { threadId, timeoutMs: left });
        return new Transport(connection, { ...options, path, worker, waitedMs, isQueue });
    } catch (error) {
        connection.close(error);
        throw error;
    } finally {
        signal?.removeEventListener('abort', onAbort);
    }
}

/**
 * What was missed comes right behind the answer, and waits for a listener.
 * @param {string} path
 * @param {string} token
 * @param {ConnectOptions} options
 */
async function attach(path, token, options) {
    const isQueue = queueReader(options.onQueue);
    const connection = await Connection.open(path, options);
    const onAbort = () => connection.close(new AbortedError({ cause: options.signal?.reason }));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    /** @type {() => void} */
    let made = () => {};
    const isMade = /** @type {Promise<void>} */ (new Promise((resolve) => { made = resolve; }));
    connection.onMessage = (message) => isMade.then(() => connection.onMessage(message));
    try {
        const left = await connection.request('pool/attach', { token });
        connection.adopt(left);
        // A daemon that went has ended what it had parked: there is nothing to go on with.
        const settings = { ...options, reconnectMs: 0, path, worker: left.workers[0] ?? null, waitedMs: 0, isQueue };
        const transport = new Transport(connection, settings);
        made();
        return transport;
    } catch (error) {
        connection.close(error);
        throw error;
    } finally {
        options.signal?.removeEventListener('abort', onAbort);
    }
}

/** @param {number | undefined} ms */
function timedOut(ms) {
    const data = { reason: 'acquireTimeout', retryable: true };
    return new AcquireTimeoutError({ code: -32010, message: `Worker acquisition timed out after ${ms} ms.`, data });
}
