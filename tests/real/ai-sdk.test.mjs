// A chat server's client: the AI SDK with a Codex provider that starts `codex-pool` instead of `codex`.
import assert from 'node:assert/strict';
import test from 'node:test';
import { generateText, streamText } from 'ai';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';
import { pool } from '../lib/daemon.mjs';
import { hang, hold, say } from '../lib/model-server.mjs';
import { until } from '../lib/wait.mjs';
import { startRig, told } from './rig.mjs';

const NAME = 'codex-app-server';

/** A chat server's process would hold one of these. Each is one connection to the pool. */
function connect(rig, settings = {}) {
    const provider = createCodexAppServer({
        defaultSettings: {
            codexPath: pool,
            cwd: rig.home.cwd,
            env: { CODEX_POOL_SOCKET: rig.daemon.socket },
            requestTimeoutMs: 60000,
            logger: false,
            // By itself it takes none that is older than it knows.
            ...(process.env.TEST_CODEX && { minCodexVersion: '0.0.0' }),
            ...settings,
        },
    });
    rig.clients.push(provider);
    return provider;
}

const threadOf = (result) => result.finalStep.providerMetadata[NAME].threadId;

test('generateText through the pool', async (t) => {
    const rig = await startRig(t);
    rig.model.on('hello', say('hello yourself', { deltas: 5 }));
    const result = await generateText({ model: connect(rig)('local'), prompt: 'hello' });
    assert.equal(result.text, 'hello yourself');
    assert.equal(result.finishReason, 'stop');
});

test('parallel calls over a pool of one: all are served, one after the other', async (t) => {
    const rig = await startRig(t);
    const provider = connect(rig);
    const names = ['one', 'two', 'three', 'four'];
    for (const name of names) {
        rig.model.on(`I am ${name}`, say(`you are ${name}`, { deltas: 3 }));
    }
    const texts = await Promise.all(
        names.map(async (name, i) => {
            const prompt = `I am ${name}`;
            if (i % 2) {
                return (await generateText({ model: provider('local'), prompt })).text;
            }
            let text = '';
            for await (const delta of streamText({ model: provider('local'), prompt }).textStream) {
                text += delta;
            }
            return text;
        }),
    );
    assert.deepEqual(
        texts,
        names.map((name) => `you are ${name}`),
    );
    assert.equal((await rig.daemon.status()).counters.workerStarts, 1);
});

test('parallel calls of two chat servers over a pool of one', async (t) => {
    const rig = await startRig(t);
    rig.model.on('first', hold('one', ' two')).on('second', say('three'));
    const [here, there] = [connect(rig), connect(rig)];
    const first = generateText({ model: here('local'), prompt: 'first' });
    const asked = await rig.model.request('first');
    const second = generateText({ model: there('local'), prompt: 'second' });
    await rig.daemon.untilStatus(({ queue }) => queue.length === 1, 'the second call waits');
    assert.equal(rig.model.requests.length, 1);
    asked.release();
    assert.equal((await first).text, 'one two');
    assert.equal((await second).text, 'three');
});

test('text streams as it comes', async (t) => {
    const rig = await startRig(t);
    rig.model.on('slowly', hold('one', ' two'));
    const { textStream } = streamText({ model: connect(rig)('local'), prompt: 'slowly' });
    const deltas = textStream[Symbol.asyncIterator]();
    assert.equal((await deltas.next()).value, 'one');
    const asked = await rig.model.request('slowly');
    assert.equal(asked.state, 'open', 'the rest has not been said');
    asked.release();
    assert.equal((await deltas.next()).value, ' two');
    assert.equal((await deltas.next()).done, true);
});

test('a conversation goes on in the same chat server, in another, and after both have ended', async (t) => {
    const rig = await startRig(t, { poolSize: 2 });
    rig.model
        .on('my name is Ada', say('hello Ada'))
        .on('who am I', say('Ada'))
        .on('and now', say('still Ada'))
        .on('at last', say('Ada for ever'));
    const first = connect(rig);
    const begun = await generateText({
        model: first('local'),
        prompt: 'my name is Ada',
        providerOptions: { [NAME]: { threadMode: 'persistent' } },
    });
    const providerOptions = { [NAME]: { threadId: threadOf(begun) } };
    assert.equal(
        (await generateText({ model: first('local'), prompt: 'who am I', providerOptions })).text,
        'Ada',
    );
    const second = connect(rig);
    const there = await generateText({ model: second('local'), prompt: 'and now', providerOptions });
    assert.equal(there.text, 'still Ada');
    await first.close();
    await second.close();
    const third = connect(rig);
    const last = await generateText({ model: third('local'), prompt: 'at last', providerOptions });
    assert.equal(last.text, 'Ada for ever');
    assert.equal(threadOf(last), threadOf(begun));
    const history = told(rig.model.requests.at(-1));
    assert.equal(history.length, 7);
    assert.deepEqual(
        history.filter((line) => line.startsWith('assistant')),
        ['assistant: hello Ada', 'assistant: Ada', 'assistant: still Ada'],
    );
});

test('an abort signal ends the turn at the model and frees the worker', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang('so')).on('next one', say('served'));
    const provider = connect(rig);
    const abort = new AbortController();
    const { textStream } = streamText({
        model: provider('local'),
        prompt: 'long',
        abortSignal: abort.signal,
    });
    const deltas = textStream[Symbol.asyncIterator]();
    assert.equal((await deltas.next()).value, 'so');
    const asked = await rig.model.request('long');
    const waiting = generateText({ model: connect(rig)('local'), prompt: 'next one' });
    await rig.daemon.untilStatus(({ queue }) => queue.length === 1, 'another call waits');
    abort.abort();
    await asked.cut();
    assert.equal((await waiting).text, 'served');
});

// The provider does not take back what it has sent: such a call is served in its turn, then gives up.
test('a waiting call that is aborted never reaches the model, and does not block the next', async (t) => {
    const rig = await startRig(t, { config: { openLingerMs: 200 } });
    rig.model.on('first', hold('one', ' two')).on('third', say('three'));
    const provider = connect(rig);
    const first = generateText({ model: provider('local'), prompt: 'first' });
    const asked = await rig.model.request('first');
    const abort = new AbortController();
    const second = generateText({
        model: connect(rig)('local'),
        prompt: 'second',
        abortSignal: abort.signal,
    });
    await rig.daemon.untilStatus(({ queue }) => queue.length === 1, 'the second call waits');
    abort.abort();
    asked.release();
    await assert.rejects(second, { name: 'AbortError' });
    assert.equal((await first).text, 'one two');
    assert.equal((await generateText({ model: provider('local'), prompt: 'third' })).text, 'three');
    assert.equal(rig.model.asked('second').length, 0, 'the model never heard of it');
});

test('a chat server that ends frees what it had', async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hang());
    const provider = connect(rig);
    const call = generateText({ model: provider('local'), prompt: 'long' });
    call.then(
        () => {},
        () => {},
    );
    const asked = await rig.model.request('long');
    await provider.close();
    await asked.cut();
    await rig.untilClean();
    await until(async () => (await rig.daemon.status()).clients.length === 1, 'its connection is gone');
});
