// What the tests on the real Codex share: real workers, and a model whose every word the test decides.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { PoolClient } from '../lib/client.mjs';
import { codexBinary, makeCodexHome } from '../lib/codex-home.mjs';
import { startDaemon } from '../lib/daemon.mjs';
import { startModelServer } from '../lib/model-server.mjs';
import { until } from '../lib/wait.mjs';

/** Only a client that falls silent loses its worker to the linger, never a slow machine. */
const PATIENT = { openLingerMs: 60000 };

/**
 * A daemon with `poolSize` real workers, ready. Everything ends with the test, and nothing may be left of it.
 * `home` goes to makeCodexHome, `codex` and `config` into the daemon's configuration.
 */
export async function startRig(
    t,
    { poolSize = 1, config = {}, codex = {}, home: homeOptions = {}, ...daemon } = {},
) {
    const model = await startModelServer();
    const rig = new Rig(model, makeCodexHome({ model: model.url, ...homeOptions }));
    t.after(() => rig.end());
    const worker = { command: codexBinary(), ...codex, env: { ...rig.home.env, ...codex.env } };
    // What starting the daemon leaves to be done at the end comes in its place there.
    const later = {
        after: (undo) => rig.undo.push(undo),
        get passed() {
            return t.passed;
        },
    };
    rig.daemon = await startDaemon(later, {
        fake: false,
        ...daemon,
        config: { poolSize, ...PATIENT, ...config, codex: worker },
    });
    if (config.prewarm !== false) {
        await rig.daemon.untilStatus(({ pool }) => pool.ready === poolSize, 'all workers are ready');
    }
    return rig;
}

class Rig {
    constructor(model, home) {
        Object.assign(this, { model, home, clients: [], undo: [] });
    }

    /** A client that hears where its requests wait and on which worker they run. */
    async connect(name) {
        const client = await PoolClient.open(this.daemon, { name });
        this.clients.push(client);
        await client.request('pool/subscribe', { events: ['queue'] });
        return client;
    }

    /** A client with a thread of its own on which a turn runs that the model holds. */
    async holding(name, text = name) {
        const client = await this.connect(name);
        client.threadId = await client.startThread({ cwd: this.home.cwd });
        client.worker = (await client.next('pool/assigned')).params.worker;
        await client.startTurn(client.threadId, text);
        client.asked = await this.model.request(text);
        await client.next('item/agentMessage/delta');
        return client;
    }

    /** Sends `thread/start` and awaits its place in the queue: { answer, place }. */
    async waiting(client, params = {}) {
        const answer = client.request('thread/start', { cwd: this.home.cwd, ...params });
        const { params: place } = await client.next('pool/queued', ({ id }) => id === answer.id);
        return { answer, place };
    }

    /** The pids of a command that Codex runs, known by a piece of its text, once it runs. */
    untilShell(piece) {
        const pids = () => this.home.processes().filter((pid) => commandLine(pid).includes(piece));
        return until(() => pids().length > 0 && pids(), `"${piece}" runs`);
    }

    worker(id) {
        return this.daemon.status().then(({ workers }) => workers.find((worker) => worker.id === id));
    }

    /** The worker holds nothing of anybody and no thread is locked: as a new one would be. */
    async untilClean(workers = 1) {
        await this.daemon.untilStatus(
            ({ pool, clients, queue }) =>
                pool.ready === workers &&
                pool.busy === 0 &&
                queue.length === 0 &&
                clients.every((client) => client.workers.length === 0),
            'all workers are idle',
        );
        await until(() => this.home.locks().length === 0, `no thread is locked: ${this.home.locks()}`);
    }

    /** Clients first, for the daemon lets running turns finish. */
    async end() {
        let left = [];
        try {
            await Promise.all(this.clients.map((client) => client.close()));
            for (const undo of this.undo) {
                await undo();
            }
            // The daemon has left none; what the test itself has run may take a moment to end.
            await until(() => (left = this.home.processes()).length === 0, 'no process is left').catch(() => {});
        } finally {
            this.home.dispose();
            await this.model.close();
        }
        assert.deepEqual(left, [], 'processes were left');
    }
}

function commandLine(pid) {
    try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
        return '';
    }
}

/** What the agent said in a turn that has completed. Older versions do not say it again at its end: its client knows. */
export function said({ params }, client) {
    const { threadId, turn } = params;
    const told = client.notifications
        .filter((m) => m.method === 'item/completed' && m.params.threadId === threadId && m.params.turnId === turn.id)
        .map((m) => m.params.item);
    return (turn.items.length > 0 ? turn.items : told)
        .filter((item) => item.type === 'agentMessage')
        .map((item) => item.text)
        .join('\n');
}

/** A turn from its start to its end: { status, text, error }. */
export async function turn(client, threadId, text, params = {}) {
    await client.startTurn(threadId, text, params);
    const completed = await client.turnCompleted(threadId);
    const { status, error } = completed.params.turn;
    return { status, error, text: said(completed, client) };
}

/** What the model was told, as lines. */
export function told(request) {
    return request.history.map(({ role, text }) => `${role}: ${text}`);
}
