// The demo as a stranger runs it: in the end everything held, and nothing of it is left.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeCodexHome } from '../lib/codex-home.mjs';
import { marked } from '../lib/daemon.mjs';
import { chat, startModelServer } from '../lib/model-server.mjs';
import { until, within } from '../lib/wait.mjs';

const DEMO = fileURLToPath(new URL('../demo/demo.mjs', import.meta.url));
const LIMIT_MS = 300000;

/** Starts the demo with a temp dir of its own; `demo.ended` checks that nothing is left in or of it. */
function startDemo(t, env = {}, command = [process.execPath, DEMO]) {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'codex-pool-'));
    const mark = `TMPDIR=${dir}`;
    const child = spawn(command[0], command.slice(1), {
        env: { PATH: process.env.PATH, HOME: dir, TERM: 'xterm', TMPDIR: dir, ...env },
    });
    const demo = { child, out: '' };
    for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text) => (demo.out += text));
    }
    const closed = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
    demo.ended = within(closed, 'the demo to end', LIMIT_MS).then((exit) => {
        assert.deepEqual(marked(mark), [], 'no process is left');
        assert.deepEqual(fs.readdirSync(dir), [], 'no file is left');
        return exit;
    });
    t.after(() => {
        marked(mark).forEach((pid) => process.kill(pid, 'SIGKILL'));
        fs.rmSync(dir, { recursive: true, force: true });
    });
    return demo;
}

function assertHeld(out) {
    assert.match(out, /All of it held, in \d+\.\d s\./);
    assert.doesNotMatch(out, /FAILED/);
    assert.match(out, /nobody was refused: 3 waited, and all were served/);
    assert.match(out, /was killed, and \d+ ms later worker [12] went to [A-E], the next in line/);
    assert.match(out, /F went on with [A-E]'s thread on worker [12], and the model knew its past/);
    assert.match(out, /nothing was left: no process, no socket, no file/);
}

test('on a terminal, in place', async (t) => {
    const demo = startDemo(t, {}, [
        'script',
        '-qec',
        `stty cols 100 rows 30; ${process.execPath} ${DEMO}`,
        '/dev/null',
    ]);
    assert.equal(await demo.ended, 0, demo.out);
    assertHeld(demo.out);
    assert.match(demo.out, /\x1b\[\d+A/, 'the lines are drawn again');
    assert.match(demo.out, /waits, place 3/);
    assert.ok(demo.out.lastIndexOf('\x1b[?25h') > demo.out.lastIndexOf('\x1b[?25l'), 'the cursor is back');
});

/** Starts the demo on a login: one that leads to a model of ours. */
async function startOnLogin(t) {
    const model = await startModelServer({ behaviour: chat({ wordMs: 30 }) });
    const home = makeCodexHome({ model: model.url });
    t.after(async () => {
        home.dispose();
        await model.close();
    });
    fs.writeFileSync(path.join(home.codexHome, 'auth.json'), '{"OPENAI_API_KEY":"none"}');
    const demo = startDemo(t, { LOGIN: '1', HOME: home.home, CODEX_HOME: home.codexHome });
    const kept = () => {
        const names = fs.readdirSync(path.join(home.codexHome, 'sessions'), { recursive: true }).map(String);
        return names.filter((name) => name.endsWith('.jsonl'));
    };
    return { model, demo, kept };
}

test('on a login, in lines; its threads are deleted', async (t) => {
    const { model, demo, kept } = await startOnLogin(t);
    assert.equal(await demo.ended, 0, demo.out);
    assertHeld(demo.out);
    assert.match(demo.out, /your own login/);
    assert.match(demo.out, /waits, place 3/);
    assert.doesNotMatch(demo.out, /\x1b/);
    assert.ok(model.requests.length >= 7);
    assert.deepEqual(kept(), []);
});

test('Ctrl-C on a login deletes its threads, too', async (t) => {
    const { demo, kept } = await startOnLogin(t);
    await until(() => /\| You ask/.test(demo.out), 'the model speaks');
    assert.ok(kept().length >= 2);
    demo.child.kill('SIGINT');
    assert.equal(await demo.ended, 130, demo.out);
    assert.match(demo.out, /SIGINT: stopped, nothing is left behind/);
    assert.deepEqual(kept(), []);
});

test('a login that is not there is asked for, in plain words', async (t) => {
    const demo = startDemo(t, { LOGIN: '1' });
    assert.equal(await demo.ended, 1);
    assert.match(demo.out, /LOGIN=1 needs a login, and there is no .*\/\.codex\/auth\.json/);
    assert.doesNotMatch(demo.out, /^\s+at /m);
});

for (const [when, shown] of [
    ['while the workers start', /no account is needed/],
    ['in the middle', /\| You ask/],
]) {
    test(`Ctrl-C ${when}`, async (t) => {
        const demo = startDemo(t);
        await until(() => shown.test(demo.out), `the demo shows ${shown}`);
        demo.child.kill('SIGINT');
        assert.equal(await demo.ended, 130, demo.out);
        assert.match(demo.out, /SIGINT: stopped, nothing is left behind/);
    });
}
