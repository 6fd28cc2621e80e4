// What a worker asks its client, and what needs no worker to itself.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { hold, say, shell, steps, tool } from '../lib/model-server.mjs';
import { startRig, told, turn } from './rig.mjs';

const LOOKUP = {
    type: 'function',
    name: 'lookup',
    description: 'looks up',
    inputSchema: { type: 'object', properties: { q: { type: 'string' } } },
};

/** A client whose model wants to run a command outside of the sandbox. */
async function startAsking(t) {
    const rig = await startRig(t, { home: { policy: 'on-request', sandbox: 'read-only' } });
    rig.model.on('touch', steps(shell('touch allowed', { escalated: true }), say('done')));
    rig.client = await rig.connect('asked');
    rig.threadId = await rig.client.startThread({ cwd: rig.home.cwd });
    rig.file = path.join(rig.home.cwd, 'allowed');
    return rig;
}

test('an approval given lets the command run', async (t) => {
    const rig = await startAsking(t);
    rig.client.onRequest('item/commandExecution/requestApproval', async ({ threadId, command }) => {
        assert.equal(threadId, rig.threadId);
        assert.match(command, /touch allowed/);
        assert.equal(fs.existsSync(rig.file), false);
        assert.equal((await rig.worker(1)).state, 'busy', 'the turn goes on while the client thinks');
        return { decision: 'accept' };
    });
    assert.equal((await turn(rig.client, rig.threadId, 'touch it')).text, 'done');
    assert.equal(rig.client.asked.length, 1);
    assert.equal(fs.existsSync(rig.file), true);
    const [{ params }] = rig.client.notifications.filter(({ method }) => method === 'serverRequest/resolved');
    assert.equal(params.requestId, rig.client.asked[0].id);
});

test('an approval declined does not', async (t) => {
    const rig = await startAsking(t);
    rig.client.onRequest('item/commandExecution/requestApproval', () => ({ decision: 'decline' }));
    assert.equal((await turn(rig.client, rig.threadId, 'touch it')).status, 'completed');
    assert.equal(rig.client.asked.length, 1);
    assert.equal(fs.existsSync(rig.file), false);
});

test('approvals of two workers reach their own clients, under ids that do not meet', async (t) => {
    const rig = await startRig(t, { poolSize: 2, home: { policy: 'on-request', sandbox: 'read-only' } });
    const client = await rig.connect('both');
    const threads = await Promise.all(
        ['one', 'two'].map((name) => {
            rig.model.on(`touch ${name}`, steps(shell(`touch ${name}`, { escalated: true }), say(name)));
            return client.startThread({ cwd: rig.home.cwd });
        }),
    );
    await client.startTurn(threads[0], 'touch one');
    await client.startTurn(threads[1], 'touch two');
    const asked = [];
    for (const threadId of threads) {
        asked.push(
            await client.next('item/commandExecution/requestApproval', (p) => p.threadId === threadId),
        );
    }
    assert.notEqual(asked[0].id, asked[1].id);
    client.send({ id: asked[1].id, result: { decision: 'accept' } });
    await client.turnCompleted(threads[1]);
    assert.deepEqual(
        fs.readdirSync(rig.home.cwd).filter((name) => name !== '.git'),
        ['two'],
    );
    client.send({ id: asked[0].id, result: { decision: 'accept' } });
    await client.turnCompleted(threads[0]);
    assert.ok(fs.existsSync(path.join(rig.home.cwd, 'one')));
});

test('a tool that the client offers is called and answered', async (t) => {
    const rig = await startRig(t);
    rig.model.on('look it up', steps(tool('lookup', { q: 'x' }), say('found')));
    const client = await rig.connect('offers');
    client.onRequest('item/tool/call', ({ tool: name, arguments: args }) => {
        assert.deepEqual([name, args], ['lookup', { q: 'x' }]);
        return { contentItems: [{ type: 'inputText', text: '42' }], success: true };
    });
    const threadId = await client.startThread({ cwd: rig.home.cwd, dynamicTools: [LOOKUP] });
    assert.equal((await turn(client, threadId, 'look it up')).text, 'found');
    const [answered] = rig.model.asked('look it up').slice(1);
    assert.match(answered.outputs[0], /42/);
});

test('reads do not wait for the turn of another', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hold('one', ' two'));
    const busy = await rig.holding('busy', 'long');
    const reader = await rig.connect('reader');
    const models = await reader.request('model/list', {});
    assert.ok(models.data.length > 0);
    const list = await reader.request('thread/list', {});
    assert.deepEqual(
        list.data.map(({ id }) => id),
        [busy.threadId],
    );
    const { thread } = await reader.request('thread/read', { threadId: busy.threadId, includeTurns: true });
    assert.equal(thread.turns.at(-1).status, 'inProgress');
    assert.equal((await reader.request('config/read', {})).config.model, 'local');
    assert.deepEqual((await reader.request('thread/loaded/list', {})).data, []);
    assert.equal(busy.asked.state, 'open', 'the turn was still running');
    assert.deepEqual(
        reader.notifications.filter(({ params }) => params.threadId),
        [],
    );
    busy.asked.release();
    assert.equal((await busy.turnCompleted(busy.threadId)).params.turn.status, 'completed');
});

test('a burst that Codex itself would drop is answered whole, in time with others', async (t) => {
    const rig = await startRig(t);
    const [burst, other] = [await rig.connect('burst'), await rig.connect('other')];
    let open = 5000;
    const sent = Array.from({ length: open }, () =>
        burst.request('model/list').finally(() => open--));
    for (let i = 0; i < 3; i++) await other.request('model/list');
    assert.ok(open > 0, 'the other did not wait for the whole burst');
    const answers = await Promise.all(sent);
    assert.ok(answers.every((answer) => Array.isArray(answer.data)));
});

test('a client steers its own running turn at once', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hold('one', ' two')).on('also this', say('both'));
    const client = await rig.holding('steers', 'long');
    const steered = await client.startTurn(client.threadId, 'also this');
    client.asked.release();
    const { params } = await client.turnCompleted(client.threadId);
    assert.equal(params.turn.id, steered.turn.id);
    assert.equal(params.turn.status, 'completed');
    assert.ok(told(rig.model.requests.at(-1)).includes('user: also this'));
});

test("what the model refuses reaches the client in Codex's own words", async (t) => {
    const rig = await startRig(t);
    const client = await rig.connect('refused');
    const threadId = await client.startThread({ cwd: rig.home.cwd });
    const { status, error } = await turn(client, threadId, 'nobody expects this');
    assert.equal(status, 'failed');
    assert.match(error.message, /no behaviour for/);
    rig.model.on('again', say('better'));
    assert.equal((await turn(client, threadId, 'again')).text, 'better');
});
