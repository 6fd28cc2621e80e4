// The Node.js client on the real Codex: what is aborted ends at the model. And the package as it is published.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnv, pool } from '../lib/daemon.mjs';
import { hang, say } from '../lib/model-server.mjs';
import { converse, greet, open } from '../lib/node-client.mjs';
import { startRig } from './rig.mjs';

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL('../../client/node', import.meta.url));
const MODULES = fileURLToPath(new URL('../../build/npm/node_modules', import.meta.url));
const TSC = join(MODULES, 'typescript/bin/tsc');

test('a signal ends the turn at the model and frees the worker', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang('so')).on('next', say('served'));
    const abort = new AbortController();
    const transport = await open(t, rig.daemon, { signal: abort.signal });
    await converse(transport, 'long');
    const asked = await rig.model.request('long');
    await transport.next('item/agentMessage/delta');
    const waiting = open(t, rig.daemon);
    await rig.daemon.untilStatus(({ queue }) => queue.length === 1, 'another waits');
    abort.abort();
    await asked.cut();
    const next = await waiting;
    await converse(next, 'next');
    const { params } = await next.next('item/completed', ({ item }) => item.type === 'agentMessage');
    assert.equal(params.item.text, 'served');
    await next.next('turn/completed');
    next.close();
    await rig.untilClean();
});

test('a conversation is resumed by another, on the worker that it waits for', async (t) => {
    const rig = await startRig(t, { poolSize: 2 });
    rig.model.on('my name is Ada', say('hello Ada')).on('who am I', say('Ada'));
    const first = await open(t, rig.daemon);
    const threadId = await converse(first, 'my name is Ada');
    await first.next('turn/completed');
    first.close();
    const second = await open(t, rig.daemon, { threadId });
    await greet(second);
    await second.request('thread/resume', { threadId });
    await second.request('turn/start', { threadId, input: [{ type: 'text', text: 'who am I' }] });
    await second.next('turn/completed');
    assert.equal((await rig.model.request('who am I')).history.length, 3);
    second.close();
});

/** The package, packed as for publishing and installed into an empty directory with no network. */
async function install(t) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-npm-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const env = {
        ...cleanEnv(), HOME: dir, PATH: `${join(MODULES, '.bin')}:${process.env.PATH}`,
        npm_config_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false',
    };
    // Nothing is written into the sources: they are packed from a copy, as deep as they are.
    const copy = join(dir, 'copy/client/node');
    mkdirSync(copy, { recursive: true });
    cpSync(PACKAGE, copy, { recursive: true });
    mkdirSync(join(dir, 'copy/build/npm'), { recursive: true });
    symlinkSync(MODULES, join(dir, 'copy/build/npm/node_modules'));
    await run('npm', ['pack', '--pack-destination', dir], { cwd: copy, env });
    const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz'));
    const cwd = join(dir, 'user');
    mkdirSync(cwd);
    await run('npm', ['install', '--offline', join(dir, tarball)], { cwd, env });
    return { cwd, env, tarball };
}

/** A program that uses it, right and wrong. */
async function checkTypes(cwd, env) {
    writeFileSync(join(cwd, 'use.mts'), `
        import { AbortedError, connect, codexTransport, bridge, type Transport } from 'codex-pool';
        const transport: Transport = await connect({ onQueue: ({ position }) => position.toFixed() });
        const worker: number | null = transport.worker;
        const sent: Promise<void> = transport.send({ method: 'initialized' });
        transport.onMessage(async (message) => void message.method)();
        codexTransport({ threadId: 'x' }).on('error', (error) => error instanceof AbortedError && error.retryable);
        const path: string = (await bridge()).codexPath;
        // @ts-expect-error a setting that there is not
        await connect({ sockte: 'x' });
    `);
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023'];
    const types = ['--types', 'node', '--typeRoots', join(MODULES, '@types')];
    await run(process.execPath, [TSC, ...options, ...types, 'use.mts'], { cwd, env }).catch(({ stdout }) => assert.fail(stdout));
}

test('the package is installed from its tarball, alone and offline, works, and has types', async (t) => {
    const rig = await startRig(t);
    rig.model.on('Say hello', say('hello there', { deltas: 3 }));
    const { cwd, env, tarball } = await install(t);
    const [, version] = readFileSync(join(PACKAGE, '../../Makefile'), 'utf8').match(/^VERSION := (.*)$/m);
    assert.equal(tarball, `codex-pool-${version}.tgz`, 'of the version of the programs');
    const installed = join(cwd, 'node_modules/codex-pool');
    assert.deepEqual(readdirSync(installed).sort(), ['LICENSE', 'README.md', 'package.json', 'src', 'types']);
    const [first, second] = readFileSync(join(installed, 'README.md'), 'utf8').matchAll(/```js\n([^]*?)```/g);
    const program = async (name, [, text], more = {}) => {
        writeFileSync(join(cwd, name), text);
        const options = { cwd, env: { ...env, CODEX_POOL_SOCKET: rig.daemon.socket, ...more } };
        return (await run(process.execPath, [name], options)).stdout;
    };
    assert.equal(await program('first.mjs', first), 'hello there');
    for (const name of ['ai', 'ai-sdk-provider-codex-cli']) {
        symlinkSync(join(MODULES, name), join(cwd, 'node_modules', name));
    }
    const provider = { CODEX_POOL: pool, MODEL: 'local' };
    assert.equal(await program('second.mjs', second, provider), 'hello there');
    await checkTypes(cwd, env);
});
