// The figures as text.
import { aligned } from '../report.mjs';

/** A goal of a figure: `value` of the medians by name, and of those of all rows. */
export const atLeast = (figure, limit, other) => ({
    figure, text: `>= ${limit} ${other}`, value: (of, name) => of[name]?.[figure] / of[other]?.[figure],
    met: (ratio) => ratio >= limit,
});
export const atMost = (figure, limit, other) => ({
    figure, text: `<= ${limit} ${other}`, value: (of, name) => of[name]?.[figure] / of[other]?.[figure],
    met: (ratio) => ratio <= limit,
});
export const limit = (figure, highest) => ({
    figure, text: `<= ${highest}`, value: (of, name) => of[name]?.[figure], met: (found) => found <= highest,
});

const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

const mapValues = (of, change) => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, change(value)]));

/** By row and contender the median of each figure. */
export function medians(results) {
    return mapValues(results, (byName) => mapValues(byName, (rounds) => Object.fromEntries(
        Object.keys(rounds[0] ?? {}).map((key) => [key, median(rounds.map((figures) => figures[key]))]),
    )));
}

/** The goals of a row for one contender: [{ figure, text, value, met }]; those that cannot be judged are left out. */
function judge(rows, row, name, all) {
    return (rows[row].goals ?? []).map(({ figure, text, value, met }) => {
        const found = value(all[row], name, all);
        return { figure, text, value: found, met: met(found) };
    }).filter((goal) => Number.isFinite(goal.value));
}

const digits = (value) => {
    if (value !== 0 && value < 0.1) return value.toFixed(4);
    return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
};

function ratio(of, name, other, figure) {
    const found = of[name][figure] / of[other]?.[figure];
    return name !== other && Number.isFinite(found) ? digits(found) : '';
}

/** Without a relay there is nothing of it to be seen but what comes first: how fast it is. */
const isHidden = (row, name, figure, i) => (name === 'direct' && i > 0) || row.hidden?.[name]?.includes(figure);

function lines(rows, name, results, all, { judged, others }) {
    const row = rows[name];
    return Object.entries(row.shown).flatMap(([figure, places], i) => Object.entries(results[name])
        .filter(([who]) => !isHidden(row, who, figure, i)).map(([who, rounds]) => {
            const found = rounds.map((figures) => figures[figure]);
            const goals = !judged.includes(who) ? [] : judge(rows, name, who, all).filter((goal) => goal.figure === figure);
            return [
                row.title, figure, who, all[name][who][figure].toFixed(places),
                `${Math.min(...found).toFixed(places)}..${Math.max(...found).toFixed(places)}`,
                ...others.map((other) => ratio(all[name], who, other, figure)),
                goals.map((goal) => `${goal.text}: ${digits(goal.value)} ${goal.met ? 'met' : 'NOT MET'}`).join(', '),
            ];
        }));
}

const instructionLines = (row, counted, others) => Object.entries(counted).map(([who, each]) => [
    row.title, 'instructions', who, each.toFixed(0), '', ...others.map(() => ''), '',
]);

/** `judged`: whose goals are shown; `others`: with whom all are compared; `instructions`: of some rows, by contender. */
export function table(rows, results, judged, others, instructions = {}) {
    const all = medians(results);
    const body = Object.keys(results).flatMap((name) => [
        ...lines(rows, name, results, all, { judged, others }),
        ...instructionLines(rows[name], instructions[name] ?? {}, others),
    ]);
    // What stands above need not be said again.
    const shown = body.map(([title, figure, ...rest], i) => {
        const [before, figureBefore] = body[i - 1] ?? [];
        return [title === before ? '' : title, title === before && figure === figureBefore ? '' : figure, ...rest];
    });
    const head = ['work', 'figure', 'who', 'median', 'lowest..highest', ...others.map((other) => `/${other}`), 'goal'];
    return aligned([head, ...shown], ['work', 'figure', 'who', 'goal']);
}

export function summary(rows, results, who) {
    const all = medians(results);
    const goals = Object.keys(results).flatMap((name) => judge(rows, name, who, all));
    return `${goals.filter(({ met }) => met).length} of ${goals.length} goals met`;
}
