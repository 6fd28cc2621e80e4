// A local model: as much of the Responses API, streamed as Server-Sent Events, as Codex needs for a turn.
//
// A test names what the model does: `model.on('text of the prompt', say('hello'))`. Run as a program it
// answers any prompt with a few sentences, word by word: `node model-server.mjs [--port N] [--word-ms N]`.
import http from 'node:http';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { within } from './wait.mjs';

/** What one request of Codex to the model says, and what became of its answer. */
export class ModelRequest {
    constructor(number, body, headers, response) {
        this.number = number;
        this.body = body;
        this.headers = headers;
        /** The conversation so far: [{ role, text }], without what Codex adds of its own. */
        this.history = conversation(body.input ?? []);
        this.prompt = this.history.filter((message) => message.role === 'user').at(-1)?.text ?? '';
        this.outputs = outputsSincePrompt(body.input ?? []);
        this.threadId = body.client_metadata?.thread_id ?? null;
        this.turnId = body.client_metadata?.turn_id ?? null;
        /** 'open' | 'done' (the answer went out whole) | 'cut' (Codex closed the connection before that). */
        this.state = 'open';
        this.released = new Promise((resolve) => (this.release = resolve));
        this.ended = new Promise((resolve) => {
            response.once('close', () => {
                this.state = response.writableFinished ? 'done' : 'cut';
                resolve(this.state);
            });
        });
        this.response = response;
    }

    /** Resolves when Codex closes the connection in mid-answer; fails if the answer goes out whole. */
    async cut() {
        const state = await within(this.ended, `the model's stream for "${this.prompt}" to be cut`);
        if (state !== 'cut') {
            throw new Error(`the model's answer to "${this.prompt}" went out whole, nobody cut it`);
        }
    }
}

/** Writes one answer. What a behaviour is given. */
export class Answer {
    constructor(request) {
        this.request = request;
        this.id = `resp_${request.number}`;
        this.items = 0;
        this.outputTokens = 0;
    }

    event(type, fields) {
        const { response } = this.request;
        if (!response.headersSent) {
            response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
            this.event('response.created', { response: { id: this.id } });
        }
        response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
    }

    /** Sends pieces of text, one delta each, from any iterable, which may be asynchronous. */
    async text(pieces) {
        const item_id = `msg_${this.request.number}_${this.items}`;
        const output_index = this.items++;
        const item = { type: 'message', id: item_id, role: 'assistant', content: [] };
        let text = '';
        this.event('response.output_item.added', { output_index, item });
        for await (const delta of pieces) {
            if (this.request.state !== 'open') {
                return;
            }
            text += delta;
            this.outputTokens++;
            this.event('response.output_text.delta', { item_id, output_index, content_index: 0, delta });
        }
        item.content = [{ type: 'output_text', text }];
        this.event('response.output_item.done', { output_index, item });
    }

    /** Calls a tool; Codex comes back with its output in another request. */
    call(name, args, namespace) {
        const number = `${this.request.number}_${this.items}`;
        const item = {
            type: 'function_call',
            id: `fc_${number}`,
            call_id: `call_${number}`,
            name,
            namespace,
        };
        item.arguments = JSON.stringify(args);
        this.event('response.output_item.done', { output_index: this.items++, item });
    }

    end() {
        const input_tokens = Math.ceil(JSON.stringify(this.request.body.input ?? []).length / 4);
        const output_tokens = this.outputTokens;
        const usage = { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens };
        this.event('response.completed', { response: { id: this.id, usage } });
        this.request.response.end();
    }
}

// ---- behaviours: async (answer, request) => void

/** Says a text, whole or in so many deltas. */
export function say(text, { deltas = 1 } = {}) {
    return (answer) => answer.text(split(text, deltas));
}

/** Says `before`, waits until the test calls `request.release()`, says `after`. */
export function hold(before = 'before', after = ' after') {
    return (answer, request) =>
        answer.text(
            (async function* () {
                yield before;
                await request.released;
                yield after;
            })(),
        );
}

/** Says words, one at a time. */
export function speak(words, wordMs) {
    return (answer, request) =>
        answer.text(
            (async function* () {
                for await (const word of words) {
                    yield word;
                    if (!(await pause(wordMs, request))) {
                        return;
                    }
                }
            })(),
        );
}

