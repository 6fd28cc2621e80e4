// All that the AI SDK's Codex provider can do with an app-server, through the pool as without it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Output, generateText, streamText } from 'ai';
import { createLocalMcpServer, tool as localTool } from 'ai-sdk-provider-codex-cli';
import { z } from 'zod';
import { fail, hang, say, shell, steps, tool } from '../lib/model-server.mjs';
import { within } from '../lib/wait.mjs';
import { NAME, onBothSides } from './ai-sdk-sides.mjs';
import { told } from './rig.mjs';

const threadOf = (result) => result.finalStep.providerMetadata[NAME].threadId;
const options = (settings) => ({ providerOptions: { [NAME]: settings } });

test('streaming: every part, in order', async (t) => {
    const parts = await onBothSides(t, async ({ model }, connect) => {
        model.on('hello', say('hello yourself, stranger', { deltas: 5 }));
        const parts = [];
        for await (const part of streamText({ model: connect()('local'), prompt: 'hello' }).fullStream) {
            parts.push([part.type, part.text ?? part.finishReason ?? null]);
        }
        return parts;
    });
    const text = parts.filter(([type]) => type === 'text-delta').map(([, delta]) => delta);
    assert.equal(text.length, 5);
    assert.equal(text.join(''), 'hello yourself, stranger');
});

test('parallel calls, on one provider and on several', async (t) => {
    const names = ['one', 'two', 'three', 'four'];
    const texts = await onBothSides(t, async ({ model }, connect) => {
        names.forEach((name) => model.on(`I am ${name}`, say(`you are ${name}`, { deltas: 3 })));
        const shared = connect();
        return Promise.all(names.map(async (name, i) => {
            const provider = i < 3 ? shared : connect();
            return (await generateText({ model: provider('local'), prompt: `I am ${name}` })).text;
        }));
    });
    assert.deepEqual(texts, names.map((name) => `you are ${name}`));
});

test('a conversation is resumed by another provider: the model is told the same', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('my name is Ada', say('hello Ada')).on('who am I', say('Ada')).on('and now', say('still Ada'));
        const first = connect();
        const begun = await generateText({
            model: first('local'), prompt: 'my name is Ada', ...options({ threadMode: 'persistent' }),
        });
        const threadId = threadOf(begun);
        await generateText({ model: first('local'), prompt: 'who am I', ...options({ threadId }) });
        await first.close();
        const last = await generateText({ model: connect()('local'), prompt: 'and now', ...options({ threadId }) });
        return { same: threadOf(last) === threadId, text: last.text, told: told(model.requests.at(-1)) };
    });
    assert.equal(result.same, true);
    assert.deepEqual(result.told.filter((line) => line.startsWith('assistant')), ['assistant: hello Ada', 'assistant: Ada']);
});

test('an abort signal: the turn ends at the model, and the provider goes on', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('long', hang('so')).on('next', say('served'));
        const provider = connect();
        const abort = new AbortController();
        const { textStream } = streamText({
            model: provider('local'), prompt: 'long', abortSignal: abort.signal, onError: () => {},
        });
        const deltas = textStream[Symbol.asyncIterator]();
        const first = (await deltas.next()).value;
        const asked = await model.request('long');
        abort.abort();
        await asked.cut();
        const next = await generateText({ model: provider('local'), prompt: 'next' });
        return { first, state: asked.state, next: next.text };
    });
    assert.deepEqual(result, { first: 'so', state: 'cut', next: 'served' });
});

for (const decision of ['accept', 'decline']) {
    test(`an approval: ${decision}`, async (t) => {
        const home = { policy: 'on-request', sandbox: 'read-only' };
        const result = await onBothSides(t, async ({ model, home: { cwd } }, connect) => {
            model.on('touch', steps(shell('touch allowed', { escalated: true }), say('done')));
            const asked = [];
            const onCommandExecutionApproval = async ({ method, params }) => {
                asked.push([method, /touch allowed/.test(params.command)]);
                return { decision };
            };
            const provider = connect({ serverRequests: { onCommandExecutionApproval } });
            const { text } = await generateText({ model: provider('local'), prompt: 'touch it' });
            return { text, asked, touched: fs.existsSync(path.join(cwd, 'allowed')) };
        }, { home });
        assert.deepEqual(result.asked, [['item/commandExecution/requestApproval', true]]);
        assert.equal(result.touched, decision === 'accept');
    });
}

test('a dynamic tool of the thread', async (t) => {
    const inputSchema = { type: 'object', properties: { q: { type: 'string' } } };
    const dynamicTools = [{ type: 'function', name: 'lookup', description: 'looks up', inputSchema }];
    const result = await onBothSides(t, async ({ model, home: { cwd }, raw }, connect) => {
        model.on('begin', say('begun')).on('look it up', steps(tool('lookup', { q: 'x' }), say('found')));
        // The provider itself offers none, but answers for those that a thread has.
        const threadId = await raw(async (client) => {
            const id = await client.startThread({ cwd, dynamicTools });
            await client.startTurn(id, 'begin');
            await client.turnCompleted(id);
            return id;
        });
        const called = [];
        const onDynamicToolCall = async ({ params }) => {
            called.push([params.tool, params.arguments]);
            return { contentItems: [{ type: 'inputText', text: '42' }], success: true };
        };
        const provider = connect({ serverRequests: { onDynamicToolCall } });
        const { text } = await generateText({ model: provider('local'), prompt: 'look it up', ...options({ threadId }) });
        return { text, called, outputs: model.requests.at(-1).outputs };
    });
    assert.deepEqual(result.called, [['lookup', { q: 'x' }]]);
    assert.match(result.outputs[0], /42/);
});

