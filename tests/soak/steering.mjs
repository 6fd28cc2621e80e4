// What administrators do to the pool meanwhile; whoever asks does not wait for it.

/** May take as long as a turn, or as long as nothing else is asked for. */
export const TAKES_ITS_TIME = new Set(['pool/recycle', 'pool/resize', 'pool/drain']);

function steer(world, method, params) {
    world.report.count(method);
    return world.observer.request(method, params).answered;
}

function recycle(world, rng) {
    steer(world, 'pool/recycle', rng.chance(0.5) ? {} : { worker: rng.between(1, 3) });
}

function resize(world, rng) {
    steer(world, 'pool/resize', { size: rng.between(1, 5) });
}

/** The pool goes on after a moment. */
function holdBack(world, rng) {
    steer(world, rng.pick(['pool/pause', 'pool/pause', 'pool/drain']), {});
    setTimeout(() => steer(world, 'pool/resume', {}), rng.below(1500));
}

async function interrupt(world, rng) {
    const { result } = await steer(world, 'pool/status', {});
    const turn = rng.pick(result?.workers ?? [])?.turn;
    if (turn) steer(world, 'pool/interrupt', { threadId: turn.threadId });
}

async function kick(world, rng) {
    const victim = rng.pick([...world.answers.clients].filter((client) => client !== world.observer && !client.unnamed));
    const { result } = await steer(world, 'pool/status', {});
    const listed = result?.clients.find((each) => victim && each.name === victim.name);
    if (!listed) return;
    victim.mayBeDropped = true;
    steer(world, 'pool/kick', { client: listed.id });
}

export const STEERING = [recycle, recycle, resize, holdBack, interrupt, interrupt, kick];
