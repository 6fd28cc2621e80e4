/** A connection that says where its requests wait: what every way to use the pool begins with. */
import { Connection } from './connection.js';
import { AbortedError } from './errors.js';

/**
 * A place in the queue: 1 is the next to be served; 0, at last, that the wait is over.
 * @typedef {{ id: string | number, position: number, length: number, waitedMs?: number }} Place
 */

/**
 * @param {string} path
 * @param {{ signal?: AbortSignal, maxMessageBytes?: number, onQueue?: (place: Place) => void }} options
 * @returns {Promise<Connection>}
 */
export async function openSession(path, options) {
    const { signal, onQueue } = options;
    const connection = await Connection.open(path, options);
    const onAbort = () => connection.close(new AbortedError({ cause: signal?.reason }));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
        if (onQueue) await connection.request('pool/subscribe', { events: ['queue'] });
        return connection;
    } catch (error) {
        connection.close(error);
        throw error;
    } finally {
        signal?.removeEventListener('abort', onAbort);
    }
}

/**
 * Reads the notifications about the queue.
 * @param {(place: Place) => void} [onQueue]
 * @returns {(message: import('./ledger.js').Message) => boolean} whether it was one
 */
export function queueReader(onQueue) {
    /** Those who wait; one that is served at once has no place to tell of. */
    const waiting = new Set();
    return ({ id, method, params }) => {
        if (id !== undefined || (method !== 'pool/queued' && method !== 'pool/assigned')) return false;
        if (method === 'pool/queued') {
            waiting.add(params.id);
            onQueue?.(params);
        } else if (waiting.delete(params.id)) {
            onQueue?.({ position: 0, length: 0, ...params });
        }
        return true;
    };
}
