// What holds a thread at its owner: it waits there, although another worker is idle, and the status says why.
import assert from 'node:assert/strict';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { startPool } from '../lib/daemon.mjs';
import { moving, talk } from '../lib/moving.mjs';

/** Runs a turn on the thread, with what happens in it. */
async function turn({ client, threadId, owner }, during = async () => {}) {
    await client.startTurn(threadId);
    await client.next('turn/started', (p) => p.threadId === threadId);
    const running = owner.turn(threadId);
    await during(running);
    running.complete();
    await client.turnCompleted(threadId);
}

/** Codex asks in a turn, the client answers so. */
const asked = (method, answer) => (scene) => turn(scene, async () => {
    scene.client.onRequest(method, () => answer);
    await scene.owner.ask(method, { threadId: scene.threadId, turnId: 'x', itemId: 'i' });
});

const item = (scene, method, id, turnId, type = 'commandExecution') =>
    scene.owner.notify(method, { threadId: scene.threadId, turnId, item: { type, id } });

const usage = ({ owner, threadId }) => owner.notify('thread/tokenUsage/updated', { threadId });

const hook = (eventName, trustStatus = 'trusted', enabled = true) =>
    async ({ daemon }) => { daemon.fake.hooks = [{ eventName, trustStatus, enabled }]; };

const goal = (status) => async ({ owner, threadId }) => { owner.threads.get(threadId).goal = { status }; };

const STAYS = {
    'a background terminal': ['a background terminal runs in it', {
        before: async ({ owner, threadId }) => { owner.threads.get(threadId).terminals = [{ processId: '1' }]; },
    }],
    'a command that ended after its turn': ['a command has ended in its background', {
        before: async (s) => {
            await turn(s, async ({ id }) => item(s, 'item/started', 'c', id));
            item(s, 'item/completed', 'c', 'turn-1-2');
            await s.client.next('item/completed');
        },
    }],
    'a command that ended after the model had gone on': ['a command has ended in its background', {
        before: (s) => turn(s, async ({ id }) => {
            item(s, 'item/started', 'c', id);
            usage(s);
            usage(s);
            item(s, 'item/completed', 'c', id);
        }),
    }],
    'an active goal that nobody has told of': ['it has an active goal', { before: goal('active') }],
    'queued items': ['messages are queued on it', {
        before: async ({ owner, threadId }) => { owner.threads.get(threadId).queue.push({ id: 'q' }); },
    }],
    'an MCP server': ['an MCP server runs for it', {
        before: (s) => turn(s, async () => s.owner.notify('mcpServer/startupStatus/updated',
            { threadId: s.threadId, name: 'm', status: 'starting', error: null })),
    }],
    'an MCP server that is heard of before its thread': ['an MCP server runs for it', {
        start: { config: { mcp_servers: { m: { command: 'm' } } } },
    }],
    'a trusted session hook': ['session hooks would run again', { before: hook('sessionStart') }],
    'a managed hook at the end of a session': ['session hooks would run again', { before: hook('sessionEnd', 'managed') }],
    'an approval for the session': ['approvals are remembered for its session', {
        before: asked('item/commandExecution/requestApproval', { decision: 'acceptForSession' }),
    }],
    'permissions for the session': ['approvals are remembered for its session', {
        before: asked('item/permissions/requestApproval', { permissions: {}, scope: 'session' }),
    }],
    'an approval of a kind unheard of': ['approvals are remembered for its session', {
        before: asked('item/commandExecution/requestApproval', { decision: { applyNetworkPolicyAmendment: {} } }),
    }],
    'raw events': ['its client gets raw events', { start: { experimentalRawEvents: true } }],
    'state of its process': ['its process keeps more of it than is stored', {
        before: ({ client, threadId }) => client.request('thread/increment_elicitation', { threadId }),
    }],
    'a Codex that does not say': ['its worker did not say what holds it', {
        before: async ({ owner }) => owner.on('thread/goal/get', (r) => owner.refuse(r, -32603, 'broken')),
    }],
    'a configuration that has changed': ['the configuration or its instructions have changed since it was opened', {
        before: async ({ daemon }) => writeFileSync(join(daemon.dir, 'codex-home', 'config.toml'), 'web_search = "live"\n'),
    }],
    'a sub-agent': ['sub-agents belong to it', {
        before: (s) => turn(s, async () => {
            s.owner.load('child');
            s.owner.status('child', 'idle');
            await s.client.next('thread/status/changed', (p) => p.threadId === 'child');
        }),
    }],
};

