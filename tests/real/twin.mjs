// Twins: two threads with the same story on the same pool, one of which moves between its turns. What the model is
// asked next, headers and body, must be the same for both.
import assert from 'node:assert/strict';
import { hold, say } from '../lib/model-server.mjs';
import { startRig } from './rig.mjs';

// ---- two requests to the model, compared

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** What the model server numbers: messages, calls. */
const NUMBERED = /\b(?:msg|fc|call)_\d+_\d+\b/g;
const MEASURED = /\b((?:Wall time|Duration|Chunk ID|session ID):? )[\w.]+/g;
/** Headers that belong to the connection. */
const TRANSPORT = ['host', 'content-length'];
/** New or loaded from its file, and how long that file is: all that may tell a moved thread from one that stayed. */
const MAY_DIFFER = /\/(?:history_initialization|rolloutOrdinal)$/;
const TIMES = /(?:_at_unix_ms|AtMs|At|durationMs)$/;

/**
 * Any value as { path: value }, JSON in strings taken apart; ids become their number of first appearance, so that
 * equal ids are still equal and different ones different.
 */
export function flatten(value) {
    const ids = new Map();
    const flat = {};
    const name = (id) => {
        if (!ids.has(id)) ids.set(id, `<id ${ids.size + 1}>`);
        return ids.get(id);
    };
    const plain = (text) =>
        text.replace(UUID, name).replace(NUMBERED, name).replace(MEASURED, '$1<measured>');
    walk(value, '', (path, leaf) => {
        if (MAY_DIFFER.test(path)) return;
        const at = plain(path);
        flat[at] = TIMES.test(path) && leaf !== null ? '<time>' : typeof leaf === 'string' ? plain(leaf) : leaf;
    });
    return flat;
}

function walk(value, path, visit) {
    const node = typeof value === 'string' ? parsed(value) : value;
    if (node === null || typeof node !== 'object') {
        visit(path, node);
        return;
    }
    const entries = Object.entries(node);
    if (entries.length === 0) visit(path, Array.isArray(node) ? '[]' : '{}');
    for (const [key, child] of entries) walk(child, `${path}/${key}`, visit);
}