/** Says so much, then nothing, without end: only Codex can cut it. */
export function hang(before = 'thinking') {
    return hold(before);
}

/** Runs a shell command with Codex's tool. */
export function shell(cmd, { escalated = false, yieldMs = 30000 } = {}) {
    const args = { cmd, login: false, yield_time_ms: yieldMs };
    if (escalated) {
        args.sandbox_permissions = 'require_escalated';
        args.justification = 'the test asks for it';
    }
    return (answer) => answer.call('exec_command', args);
}

/** Calls a tool that the client offered at `thread/start`. */
export function tool(name, args) {
    return (answer) => answer.call(name, args);
}

/** Starts a sub-agent with a prompt of its own, to which `model.on` gives a behaviour. */
export function spawnAgent(message) {
    return (answer) => answer.call('spawn_agent', { message }, 'multi_agent_v1');
}

/** Waits for the sub-agent that the step before started. */
export function waitAgent() {
    return (answer, request) => {
        const started = JSON.parse(request.outputs.at(-1));
        answer.call('wait_agent', { targets: [started.agent_id], timeout_ms: 3600000 }, 'multi_agent_v1');
    };
}

/** Refuses, as a model's server does; Codex gives up at once on 400 and tries again on 5xx. */
export function fail(status = 400, message = 'the model refuses') {
    return (answer, { response }) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ error: { message, type: 'invalid_request_error', code: 'refused' } }));
    };
}

/** One behaviour after the other: the next one answers the request that brings the last one's tool output. */
export function steps(...behaviours) {
    return (answer, request) => {
        const step = Math.min(request.outputs.length, behaviours.length - 1);
        return behaviours[step](answer, request);
    };
}

/** What the program answers by itself: a few sentences about the prompt and what was said before. */
export function chat({ wordMs = 60 } = {}) {
    return (answer, request) => speak(sentences(request), wordMs)(answer, request);
}

/**
 * Starts a model. `behaviour` answers what no `on()` fits; without it such a request fails.
 * @returns {Promise<ModelServer>}
 */
export async function startModelServer({ port = 0, behaviour = null } = {}) {
    const model = new ModelServer(behaviour);
    await model.listen(port);
    return model;
}

class ModelServer {
    constructor(behaviour) {
        this.behaviour = behaviour;
        this.behaviours = [];
        /** Every request so far, in order of arrival. */
        this.requests = [];
        this.expected = [];
        this.server = http.createServer((incoming, response) => this.serve(incoming, response));
    }

    async listen(port) {
        this.server.listen(port, '127.0.0.1');
        await once(this.server, 'listening');
        this.port = this.server.address().port;
        this.url = `http://127.0.0.1:${this.port}/v1`;
    }

    /** Gives prompts that contain a text a behaviour; the last one said wins. */
    on(text, behaviour) {
        this.behaviours.unshift({ text, behaviour });
        return this;
    }

    /** All requests whose prompt contains a text. */
    asked(text) {
        return this.requests.filter((request) => request.prompt.includes(text));
    }

    /** The request number `nth` (from 1) whose prompt contains a text, waited for if it has not come. */
    request(text, nth = 1) {
        const found = this.asked(text)[nth - 1];
        if (found) {
            return Promise.resolve(found);
        }
        const promise = new Promise((resolve) => this.expected.push({ text, nth, resolve }));
        return within(promise, `request ${nth} to the model with "${text}"`);
    }

    async serve(incoming, response) {
        const path = incoming.url.split('?')[0];
        if (incoming.method !== 'POST' || path !== '/v1/responses') {
            response.writeHead(404).end();
            return;
        }
        let body;
        try {
            body = JSON.parse(await text(incoming));
        } catch (error) {
            response.writeHead(400).end(`cannot read the request: ${error.message}`);
            return;
        }
        const request = new ModelRequest(this.requests.length + 1, body, incoming.headers, response);
        this.requests.push(request);
        this.announce();
        await this.answer(request);
    }

