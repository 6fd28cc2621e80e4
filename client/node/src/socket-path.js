/** Where the daemon listens: found in the same order as the daemon and the command line client find it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The socket's path: `socket` if given, else CODEX_POOL_SOCKET, else "socket" in the configuration file, else
 * codex-pool/codex-pool.sock in XDG_RUNTIME_DIR, else in /run.
 * @param {string} [socket]
 * @param {Record<string, string | undefined>} [env]
 * @returns {string}
 */
export function findSocket(socket, env = process.env) {
    return (
        socket ||
        env.CODEX_POOL_SOCKET ||
        configuredSocket(env) ||
        join(env.XDG_RUNTIME_DIR || '/run', 'codex-pool/codex-pool.sock')
    );
}

/**
 * What the configuration says; one that cannot be read says nothing.
 * @param {Record<string, string | undefined>} env
 * @returns {string | undefined}
 */
function configuredSocket(env) {
    const own = env.XDG_CONFIG_HOME && join(env.XDG_CONFIG_HOME, 'codex-pool/config.json');
    const file = own && existsSync(own) ? own : '/etc/codex-pool/config.json';
    try {
        const { socket } = JSON.parse(readFileSync(file, 'utf8'));
        return typeof socket === 'string' ? socket : undefined;
    } catch {
        return undefined;
    }
}