test('tools of the chat server\'s own, served by MCP', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        const called = [];
        const add = localTool({
            name: 'add', description: 'adds', parameters: z.object({ a: z.number(), b: z.number() }),
            execute: async ({ a, b }) => {
                called.push([a, b]);
                return `${a + b}`;
            },
        });
        const server = await createLocalMcpServer({ name: 'sums', tools: [add] });
        // It ends when those connected to it have gone, which may be as late as their own end.
        t.after(() => void server.stop());
        const mcpServers = { sums: server.config };
        model.on('add up', steps((answer) => answer.call('add', { a: 19, b: 23 }, 'mcp__sums'), say('added')));
        const provider = connect({ mcpServers, autoApprove: true });
        const { text } = await generateText({ model: provider('local'), prompt: 'add up' });
        return { text, called, output: /42/.test(model.requests.at(-1).outputs.at(-1)) };
    });
    assert.deepEqual(result, { text: 'added', called: [[19, 23]], output: true });
});

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

test('an image reaches the model', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('what is this', say('a pixel'));
        const content = [
            { type: 'text', text: 'what is this' },
            { type: 'file', data: Buffer.from(PIXEL, 'base64'), mediaType: 'image/png' },
        ];
        const { text } = await generateText({ model: connect()('local'), messages: [{ role: 'user', content }] });
        const parts = model.requests.at(-1).body.input.flatMap((item) => item.content ?? []);
        return { text, images: parts.filter((part) => part.type === 'input_image') };
    });
    assert.equal(result.text, 'a pixel');
    assert.equal(result.images.length, 1);
    assert.match(result.images[0].image_url, /^data:image\/png;base64,/);
});

test('structured output: the schema reaches the model, the object comes back', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('a profile', say('{"name":"Ada","age":36}', { deltas: 4 }));
        const schema = z.object({ name: z.string(), age: z.number() });
        const { output } = await generateText({
            model: connect()('local'), prompt: 'a profile', output: Output.object({ schema }),
        });
        return { output, format: model.requests.at(-1).body.text.format };
    });
    assert.deepEqual(result.output, { name: 'Ada', age: 36 });
    assert.equal(result.format.type, 'json_schema');
    assert.deepEqual(Object.keys(result.format.schema.properties), ['name', 'age']);
});

test('usage, finish reason, metadata', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('count', say('one two three', { deltas: 3 }));
        const { usage, finishReason, finalStep } = await generateText({ model: connect()('local'), prompt: 'count' });
        return { usage, finishReason, metadata: Object.keys(finalStep.providerMetadata[NAME]).sort() };
    });
    assert.equal(result.usage.outputTokens, 3);
    assert.ok(result.usage.inputTokens > 0);
    assert.equal(result.finishReason, 'stop');
});

test('a session: a message into the running turn, and its interruption', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('begin', hang('one')).on('also this', hang('three'));
        let session;
        const provider = connect({ onSessionCreated: (created) => { session = created; } });
        const stream = streamText({ model: provider('local'), prompt: 'begin', onError: () => {} });
        const parts = stream.fullStream[Symbol.asyncIterator]();
        const next = async (type) => {
            for (;;) {
                const { value, done } = await within(parts.next(), type);
                if (done) return 'the end';
                if (value.type === type) return value.text ?? value.type;
            }
        };
        const first = await next('text-delta');
        const asked = await model.request('begin');
        await session.injectMessage('also this');
        await asked.cut();
        const second = await model.request('also this');
        const active = session.isActive();
        await session.interrupt();
        await second.cut();
        await next('nothing of the kind');
        return { first, active, history: told(second) };
    });
    assert.equal(result.active, true);
    assert.deepEqual(result.history, ['user: User: begin', 'user: also this']);
});

test('the models, and raw messages', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('hello', say('hello', { deltas: 2 }));
        const provider = connect();
        const { models } = await provider.listModels();
        const raw = [];
        const { fullStream } = streamText({
            model: provider('local'), prompt: 'hello', include: { rawChunks: true },
        });
        for await (const part of fullStream) {
            if (part.type === 'raw' && part.rawValue.params?.threadId) raw.push(part.rawValue.method);
        }
        return { models: models.map(({ id }) => id), raw };
    });
    assert.ok(result.models.length > 0);
    assert.ok(result.raw.includes('item/agentMessage/delta'));
});

test('a model that refuses', async (t) => {
    const result = await onBothSides(t, async ({ model }, connect) => {
        model.on('no', fail(400, 'the model refuses'));
        const call = generateText({ model: connect()('local'), prompt: 'no', maxRetries: 0 });
        return call.then(() => null, ({ name, message }) => ({ name, message: message.replace(/:\d{4,5}\//g, ':PORT/') }));
    });
    assert.match(result.message, /the model refuses/);
});
