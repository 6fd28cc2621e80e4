// What bash, zsh and fish offer for codex-pool and codex-poold as they are installed, against --help, both ways.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { cleanEnv, pool, poold, startPool } from '../lib/daemon.mjs';
import * as surface from './surface.mjs';

const dir = mkdtempSync(join(tmpdir(), 'codex-pool-'));
const prefix = join(dir, 'prefix');
const env = { ...cleanEnv(), PATH: `${prefix}/bin:${process.env.PATH}`, HOME: join(dir, 'home'), TERM: 'xterm', TMPDIR: dir };

before(() => {
    mkdirSync(env.HOME);
    mkdirSync(join(dir, 'some directory'));
    writeFileSync(join(dir, 'some file'), '');
    execFileSync('make', ['-s', '--no-print-directory', 'install', `PREFIX=${prefix}`]);
});
after(() => rmSync(dir, { recursive: true }));

function run(command, args, more = {}) {
    const { status, stdout, stderr } = spawnSync(command, args, { env: { ...env, ...more }, encoding: 'utf8', timeout: 60000, cwd: dir });
    assert.equal(status, 0, `${command}: ${stderr}`);
    return [...new Set(stdout.split('\n').filter(Boolean))].sort();
}

/** As readline hands it over, which takes "=" for a word of its own. */
function bash(line, more) {
    const words = line.split(' ').flatMap((word) => word.split(/(=)/).filter((part, i, parts) => part || parts.length === 1));
    if (/=$/.test(line)) words.push('');
    const script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _codex_pool "$1"; printf "%s\\n" "${COMPREPLY[@]}"';
    return run('bash', ['--norc', '-c', script, `${prefix}/share/bash-completion/completions/codex-pool`, ...words], more);
}

const zsh = (line, more) => run('zsh', ['-f', join(process.cwd(), 'tests/package/complete.zsh'), `${prefix}/share/zsh/site-functions`, line], more);

const fish = (line, more) => run('fish', ['--no-config', '-c', 'set fish_complete_path $argv[1]; complete -C $argv[2]',
    `${prefix}/share/fish/vendor_completions.d`, line], more).map((each) => each.split('\t')[0]);

const shells = { bash, zsh, fish };
const have = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

