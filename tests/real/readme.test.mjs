// The program that the README shows for a chat server is the one that runs here.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { cleanEnv, pool } from '../lib/daemon.mjs';
import { say } from '../lib/model-server.mjs';
import { startRig } from './rig.mjs';

const program = fileURLToPath(new URL('../demo/chat.mjs', import.meta.url));

test('the README\'s chat server streams through the pool', async (t) => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    assert.ok(readme.includes(`\`\`\`js\n${readFileSync(program, 'utf8')}\`\`\``), 'the README has it as it is');
    const rig = await startRig(t);
    rig.model.on('Two lines', say('be brave\nand rest', { deltas: 4 }));
    const { stdout } = await promisify(execFile)(process.execPath, [program], {
        cwd: rig.home.cwd,
        env: { ...cleanEnv(), CODEX_POOL: pool, CODEX_POOL_SOCKET: rig.daemon.socket, MODEL: 'local' },
    });
    assert.equal(stdout, 'be brave\nand rest');
});
