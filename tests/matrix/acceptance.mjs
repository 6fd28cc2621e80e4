// What has to hold, and which tests on the real Codex show it.

/**
 * Those of `tests` in `file`, or all of it: two streams on one worker; they are served as they came; who leaves the queue leaves
 * nothing there; a shutdown refuses who waits; a conversation goes on on whichever worker is free; an AI SDK provider on the pool.
 */
export const ACCEPTANCE = [
    { what: '1 one worker', file: 'pool.test.mjs', tests: ['of two streams on one worker the second starts when the first is over'] },
    { what: '2 in order', file: 'pool.test.mjs', tests: ['the worker goes to those who wait in the order in which they came'] },
    { what: '3 abort', file: 'pool.test.mjs', tests: ['a client that leaves while it waits leaves nothing in the queue'] },
    { what: '4 shutdown', file: 'pool.test.mjs', tests: ['shutdown refuses those who wait and lets the running turn finish'] },
    { what: '5 conversation', file: 'conversation.test.mjs' },
    { what: '6 AI SDK', file: 'ai-sdk.test.mjs' },
];

export const FILES = [...new Set(ACCEPTANCE.map(({ file }) => file))];

/** What a failure means, in few words, by what the test says. */
const MEANINGS = [
    [/stream for .* to be cut/, 'an interrupted turn leaves the model only at its next word'],
    [/cannot be unloaded/, 'a resume with settings of a thread that another client has opened is refused'],
    [/no thread is locked/, 'a thread stays locked by its worker when its client has left'],
    [/answer to thread\/resume/, 'a thread is only resumed at its own worker, when that is free'],
];

export function meaning(error) {
    const [, words] = MEANINGS.find(([pattern]) => pattern.test(error)) ?? [];
    return words ?? error.replace(/\s+/g, ' ').slice(0, 120);
}

/** What became of one acceptance: { passed, of, reasons }. The second is what its file's tests came to. */
export function judge({ file, tests }, { results, whole, missing }) {
    const named = tests ?? [...results.keys()];
    const reasons = named.filter((name) => results.get(name) !== null)
        .map((name) => ({ name, error: results.get(name) ?? missing }));
    const passed = named.length - reasons.length;
    if (!tests && !whole) reasons.push({ name: file, error: missing });
    return { passed, of: passed + reasons.length, reasons };
}
