// `make demo-chat` as a stranger runs it: an address, a chat, and after Ctrl-C nothing is left.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cleanEnv, marked } from '../lib/daemon.mjs';
import { until, within } from '../lib/wait.mjs';

const DEMO = fileURLToPath(new URL('../demo/chat-demo.mjs', import.meta.url));

/** The demo in a temporary directory of its own: { child, out(), ended }. */
function startDemo(t) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-'));
    const mark = `TMPDIR=${dir}`;
    const child = spawn(process.execPath, [DEMO], { env: { ...cleanEnv(), HOME: dir, TMPDIR: dir } });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { out += text; });
    t.after(() => {
        marked(mark).forEach((pid) => process.kill(pid, 'SIGKILL'));
        rmSync(dir, { recursive: true, force: true });
    });
    const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
    const end = async () => {
        child.kill('SIGINT');
        assert.equal(await within(ended, 'the demo to end'), 0, out);
        assert.deepEqual(marked(mark), [], 'no process is left');
        assert.deepEqual(readdirSync(dir), [], 'no file is left');
    };
    return { end, out: () => out };
}

test('an address, a chat, an end', async (t) => {
    const demo = startDemo(t);
    const [, address] = await until(() => demo.out().match(/Chat: (http:\S+)/), 'the address');
    assert.match(await (await fetch(address)).text(), /<title>Chat<\/title>/);
    const chat = `${address}chats/mine`;
    const lines = (await (await fetch(chat, { method: 'POST', body: 'Say hello.' })).text()).trim().split('\n');
    const text = lines.map((line) => JSON.parse(line).text ?? '').join('');
    assert.ok(lines.length > 5, 'it came in pieces');
    assert.match(text, /Say hello\./);
    assert.deepEqual(await (await fetch(chat)).json(),
        [{ role: 'user', text: 'Say hello.' }, { role: 'assistant', text }]);
    await demo.end();
});

test('an end in mid-answer', async (t) => {
    const demo = startDemo(t);
    const [, address] = await until(() => demo.out().match(/Chat: (http:\S+)/), 'the address');
    const { body } = await fetch(`${address}chats/mine`, { method: 'POST', body: 'Say hello.' });
    const reader = body.getReader();
    await within(reader.read(), 'a piece');
    await demo.end();
    await reader.cancel().catch(() => {});
});
