// The scripted Codex: tests/lib/fake-codex.mjs relays, and the test plays the worker from here.
//
// By default a FakeWorker answers as Codex 0.169 does with thread_unload_delay_secs=0, in the same order
// of messages; a turn stays open until the test ends it. `worker.on(method, handler)` replaces any of it.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Mailbox } from './wait.mjs';

const program = fileURLToPath(new URL('./fake-codex.mjs', import.meta.url));

/** What the workers of one CODEX_HOME share: threads on disk, writer locks. */
export class FakeCodexHost {
    /** `Worker`: the class that plays each worker. */
    static async start(Worker = FakeWorker) {
        const host = new FakeCodexHost(Worker);
        await new Promise((resolve) => host.server.listen(host.socket, resolve));
        return host;
    }

    constructor(Worker = FakeWorker) {
        chmodSync(program, 0o755);
        this.dir = mkdtempSync(join(tmpdir(), 'fake-codex-'));
        this.socket = join(this.dir, 's');
        this.command = program;
        this.env = { FAKE_CODEX_SOCKET: this.socket };
        this.locks = new Map(); // thread id -> worker
        this.disk = new Set(); // threads with a rollout
        this.stored = new Map(); // thread id -> settings, as a resume finds them
        this.workers = [];
        this.handlers = new Map(); // for workers yet to come
        this.started = new Mailbox('fake codex');
        this.lastThread = 0;
        this.server = createServer((socket) => new Worker(this, socket));
    }

    /** The next worker that has been started, whose default or own handlers run. */
    worker() {
        return this.started.take(() => true, 'a worker');
    }

    /** For every worker started from now on. */
    on(method, handler) {
        this.handlers.set(method, handler);
        return this;
    }

    newThreadId() {
        return `01900000-0000-7000-8000-${String(++this.lastThread).padStart(12, '0')}`;
    }

    /** The worker that has the thread loaded. */
    owner(threadId) {
        return this.workers.find((w) => !w.gone && w.threads.has(threadId));
    }

    async stop() {
        for (const worker of this.workers) worker.control.destroy();
        await new Promise((resolve) => this.server.close(resolve));
        rmSync(this.dir, { recursive: true, force: true });
    }
}

export class FakeWorker {
    constructor(host, control) {
        this.host = host;
        this.control = control;
        this.threads = new Map();
        this.log = []; // every message it was sent
        this.lines = []; // the same as they came
        this.box = new Mailbox('fake worker');
        this.answers = new Map();
        this.handlers = new Map(host.handlers);
        this.lastAsk = 0;
        this.lastTurn = 0;
        this.unanswered = 0;
        this.mostUnanswered = 0;
        this.gone = false;
        this.eof = new Promise((resolve) => { this.sawEof = resolve; });
        this.exited = new Promise((resolve) => { this.sawExit = resolve; });
        // It passes on the errors of its input: a worker that is killed resets the connection.
        const lines = createInterface({ input: control });
        lines.on('error', () => {}).on('line', (line) => {
            // One that was killed as it wrote has left half a line.
            if (line.endsWith('}') || !control.readableEnded) this.#told(JSON.parse(line));
        });
        control.on('error', () => {});
        control.on('close', () => this.#ended());
    }

    #told(message) {
        if (message.hello) {
            Object.assign(this, message.hello);
            this.host.workers.push(this);
            this.number = this.host.workers.length;
            this.host.started.put(this);
        } else if (message.eof) this.sawEof();
        else if (message.spawned) this.box.put({ method: 'spawned', params: message });
        else if (message.flooded) this.box.put({ method: 'flooded' });
        else if (message.term) this.box.put({ method: 'SIGTERM' });
        else if (message.pending !== undefined) this.box.put({ method: 'pending', params: message });
        else {
            this.lines.push(message.line);
            this.#received(JSON.parse(message.line));
        }
    }