    async answer(request) {
        const named = this.behaviours.find(({ text }) => request.prompt.includes(text));
        const otherwise = this.behaviour ?? fail(400, `no behaviour for "${request.prompt}"`);
        const behaviour = named?.behaviour ?? otherwise;
        const answer = new Answer(request);
        try {
            await behaviour(answer, request);
        } catch (error) {
            console.error(`the model on "${request.prompt}":`, error);
            request.response.destroy();
        }
        if (request.state === 'open' && !request.response.writableEnded && !request.response.destroyed) {
            answer.end();
        }
    }

    announce() {
        this.expected = this.expected.filter(({ text, nth, resolve }) => {
            const found = this.asked(text)[nth - 1];
            if (found) {
                resolve(found);
            }
            return !found;
        });
    }

    /** Cuts whatever is open. */
    async close() {
        this.requests.forEach((request) => request.release());
        this.server.closeAllConnections();
        this.server.close();
        await once(this.server, 'close');
    }
}

async function text(stream) {
    const chunks = [];
    for await (const chunk of stream) {
        chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
}

/** Codex puts its own notes among the user's messages, each in a tag of its own; older ones begin with a heading. */
function isCodexNote(text) {
    return /^(# AGENTS\.md instructions|<(environment_context|turn_aborted|user_instructions|subagent_notification)\b)/.test(text);
}

function conversation(input) {
    return input
        .filter((item) => item.type === 'message' && (item.role === 'user' || item.role === 'assistant'))
        .map(({ role, content }) => ({ role, text: (content ?? []).map((part) => part.text ?? '').join('') }))
        .filter(({ role, text }) => role === 'assistant' || !isCodexNote(text));
}

/** The outputs of the tools that were called since the user's last message, as text. */
function outputsSincePrompt(input) {
    const last = input.findLastIndex((item) => {
        const [message] = item.type === 'message' ? conversation([item]) : [];
        return message?.role === 'user';
    });
    return input
        .slice(last + 1)
        .filter((item) => item.type === 'function_call_output')
        .map(({ output }) => (typeof output === 'string' ? output : JSON.stringify(output)));
}

function split(text, pieces) {
    const size = Math.max(1, Math.ceil(text.length / pieces));
    return text.match(new RegExp(`[^]{1,${size}}`, 'gu')) ?? [];
}

/** False where the answer was cut meanwhile. */
async function pause(ms, request) {
    let timer;
    await Promise.race([new Promise((resolve) => (timer = setTimeout(resolve, ms))), request.ended]);
    clearTimeout(timer);
    return request.state === 'open';
}

const REMARKS = [
    'I am a small model on this machine and know nothing of it, but I can say so at length.',
    'Each of these words is an event of its own, and Codex hands it on as it comes.',
    'As long as I speak this worker is busy with you, and whoever comes next waits in line.',
    'If you hang up now, I am cut off in the middle of this sentence.',
    'A large model would think here; a small one only counts its words.',
    'When I stop, the worker goes to the one who has waited longest.',
    'Nobody else hears any of this, for each answer goes to the one who asked.',
];

/** The words of an answer; what was asked decides which. */
function* sentences({ prompt, history }) {
    const asked = history.filter(({ role }) => role === 'user').map(({ text }) => oneLine(text));
    const at = [...asked.join('')].reduce((sum, char) => sum + char.charCodeAt(0), 0);
    const said = [`You ask: "${oneLine(prompt)}"`];
    if (asked.length > 1) {
        said.push(`Before that you asked: "${asked.slice(0, -1).join('", "')}"`);
    }
    for (let i = 0; i < 2; i++) {
        said.push(REMARKS[(at + i * 3) % REMARKS.length]);
    }
    for (const word of said.join(' ').split(' ')) {
        yield `${word} `;
    }
}

function oneLine(text) {
    return text.trim().replace(/\s+/g, ' ').slice(0, 80);
}

async function main(args) {
    const options = { port: 0, 'word-ms': 60 };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || !/^\d+$/.test(args[i + 1] ?? '')) {
            console.error('usage: node model-server.mjs [--port N] [--word-ms N]');
            process.exit(64);
        }
        options[name] = Number(args[i + 1]);
    }
    const behaviour = chat({ wordMs: options['word-ms'] });
    const model = await startModelServer({ port: options.port, behaviour });
    console.log(model.url);
    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.once(signal, () => model.close());
    }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
    await main(process.argv.slice(2));
}
