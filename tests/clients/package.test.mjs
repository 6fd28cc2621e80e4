// The package for Node.js as it is published: packed, installed offline into an empty directory, used.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnv, pool } from '../lib/daemon.mjs';
import { say } from '../lib/model-server.mjs';
import { startRig } from '../real/rig.mjs';

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL('../../client/node', import.meta.url));
const MODULES = fileURLToPath(new URL('../../build/npm/node_modules', import.meta.url));
const TSC = join(MODULES, 'typescript/bin/tsc');

/** The package, packed as for publishing and installed into an empty directory with no network. */
async function install(t) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-npm-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const env = {
        ...cleanEnv(), HOME: dir, PATH: `${join(MODULES, '.bin')}:${process.env.PATH}`,
        npm_config_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false',
    };
    // Nothing is written into the sources: they are packed from a copy.
    const copy = join(dir, 'copy');
    cpSync(PACKAGE, copy, { recursive: true, filter: (file) => !file.endsWith('/node_modules') });
    symlinkSync(MODULES, join(copy, 'node_modules'));
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
    const front = readFileSync(join(PACKAGE, '../../README.md'), 'utf8');
    assert.ok(front.includes(first[0]), 'the first program is the one of the README in front');
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
