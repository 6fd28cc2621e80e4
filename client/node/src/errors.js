/** What can go wrong, a class each. */

/**
 * An error as it travels.
 * @typedef {{ code: number, message: string, data?: any }} RpcError
 */

/** Anything that the pool, or the Codex behind it, answers with. */
export class PoolError extends Error {
    /** @param {RpcError & { cause?: unknown }} error */
    constructor({ code, message, data, cause }) {
        super(message, cause === undefined ? undefined : { cause });
        this.name = new.target.name;
        /** As in JSON-RPC. */
        this.code = code;
        /** In a word, such as 'queueFull'; 'codex' for an error that is not the pool's own. @type {string} */
        this.reason = data?.reason ?? 'codex';
        /** Whether the same request may well succeed a moment later. @type {boolean} */
        this.retryable = data?.retryable === true;
        /** Everything that came with it. @type {any} */
        this.data = data;
    }
}

/** As many wait as may wait. */
export class QueueFullError extends PoolError {}

/** Waited for as long as allowed. */
export class AcquireTimeoutError extends PoolError {}

/** The caller's signal. Its name is what `fetch` and the AI SDK call it, its cause the signal's reason. */
export class AbortedError extends PoolError {
    /** @param {Partial<RpcError> & { cause?: unknown }} error */
    constructor({ code = -32011, message = 'The wait or the turn was aborted.', data, cause }) {
        super({ code, message, data: { reason: 'aborted', retryable: false, ...data }, cause });
        this.name = 'AbortError';
    }
}

/** The daemon is stopping. */
export class ShutdownError extends PoolError {}

/** The worker exited before it answered. */
export class WorkerLostError extends PoolError {}

/** Not for this user, or denied to all. */
export class ForbiddenError extends PoolError {}

/** No worker can be started. */
export class WorkerStartError extends PoolError {}

/** A line that is longer than either side takes. */
export class MessageTooLargeError extends PoolError {}

/** What was sent, or what came, is no message of the protocol. */
export class ProtocolError extends PoolError {}

/** Nobody listens at the socket. Its `code` is -32020; `data.system` has the system's, such as ENOENT. */
export class NoDaemonError extends PoolError {
    /** @param {string} path @param {NodeJS.ErrnoException} cause */
    constructor(path, cause) {
        super({
            code: -32020,
            message: `No codex-poold at ${path}: ${cause.code ?? cause.message}`,
            data: { reason: 'noDaemon', retryable: true, system: cause.code, socket: path },
            cause,
        });
    }
}

/**
 * The connection ended, as it does when the daemon is restarted. Says what was lost with it.
 * Not retryable by itself: what a turn has done by then is done.
 */
export class ConnectionLostError extends PoolError {
    /** @param {import('./ledger.js').Lost} [lost] @param {unknown} [cause] */
    constructor(lost = NOTHING, cause = /** @type {unknown} */ (undefined)) {
        super({
            code: -32021,
            message: `The connection to codex-poold was lost${described(lost)}.`,
            data: { reason: 'connectionLost', retryable: false, ...lost },
            cause,
        });
        /** Requests that will not be answered. */
        this.requests = lost.requests;
        /** Ids of the threads whose turns were cut off. */
        this.turns = lost.turns;
        /** Ids of the threads that were open: resume them to go on. */
        this.threads = lost.threads;
    }
}

/** @type {import('./ledger.js').Lost} */
const NOTHING = { requests: [], turns: [], threads: [] };

/** @param {import('./ledger.js').Lost} lost */
function described({ requests, turns, threads }) {
    const counts = [
        [requests.length, 'unanswered request'],
        [turns.length, 'running turn'],
        [threads.length, 'open thread'],
    ];
    const parts = counts.filter(([n]) => n).map(([n, what]) => `${n} ${what}${n === 1 ? '' : 's'}`);
    return parts.length ? `, and with it ${parts.join(', ')}` : '';
}

/** The transport has been closed by its user. */
export class ClosedError extends PoolError {
    constructor() {
        super({ code: -32022, message: 'The transport is closed.', data: { reason: 'closed', retryable: false } });
    }
}

/** @type {Record<number, new (error: RpcError) => PoolError>} */
const CLASSES = {
    [-32700]: ProtocolError,
    [-32600]: ProtocolError,
    [-32001]: QueueFullError,
    [-32010]: AcquireTimeoutError,
    [-32011]: AbortedError,
    [-32012]: ShutdownError,
    [-32013]: WorkerLostError,
    [-32014]: ForbiddenError,
    [-32015]: WorkerStartError,
    [-32016]: MessageTooLargeError,
};

/**
 * The error of an answer, by its class. One without the pool's `data.reason` is Codex's own.
 * @param {RpcError} error
 * @returns {PoolError}
 */
export function errorOf(error) {
    const Class = (error.data?.reason && CLASSES[error.code]) || PoolError;
    return new Class(error);
}
