// The Node.js client on the real Codex: what is aborted ends at the model.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hang, say } from '../lib/model-server.mjs';
import { converse, greet, open } from '../lib/node-client.mjs';
import { startRig } from './rig.mjs';

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
