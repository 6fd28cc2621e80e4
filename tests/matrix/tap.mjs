// What a file of tests says when it is run by `node --test-reporter=tap`.

const unquote = (text) => text.replace(/^(['"`])(.*)\1$/, '$2');

/** The `error:` of what follows a failed test: on its line, or the indented lines below it. */
function errorOf(lines) {
    const at = lines.findIndex((line) => /^ {2}error: /.test(line));
    if (at < 0) return 'failed';
    const text = lines[at].slice('  error: '.length).trim();
    if (!/^[|>]-?$/.test(text)) return unquote(text);
    const rest = lines.slice(at + 1);
    const end = rest.findIndex((line) => /^ {2}\S/.test(line));
    return rest.slice(0, end < 0 ? rest.length : end).map((line) => line.trim()).filter(Boolean).join(' ');
}

/** Of each test on the first level its error, null where it passed. */
export function readTap(text) {
    const results = new Map();
    const parts = text.split(/^(?=(?:not )?ok \d+ - )/m).slice(1);
    for (const part of parts) {
        const [, not, name, skip] = part.match(/^(not )?ok \d+ - (.*?)(?: # (SKIP).*)?$/m);
        const end = part.indexOf('\n  ...');
        results.set(name, not ? errorOf(part.slice(0, end < 0 ? part.length : end).split('\n')) : skip ? 'skipped' : null);
    }
    return results;
}

/** Whether it came to its end. */
export const isWhole = (text) => /^# tests \d+$/m.test(text);
