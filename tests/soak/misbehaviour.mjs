// What a scripted worker does with a request: what Codex does, mostly, but late, out of order, not at all, or
// something else.
import { beginAlone, beginAsked, nextOfQueue, own, play, pursue } from './turns.mjs';
import { clientOf } from './streams.mjs';

const GARBAGE = ['neither {json', '[]', '{}', '{"id":{}}', '{"result":1}', '{"id":123456789,"result":{}}', '"x"', '\u0000',
    '{"method":"thread/status/changed","params":{"threadId":', '{"method":1}'];

/** How it ends where it does. */
const ENDS = ['SIGKILL', 'SIGSEGV', 'SIGTERM', 0, 1, 101];

export function end(worker) {
    const { rng, world } = worker;
    world.report.count('workers that died');
    if (rng.chance(0.5)) worker.raw('{"method":"turn/started","params":{"thr');
    worker.die(rng.pick(ENDS));
}

/** What has nothing to do with the request. */
function asides(worker) {
    const { rng, world } = worker;
    if (worker.odd(0.01)) {
        world.report.count('garbage lines of workers');
        worker.raw(`${rng.pick(GARBAGE)}\n`);
    }
    if (worker.odd(0.005)) {
        world.report.count('floods of stderr');
        worker.stderr(`${'noise '.repeat(20)}\n`.repeat(rng.below(2000)));
    }
    if (worker.odd(0.002)) worker.stderr('x'.repeat(100000));
}

/** Does what Codex does, or refuses, now or later. */
function ordinarily(worker, request, { refusals = [], then = () => worker.default(request) } = {}) {
    const { rng, world } = worker;
    const act = () => {
        if (!worker.open.has(request.id)) return;
        if (refusals.length && worker.odd(0.1)) {
            world.report.count('refusals of workers');
            worker.refuse(request, ...rng.pick(refusals));
        } else then();
    };
    if (worker.odd(0.15)) worker.later(rng.below(40), act);
    else if (worker.odd(0.005)) worker.later(rng.between(300, 1500), act);
    else act();
}

const OVERLOADED = [-32001, 'Server overloaded; retry later.'];
const WRITER = (id) => [-32600, `thread ${id} already has an active writer`];
const CLOSING = (id) => [-32600, `thread ${id} is closing; retry`];

/** A turn that runs takes it as steering; else one begins. */
function start(worker, request) {
    const { threadId } = request.params;
    const thread = worker.threads.get(threadId);
    const before = thread?.turn;
    // The answer promises the turn, and who waits longer for it than openLingerMs may lose the worker.
    worker.corked(() => worker.default(request));
    const turn = worker.threads.get(threadId)?.turn;
    if (!turn || turn === before) return;
    own(worker, turn, clientOf(request.tag));
    play(worker, threadId, turn);
    worker.world.report.count('turns that were asked for');
}

/** Answered before its turn exists; which is told in the same breath, or a little later. */
function promised(worker, request) {
    const { threadId } = request.params;
    const begin = (client) => {
        const thread = worker.threads.get(threadId);
        if (!thread || thread.turn || thread.closing) return;
        if (client) beginAsked(worker, threadId, client);
        else beginAlone(worker, threadId);
    };
    if (worker.rng.chance(0.5)) {
        worker.corked(() => {
            worker.default(request);
            begin(clientOf(request.tag));
        });
    } else {
        worker.default(request);
        worker.later(worker.rng.below(50), begin);
    }
}

function interrupt(worker, request) {
    const thread = worker.threads.get(request.params.threadId);
    if (!thread?.turn || !worker.odd(0.1)) {
        worker.default(request);
        return;
    }
    worker.world.report.count('interrupts ignored');
    worker.reply(request, {});
}

/** It may take its time to close. */
function unsubscribe(worker, request) {
    const thread = worker.threads.get(request.params.threadId);
    if (!thread || !worker.odd(0.1)) {
        worker.default(request);
        return;
    }
    worker.world.report.count('threads closed late');
    worker.reply(request, { status: 'unsubscribed' });
    thread.closing = true;
    const ms = worker.rng.chance(0.1) ? worker.rng.between(1000, 4000) : worker.rng.below(300);
    worker.later(ms, () => {
        if (worker.threads.get(thread.id) !== thread) return;
        thread.turn?.interrupt();
        worker.unload(thread.id);
    });
}

function setGoal(worker, request) {
    const thread = worker.threads.get(request.params.threadId);
    worker.default(request);
    if (thread?.goal?.status === 'active') pursue(worker, thread.id);
}

function addToQueue(worker, request) {
    worker.default(request);
    worker.later(worker.rng.below(20), () => nextOfQueue(worker, request.params.threadId));
}

function run(worker, request) {
    const { processId } = request.params;
    const same = [...worker.open.values()].some((r) => r !== request && r.method === 'command/exec' && processId &&
        r.params.processId === processId && r.tag && clientOf(r.tag) === clientOf(request.tag));
    if (same) {
        worker.refuse(request, -32600, `duplicate active command/exec process id "${processId}"`);
        return;
    }
    worker.world.report.count('commands');
    worker.later(worker.rng.below(800), () => worker.reply(request, { exitCode: 0, stdout: '', stderr: '' }));
}

function terminate(worker, request) {
    const { processId } = request.params;
    const found = [...worker.open.values()].find((r) => r.method === 'command/exec' && r.params.processId === processId &&
        (!request.tag || clientOf(r.tag) === clientOf(request.tag)));
    worker.reply(request, {});
    if (found) worker.reply(found, { exitCode: 137, stdout: '', stderr: '' });
}

/** One that dies or hangs before it is ready. */
function initialize(worker, request) {
    const { rng, world } = worker;
    if (worker.odd(0.05)) {
        world.report.count('workers that did not start');
        worker.stderr('cannot start, for no reason\n');
        worker.die(rng.pick(ENDS));
    } else if (worker.odd(0.2)) worker.later(rng.below(500), () => worker.default(request));
    else worker.default(request);
}

const plainly = (refusals) => (worker, request) =>
    ordinarily(worker, request, { refusals: refusals?.(request.params.threadId) });
const by = (then, refusals) => (worker, request) =>
    ordinarily(worker, request, { refusals: refusals?.(request.params.threadId), then: () => then(worker, request) });
const echo = (worker, request) => worker.reply(request, { text: request.params.text });
const answering = (worker, request) => worker.whileAnswering(request, () => worker.default(request));

const methods = {
    initialize,
    'thread/resume': plainly((id) => [WRITER(id), CLOSING(id)]),
    'thread/fork': plainly((id) => [WRITER(id)]),
    'thread/archive': by(answering, (id) => [WRITER(id)]),
    'thread/name/set': by(answering),
    'thread/unsubscribe': by(unsubscribe, () => [OVERLOADED]),
    'turn/start': by(start),
    'turn/interrupt': by(interrupt),
    'thread/compact/start': by(promised),
    'thread/shellCommand': by(promised),
    'review/start': by(promised),
    'thread/goal/set': by(setGoal),
    'some/echo': by(echo),
    'thread/queue/add': by(addToQueue),
    'command/exec': run,
    'command/exec/terminate': by(terminate),
};

export function behave(worker, request) {
    asides(worker);
    if (worker.odd(0.0005)) {
        end(worker);
        return;
    }
    (methods[request.method] ?? plainly(() => [OVERLOADED]))(worker, request);
}