for (const [name, [words, options]] of Object.entries(STAYS)) {
    test(`${name}: the thread waits for its owner`, async (t) => {
        const s = await moving(t, options);
        const go = s.client.startTurn(s.threadId, 'go on');
        const { waiters } = await s.daemon.untilStatus(
            (status) => status.waiters[0]?.stays && status.waiters[0].stays !== 'it is moving', 'it says why');
        assert.equal(waiters[0].stays, words);
        assert.equal(waiters[0].worker, s.owner.number);
        assert.equal(s.owner.received('thread/unsubscribe', (p) => p.threadId === s.threadId).length, 0);
        s.busy.turn.complete();
        await go;
        assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
        const { counters } = await s.daemon.status();
        assert.deepEqual([counters.moves, counters.movesFailed], [0, 0]);
    });
}

for (const [name, start, words] of [
    ['an ephemeral thread', { ephemeral: true }, 'it is ephemeral'],
    ['a thread without a turn', { turnless: true }, 'it has had no turn yet'],
]) {
    test(`${name} waits for its owner`, async (t) => {
        const s = await moving(t, { start, config: { openLingerMs: 0 } });
        const go = s.client.startTurn(s.threadId, 'go on');
        const { waiters } = await s.daemon.untilStatus((status) => status.queue.length === 1, 'it waits');
        assert.equal(waiters[0].stays, words);
        s.busy.turn.complete();
        await go;
        assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
    });
}

const MOVES = {
    'a plain accept': asked('item/commandExecution/requestApproval', { decision: 'accept' }),
    'an accept that amends the rules': asked('item/commandExecution/requestApproval',
        { decision: { acceptWithExecpolicyAmendment: { execpolicy_amendment: ['ls'] } } }),
    'a declined file change': asked('item/fileChange/requestApproval', { decision: 'decline' }),
    'permissions for a turn': asked('item/permissions/requestApproval', { permissions: {}, scope: 'turn' }),
    'a tool call': asked('item/tool/call', { contentItems: [], success: true }),
    'a hook of another kind': hook('userPromptSubmit'),
    'a session hook that is not trusted': hook('sessionStart', 'untrusted'),
    'a session hook that is off': hook('sessionStart', 'trusted', false),
    'a command that ended in its turn': (s) => turn(s, async ({ id }) => {
        item(s, 'item/started', 'c', id);
        usage(s);
        item(s, 'item/completed', 'c', id);
    }),
    'a background command that the model could ask for': async (s) => {
        await turn(s, async ({ id }) => item(s, 'item/started', 'c', id));
        item(s, 'item/completed', 'c', 'turn-1-2');
        await turn(s);
    },
    'a project that Codex has begun to trust': async ({ daemon }) => appendFileSync(
        join(daemon.dir, 'codex-home', 'config.toml'), '\n[projects."/x"]\ntrust_level = "trusted"\n'),
    'a Codex that does not know the question': async ({ owner }) => {
        owner.on('hooks/list', (r) => owner.refuse(r, -32600, 'Invalid request: unknown variant `hooks/list`'));
    },
};

for (const [name, before] of Object.entries(MOVES)) {
    test(`${name} does not hold a thread`, async (t) => {
        const s = await moving(t, { before });
        await s.client.startTurn(s.threadId, 'go on');
        assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    });
}

test('an unanswered request holds it until it is answered', async (t) => {
    const s = await moving(t);
    s.owner.hold('thread/turns/list');
    const reading = s.client.request('thread/turns/list', { threadId: s.threadId });
    const read = await s.owner.expect('thread/turns/list');
    const go = s.client.startTurn(s.threadId, 'go on');
    const { waiters } = await s.daemon.untilStatus((status) => status.queue.length === 1, 'it waits');
    assert.equal(waiters[0].stays, 'a request for it is not answered yet');
    s.owner.reply(read, { data: [] });
    await reading;
    await go;
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
});

for (const status of ['paused', 'complete']) {
    test(`a ${status} goal does not hold it`, async (t) => {
        const s = await moving(t, { before: goal(status) });
        await s.client.startTurn(s.threadId, 'go on');
        assert.equal(s.daemon.fake.owner(s.threadId), s.other);
    });
}

