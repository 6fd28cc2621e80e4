// Conversations that go on by themselves: clients whose turns follow one another, each of which must complete.
import assert from 'node:assert/strict';
import { PoolClient } from './client.mjs';
import { until } from './wait.mjs';

/** For workers started from now on: turns end by themselves, some milliseconds after they began. */
export function endTurns(fake, ms = 5) {
    fake.on('turn/start', function start(request) {
        this.default(request);
        const turn = this.threads.get(request.params.threadId)?.turn;
        if (turn) setTimeout(() => this.gone || turn.complete(), ms).unref();
    });
}

/** Clients that talk until they are told to stop. Their fake Codex needs endTurns(). */
export class Load {
    static async start(daemon, clients = 6) {
        const load = new Load();
        for (let i = 0; i < clients; i++) {
            const client = await PoolClient.open(daemon, { name: `talker ${i}` });
            load.clients.push(client);
            load.talks.push(load.#talk(client, i));
        }
        await load.more(clients);
        return load;
    }

    constructor() {
        Object.assign(this, { clients: [], talks: [], turns: 0, stopping: false, failures: [] });
    }

    async #talk(client, number) {
        try {
            let threadId = await client.startThread();
            for (let n = 1; !this.stopping; n++) {
                if ((n + number) % 7 === 0) threadId = await client.startThread();
                await client.startTurn(threadId);
                const { params: { turn } } = await client.turnCompleted(threadId);
                assert.equal(turn.status, 'completed');
                this.turns++;
            }
        } catch (error) {
            this.failures.push(error);
        }
    }

    /** Until so many more turns have completed, none of them lost. */
    async more(turns) {
        const goal = this.turns + turns;
        await until(() => this.failures.length || this.turns >= goal, `${goal} turns`);
        assert.deepEqual(this.failures, []);
    }

    async stop() {
        this.stopping = true;
        await Promise.all(this.talks);
        assert.deepEqual(this.failures, []);
        for (const client of this.clients) await client.close();
    }
}
