// The clients: each lives for a while, does what it likes, and leaves in some way.
import { ANYTHING, TALK } from './acts.mjs';
import { Connection } from './connection.mjs';
import { Random } from './random.mjs';

/** How long the rush lasts, and the calm after it. */
const WAVE_MS = 2500;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers what it is asked: at once, late or never. */
function answerQuestions(client, rng) {
    client.onAsk = ({ id, params }) => {
        const answer = () => client.send(`${JSON.stringify({
            id, result: { decision: rng.chance(0.1) ? 'acceptForSession' : 'accept', soak: params.soak.ask },
        })}\n`);
        const how = rng.next();
        if (how < 0.6) answer();
        else if (how < 0.9) setTimeout(answer, rng.below(500));
        else client.world.report.count('questions never answered');
    };
}

/** Its requests: threads that it is given are its own, and known to all. */
function rememberThreads(client) {
    const { world } = client;
    client.own = [];
    client.ask = (method, params) => {
        const { answered } = client.request(method, params);
        answered.then(({ result }) => {
            const id = result?.thread?.id;
            if (!id || client.own.includes(id) || client.left || method === 'thread/read') return;
            client.own.push(id);
            world.known.push(id);
            if (world.known.length > 60) world.known.shift();
        });
        return answered;
    };
}

async function introduce(client, rng) {
    if (rng.chance(0.04)) {
        client.unnamed = true;
        client.world.report.count('clients that never initialize');
        return;
    }
    const answered = client.ask('initialize', {
        clientInfo: { name: client.name, title: null, version: '1' }, capabilities: { experimentalApi: true },
    });
    if (rng.chance(0.8)) await answered;
    client.send('{"method":"initialized"}\n');
    if (rng.chance(0.8)) client.ask('pool/subscribe', { events: rng.pick([['queue'], ['queue', 'moves']]) });
}

/** All that it has asked for must be answered, while it listens. Who is pinned would wait for itself. */
async function settle(client) {
    if (client.pinned) return;
    client.world.report.count('clients that waited for all their answers');
    client.request('pool/release');
    while (client.pending.size && !client.left) await Promise.all([...client.pending.values()].map((entry) => entry.answered));
}

async function leave(client, rng) {
    await client.away;
    const how = rng.next();
    if (how < 0.35) await settle(client);
    if (how > 0.9) client.send('{"id":99,"method":"thread/st');
    client.world.report.count(how > 0.3 && how < 0.6 ? 'half-closes' : 'hang-ups');
    if (how > 0.3 && how < 0.6) await client.end();
    else await client.close();
}

/** Does so many things, some of them awaited. */
async function doAnything(client, rng) {
    const most = rng.pick([1, 4, 10, 25]);
    for (let i = rng.below(most); i >= 0 && !client.left && !client.world.closing; i--) {
        // A generator for each act: how many numbers one takes depends on what the client has by then.
        const act = rng.child('act', i);
        const done = act.weighted(ANYTHING)(client, act);
        if (act.chance(0.7)) await Promise.race([done, sleep(act.below(400))]);
        else if (act.chance(0.3)) await sleep(act.below(60));
    }
}

/** Has conversations, with pauses in which its threads are idle. */
async function talk(client, rng) {
    for (let i = rng.between(2, 20); i >= 0 && !client.left && !client.world.closing; i--) {
        const act = rng.child('act', i);
        await Promise.race([act.weighted(TALK)(client, act), sleep(4000)]);
        await sleep(act.below(300));
    }
}

async function live(world, number, rng) {
    const client = await Connection.open(world, `c${number}`);
    answerQuestions(client, rng.child('answers'));
    rememberThreads(client);
    await introduce(client, rng);
    await (rng.chance(0.3) ? talk : doAnything)(client, rng);
    await leave(client, rng);
}

/** So many at a time, each followed by another, until the world closes. Half of them come in waves. */
export function crowd(world, atOnce) {
    const began = Date.now();
    const low = () => Math.floor((Date.now() - began) / WAVE_MS) % 2;
    const one = async (_, place) => {
        while (!world.closing && !world.report.failures.length) {
            if (place % 2 && low()) {
                await sleep(100);
                continue;
            }
            const number = ++world.clients;
            const rng = new Random(world.seed, 'client', number);
            try {
                await live(world, number, rng);
            } catch (error) {
                world.report.fail('answers', `client c${number}: ${error.stack}`);
            }
            await sleep(rng.below(200));
        }
    };
    return Promise.all(Array.from({ length: atOnce }, one));
}
