/**
 * For a provider that takes no transport but starts `codex` itself: a socket between the pool and the `codex-pool`
 * that it starts in its place, where the wait is seen and can be ended.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from './connection.js';
import { AbortedError } from './errors.js';
import { OWN } from './ledger.js';
import { Lines } from './lines.js';
import { queueReader } from './session.js';
import { findSocket } from './socket-path.js';

const SUBSCRIBE = { id: `${OWN}bridge`, method: 'pool/subscribe', params: { events: ['queue'] } };

/** The heads of lines that may be for the bridge: looked at before they are parsed. */
const OURS = /"pool\/(queued|assigned)"|"codex-pool:bridge"/;

/**
 * @typedef {object} BridgeOptions
 * @property {string} [socket] the daemon's socket; by default found as `codex-pool` finds it
 * @property {AbortSignal} [signal] closes the bridge: leaves the queue at once, ends what runs at the model
 * @property {(place: import('./session.js').Place) => void} [onQueue] told of each change of a place in the queue
 * @property {string} [codexPath] the command line client, `codex-pool` by default
 */

/**
 * @typedef {object} Bridge
 * @property {string} codexPath for the provider's setting of that name
 * @property {{ CODEX_POOL_SOCKET: string }} env for its environment
 * @property {() => Promise<void>} close ends everything that runs or waits on it
 */

/**
 * Rejects with a NoDaemonError where there is no daemon now.
 * @param {BridgeOptions} [options]
 * @returns {Promise<Bridge>}
 */
export async function bridge({ socket, signal, onQueue, codexPath = 'codex-pool' } = {}) {
    const path = findSocket(socket);
    (await Connection.open(path, { signal })).close();
    const directory = await mkdtemp(join(tmpdir(), 'codex-pool-'));
    const own = join(directory, 's');
    /** @type {Set<import('node:net').Socket>} */
    const open = new Set();
    const server = createServer((client) => {
        open.add(client);
        client.on('error', () => {}).once('close', () => open.delete(client));
        void carry(client, path, onQueue);
    });
    const close = async () => {
        signal?.removeEventListener('abort', close);
        open.forEach((client) => client.destroy());
        if (server.listening) await new Promise((resolve) => server.close(resolve));
        await rm(directory, { recursive: true, force: true });
    };
    await once(server.listen(own), 'listening');
    signal?.addEventListener('abort', close, { once: true });
    if (signal?.aborted) {
        await close();
        throw new AbortedError({ cause: signal.reason });
    }
    return { codexPath, env: { CODEX_POOL_SOCKET: own }, close };
}

/**
 * A client's bytes to the pool and the pool's to the client, as they are, but for those about the queue.
 * @param {import('node:net').Socket} client
 * @param {string} path
 * @param {((place: import('./session.js').Place) => void) | undefined} onQueue
 */
async function carry(client, path, onQueue) {
    const pool = connect({ path });
    pool.on('error', () => {}).once('close', () => client.destroy());
    client.once('close', () => pool.destroy());
    pool.write(`${JSON.stringify(SUBSCRIBE)}\n`);
    client.pipe(pool);
    const isQueue = queueReader(onQueue);
    const lines = new Lines(Infinity);
    try {
        for await (const chunk of pool) {
            for (const line of lines.take(chunk)) {
                if (isOurs(line, isQueue)) continue;
                client.write(line);
                if (!client.write('\n')) await once(client, 'drain');
            }
        }
    } catch {
        // One of them has gone, and the other goes with it.
    }
}

/** @param {Buffer} line @param {(message: any) => boolean} isQueue */
function isOurs(line, isQueue) {
    if (!OURS.test(line.toString('latin1', 0, 64))) return false;
    const message = JSON.parse(line.toString('utf8'));
    return message.id === SUBSCRIBE.id || isQueue(message);
}
