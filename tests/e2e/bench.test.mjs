// The arithmetic of `make bench-moves`, and that its driver serves what was planned.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figures, idleTimes, percentile } from '../bench/figures.mjs';
import { idealWaits } from '../bench/ideal.mjs';
import { makePlan, seeded } from '../bench/plan.mjs';
import { WORKERS, measureOverhead, openPool } from '../bench/pools.mjs';

const SMALL = { seed: 7, seconds: 1, load: 60, workers: WORKERS, conversations: 8, meanMs: 100 };

/** Turns of [arrived, service] each, of a conversation of their own unless they name one. */
const arriving = (...turns) => turns.map(([arrived, service, conversation], i) => ({
    arrived, service, conversation: conversation ?? `own ${i}`,
}));

/** How long one waits on average where arrivals and lengths are exponential (Erlang's formula). */
function erlangWait(servers, load, service) {
    const offered = servers * load;
    let [term, sum] = [1, 0];
    for (let k = 0; k < servers; k++) {
        sum += term;
        term *= offered / (k + 1);
    }
    const queued = term / (1 - load);
    return ((queued / (sum + queued)) * service) / (servers * (1 - load));
}

/** Exponential arrivals and lengths, which the formula is for. */
function exponential(count, load, servers) {
    const uniform = seeded(1);
    const random = () => -Math.log(1 - uniform());
    let arrived = 0;
    return arriving(...Array.from({ length: count }, () => [(arrived += random() / (servers * load)), random()]));
}

test('the ideal pool serves the oldest first, each conversation one turn at a time', () => {
    assert.deepEqual(idealWaits(arriving([0, 10], [1, 10], [2, 10]), 2), [0, 0, 8]);
    assert.deepEqual(idealWaits(arriving([0, 10], [5, 1], [20, 1]), 1), [0, 5, 0]);
    assert.deepEqual(idealWaits(arriving([0, 10, 'a'], [1, 5, 'a'], [2, 5, 'a']), 4), [0, 0, 0]);
    // The follower asks when the first is over, behind one who has asked meanwhile.
    assert.deepEqual(idealWaits(arriving([0, 10, 'a'], [1, 5, 'a'], [2, 3, 'b']), 1), [0, 3, 8]);
});

test('the ideal pool waits as Erlang says', () => {
    const waits = idealWaits(exponential(40000, 0.6, 4), 4);
    const mean = waits.reduce((sum, each) => sum + each, 0) / waits.length;
    const expected = erlangWait(4, 0.6, 1);
    assert.ok(Math.abs(mean / expected - 1) < 0.1, `${mean} is about ${expected}`);
});

test('idle time counts while somebody waits, and without the workers to which a thread moves', () => {
    const turn = (sent, assigned, completed, movedMs = 0) => ({ sent, assigned, completed, movedMs });
    assert.deepEqual(idleTimes([turn(0, 0, 10), turn(10, 10, 20)], 2), { waiting: 0, movable: 0 });
    // It waits for 10 beside one idle worker.
    assert.deepEqual(idleTimes([turn(0, 0, 10), turn(0, 10, 20)], 2), { waiting: 10, movable: 10 });
    // It waits for 3 beside an idle worker, then for 2 while it moves to that one and a third is idle.
    assert.deepEqual(idleTimes([turn(0, 0, 10), turn(0, 5, 20, 2)], 2), { waiting: 3, movable: 3 });
    assert.deepEqual(idleTimes([turn(0, 0, 10), turn(0, 5, 20, 2)], 3), { waiting: 8, movable: 6 });
});

test('a plan is the same for a seed, and has the load it is named by', () => {
    const plan = makePlan(SMALL);
    assert.deepEqual(makePlan(SMALL), plan);
    assert.notDeepEqual(makePlan({ ...SMALL, seed: 8 }), plan);
    const sum = plan.reduce((ms, turn) => ms + turn.ms, 0);
    assert.ok(Math.abs(sum / (WORKERS * 1000) - 0.6) < 1e-9, `${sum} ms`);
    assert.ok(plan.every(({ at }, i) => at >= (plan[i - 1]?.at ?? 0) && at < 1000), 'in order, in time');
    assert.ok(new Set(plan.map(({ conversation }) => conversation)).size > 4, 'on many conversations');
    assert.ok(percentile(plan.map(({ ms }) => ms), 50) < 80, 'most are shorter than the mean');
});

for (const [moves, clients] of [['never', 1], ['auto', 4]]) {
    test(`every turn of a plan is served once, moves: ${moves}`, async (t) => {
        const { conversations } = SMALL;
        const options = { codex: 'scripted', moves, clients, conversations, logLevel: 'debug' };
        const { daemon, driver } = await openPool(t, options);
        assert.ok(await measureOverhead(driver, conversations) > -2, 'a timer may be a millisecond early');
        const record = await driver.play(makePlan(SMALL));
        const { counters } = await daemon.status();
        const served = daemon.fake.workers.flatMap((worker) => worker.received('turn/start')).length;
        assert.equal(record.turns.length, 24);
        assert.equal(served, 24 + 2 * conversations, 'one to open each, one to calibrate');
        assert.ok(record.turns.every((turn) => turn.sent >= turn.arrived && turn.assigned >= turn.sent
            && turn.completed > turn.assigned), 'in this order');
        assert.ok(counters.moves >= record.moves.length, 'no move is counted twice');
        assert.equal(figures(record, SMALL).turns, 24);
        if (moves === 'never') assert.equal(counters.moves, 0);
    });
}
