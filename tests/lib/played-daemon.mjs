// A daemon played by the test: it answers what the test says, so that every case can be made to happen.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cli } from './cli.mjs';
import { Mailbox, within } from './wait.mjs';

export const THREAD = '019a0000-0000-7000-8000-000000000001';
export const TURN = '019a0000-0000-7000-8000-000000000002';

/** A directory that is gone after the test. */
export async function temporary(t) {
    const path = await mkdtemp(join(tmpdir(), 'cli-'));
    t.after(() => rm(path, { recursive: true, force: true }));
    return path;
}

/** One connection, as the daemon sees it. */
export class Peer {
    constructor(socket, answers) {
        this.socket = socket;
        this.answers = answers;
        this.box = new Mailbox('client');
        this.received = [];
        let rest = '';
        socket.on('error', () => {});
        this.ended = new Promise((resolve) => socket.once('end', resolve));
        this.closed = new Promise((resolve) => socket.once('close', resolve));
        socket.once('close', () => this.box.close('connection closed'));
        if (!answers) return;
        socket.setEncoding('utf8').on('data', (text) => {
            const lines = (rest + text).split('\n');
            rest = lines.pop();
            lines.forEach((line) => this.#take(JSON.parse(line)));
        });
        socket.once('end', () => socket.destroy());
    }

    #take(message) {
        this.received.push(message);
        this.box.put(message);
        const answer = this.answers[message.method];
        if (answer) answer(this, message);
    }

    /** An object as a line, or bytes as they are. */
    send(message) {
        const raw = typeof message === 'string' || Buffer.isBuffer(message);
        return this.socket.write(raw ? message : `${JSON.stringify(message)}\n`);
    }

    result(request, result = {}) { this.send({ id: request.id, result }); }

    error(request, code, message, data) {
        this.send({ id: request.id, error: { code, message, ...(data && { data }) } });
    }

    notify(method, params) { this.send({ method, params }); }

    /** Awaits a request of the client's. */
    next(method) { return this.box.take((m) => m.method === method, method); }

    /** Awaits the client's answer to a request of ours. */
    answer(id) { return this.box.take((m) => !m.method && m.id === id, `an answer to ${id}`); }

    delta(text, itemId = 'item-1', threadId = THREAD) {
        this.notify('item/agentMessage/delta', { threadId, turnId: TURN, itemId, delta: text });
    }

    message(text, id = 'item-1', threadId = THREAD) {
        this.notify('item/completed', {
            threadId, turnId: TURN, item: { type: 'agentMessage', id, text }, completedAtMs: 0,
        });
    }

    complete(status = 'completed', error = null, threadId = THREAD) {
        this.notify('turn/completed', { threadId, turn: { id: TURN, items: [], status, error } });
    }

    /** Awaits that the client's side is closed. */
    gone() { return within(this.closed, 'the client to close its connection'); }
}

/** What a daemon says when all goes well, up to the start of a turn. */
const USUAL = {
    'initialize': (peer, m) => peer.result(m, { userAgent: 'played/0', codexHome: '/', platformOs: 'linux' }),
    'pool/subscribe': (peer, m) => peer.result(m),
    'thread/start': (peer, m) => peer.result(m, { thread: { id: THREAD } }),
    'thread/resume': (peer, m) => peer.result(m, { thread: { id: m.params.threadId } }),
    'turn/start': (peer, m) => {
        peer.result(m, { turn: { id: TURN, items: [], status: 'inProgress', error: null } });
        peer.notify('turn/started', { threadId: m.params.threadId, turn: { id: TURN } });
    },
};

export class PlayedDaemon {
    /** `answers`: functions by method, in place of or besides the usual; null: bytes only. */
    static async start(t, answers = {}) {
        const daemon = new PlayedDaemon();
        daemon.directory = await temporary(t);
        daemon.socket = join(daemon.directory, 's');
        daemon.peers = [];
        daemon.waiting = [];
        daemon.server = createServer({ allowHalfOpen: true }, (socket) => {
            const peer = new Peer(socket, answers && { ...USUAL, ...answers });
            daemon.peers.push(peer);
            daemon.waiting.splice(0).forEach((resolve) => resolve());
        });
        await new Promise((resolve) => daemon.server.listen(daemon.socket, resolve));
        t.after(() => daemon.stop());
        return daemon;
    }

    /** Awaits the nth connection. */
    async peer(n = 0) {
        while (this.peers.length <= n)
            await within(new Promise((resolve) => this.waiting.push(resolve)), 'a client to connect');
        return this.peers[n];
    }

    args(...more) { return ['--socket', this.socket, ...more]; }

    async stop() {
        this.peers.forEach((peer) => peer.socket.destroy());
        await new Promise((resolve) => this.server.close(resolve));
    }
}

/** A `codex-pool run` away from a terminal whose turn/start has come: { daemon, process, peer, start }. */
export async function startRun(t, { answers, args = ['hi'], options } = {}) {
    const daemon = await PlayedDaemon.start(t, answers);
    const process = cli(t, daemon.args('run', ...args), options);
    const peer = await daemon.peer();
    const start = await peer.next('turn/start');
    return { daemon, process, peer, start };
}
