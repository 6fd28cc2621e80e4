// What a run comes to.
import { idealWaits } from './ideal.mjs';

const mean = (values) => values.reduce((sum, each) => sum + each, 0) / (values.length || 1);

export function percentile(values, percent) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? 0;
}

const waitFigures = (waits) => ({ mean: mean(waits), p95: percentile(waits, 95) });

/**
 * How long workers were idle while somebody waited, and while somebody waited who was not on the way: { waiting, movable },
 * in milliseconds of one worker. A worker is busy from being assigned to a turn's end, and while a thread moves to it.
 */
export function idleTimes(turns, workers) {
    const events = turns.flatMap(({ sent, assigned, completed, movedMs }) => {
        const begins = Math.max(sent, assigned - movedMs);
        return [
            { at: sent, waiting: 1, movable: 1, busy: 0 },
            { at: begins, waiting: 0, movable: -1, busy: 1 },
            { at: assigned, waiting: -1, movable: 0, busy: 0 },
            { at: completed, waiting: 0, movable: 0, busy: -1 },
        ];
    });
    events.sort((a, b) => a.at - b.at);
    const now = { waiting: 0, movable: 0, busy: 0 };
    const idle = { waiting: 0, movable: 0 };
    events.forEach(({ at, ...change }, i) => {
        const passed = at - (events[i - 1]?.at ?? at);
        // Two sockets may tell of a turn's end and of its successor in the other order.
        const unused = Math.max(0, workers - now.busy) * passed;
        if (now.waiting) idle.waiting += unused;
        if (now.movable) idle.movable += unused;
        for (const key of Object.keys(change)) now[key] += change[key];
    });
    return idle;
}

/** The ideal's waits, were `service` what a turn takes at its worker. */
function ideal(turns, workers, service) {
    return idealWaits(turns.map((turn) => ({ ...turn, service: service(turn) })), workers);
}

/** Of what a run recorded. Shares of worker time are in percent; what ran is a share of the time in which turns arrive. */
export function figures({ turns, moves, held }, { workers, seconds }) {
    const service = ({ assigned, completed }) => completed - assigned;
    const took = Math.max(...turns.map(({ completed }) => completed)) - Math.min(...turns.map(({ arrived }) => arrived));
    const share = (time, of) => (100 * time) / (workers * of);
    const idle = idleTimes(turns, workers);
    // A worker to which a thread moves is taken by that.
    const withMoves = ideal(turns, workers, (turn) => service(turn) + turn.movedMs);
    return {
        turns: turns.length,
        ran: share(turns.reduce((sum, turn) => sum + service(turn), 0), seconds * 1000),
        waits: waitFigures(turns.map(({ sent, assigned }) => assigned - sent)),
        ideal: waitFigures(ideal(turns, workers, service)),
        idealWithMoves: waitFigures(withMoves.map((wait, i) => wait + turns[i].movedMs)),
        idle: { waiting: share(idle.waiting, took), movable: share(idle.movable, took) },
        moves: moves.length,
        moveMs: mean(moves.map(({ ms }) => ms)),
        held,
    };
}
