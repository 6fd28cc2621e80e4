// A link named codex that is codex-pool: programs that start `codex` are served by the pool, their `-c` included.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { generateText } from 'ai';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';
import { PoolClient } from '../lib/client.mjs';
import { codexBinary } from '../lib/codex-home.mjs';
import { cleanEnv, pool } from '../lib/daemon.mjs';
import { say } from '../lib/model-server.mjs';
import { LIMIT_MS } from '../lib/wait.mjs';
import { startRig, turn } from './rig.mjs';

/** The link, in a directory of its own. */
function link(t) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-link-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    symlinkSync(pool, join(dir, 'codex'));
    return join(dir, 'codex');
}

test('a provider that starts codex', async (t) => {
    const rig = await startRig(t);
    rig.model.on('hello', say('hello yourself'));
    const env = { CODEX_POOL_SOCKET: rig.daemon.socket };
    const provider = createCodexAppServer({ defaultSettings: { codexPath: link(t), env, cwd: rig.home.cwd, logger: false } });
    rig.clients.push(provider);
    assert.equal((await generateText({ model: provider('local'), prompt: 'hello' })).text, 'hello yourself');
    assert.equal((await rig.daemon.status()).counters.streams, 1);
});

for (const [side, program] of [['codex itself', () => codexBinary()], ['the link', link]]) {
    test(`-c reaches the model: ${side}`, async (t) => {
        const rig = await startRig(t);
        rig.model.on('hello', say('hello yourself'));
        const args = ['-c', 'developer_instructions="Be brief, said the flag."', '-c', 'model_verbosity=low', 'app-server'];
        const child = spawn(program(t), args, {
            env: { ...cleanEnv(), ...rig.home.env, CODEX_POOL_SOCKET: rig.daemon.socket },
            cwd: rig.home.cwd, stdio: ['pipe', 'pipe', 'ignore'],
        });
        const ended = new Promise((resolve) => child.once('exit', resolve));
        const client = new PoolClient(Duplex.from({ readable: child.stdout, writable: child.stdin }), 'flags');
        rig.clients.push({
            close: () => {
                child.stdin.end();
                return ended;
            },
        });
        await client.initialize();
        const threadId = await client.startThread({ cwd: rig.home.cwd });
        assert.equal((await turn(client, threadId, 'hello')).text, 'hello yourself');
        assert.ok(JSON.stringify(rig.model.requests.at(-1).body).includes('Be brief, said the flag.'));
    });
}

test('what codex-pool app-server is asked for beside the server, codex does', async (t) => {
    const rig = await startRig(t);
    const PATH = `${dirname(codexBinary())}:${cleanEnv().PATH}`;
    const env = { ...cleanEnv(), ...rig.home.env, PATH, CODEX_POOL_SOCKET: rig.daemon.socket };
    const ask = (...args) => spawnSync(pool, ['app-server', ...args], { env, cwd: rig.home.cwd, encoding: 'utf8', timeout: LIMIT_MS });
    assert.equal(ask('generate-ts', '--out', join(rig.home.cwd, 'types')).status, 0);
    const types = readFileSync(join(rig.home.cwd, 'types/ClientRequest.ts'), 'utf8');
    assert.match(types, /"thread\/start"/);
    assert.match(ask('proxy', '--help').stdout, /--sock/);
    const { stdout } = ask('--help');
    assert.match(stdout, /^usage: codex-pool /);
    assert.match(stdout, /\nUsage: codex app-server .*[^]*--listen <URL>/);
    assert.equal((await rig.daemon.status()).counters.streams, 0);
});
