// The things that a client may do, each with its weight.

import { park } from './parking.mjs';

const GARBAGE = ['neither {json', '[]', '{"id":1.5,"method":7}', '"text"', '{"id":{},"method":"model/list"}', '\u0001',
    '{"id":7', 'null', '12'];

/** A thread of its own, or somebody's, or none. */
function thread(client, rng) {
    const { own, world } = client;
    if (rng.chance(0.7) && own.length) return rng.pick(own);
    if (world.known.length && rng.chance(0.95)) return rng.pick(world.known);
    return 'no-such-thread';
}

const letGo = (client, threadId) => client.gaveUp.add(threadId);

/** A request for a thread. */
const on = (method, more = () => ({})) => (client, rng) => {
    const threadId = thread(client, rng);
    if (/unsubscribe|archive/.test(method)) letGo(client, threadId);
    client.world.report.count(method);
    return client.ask(method, { threadId, ...more(rng, client) });
};

const plain = (method, params = () => ({})) => (client, rng) => {
    client.world.report.count(method);
    return client.ask(method, params(rng, client));
};

const input = (rng) => ({ input: [{ type: 'text', text: 'a'.repeat(rng.below(500)) }] });

/** A whole turn, its end awaited, so that streams come to their ends. */
async function converse(client, rng) {
    let threadId = client.own.length && rng.chance(client.own.length > 2 ? 0.95 : 0.7) ? rng.pick(client.own) : null;
    if (!threadId) threadId = (await client.ask('thread/start', { ephemeral: rng.chance(0.1) })).result?.thread?.id;
    if (!threadId) return;
    const over = client.turnOver(threadId);
    const answer = await client.ask('turn/start', { threadId, ...input(rng) });
    if (answer.result) await over;
}

/** Every part of an acquired worker's life, or only the beginning of it. */
async function acquire(client, rng) {
    const timeout = rng.chance(0.3) ? { timeoutMs: rng.between(20, 500) } : {};
    const where = rng.chance(0.2) && client.own.length ? { threadId: rng.pick(client.own) } : {};
    client.keepsWorkers = true;
    client.world.report.count('pool/acquire');
    const answer = await client.ask('pool/acquire', { ...timeout, ...where });
    if (!answer.result || rng.chance(0.3)) return;
    if (rng.chance(0.7)) await converse(client, rng);
    await client.ask('pool/release');
}

function garbage(client, rng) {
    client.world.report.count('garbage lines of clients');
    client.badLines++;
    client.send(`${rng.pick(GARBAGE)}\n`);
}

/** Longer than maxMessageBytes: it is told so and hung up on. */
function tooLong(client) {
    client.world.report.count('lines that are too long');
    client.badLines++;
    client.mayBeDropped = true;
    client.send(`{"id":1,"method":"model/list","params":{"x":"${'x'.repeat(600000)}"}}\n`);
}

/** Long enough to be held on to and not copied, each way. */
async function longLine(client, rng) {
    client.world.report.count('long lines');
    const text = `${rng.below(1000)} `.repeat(rng.between(70000, 100000));
    const { result } = await client.ask('some/echo', { text });
    if (result && result.text !== text)
        client.world.report.fail('answers', `a line of ${text.length} bytes came back otherwise`, { client });
}

async function stopReading(client, rng) {
    const ms = rng.chance(0.1) ? 3500 : rng.below(600);
    if (client.held) return;
    client.world.report.count('clients that stopped reading');
    if (ms > 2000) client.mayBeDropped = true;
    client.pause();
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (!client.left) client.resume();
}

/** Many requests in one write. */
function burst(client, rng) {
    const methods = ['model/list', 'thread/list', 'thread/loaded/list', 'config/read', 'pool/ping'];
    client.socket.cork();
    for (let i = rng.below(60); i >= 0; i--) client.ask(rng.pick(methods), {});
    client.socket.uncork();
}

/** A request of its own, or of nobody. */
function cancel(client, rng) {
    const open = [...client.pending.values()];
    const id = open.length ? rng.pick(open).id : 4711;
    client.world.report.count('pool/cancel');
    return client.ask('pool/cancel', { id });
}

/** Pinned: its worker is its own until it leaves. */
function watch(client) {
    client.pinned = true;
    client.keepsWorkers = true;
    client.world.report.count('fs/watch');
    return client.ask('fs/watch', { path: '/x', watchId: `w${client.lastId}` });
}

/** What one does that talks: turn after turn, each awaited, on a few threads. */
export const TALK = [
    [12, converse],
    [1, on('thread/resume')],
    [0.5, on('turn/start', input)],
    [0.5, on('turn/interrupt', () => ({ turnId: '' }))],
    [0.5, on('thread/goal/set', () => ({ status: 'active' }))],
    [0.5, on('thread/settings/update', (rng) => ({ model: rng.pick(['a', 'b']) }))],
    [0.5, on('thread/compact/start')],
    [0.3, on('thread/unsubscribe')],
    [0.3, longLine],
    [0.7, park],
];

/** What one does that tries everything. */
export const ANYTHING = [
    [8, converse],
    [4, plain('thread/start', (rng) => ({ ephemeral: rng.chance(0.1) }))],
    [5, on('thread/resume')],
    [2, on('thread/resume', () => ({ sandbox: 'read-only' }))],
    [2, on('thread/fork')],
    [8, on('turn/start', input)],
    [3, on('turn/steer', input)],
    [3, on('turn/interrupt', () => ({ turnId: '' }))],
    [2, on('thread/unsubscribe')],
    [1, on('thread/archive')],
    [1, on('thread/read')],
    [1, on('thread/turns/list')],
    [1, on('thread/name/set', () => ({ name: 'n' }))],
    [1, on('thread/settings/update', (rng) => ({ model: rng.pick(['a', 'b']) }))],
    [1, on('thread/compact/start')],
    [1, on('thread/shellCommand', () => ({ command: 'x' }))],
    [1, on('review/start')],
    [2, on('thread/goal/set', (rng) => ({ status: rng.pick(['active', 'active', 'paused']) }))],
    [2, on('thread/queue/add', input)],
    [1, plain('command/exec', () => ({ command: ['x'] }))],
    [2, plain('command/exec', (rng) => ({ command: ['x'], processId: `p${rng.below(3)}` }))],
    [1, plain('command/exec/terminate', (rng) => ({ processId: `p${rng.below(3)}` }))],
    [1, plain('thread/loaded/list')],
    [2, plain('model/list')],
    [1, plain('pool/status')],
    [1, plain('pool/release')],
    [1.5, acquire],
    [1.5, cancel],
    [1, burst],
    [1, garbage],
    [0.05, tooLong],
    [0.5, longLine],
    [1, park],
    [0.6, stopReading],
    [0.15, watch],
];
