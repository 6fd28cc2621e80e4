// How many tests begin: clients with threads and turns in a certain state.
import { PoolClient } from './client.mjs';

/** A client whose turn runs: {client, threadId, worker, turn}. */
export async function runTurn(daemon, name = 'a') {
    const client = await PoolClient.open(daemon, { name });
    const threadId = await client.startThread();
    await client.startTurn(threadId);
    await client.next('turn/started', (p) => p.threadId === threadId);
    const worker = daemon.fake.owner(threadId);
    return { client, threadId, worker, turn: worker.turn(threadId) };
}

/** A client with an open thread that has had a turn; nothing runs. */
export async function converse(daemon, name = 'a') {
    const scene = await runTurn(daemon, name);
    scene.turn.complete();
    await scene.client.turnCompleted(scene.threadId);
    return scene;
}

/** A client that asks for a new thread and has to wait: {client, waiting}, the promise of its answer. */
export async function waitInLine(daemon, name = 'b') {
    const client = await PoolClient.open(daemon, { name });
    await client.request('pool/subscribe', { events: ['queue'] });
    const waiting = client.request('thread/start');
    await client.next('pool/queued');
    return { client, waiting };
}

/** All that the worker has said so far is with the daemon, and what follows from it is done. */
export async function settled(client) {
    await client.request('model/list');
    await client.request('pool/ping');
}

/** Methods and threads of what a worker was sent, from a point of its log on. */
export function sent(worker, from = 0) {
    return worker.log.slice(from).filter((m) => m.method).map(({ method, params }) =>
        (params?.threadId ? `${method} ${params.threadId}` : method));
}