function parsed(text) {
    if (!/^[[{]/.test(text)) return text;
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

/** The paths where two values differ, with what is there: an empty list for twins. */
export function differences(stayed, moved) {
    const [one, other] = [flatten(stayed), flatten(moved)];
    const paths = new Set([...Object.keys(one), ...Object.keys(other)]);
    return [...paths]
        .filter((path) => one[path] !== other[path])
        .map((path) => `${path}: ${excerpts(one[path], other[path])}`);
}

/** Both texts from shortly before they part. */
function excerpts(one, other) {
    const [a, b] = [one, other].map((value) => (value === undefined ? '(nothing)' : JSON.stringify(value)));
    let at = 0;
    while (at < a.length && a[at] === b[at]) at++;
    const from = Math.max(0, at - 30);
    return `stayed ${a.slice(from, from + 150)}, moved ${b.slice(from, from + 150)}`;
}

/** What is compared of a request: all of it, and how much of it goes on from the thread's request before. */
function requestView({ headers, body }, before) {
    const kept = Object.entries(headers).filter(([key, value]) => !TRANSPORT.includes(key) && value);
    return {
        headers: Object.fromEntries(kept),
        body,
        goesOn: before && {
            headers: kept.filter(([key, value]) => before.headers[key] === value).map(([key]) => key),
            cacheKey: before.body.prompt_cache_key === body.prompt_cache_key,
            items: sameFromStart(before.body.input, body.input),
        },
    };
}

/** How many items two lists share from their beginning, byte by byte: what the model's cache lives on. */
function sameFromStart(before, after) {
    const differs = before.findIndex((item, i) => JSON.stringify(item) !== JSON.stringify(after[i]));
    return differs < 0 ? before.length : differs;
}

// ---- a thread and its story

/** A thread of a client, from its start on. */
export class Talk {
    constructor(rig, client) {
        Object.assign(this, { rig, client });
    }

    async open(params = {}) {
        this.id = await this.client.startThread({ cwd: this.rig.home.cwd, ...params });
        return this;
    }

    request(method, params = {}) {
        return this.client.request(method, { threadId: this.id, ...params });
    }

    /** A turn to its end. */
    async turn(text = 'hello', params = {}) {
        await this.client.startTurn(this.id, text, params);
        return this.completed();
    }

    async completed() {
        return (await this.client.turnCompleted(this.id)).params.turn;
    }

    /** Asks for something that is answered before its turn begins. */
    async untilDone(method, params) {
        await this.request(method, params);
        return this.completed();
    }

    /** Changes settings, which takes effect with the notification. */
    async update(params) {
        // A turn that came with a change has told of that, too.
        while (this.has('thread/settings/updated')) await this.next('thread/settings/updated');
        await this.request('thread/settings/update', params);
        await this.next('thread/settings/updated');
    }

    /** A turn to which the model begins an answer, interrupted. */
    async interrupted(text) {
        const { turn } = await this.client.startTurn(this.id, text);
        // Of this turn: what is left of an earlier one would interrupt it before it has begun to count.
        await this.client.next('item/agentMessage/delta', ({ turnId }) => turnId === turn.id);
        await this.request('turn/interrupt', { turnId: '' });
        return this.completed();
    }

    has(method) {
        return this.client.box.has((m) => m.method === method && m.params?.threadId === this.id);
    }

    next(method) {
        return this.client.next(method, ({ threadId }) => threadId === this.id);
    }

    /** Goes on with a fork of its own. */
    async fork(params = {}) {
        this.id = (await this.request('thread/fork', { excludeTurns: true, ...params })).thread.id;
        await this.client.next('thread/started', ({ thread }) => thread.id === this.id);
    }

    asked() {
        return this.rig.model.requests.filter(({ threadId }) => threadId === this.id);
    }

    /** What Codex says of this thread, and what names no thread but may mean one. */
    about(notifications) {
        return notifications.filter(({ method, params }) => {
            const named = params.threadId ?? params.thread?.id;
            const unnamed = ['deprecationNotice', 'configWarning'].includes(method);
            return unnamed || (named === this.id && !method.startsWith('pool/'));
        });
    }

    /**
     * Runs a turn, after `open` if that is given (a request that opens the thread anew). Gives what twins are compared
     * by, and where it went: the worker that the first request was assigned to, the moves that the client heard of.
     */
    async probe(text, params = {}, open = null) {
        const { client } = this;
        const [since, asked] = [client.notifications.length, this.asked().length];
        const first = open ? open(this) : client.startTurn(this.id, text, params);
        const answer = await first;
        if (open) await client.startTurn(this.id, text, params);
        const turn = await this.completed();
        const news = client.notifications.slice(since);
        const all = this.asked();
        return {
            turn,
            answer: open && answer,
            requests: all.slice(asked).map((request, i) => requestView(request, all[asked + i - 1])),
            heard: this.about(news).map(({ method }) => method),
            warnings: this.about(news).filter(({ method }) => method === 'warning').map(({ params }) => params.message),
            worker: news.find((note) => note.method === 'pool/assigned' && note.params.id === first.id)?.params.worker,
            moves: news
                .filter((note) => note.method === 'pool/moved' && note.params.threadId === this.id)
                .map((note) => note.params),
        };
    }

    /** The history and the settings in force as Codex tells them. */
    async state() {
        const { thread } = await this.request('thread/read', { includeTurns: true });
        const { thread: _, ...settings } = await this.request('thread/resume', { excludeTurns: true });
        return { turns: thread.turns, status: thread.status, name: thread.name, settings };
    }

    /** Does something with the thread's worker, and gives it back at once. */
    async holding(act) {
        await this.request('pool/acquire');
        const result = await act();
        await this.client.request('pool/release', {});
        return result;
    }
}

/**
 * Codex warns of the model that a thread is loaded with beside the answer: on a busy machine that comes later than the
 * answer, when nothing tells it from what the next turn says.
 */
function withoutLate(stayed, moved) {
    const heard = [...moved.heard];
    if (moved.warnings.length > stayed.warnings.length && moved.warnings.some((text) => text.startsWith('Model metadata for')))
        heard.splice(heard.indexOf('warning'), 1);
    return heard;
}

/** Fails with what differs between two probes. */
export function assertTwins(stayed, moved) {
    assert.ok(stayed.requests.length > 0, 'the model was asked');
    assert.deepEqual(differences(stayed.requests, moved.requests), [], 'the model is asked the same');
    assert.deepEqual(withoutLate(stayed, moved).sort(), [...stayed.heard].sort(), 'the client hears the same');
    assert.deepEqual(differences(stayed.answer, moved.answer), [], 'the thread is opened the same');
    assert.equal(moved.turn.status, stayed.turn.status);
}

// ---- a pool of two workers, and who is where

/** A rig with clients that hold one worker each: `here` and `there`. */
export class Stage {
    static async start(t, options) {
        const rig = await startRig(t, { poolSize: 2, ...options });
        rig.model.on('', say('ok'));
        return new Stage(rig);
    }

    constructor(rig) {
        this.rig = rig;
        this.occupiers = 0;
    }

    /** A client that hears of moves, and holds a worker: `client.worker`. */
    async connectHolding(name) {
        const client = await this.connect(name);
        await this.hold(client);
        return client;
    }

    async connect(name) {
        const client = await this.rig.connect(name);
        await client.request('pool/subscribe', { events: ['queue', 'moves'] });
        return client;
    }

    async hold(client) {
        client.worker = (await client.request('pool/acquire', {})).worker;
    }

    /** Makes a worker busy with a turn of somebody else, which the model holds: `await occupied.end()`. */
    async occupy(worker) {
        const name = `occupier ${++this.occupiers}`;
        const clients = [await this.rig.connect(name), await this.rig.connect(`${name} aside`)];
        for (const client of clients) await this.hold(client);
        const [client] = clients.filter((each) => each.worker === worker);
        assert.ok(client, `worker ${worker} was idle`);
        this.rig.model.on(name, hold());
        const threadId = await client.startThread({ cwd: this.rig.home.cwd });
        await client.startTurn(threadId, name);
        const asked = await this.rig.model.request(name);
        for (const each of clients) await each.request('pool/release', {});
        const end = async () => {
            asked.release();
            await client.turnCompleted(threadId);
            await Promise.all(clients.map((each) => each.close()));
        };
        return { client, threadId, worker, end };
    }

    async moves() {
        return (await this.rig.daemon.status()).counters.moves;
    }
}