    #ended() {
        this.gone = true;
        for (const id of this.threads.keys()) this.#unlock(id);
        this.box.close('the worker is gone');
        this.sawExit();
    }

    #received(message) {
        this.log.push(message);
        if (!message.method) {
            this.answers.get(message.id)?.(message);
            this.box.put(message);
            return;
        }
        if (message.id !== undefined) this.mostUnanswered = Math.max(this.mostUnanswered, ++this.unanswered);
        this.box.put(message);
        this.act(message);
    }

    /** Does what a request or a notification asks for. */
    act(message) {
        const handler = this.handlers.get(message.method);
        if (handler) handler.call(this, message, this);
        else this.default(message);
    }

    order(order) {
        if (!this.gone) this.control.write(`${JSON.stringify(order)}\n`);
    }

    /** Replaces what it does by itself on a method. */
    on(method, handler) {
        this.handlers.set(method, handler);
        return this;
    }

    /** Does nothing by itself on these methods: the test answers. */
    hold(...methods) {
        for (const method of methods) this.on(method, () => {});
        return this;
    }

    /** What it does on a message unless told otherwise. */
    default(request) {
        const handler = defaults[request.method];
        if (handler) handler.call(this, request, this);
        else if (request.id !== undefined) this.reply(request, {});
    }

    /** Awaits the next message of a method; each is given out once. */
    expect(method, filter = () => true) {
        return this.box.take((m) => m.method === method && filter(m.params ?? {}, m), method);
    }

    received(method, filter = () => true) {
        return this.log.filter((m) => m.method === method && filter(m.params ?? {}, m));
    }

    raw(text) { this.order({ out: text }); }
    bytes(buffer) { this.order({ bytes: buffer.toString('base64') }); }
    stderr(text) { this.order({ err: text }); }
    write(message) { this.raw(`${JSON.stringify(message)}\n`); }

    reply(request, result) {
        this.unanswered--;
        this.write({ id: request.id, result });
    }

    refuse(request, code, message) {
        this.unanswered--;
        this.write({ id: request.id, error: { code, message } });
    }

    notify(method, params) { this.write({ method, params }); }

    /** A server request; resolves with the client's answer message. */
    ask(method, params) {
        const id = this.lastAsk++;
        const answered = new Promise((resolve) => this.answers.set(id, resolve));
        this.write({ id, method, params });
        answered.id = id;
        return answered;
    }

    /** Ends at once, by an exit code or a signal's name. */
    die(how = 'SIGKILL') {
        this.order(typeof how === 'number' ? { exit: how } : { signal: how });
        return this.exited;
    }

    status(threadId, type) {
        this.notify('thread/status/changed', {
            threadId, status: type === 'active' ? { type, activeFlags: [] } : { type },
        });
    }

    /** An entry for a thread that is loaded here, its lock taken. */
    load(threadId, extra = {}) {
        const thread = { id: threadId, turn: null, closing: false, ephemeral: false, queue: [], goal: null, ...extra };
        thread.settings = { ...(this.host.stored.get(threadId) ?? settingsOf(extra.params)) };
        this.threads.set(threadId, thread);
        this.host.stored.set(threadId, storable(thread.settings));
        if (!thread.ephemeral) this.host.locks.set(threadId, this);
        return thread;
    }

    #unlock(threadId) {
        if (this.host.locks.get(threadId) === this) this.host.locks.delete(threadId);
    }

    unload(threadId) {
        if (!this.threads.delete(threadId)) return;
        this.#unlock(threadId);
        this.status(threadId, 'notLoaded');
        this.notify('thread/closed', { threadId });
    }

    describe(thread) {
        return {
            id: thread.id, ephemeral: thread.ephemeral, status: { type: thread.turn ? 'active' : 'idle' },
            path: thread.ephemeral ? null : `/fake/${thread.id}.jsonl`, turns: [],
            preview: this.host.disk.has(thread.id) ? 'hello' : '', environments: thread.settings.environments,
        };
    }

    /** What an answer says that opens a thread. */
    opened(thread) {
        const { sandboxPolicy, effort, environments: _, ...settings } = thread.settings;
        return { thread: this.describe(thread), ...settings, sandbox: sandboxPolicy, reasoningEffort: effort };
    }

    /** Changes what a loaded thread is set to. Environments that come without a directory bring theirs. */
    set(thread, { sandboxPolicy, environments, ...changes }) {
        const before = JSON.stringify(thread.settings);
        const cwd = environments?.[0]?.cwd;
        Object.assign(thread.settings, sandboxPolicy && { sandboxPolicy }, environments && { environments },
            cwd && { cwd }, changes);
        if (JSON.stringify(thread.settings) === before) return;
        this.host.stored.set(thread.id, storable(thread.settings));
        this.notify('thread/settings/updated', { threadId: thread.id, threadSettings: thread.settings });
    }

    /** A turn begins on a thread, whoever asked for it. */
    begin(threadId, turnId = `turn-${this.number}-${++this.lastTurn}`) {
        const thread = this.threads.get(threadId);
        thread.turn = new FakeTurn(this, thread, turnId);
        if (!thread.ephemeral) this.host.disk.add(threadId);
        this.status(threadId, 'active');
        this.notify('turn/started', { threadId, turn: { id: turnId, items: [], status: 'inProgress', error: null } });
        return thread.turn;
    }

    /** The turn that runs on a thread of this worker (the only one, where none is named). */
    turn(threadId) {
        const running = [...this.threads.values()].filter((t) => t.turn && (!threadId || t.id === threadId));
        return running[0]?.turn;
    }
}