for (const [name, offers] of Object.entries(shells)) {
    const options = { skip: !have(name) && `no ${name}` };

    test(`${name}: the commands`, options, () => {
        assert.deepEqual(offers('codex-pool '), surface.commands());
        const some = surface.commands().filter((command) => command.startsWith('st'));
        assert.deepEqual(offers('codex-pool st'), some);
        assert.deepEqual(offers('codex-pool --socket /nowhere st'), some);
        assert.deepEqual(offers('codex-pool --socket=/nowhere st'), some);
    });

    test(`${name}: the options`, options, () => {
        assert.deepEqual(offers('codex-poold --'), surface.optionsNamed(surface.help(poold)));
        assert.deepEqual(offers('codex-pool --'), surface.optionsNamed(surface.help(pool)));
        for (const command of surface.commands())
            assert.deepEqual(offers(`codex-pool ${command} --`), [...new Set([...surface.optionsTaken(command), '--help'])].sort(), command);
    });

    test(`${name}: what options and commands take`, options, () => {
        assert.deepEqual(offers('codex-pool run --approve a'), ['always', 'ask']);
        assert.deepEqual(offers('codex-pool run --json --approve n'), ['never']);
        assert.deepEqual(offers('codex-poold --log-level '), ['debug', 'error', 'info', 'trace', 'warn']);
        assert.deepEqual(offers('codex-poold --log-format '), ['json', 'text']);
        assert.deepEqual(offers('codex-poold --pool-size '), []);
        const approve = offers('codex-pool run --approve=a').map((each) => each.replace('--approve=', ''));
        assert.deepEqual(approve, ['always', 'ask']);
    });

    test(`${name}: the daemon's own methods`, options, () => {
        const methods = surface.matches(surface.read('daemon/man/codex-pool-protocol.7.scd').match(/# METHODS[^]*?(?=^# )/m)[0], /^\*(pool\/\w+)\*/gm);
        assert.deepEqual(offers('codex-pool call pool/'), methods);
    });

    test(`${name}: nothing where there is nothing to offer`, options, () => {
        assert.deepEqual(offers('codex-pool nonsense '), []);
        assert.deepEqual(offers('codex-pool run -- --'), []);
        assert.deepEqual(offers('codex-pool run --thread ', { CODEX_POOL_SOCKET: '/nowhere' }), []);
    });

    // zsh finds files by functions of its own.
    if (name === 'zsh') continue;
    test(`${name}: files and directories`, options, () => {
        const plain = (list) => list.map((each) => each.replaceAll('\\', '').replace(/\/$/, ''));
        assert.deepEqual(plain(offers('codex-pool run --cwd so')), ['some directory']);
        assert.deepEqual(plain(offers('codex-pool --socket so')), ['some directory', 'some file']);
        assert.deepEqual(plain(offers('codex-poold --config so')), ['some directory', 'some file']);
    });
}

/** A client with a running turn, and one that waits, before a daemon: what there is to be offered. */
async function scene(t) {
    const [daemon] = await startPool(t, 1, { config: { drainTimeoutMs: 0 } });
    const busy = await PoolClient.open(daemon, { name: 'busy' });
    const threadId = await busy.startThread();
    await busy.startTurn(threadId);
    await busy.next('turn/started');
    const waiting = await PoolClient.open(daemon, { name: 'waiting' });
    waiting.request('thread/start', {}, 'its id');
    const status = await daemon.untilStatus((s) => s.queue.length === 1, 'somebody waits');
    return { daemon, threadId, worker: status.workers[0].id, clients: status.clients.filter((c) => c.name), waits: status.waiters[0].client };
}

test('threads of the daemon', async (t) => {
    const { daemon, threadId } = await scene(t);
    for (const [name, offers] of Object.entries(shells)) {
        if (!have(name)) continue;
        assert.deepEqual(offers('codex-pool run --thread ', { CODEX_POOL_SOCKET: daemon.socket }), [threadId], name);
        assert.deepEqual(offers(`codex-pool --socket ${daemon.socket} run --thread `), [threadId], name);
    }
});

test('workers, clients and requests of the daemon, wherever a usage names them', async (t) => {
    const { daemon, threadId, worker, clients, waits } = await scene(t);
    const program = join(dir, 'codex-pool');
    const usages = ['replace [--json] [WORKER|all]', 'drop CLIENT', 'withdraw [--json] CLIENT ID', 'end THREAD', 'say LEVEL', 'grow N'];
    const cases = usages.map((usage) => `${usage.split(' ')[0]}) echo "usage: codex-pool [--socket PATH] ${usage}" ;;`);
    writeFileSync(program, `#!/bin/sh\ncase $2 in --help) case $1 in ${cases.join('\n')} esac; exit;; esac\nexec ${pool} "$@"\n`);
    chmodSync(program, 0o755);
    const offers = (...words) => run('sh', ['-c', 'exec "$0" "$@"', `${prefix}/share/codex-pool/candidates`, program, ...words],
        { CODEX_POOL_SOCKET: daemon.socket });
    assert.deepEqual(offers('replace', ''), [`${worker}\tbusy`, 'all']);
    assert.deepEqual(offers('replace', '--json', ''), [`${worker}\tbusy`, 'all']);
    // The one that asks is a client, too.
    const dropped = offers('drop', '');
    for (const { id, name } of clients) assert(dropped.includes(`${id}\t${name}`), `${id} ${name} in ${dropped}`);
    assert.deepEqual(offers('withdraw', `${waits}`, ''), ['"its id"\tthread/start']);
    assert.deepEqual(offers('withdraw', '99999', ''), []);
    assert.deepEqual(offers('end', ''), [threadId]);
    assert.deepEqual(offers('say', ''), ['debug', 'error', 'info', 'trace', 'warn']);
    assert.deepEqual(offers('grow', ''), []);
    assert.deepEqual(offers('replace', '1', ''), []);
});
