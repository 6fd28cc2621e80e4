// The figures as text.
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { poold } from '../lib/daemon.mjs';

const GOAL = { load: 60, ratio: 1.1 };

const ms = (value) => value.toFixed(1);
const percent = (value) => value.toFixed(2);
const COLUMNS = {
    codex: (row) => row.codex,
    clients: (row) => row.clients,
    'load %': (row) => row.load,
    moves: (row) => row.policy,
    turns: (row) => row.turns,
    'ran %': (row) => row.ran?.toFixed(1) ?? '',
    'mean wait ms': (row) => ms(row.waits.mean),
    'p95 wait ms': (row) => ms(row.waits.p95),
    'idle % (waiting)': (row) => (row.idle ? percent(row.idle.waiting) : ''),
    'idle % (movable)': (row) => (row.idle ? percent(row.idle.movable) : ''),
    moved: (row) => row.moves ?? '',
    'ms a move': (row) => (row.moves ? ms(row.moveMs) : ''),
};

export function describeMachine() {
    const { version } = process;
    const pool = execFileSync(poold, ['--version'], { encoding: 'utf8' }).trim();
    const [cpu] = os.cpus();
    return `${pool}, Node.js ${version}, ${os.cpus().length} x ${cpu.model.trim()}, `
        + `load average ${os.loadavg()[0].toFixed(1)}, ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Cases in the order in which they were measured: [{ codex, clients, load, never, auto }]. */
function cases(rows) {
    const same = (a, b) => ['codex', 'clients', 'load'].every((key) => a[key] === b[key]);
    return rows.filter(({ policy }) => policy === 'auto')
        .map((auto) => ({ auto, never: rows.find((row) => row.policy === 'never' && same(row, auto)) }));
}

/** Columns under the names in the first line: to the left the first one, or those given; the others to the right. */
export function aligned(lines, left = [lines[0][0]]) {
    const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => String(line[i]).length)));
    const cells = (line) => line.map((cell, i) => (left.includes(lines[0][i]) ? String(cell).padEnd(widths[i])
        : String(cell).padStart(widths[i])));
    return lines.map((line) => cells(line).join('  ').trimEnd()).join('\n');
}

export function table(rows) {
    const shown = cases(rows).flatMap(({ auto, never }) => {
        const { codex, clients, load, turns } = auto;
        return [never, auto, { codex, clients, load, policy: '(ideal)', turns, waits: auto.ideal }];
    });
    return aligned([Object.keys(COLUMNS), ...shown.map((row) => Object.values(COLUMNS).map((cell) => cell(row)))]);
}

/** What was seen of requests that waited for long beside an idle worker. */
function heldText(held) {
    const free = held.filter((why) => why === null).length;
    const others = new Set(held.filter((why) => why !== null && why !== 'it is moving'));
    const kept = others.size ? `; others stayed: ${[...others].join(', ')}` : '';
    return `movable request left beside an idle worker: ${free ? `seen ${free} times` : 'never seen'}${kept}`;
}

function goal({ codex, clients, load, waits, ideal, idealWithMoves, held }) {
    const ratio = waits.mean / ideal.mean;
    const shown = Number.isFinite(ratio) ? ratio.toFixed(2) : '-';
    const byMoves = idealWithMoves.mean - ideal.mean;
    const verdict = load !== GOAL.load ? '' : ratio <= GOAL.ratio ? ', goal met' : ', goal missed';
    return `${codex}, ${clients} client${clients === 1 ? '' : 's'}, ${load} %: auto/ideal ${shown}${verdict} `
        + `(+${ms(waits.mean - ideal.mean)} ms, the moves' time alone +${ms(byMoves)}); ${heldText(held)}`;
}

export function goals(rows) {
    return [`goal: auto within ${Math.round((GOAL.ratio - 1) * 100)} % of the ideal's mean wait at ${GOAL.load} % load, `
        + 'no worker idle while a movable request waits', ...cases(rows).map(({ auto }) => goal(auto))];
}