export class FakeTurn {
    constructor(worker, thread, id) {
        Object.assign(this, { worker, thread, id });
    }

    delta(text) {
        this.worker.notify('item/agentMessage/delta', {
            threadId: this.thread.id, turnId: this.id, itemId: 'item-1', delta: text,
        });
    }

    complete() { this.#end('completed', 'idle'); }
    interrupt() { this.#end('interrupted', 'idle'); }

    fail(message = 'model failed') {
        const error = { message, codexErrorInfo: null, additionalDetails: null };
        this.worker.notify('error', { threadId: this.thread.id, turnId: this.id, willRetry: false, error });
        this.#end('failed', 'systemError', error);
    }

    #end(status, threadStatus, error = null) {
        const { worker, thread } = this;
        if (thread.turn !== this) return;
        thread.turn = null;
        worker.status(thread.id, threadStatus);
        if (thread.closing) {
            worker.unload(thread.id);
            return;
        }
        worker.notify('turn/completed', { threadId: thread.id, turn: { id: this.id, items: [], status, error } });
    }
}

/** As a thread/start sets a thread. */
function settingsOf({ model = 'fake', cwd = '/fake', approvalPolicy = 'never', sandbox = 'danger-full-access' } = {}) {
    const type = sandbox.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
    return {
        model, modelProvider: 'local', serviceTier: null, effort: null, cwd, approvalPolicy, approvalsReviewer: 'user',
        sandboxPolicy: { type }, activePermissionProfile: null, disabledPluginIds: [], multiAgentMode: 'off',
        environments: [], instructionSources: [],
    };
}

/** What a resume loses: a workspace-write sandbox, environments. */
function storable(settings) {
    const { type } = settings.sandboxPolicy;
    const sandboxPolicy = type === 'workspaceWrite' ? { type: 'dangerFullAccess' } : settings.sandboxPolicy;
    return { ...settings, sandboxPolicy, environments: [] };
}

const notFound = (worker, request) =>
    worker.refuse(request, -32600, `thread not found: ${request.params.threadId}`);

/** Runs `then` with the loaded thread, or answers as Codex does without one. */
const onThread = (then) => function handle(request) {
    const thread = this.threads.get(request.params.threadId);
    if (thread) then.call(this, request, thread);
    else notFound(this, request);
};

const defaults = {
    initialize(request) {
        this.reply(request, {
            userAgent: `${request.params.clientInfo.name}/0.169.0 (Fake; x86_64) (fake)`, codexHome: '/fake',
        });
    },
    initialized() {},
    'thread/start'(request) {
        const { ephemeral = false, config } = request.params ?? {};
        const thread = this.load(this.host.newThreadId(), { ephemeral, params: request.params });
        // Codex tells of it at any time from here on.
        for (const name of Object.keys(config?.mcp_servers ?? {}))
            this.notify('mcpServer/startupStatus/updated', { threadId: thread.id, name, status: 'starting', error: null });
        this.reply(request, this.opened(thread));
        this.notify('thread/started', { thread: this.describe(thread) });
    },
    'thread/fork'(request) {
        const { ephemeral = false } = request.params;
        const thread = this.load(this.host.newThreadId(), { ephemeral });
        if (!ephemeral) this.host.disk.add(thread.id);
        this.reply(request, this.opened(thread));
        this.notify('thread/started', { thread: this.describe(thread) });
    },
    'thread/resume'(request) {
        const { threadId } = request.params;
        const holder = this.host.locks.get(threadId);
        if (holder && holder !== this) {
            this.refuse(request, -32600, `thread ${threadId} already has an active writer`);
        } else if (!this.host.disk.has(threadId)) {
            this.refuse(request, -32600, `no rollout found for thread id ${threadId}`);
        } else if (this.threads.get(threadId)?.closing) {
            this.refuse(request, -32600, `thread ${threadId} is closing; retry`);
        } else {
            const cold = !this.threads.has(threadId);
            const thread = cold ? this.load(threadId, { params: request.params }) : this.threads.get(threadId);
            if (cold) this.status(threadId, 'idle');
            this.reply(request, { ...this.opened(thread), cold });
            this.notify('thread/tokenUsage/updated', { threadId });
            if (thread.goal) this.notify('thread/goal/updated', { threadId, turnId: null, goal: thread.goal });
            else this.notify('thread/goal/cleared', { threadId });
        }
    },
    'turn/start': onThread(function start(request, thread) {
        if (thread.turn) {
            this.reply(request, { turn: { id: thread.turn.id, items: [], status: 'inProgress', error: null } });
            return;
        }
        const id = `turn-${this.number}-${++this.lastTurn}`;
        const { threadId: _, input: __, ...changes } = request.params;
        this.set(thread, changes);
        this.reply(request, { turn: { id, items: [], status: 'inProgress', error: null } });
        this.begin(thread.id, id);
    }),
    'turn/steer': onThread(function steer(request, thread) {
        if (thread.turn) this.reply(request, { turnId: thread.turn.id });
        else this.refuse(request, -32600, 'no active turn to steer');
    }),
    'turn/interrupt': onThread(function interrupt(request, thread) {
        this.reply(request, {});
        thread.turn?.interrupt();
    }),
    'thread/unsubscribe'(request) {
        const thread = this.threads.get(request.params.threadId);
        this.reply(request, { status: thread ? 'unsubscribed' : 'notLoaded' });
        if (!thread) return;
        thread.closing = true;
        if (!thread.turn) this.unload(thread.id);
    },
    'thread/archive': onThread(function archive(request, thread) {
        thread.turn?.interrupt();
        this.reply(request, {});
        this.notify('thread/archived', { threadId: thread.id });
        this.unload(thread.id);
    }),
    'thread/loaded/list'(request) {
        this.reply(request, { data: [...this.threads.keys()], nextCursor: null });
    },
    'thread/read'(request) {
        const thread = this.threads.get(request.params.threadId);
        const status = { type: thread ? (thread.turn ? 'active' : 'idle') : 'notLoaded' };
        this.reply(request, { thread: { id: request.params.threadId, status, turns: [] } });
    },
    'thread/name/set'(request) {
        this.reply(request, {});
        this.notify('thread/name/updated', { threadId: request.params.threadId, threadName: request.params.name });
    },
    'thread/settings/update': onThread(function update(request, thread) {
        const { threadId: _, ...changes } = request.params;
        this.reply(request, {});
        this.set(thread, changes);
    }),
    'thread/backgroundTerminals/list': onThread(function terminals(request, thread) {
        this.reply(request, { data: thread.terminals ?? [], nextCursor: null });
    }),
    'hooks/list'(request) { this.reply(request, { data: [{ cwd: '/fake', hooks: this.host.hooks ?? [], warnings: [], errors: [] }] }); },
    'thread/goal/get'(request) {
        this.reply(request, { goal: this.threads.get(request.params.threadId)?.goal ?? null });
    },
    'thread/goal/set': onThread(function setGoal(request, thread) {
        thread.goal = { threadId: thread.id, objective: 'x', status: request.params.status ?? 'active' };
        this.reply(request, { goal: thread.goal });
        this.notify('thread/goal/updated', { threadId: thread.id, turnId: null, goal: thread.goal });
    }),
    'thread/queue/list'(request) {
        this.reply(request, { data: this.threads.get(request.params.threadId)?.queue ?? [], nextCursor: null });
    },
    'thread/queue/add': onThread(function add(request, thread) {
        thread.queue.push({ id: `q${thread.queue.length}` });
        this.reply(request, { queuedSubmission: thread.queue.at(-1) });
        this.notify('thread/queue/changed', { threadId: thread.id });
    }),
    'thread/compact/start': onThread(function compact(request) { this.reply(request, {}); }),
    'thread/shellCommand': onThread(function shell(request) { this.reply(request, {}); }),
    'review/start': onThread(function review(request, thread) {
        this.reply(request, { turn: { id: `review-${++this.lastTurn}`, items: [], status: 'inProgress' }, reviewThreadId: thread.id });
    }),
    'model/list'(request) { this.reply(request, { data: [{ id: 'fake', worker: this.number }], nextCursor: null }); },
    'thread/list'(request) { this.reply(request, { data: [], nextCursor: null }); },
    'command/exec'() {},
    'command/exec/terminate'(request) {
        this.reply(request, {});
        const run = this.received('command/exec').find((m) => m.params.processId === request.params.processId);
        if (run) this.reply(run, { exitCode: 137, stdout: '', stderr: '' });
    },
};
