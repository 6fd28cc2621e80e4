// The same calls of the AI SDK twice: by a provider that starts Codex itself, and by one that the pool serves.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';
import { PoolClient } from '../lib/client.mjs';
import { codexBinary, makeCodexHome } from '../lib/codex-home.mjs';
import { cleanEnv, pool } from '../lib/daemon.mjs';
import { startModelServer } from '../lib/model-server.mjs';
import { until } from '../lib/wait.mjs';
import { startRig } from './rig.mjs';

export const NAME = 'codex-app-server';

/** What providers of either side are set to. */
function makeProvider(side, settings) {
    const provider = createCodexAppServer({
        defaultSettings: { cwd: side.home.cwd, requestTimeoutMs: 60000, logger: false, ...side.starts, ...settings },
    });
    side.providers.push(provider);
    return provider;
}

async function startDirect(t, home) {
    const model = await startModelServer();
    const side = { name: 'direct', model, home: makeCodexHome({ model: model.url, ...home }), providers: [] };
    side.starts = { codexPath: codexBinary(), env: side.home.env };
    t.after(async () => {
        await Promise.all(side.providers.map((provider) => provider.close()));
        await until(() => side.home.processes().length === 0, 'no Codex is left');
        side.home.dispose();
        await model.close();
    });
    side.raw = async (use) => {
        const child = spawn(codexBinary(), ['app-server'], {
            env: { ...cleanEnv(), ...side.home.env }, cwd: side.home.cwd, stdio: ['pipe', 'pipe', 'ignore'],
        });
        const client = new PoolClient(Duplex.from({ readable: child.stdout, writable: child.stdin }), 'raw');
        await client.initialize();
        const result = await use(client);
        const exited = once(child, 'exit');
        child.stdin.end();
        await exited;
        return result;
    };
    return side;
}

async function startPooled(t, home) {
    const rig = await startRig(t, { poolSize: 2, home });
    const side = { name: 'pool', model: rig.model, home: rig.home, providers: rig.clients, rig };
    side.starts = { codexPath: pool, env: { CODEX_POOL_SOCKET: rig.daemon.socket } };
    side.raw = async (use) => {
        const client = await rig.connect('raw');
        const result = await use(client);
        await client.close();
        return result;
    };
    return side;
}

/**
 * Runs `calls(side, connect)` on both sides; what it returns must be the same, but for ids and temporary paths.
 * `side.model` is the side's model, `side.raw(use)` gives `use` a plain client, `connect(settings)` makes a provider.
 */
export async function onBothSides(t, calls, { home = {} } = {}) {
    const results = [];
    for (const start of [startDirect, startPooled]) {
        const side = await start(t, home);
        const result = await calls(side, (settings = {}) => makeProvider(side, settings));
        results.push(plain(result));
    }
    assert.deepEqual(results[1], results[0], 'through the pool as without it');
    return results[0];
}

/** Without what differs from one run to the next. */
function plain(result) {
    const text = JSON.stringify(result, (key, value) => (/(Ms|At|Id|^id|timestamp)$/.test(key) ? undefined : value))
        .replace(/codex-pool-home-\w{6}/g, 'HOME')
        .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID');
    return JSON.parse(text);
}
