// What a turn of a scripted worker does until it ends, and what follows it: sub-agents, goals, queued messages.

const APPROVAL = 'item/commandExecution/requestApproval';
/** Whatever holds a turn up, it goes on after this, so that nobody waits for good. */
const LONGEST_MS = 6000;

/** A turn that a client has asked for: nothing else may run beside it. */
export function beginAsked(worker, threadId, client, turnId) {
    const turn = worker.begin(threadId, turnId);
    own(worker, turn, client);
    play(worker, threadId, turn);
    return turn;
}

/** Whose stream it is in, if it is in one, and who is told of it: who has the thread open. */
export function own(worker, turn, client) {
    Object.assign(turn, { asked: Boolean(client), client, reader: worker.host.openers.get(turn.thread.id), deltas: 0 });
}

/** One that begins by itself. */
export function beginAlone(worker, threadId) {
    worker.world.report.count('turns that nobody asked for');
    const turn = worker.begin(threadId);
    own(worker, turn, undefined);
    play(worker, threadId, turn);
}

const isOpen = (worker, threadId, turn) => worker.threads.get(threadId)?.turn === turn;

/** From here on the turn runs by itself to its end. */
export function play(worker, threadId, turn) {
    const { rng } = worker;
    let steps = rng.below(6);
    const goOn = () => {
        if (!isOpen(worker, threadId, turn)) return;
        if (steps-- <= 0) finish(worker, threadId, turn);
        else step(worker, threadId, turn, (ms) => worker.later(ms, goOn));
    };
    worker.later(rng.below(25), goOn);
}

function step(worker, threadId, turn, then) {
    const { rng, world } = worker;
    const what = rng.next();
    if (what < 0.5 || !turn.asked) turn.delta('ünd'.repeat(rng.below(200)));
    else if (what < 0.6) {
        for (let i = rng.below(100); i >= 0; i--) turn.delta('x'.repeat(rng.below(3000)));
    } else if (what < 0.75) return wait(worker, threadId, turn, then);
    else if (what < 0.85) subAgent(worker, threadId, turn);
    else if (what < 0.9) worker.notify('deprecationNotice', { summary: 'x' }, [turn.client]);
    else if (what < 0.905) {
        world.report.count('long items');
        worker.notify('item/completed', { threadId, turnId: turn.id, item: { type: 'agentMessage', id: 'i', text: 'y'.repeat(400000) } });
    } else if (what < 0.92 && !world.calm) {
        world.report.count('turns that hang');
        return then(rng.between(1000, LONGEST_MS));
    }
    return then(rng.below(40));
}

/** For the client's answer, which may never come. */
function wait(worker, threadId, turn, then) {
    let over = false;
    const goOn = () => {
        if (!over) then(0);
        over = true;
    };
    worker.ask(APPROVAL, { threadId, turnId: turn.id, itemId: 'i' }).then(goOn);
    worker.later(worker.world.calm ? 100 : LONGEST_MS, goOn);
}

function subAgent(worker, parent, turn) {
    const child = worker.host.newThreadId();
    const { host } = worker;
    worker.world.report.count('sub-agents');
    host.openers.set(child, turn.reader);
    // Nobody says whose it is: where another turn runs there that nobody asked for, the daemon can only guess.
    const others = [...worker.threads.values()].filter((each) => each.turn && !each.parent && each.id !== parent);
    worker.load(child, { parent, guessed: others.length > 0 });
    beginAsked(worker, child, turn.client);
}

function finish(worker, threadId, turn) {
    const { rng, world } = worker;
    const thread = worker.threads.get(threadId);
    world.report.count('turns that ran to their end');
    if (worker.odd(0.1)) {
        turn.fail();
        return;
    }
    if (thread.goal?.status === 'active' && thread.goalTurns > 0 && !thread.closing) {
        thread.goalTurns--;
        nextOfGoal(worker, threadId, turn);
    } else {
        turn.complete();
        nextOfQueue(worker, threadId);
        if (worker.threads.has(threadId)) endGoal(worker, threadId);
    }
    if (worker.odd(0.1) && turn.asked) worker.later(rng.below(300), () => worker.late(threadId, turn));
}

/** In one piece with the end of the last turn, so that it is part of its stream; or when it pleases. */
function nextOfGoal(worker, threadId, turn) {
    const { rng } = worker;
    worker.world.report.count('goal turns');
    if (turn.asked && rng.chance(0.5)) {
        worker.corked(() => {
            turn.complete();
            beginAsked(worker, threadId, turn.client);
        });
        return;
    }
    turn.complete();
    worker.later(rng.below(60), () => {
        const thread = worker.threads.get(threadId);
        if (thread && !thread.turn && !thread.closing && thread.goal?.status === 'active') beginAlone(worker, threadId);
    });
}

function endGoal(worker, threadId) {
    const thread = worker.threads.get(threadId);
    if (thread.goal?.status !== 'active') return;
    thread.goal = { ...thread.goal, status: 'complete' };
    worker.notify('thread/goal/updated', { threadId, turnId: null, goal: thread.goal });
}

/** A goal has become active; it begins turns when nothing runs. */
export function pursue(worker, threadId) {
    const thread = worker.threads.get(threadId);
    thread.goalTurns = worker.rng.below(4);
    worker.later(worker.rng.below(60), () => {
        if (worker.threads.get(threadId) !== thread || thread.turn || thread.closing || thread.goal?.status !== 'active') return;
        if (thread.goalTurns-- > 0) beginAlone(worker, threadId);
        else endGoal(worker, threadId);
    });
}

/** The next queued message becomes a turn, a few milliseconds after it has left the list. */
export function nextOfQueue(worker, threadId) {
    const thread = worker.threads.get(threadId);
    if (!thread?.queue.length || thread.turn || thread.closing) return;
    thread.queue.shift();
    worker.world.report.count('queued messages sent');
    worker.notify('thread/queue/changed', { threadId });
    worker.later(worker.rng.between(3, 11), () => {
        if (worker.threads.get(threadId) === thread && !thread.turn && !thread.closing) beginAlone(worker, threadId);
    });
}
