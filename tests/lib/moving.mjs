// A thread that waits for its owner while another worker is free, or about to be.
import { PoolClient } from './client.mjs';
import { startPool } from './daemon.mjs';
import { converse, runTurn } from './scenes.mjs';

/**
 * A client whose thread has a busy owner: {daemon, client, threadId, owner, other, running}. `running` is the turn
 * on the owner, `held` a turn that keeps the other worker busy until it completes (`free()` ends it).
 */
export async function crowd(t, { config = {}, start = {}, before = async () => {} } = {}) {
    const [daemon] = await startPool(t, 2, { config: { drainTimeoutMs: 0, ...config } });
    const scene = await talk(daemon, start);
    await before({ daemon, ...scene, owner: scene.worker });
    const owner = daemon.fake.owner(scene.threadId);
    const held = await runTurn(daemon, 'held');
    const [first, second] = held.worker === owner ? [held, await runTurn(daemon, 'busy')]
        : [await runTurn(daemon, 'busy'), held];
    const free = async () => {
        second.turn.complete();
        await second.client.turnCompleted(second.threadId);
    };
    scene.client.notifications.length = 0;
    return { daemon, ...scene, owner, other: second.worker, busy: first, free };
}

/** converse(), with what the thread is started with. */
export async function talk(daemon, { turnless = false, ...start } = {}, name = 'a') {
    const client = await PoolClient.open(daemon, { name });
    const threadId = await client.startThread(start);
    const worker = daemon.fake.owner(threadId);
    if (turnless) return { client, threadId, worker };
    await client.startTurn(threadId);
    await client.next('turn/started', (p) => p.threadId === threadId);
    worker.turn(threadId).complete();
    await client.turnCompleted(threadId);
    return { client, threadId, worker };
}

/** The same with the other worker idle and the request for the thread under way. */
export async function moving(t, options = {}) {
    const scene = await crowd(t, options);
    await scene.free();
    await scene.daemon.untilStatus((s) => s.pool.busy === 1, 'only the owner is busy');
    scene.mark = { owner: scene.owner.log.length, other: scene.other.log.length };
    return scene;
}

/** What the client was told of its thread: methods. */
export function heard(client) {
    return client.notifications.map((n) => n.method);
}

export { converse };
