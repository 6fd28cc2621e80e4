// The local model with a Codex of its own and no pool between: if this fails, look here before looking there.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import test from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { codexBinary, makeCodexHome } from '../lib/codex-home.mjs';
import {
    chat,
    hold,
    say,
    shell,
    spawnAgent,
    startModelServer,
    steps,
    waitAgent,
} from '../lib/model-server.mjs';
import { told, turn } from './rig.mjs';

async function startCodex(t, behaviour) {
    const model = await startModelServer({ behaviour });
    const home = makeCodexHome({ model: model.url });
    const child = spawn(codexBinary(), ['-c', 'thread_unload_delay_secs=0', 'app-server'], {
        env: { PATH: process.env.PATH, ...home.env },
        stdio: ['pipe', 'pipe', 'ignore'],
    });
    const exited = once(child, 'exit');
    t.after(async () => {
        child.stdin.end();
        const exit = await exited;
        const left = home.dispose();
        await model.close();
        assert.deepEqual([...exit, left], [0, null, 0]);
    });
    const client = new PoolClient(Duplex.from({ readable: child.stdout, writable: child.stdin }), 'direct');
    await client.initialize();
    return { model, home, client };
}

test('a turn, and another that knows it', async (t) => {
    const { model, home, client } = await startCodex(t, chat({ wordMs: 1 }));
    const threadId = await client.startThread({ cwd: home.cwd });
    const first = await turn(client, threadId, 'what is a pool');
    assert.equal(first.status, 'completed');
    assert.match(first.text, /You ask: "what is a pool"/);
    const deltas = client.notifications.filter(({ method }) => method === 'item/agentMessage/delta');
    assert.ok(deltas.length > 10, 'word by word');
    assert.equal(deltas.map(({ params }) => params.delta).join(''), first.text);
    const second = await turn(client, threadId, 'and a worker');
    assert.match(second.text, /Before that you asked: "what is a pool"/);
    assert.deepEqual(told(model.requests[1]), [
        'user: what is a pool',
        `assistant: ${first.text}`,
        'user: and a worker',
    ]);
});

test('a shell command runs and the model hears what it printed', async (t) => {
    const { model, home, client } = await startCodex(t);
    model.on('run', steps(shell('echo $((6 * 7))'), say('ran')));
    const threadId = await client.startThread({ cwd: home.cwd });
    assert.equal((await turn(client, threadId, 'run')).text, 'ran');
    assert.match(model.asked('run')[1].outputs[0], /^42$/m);
});

test('an interrupt reaches the model', async (t) => {
    const { model, home, client } = await startCodex(t);
    model.on('long', hold());
    const threadId = await client.startThread({ cwd: home.cwd });
    await client.startTurn(threadId, 'long');
    const asked = await model.request('long');
    await client.next('item/agentMessage/delta');
    await client.request('turn/interrupt', { threadId, turnId: '' });
    await asked.cut();
});

test('a sub-agent speaks with the model, and its parent waits for it', async (t) => {
    const { model, home, client } = await startCodex(t);
    model
        .on('delegate', steps(spawnAgent('child work'), waitAgent(), say('done')))
        .on('child work', say('I did'));
    const threadId = await client.startThread({ cwd: home.cwd });
    assert.equal((await turn(client, threadId, 'delegate')).text, 'done');
    const [child] = model.asked('child work');
    assert.notEqual(child.threadId, threadId);
    assert.match(model.asked('delegate').at(-1).outputs.at(-1), /I did/);
});
