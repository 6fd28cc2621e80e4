// That `make bench` counts what it says: every message once and in order, and a table of all that was measured.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { program } from '../bench/speed/contenders.mjs';
import { medians, summary, table } from '../bench/speed/report.mjs';
import { rows } from '../bench/speed/rows.mjs';
import { LIMIT_MS } from '../lib/wait.mjs';

const RUN = fileURLToPath(new URL('../bench/speed/run.mjs', import.meta.url));
const skip = !existsSync(program('load')) && 'the programs of the benchmark are not built: make speed-programs';
const LINE = 280;

/** { code, stdout, stderr }, whatever it ends with. */
const run = (file, args) => new Promise((resolve) => {
    execFile(file, args.map(String), { timeout: LIMIT_MS }, (error, stdout, stderr) => {
        resolve({ code: error ? error.code : 0, stdout, stderr });
    });
});

const runBench = (...args) => run(process.execPath, [RUN, '--fast', '--rounds', 1, ...args]);

/** A relay to a worker that hands on what `change` makes of all that a turn says; its socket. */
async function startRelay(t, change) {
    const dir = mkdtempSync(join(tmpdir(), 'speed-'));
    const socket = join(dir, 's');
    const server = createServer((client) => {
        const worker = spawn(program('worker'), { stdio: ['pipe', 'pipe', 'inherit'] });
        let text = '';
        client.pipe(worker.stdin);
        client.on('error', () => {});
        client.on('close', () => worker.kill());
        worker.stdout.setEncoding('utf8').on('data', (piece) => {
            text += piece;
            const turn = text.indexOf('{"id":3');
            if (turn < 0) {
                client.write(text);
                text = '';
            } else if (text.includes('"turn/completed"')) client.write(change(text));
        });
    });
    await new Promise((listening) => server.listen(socket, listening));
    t.after(async () => {
        await new Promise((closed) => server.close(closed));
        rmSync(dir, { recursive: true, force: true });
    });
    return socket;
}

const stream = (socket, count) => run(program('load'), ['stream', '--socket', socket, '--count', count, '--size', LINE]);

/** The text with its lines changed from the first delta on, `at` lines later. */
function changeLines(text, at, change) {
    const lines = text.split('\n');
    const first = lines.findIndex((line) => line.startsWith('{"method":"item/agentMessage/delta"'));
    change(lines, first + at);
    return lines.join('\n');
}

test('a stream that arrives whole is counted', { skip }, async (t) => {
    const { code, stdout, stderr } = await stream(await startRelay(t, (text) => text), 2500);
    assert.equal(code, 0, stderr);
    const { messages, bytes, seconds } = JSON.parse(stdout);
    assert.deepEqual([messages, bytes], [2500, 2500 * LINE]);
    assert.ok(seconds > 0);
});

// Of 936 lines each: so many are written at once, and numbered alike.
const CYCLE = Math.floor((256 * 1024) / LINE);
const damages = {
    'is lost': (lines, at) => lines.splice(at, 1),
    'comes twice': (lines, at) => lines.splice(at, 0, lines[at]),
    'comes late': (lines, at) => lines.splice(at + 1, 0, ...lines.splice(at, 1)),
    'is cut short': (lines, at) => { lines[at] = lines[at].slice(0, -3); },
    'has another byte': (lines, at) => { lines[at] = lines[at].replace('model', 'modem'); },
    'is lost, with all that are numbered alike': (lines, at) => lines.splice(at, CYCLE),
};
for (const [what, damage] of Object.entries(damages)) {
    test(`a delta that ${what} ends the measurement`, { skip }, async (t) => {
        // The first cycle is compared byte for byte, the rest by length and number.
        const at = what === 'has another byte' ? CYCLE - 100 : CYCLE + 100;
        const socket = await startRelay(t, (text) => changeLines(text, at, damage));
        const { code, stdout, stderr } = await stream(socket, 2500);
        assert.equal(code, 1, stdout);
        assert.match(stderr, /delta \d+ (of 2500 is missing or damaged|or one after it is not what was sent)/);
        assert.equal(stdout, '');
    });
}

test('a run measures every contender in every row', { skip }, async () => {
    const only = ['deltas', 'trips', 'scan'];
    const { code, stdout, stderr } = await runBench('--only', only.join(), '--contenders', 'direct,floor,node,poold', '--json');
    assert.equal(code, 0, stderr);
    const { fast, results, medians: found } = JSON.parse(stdout);
    assert.equal(fast, true);
    assert.deepEqual(Object.keys(results), only);
    assert.deepEqual(Object.keys(results.deltas), ['direct', 'floor', 'node', 'poold']);
    assert.deepEqual(Object.keys(results.scan), ['cjson', 'poold']);
    for (const row of only) {
        for (const [name, [figures, ...more]] of Object.entries(results[row])) {
            assert.deepEqual(more, [], 'one round');
            assert.deepEqual(found[row][name], figures, 'its own median');
            for (const [figure, value] of Object.entries(figures)) {
                const none = name === 'direct' && figure === 'CPU ns';
                assert.ok(none || figure === 'allocations' ? value >= 0 : value > 0, `${row} ${name} ${figure} ${value}`);
            }
        }
    }
    assert.equal(found.scan.poold.allocations, 0);
});

test('what is not known is refused', { skip }, async () => {
    for (const args of [['--only', 'nothing'], ['--contenders', 'nobody'], ['--rounds', '0'], ['--what']]) {
        const { code, stderr } = await runBench(...args);
        assert.equal(code, 64);
        assert.match(stderr, /^usage: /);
    }
});

test('medians, ratios and goals', () => {
    const speeds = (...values) => values.map((value) => ({ 'M/s': value, 'CPU ns': 100 / value }));
    const results = { deltas: { floor: speeds(8, 10, 30), socat: speeds(4, 4, 4), node: speeds(0.25), poold: speeds(9, 6, 7, 8) } };
    const found = medians(results).deltas;
    assert.deepEqual([found.floor['M/s'], found.poold['M/s']], [10, 7.5]);
    const text = table(rows, results, ['poold'], ['floor', 'socat', 'node']);
    assert.match(text, /^work .* goal\n120 B deltas, big batches +M\/s +floor +10\.000 +8\.000\.\.30\.000 +2\.50 +40\.0\n/);
    assert.match(text, / poold +7\.500 .* 0\.75 +1\.88 +30\.0 +>= 0\.7 floor: 0\.75 met, >= 1\.7 socat: 1\.88 met, >= 25 node: 30\.0 met\n/);
    assert.match(text, / <= 1\.6 floor: 1\.34 met$/);
    assert.equal(summary(rows, results, 'poold'), '4 of 4 goals met');
    results.deltas.poold = speeds(1);
    assert.equal(summary(rows, results, 'poold'), '0 of 4 goals met');
});
