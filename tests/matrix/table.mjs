// The results as a table for people and for the README, with the reasons below it.
import { ACCEPTANCE, meaning } from './acceptance.mjs';

function cell({ passed, of, reasons }, notes) {
    if (reasons.length === 0) return 'yes';
    const numbers = [...new Set(reasons.map(({ error }) => meaning(error)))].map((note) => {
        if (!notes.includes(note)) notes.push(note);
        return notes.indexOf(note) + 1;
    });
    const held = of > 1 ? `${passed} of ${of}` : 'no';
    return `${held} (${numbers.sort((a, b) => a - b).join(', ')})`;
}

/** `rows`: { version, cells } in order. */
export function table(rows) {
    const notes = [];
    const lines = [['Codex', ...ACCEPTANCE.map(({ what }) => what)],
        ...rows.map(({ version, cells }) => [version, ...cells.map((each) => cell(each, notes))])];
    const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
    const form = (line) => `| ${line.map((text, i) => text.padEnd(widths[i])).join(' | ')} |`;
    const rule = `| ${widths.map((n) => '-'.repeat(n)).join(' | ')} |`;
    const below = notes.map((note, i) => `${i + 1}. ${note}`);
    return [form(lines[0]), rule, ...lines.slice(1).map(form), ...(below.length ? [''] : []), ...below].join('\n');
}
