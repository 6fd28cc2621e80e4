/** A Codex worker of the pool for a chat server. See README.md. */
export { connect } from './connect.js';
export { Transport } from './transport.js';
export { codexTransport } from './codex-transport.js';
export { bridge } from './bridge.js';
export { findSocket } from './socket-path.js';
export {
    PoolError,
    QueueFullError,
    AcquireTimeoutError,
    AbortedError,
    ShutdownError,
    WorkerLostError,
    ForbiddenError,
    WorkerStartError,
    MessageTooLargeError,
    ProtocolError,
    NoDaemonError,
    ConnectionLostError,
    ClosedError,
    errorOf,
} from './errors.js';
