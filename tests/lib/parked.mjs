// Clients that leave a turn which waits for a person, and come back: pool/detach, pool/attach.
import { PoolClient } from './client.mjs';
import { runTurn } from './scenes.mjs';

export const APPROVAL = 'item/commandExecution/requestApproval';
/** A configuration of the pool. Some tests leave a turn running at their end. */
export const NEVER = { openLingerMs: 600000, drainTimeoutMs: 50 };

/** A turn that waits for an approval: its scene with {ask, answered}. */
export async function asking(daemon, scene) {
    scene ??= await runTurn(daemon);
    const { client, worker, threadId, turn } = scene;
    scene.answered = worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i' });
    scene.ask = await client.next(APPROVAL);
    return scene;
}

/** Its connection is closed; the answer to pool/detach. */
export async function detach(client, params = {}) {
    const answer = await client.request('pool/detach', params);
    await client.ended;
    return answer;
}

/** A new connection that has become the client's own: {client, answer}. */
export async function attach(daemon, token, client) {
    client ??= await PoolClient.open(daemon, { initialize: false, name: 'attached' });
    return { client, answer: await client.request('pool/attach', { token }, 'attach') };
}