test('a goal that is cleared holds it no longer', async (t) => {
    const s = await moving(t, { before: goal('active') });
    const go = s.client.startTurn(s.threadId, 'go on');
    await s.daemon.untilStatus((status) => /goal/.test(status.waiters[0]?.stays), 'it waits');
    s.owner.threads.get(s.threadId).goal = null;
    s.owner.notify('thread/goal/cleared', { threadId: s.threadId });
    await go;
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
});

test('what holds it ends while the other worker only lingers for a silent client: that one gives way', async (t) => {
    const s = await moving(t, { before: goal('active'), config: { openLingerMs: 50 } });
    const go = s.client.startTurn(s.threadId, 'go on');
    await s.daemon.untilStatus((status) => /goal/.test(status.waiters[0]?.stays), 'it waits');
    const silent = await PoolClient.open(s.daemon, { name: 'silent' });
    assert.equal(s.daemon.fake.owner(await silent.startThread()), s.other);
    s.owner.threads.get(s.threadId).goal = null;
    s.owner.notify('thread/goal/cleared', { threadId: s.threadId });
    await go;
    assert.equal(s.daemon.fake.owner(s.threadId), s.other);
});

test('a terminal that ends, and whose end the model may ask for in the next turn, holds it until then', async (t) => {
    const s = await moving(t, { before: STAYS['a background terminal'][1].before });
    const go = s.client.startTurn(s.threadId, 'go on');
    await s.daemon.untilStatus((status) => /terminal/.test(status.waiters[0]?.stays), 'it waits');
    s.owner.threads.get(s.threadId).terminals = [];
    item(s, 'item/completed', 'c', 'turn-1-1');
    await s.daemon.untilStatus((status) => /ended/.test(status.waiters[0]?.stays), 'it waits on');
    s.busy.turn.complete();
    await go;
    assert.equal(s.daemon.fake.owner(s.threadId), s.owner);
});

test('an open request of Codex holds it', async (t) => {
    const s = await moving(t, {
        before: async (scene) => {
            await turn(scene, async () => {
                scene.asked = scene.owner.ask('item/commandExecution/requestApproval', { threadId: scene.threadId });
                await scene.client.next('item/commandExecution/requestApproval');
            });
        },
    });
    const go = s.client.startTurn(s.threadId, 'go on');
    const { waiters } = await s.daemon.untilStatus((status) => status.queue.length === 1, 'it waits');
    assert.equal(waiters[0].stays, 'its client has yet to answer a request');
    s.busy.turn.complete();
    await go;
});

test('the worker of a client that still uses the thread is not left', async (t) => {
    const s = await moving(t, { config: { openLingerMs: 600000 } });
    const threadId = s.busy.threadId;
    s.busy.turn.complete();
    await s.busy.client.turnCompleted(threadId);
    await s.busy.client.request('pool/acquire', { threadId });
    await s.busy.client.startTurn(threadId);
    s.busy.worker.turn(threadId).complete();
    await s.busy.client.turnCompleted(threadId);
    const again = await PoolClient.open(s.daemon, { name: 'again' });
    const waiting = again.request('thread/resume', { threadId });
    const { waiters } = await s.daemon.untilStatus((status) => status.queue.length === 1, 'it waits');
    assert.equal(waiters[0].stays, 'the client that has its worker uses it');
    await s.busy.client.request('pool/release');
    await waiting;
});

test('a thread that turns out to stay waits no longer for a lease that only lingers', async (t) => {
    const [daemon] = await startPool(t, 2, { config: { openLingerMs: 50 } });
    const scene = await talk(daemon);
    scene.worker.threads.get(scene.threadId).terminals = [{ processId: '1' }];
    // Somebody opens a thread on either worker, has a turn on the other one and falls silent.
    const silent = await PoolClient.open(daemon, { name: 'silent' });
    const elsewhere = await silent.startThread();
    assert.equal(daemon.fake.owner(await silent.startThread()), scene.worker);
    const other = daemon.fake.owner(elsewhere);
    await turn({ client: silent, threadId: elsewhere, owner: other });
    await turn({ ...scene, owner: scene.worker });
    assert.equal((await daemon.status()).counters.moves, 0);
});
