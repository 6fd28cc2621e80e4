// One answer of Codex, by the AI SDK through the pool.
import { streamText } from 'ai';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';
import { bridge } from 'codex-pool';

const NAME = 'codex-app-server';
const codexPath = process.env.CODEX_POOL ?? 'codex-pool';
const model = process.env.MODEL ?? 'gpt-6-astra';

/** A conversation: what was said in it, and the thread of Codex that remembers it. */
export class Chat {
    constructor() {
        this.messages = [];
        this.threadId = undefined;
        /** The end of the answer before. */
        this.last = Promise.resolve();
    }

    /**
     * Puts a question, after the answer to the one before; yields `{ before }` while it waits, so many being before
     * it, and `{ text }` as the answer comes.
     * @param {AbortSignal} signal ends the wait at once, and the answer at the model
     */
    async *ask(question, signal) {
        let done;
        const last = this.last;
        this.last = new Promise((resolve) => (done = resolve));
        try {
            await last;
            const answer = { role: 'assistant', text: '' };
            this.messages.push({ role: 'user', text: question }, answer);
            for await (const event of this.#answer(question, signal)) {
                answer.text += event.text ?? '';
                yield event;
            }
        } finally {
            done();
        }
    }

    /** The places in the queue and the pieces of text, in one stream. */
    async *#answer(question, signal) {
        const events = new Events();
        const onQueue = ({ position }) => events.put({ before: position > 0 ? position - 1 : null });
        const pool = await bridge({ codexPath, signal, onQueue });
        const talk = this.#talk(question, pool, signal, events).then(() => events.end(), (error) => events.end(error));
        try {
            yield* events;
        } finally {
            await pool.close();
            await talk;
        }
    }

    async #talk(prompt, { codexPath, env }, abortSignal, events) {
        let session;
        const onSessionCreated = (created) => (session = created);
        const settings = { codexPath, env, onSessionCreated, requestTimeoutMs: 24 * 3600 * 1000, logger: false };
        const provider = createCodexAppServer({ defaultSettings: settings });
        const providerOptions = { [NAME]: { threadMode: 'persistent', threadId: this.threadId } };
        try {
            const { stream } = streamText({
                model: provider(model), prompt, abortSignal, maxRetries: 0, onError: () => {}, providerOptions,
            });
            for await (const part of stream) {
                if (part.type === 'error') throw part.error;
                if (part.type !== 'text-delta') continue;
                // A thread that has been answered on is one that can be resumed.
                this.threadId = session?.threadId ?? this.threadId;
                events.put({ text: part.text });
            }
        } finally {
            await provider.close();
        }
    }
}

/** What is put in comes out, in order, whenever somebody asks. */
class Events {
    constructor() {
        this.held = [];
        this.wake = () => {};
    }

    put(event) {
        this.held.push(event);
        this.wake();
    }

    end(error) {
        this.ended = true;
        this.error = error;
        this.wake();
    }

    async *[Symbol.asyncIterator]() {
        for (;;) {
            yield* this.held.splice(0);
            if (this.held.length > 0) continue;
            if (this.ended && this.error) throw this.error;
            if (this.ended) return;
            await new Promise((resolve) => (this.wake = resolve));
        }
    }
}
