// What holds on which Codex: runs the acceptance tests against several versions from npm and prints a table.
//   node tests/matrix/matrix.mjs [VERSION]...     without any: those below, and the newest
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ACCEPTANCE, FILES, judge } from './acceptance.mjs';
import { isWhole, readTap } from './tap.mjs';
import { table } from './table.mjs';

const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const VERSIONS = ['0.105.0', '0.144.4', '0.153.4', '0.155.1', '0.169.0'];
/** For one file of tests on one version, which may do anything. */
const FILE_LIMIT_MS = 300000;
const INSTALL_LIMIT_MS = 600000;

/** Runs to the end, or until the limit, when all that it has started ends with it: { code, out }, code null then. */
function run(command, args, { env = {}, limit }) {
    const child = spawn(command, args, {
        cwd: ROOT, env: { ...process.env, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { out += text; });
    const end = () => { try { process.kill(-child.pid, 'SIGKILL'); } catch { /* it has ended */ } };
    const timer = setTimeout(end, limit);
    process.once('exit', end);
    return new Promise((done) => {
        child.once('error', (error) => { out += error.message; });
        child.once('close', (code) => {
            clearTimeout(timer);
            process.off('exit', end);
            done({ code, out });
        });
    });
}

/** The native program below an installation; older ones have it in another directory. */
function binaryIn(prefix) {
    const vendor = join(prefix, `node_modules/@openai/codex-linux-${process.arch}/vendor`);
    const targets = existsSync(vendor) ? readdirSync(vendor) : [];
    return targets.flatMap((target) => ['bin/codex', 'codex/codex'].map((name) => join(vendor, target, name)))
        .find((path) => existsSync(path));
}

/** Installs one version, for this platform only, unless it is there from the run before; its program. */
async function install(version) {
    const prefix = join(ROOT, 'build/matrix', version);
    const args = ['install', '--prefix', prefix, '--no-audit', '--no-fund', '--no-update-notifier', '--ignore-scripts',
        '--loglevel=error', `@openai/codex@${version}`];
    if (!binaryIn(prefix)) {
        console.log(`${version}: npm installs it`);
        const { code, out } = await run('npm', args, { limit: INSTALL_LIMIT_MS });
        if (code !== 0 || !binaryIn(prefix)) throw new Error(`${version} cannot be installed: ${out}`);
    }
    return binaryIn(prefix);
}

async function newest() {
    const { code, out } = await run('npm', ['view', '@openai/codex', 'dist-tags.latest'], { limit: INSTALL_LIMIT_MS });
    if (code !== 0) throw new Error(`which version is the newest is not known: ${out}`);
    return out.trim();
}

/** The results of a file's tests by their names, whether those are all, and if not, why. */
async function testsOf(file, codex) {
    // What one that is ended leaves behind is removed with it.
    const dir = mkdtempSync(join(tmpdir(), 'matrix-'));
    const env = { TEST_CODEX: codex, TEST_LIMIT_MS: process.env.TEST_LIMIT_MS ?? '15000', TMPDIR: dir };
    const { code, out } = await run(process.execPath, ['--test-reporter=tap', join('tests/real', file)],
        { env, limit: FILE_LIMIT_MS });
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    const missing = code === null ? `not over after ${FILE_LIMIT_MS / 1000} s` : 'did not run';
    return { results: readTap(out), whole: isWhole(out), missing };
}

async function tryVersion(version) {
    const codex = await install(version);
    const files = {};
    for (const file of FILES) {
        const began = Date.now();
        files[file] = await testsOf(file, codex);
        const all = [...files[file].results.values()];
        console.log(`${version}: ${file}: ${all.filter((error) => error === null).length} of ${all.length} passed, ` +
            `${((Date.now() - began) / 1000).toFixed(1)} s`);
    }
    return { version, cells: ACCEPTANCE.map((acceptance) => judge(acceptance, files[acceptance.file])) };
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
const named = process.argv.slice(2);
const versions = named.length ? named : [...new Set([...VERSIONS, await newest()])];
const rows = [];
for (const version of versions) rows.push(await tryVersion(version));
console.log(`\n${table(rows)}`);
