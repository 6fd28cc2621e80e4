// What `make matrix` is made of: the tests that it names are there, results are read as they are, the table is right.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Process } from '../lib/cli.mjs';
import { temporary } from '../lib/played-daemon.mjs';
import { ACCEPTANCE, judge, meaning } from '../matrix/acceptance.mjs';
import { table } from '../matrix/table.mjs';
import { isWhole, readTap } from '../matrix/tap.mjs';

test('each test that it names is in its file', () => {
    for (const { file, tests = [] } of ACCEPTANCE) {
        const text = readFileSync(new URL(`../real/${file}`, import.meta.url), 'utf8');
        for (const name of tests) assert.ok(text.includes(`test('${name}'`), `${file}: ${name}`);
        if (!tests.length) assert.match(text, /^test\('/m);
    }
});

test('what node says of a file of tests', async (t) => {
    const file = join(await temporary(t), 'some.test.mjs');
    writeFileSync(file, `
        import assert from 'node:assert/strict';
        import test from 'node:test';
        test('good # or not', () => {});
        test('bad', () => { throw new Error('so it is'); });
        test('unequal', () => assert.equal('is', 'should be'));
        test('left out', { skip: 'no tool' }, () => {});
        test('outer', async (t) => { await t.test('inner', () => { throw new Error('deep'); }); });
    `);
    const { out } = await new Process(t, process.execPath, ['--test-reporter=tap', file],
        { env: { NODE_TEST_CONTEXT: undefined } }).end();
    const results = readTap(out);
    assert.equal(results.size, 5, out);
    assert.equal(results.get('bad'), 'so it is');
    assert.match(results.get('unequal'), /^Expected values to be strictly equal:/);
    assert.equal(results.get('left out'), 'skipped');
    assert.match(results.get('outer'), /1 subtest failed/);
    assert.equal([...results.values()][0], null);
    assert.deepEqual(readTap('a crash'), new Map());
    assert.deepEqual([isWhole(out), isWhole(out.slice(0, out.indexOf('left out')))], [true, false]);
});

test('what the tests of an acceptance come to', () => {
    const ran = (results, whole = true) => ({ results: new Map(Object.entries(results)), whole, missing: 'not over' });
    const [all, two] = [{ file: 'f' }, { file: 'f', tests: ['a', 'b'] }];
    assert.deepEqual(judge(all, ran({ a: null, b: null })), { passed: 2, of: 2, reasons: [] });
    assert.deepEqual(judge(two, ran({ a: null, c: 'wrong' }, false)), { passed: 1, of: 2, reasons: [{ name: 'b', error: 'not over' }] });
    assert.deepEqual(judge(two, ran({ a: null, b: null }, false)), { passed: 2, of: 2, reasons: [] });
    assert.deepEqual(judge(all, ran({ a: null, b: 'wrong' })), { passed: 1, of: 2, reasons: [{ name: 'b', error: 'wrong' }] });
    assert.deepEqual(judge(all, ran({ a: null }, false)), { passed: 1, of: 2, reasons: [{ name: 'f', error: 'not over' }] });
    assert.deepEqual(judge(all, ran({}, false)), { passed: 0, of: 1, reasons: [{ name: 'f', error: 'not over' }] });
});

test('the table', () => {
    const good = { passed: 1, of: 1, reasons: [] };
    const cut = { name: 'x', error: 'timed out waiting for the model\'s stream for "long" to be cut' };
    const odd = { name: 'y', error: `something\n else ${'z'.repeat(200)}` };
    const cells = (...some) => [...some, ...Array(ACCEPTANCE.length - some.length).fill(good)];
    const lines = table([
        { version: '1.0.0', cells: cells({ passed: 5, of: 8, reasons: [odd, cut, cut] }, { passed: 0, of: 1, reasons: [cut] }) },
        { version: '22.22.22', cells: cells() },
    ]).split('\n');
    assert.equal(new Set(lines.slice(0, 4).map((line) => line.length)).size, 1, 'aligned');
    assert.match(lines[2], /^\| 1\.0\.0 {4}\| 5 of 8 \(1, 2\) +\| no \(2\) +\| yes +\|/);
    assert.match(lines[3], /^\| 22\.22\.22 \| yes +\| yes +\|/);
    assert.deepEqual(lines.slice(4), ['', `1. ${meaning(odd.error)}`, `2. ${meaning(cut.error)}`]);
    assert.match(lines[5], /^1\. something else z{103,105}$/);
});
