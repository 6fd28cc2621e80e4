/**
 * The shape in which AI SDK providers for `codex app-server` take a transport of one's own, as `transportFactory`:
 * `createCodexAppServer({ transportFactory: ({ signal, threadId }) => codexTransport({ signal, threadId }) })`.
 */
import { connect } from './connect.js';
import { ConnectionLostError } from './errors.js';

/**
 * @typedef {import('./ledger.js').Message} Message
 * @typedef {{ message: (message: any) => void, error: (error: unknown) => void,
 *     close: (code: number | null, signal: NodeJS.Signals | null) => void }} Events
 * @typedef {object} CodexTransport
 * @property {() => Promise<void>} connect
 * @property {() => Promise<void>} disconnect
 * @property {(message: Message) => Promise<void>} sendMessage
 * @property {(method: string, params?: unknown) => Promise<void>} sendNotification
 * @property {<K extends keyof Events>(event: K, listener: Events[K]) => () => void} on
 */

/**
 * `connect` waits for a worker; the signal ends that wait. Afterwards the provider itself interrupts its turn, and
 * its `disconnect` ends whatever still runs.
 * @param {import('./connect.js').ConnectOptions} [options]
 * @returns {CodexTransport}
 */
export function codexTransport(options = {}) {
    /** @type {import('./transport.js').Transport | null} */
    let transport = null;
    /** @type {{ [K in keyof Events]: Set<Events[K]> }} */
    const listeners = { message: new Set(), error: new Set(), close: new Set() };
    const tellError = (/** @type {unknown} */ error) => listeners.error.forEach((listener) => listener(error));

    /** @param {ConnectionLostError} error */
    const onLost = (error) => {
        options.onLost?.(error);
        if (error.requests.length + error.turns.length > 0) tellError(error);
    };

    /** @param {Message} message */
    const sendMessage = async (message) => {
        if (!transport) throw new Error('The transport is not connected.');
        await transport.send(message);
    };

    return {
        async connect() {
            if (transport) return;
            transport = await connect({ ...options, onLost });
            options.signal?.removeEventListener('abort', transport.onAbort);
            transport.onMessage((message) => listeners.message.forEach((listener) => listener(message)));
            transport.onClose((error) => {
                transport = null;
                if (error && !(error instanceof ConnectionLostError)) tellError(error);
                listeners.close.forEach((listener) => listener(null, null));
            });
        },
        async disconnect() {
            transport?.close();
            transport = null;
        },
        sendMessage,
        sendNotification: (method, params) => sendMessage(params === undefined ? { method } : { method, params }),
        on(event, listener) {
            listeners[event].add(listener);
            return () => listeners[event].delete(listener);
        },
    };
}
