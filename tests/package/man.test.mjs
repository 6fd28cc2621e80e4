// The manual against the programs, both ways: what one has and the other lacks is named.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PoolClient } from '../lib/client.mjs';
import { pool, poold, startDaemon } from '../lib/daemon.mjs';
import * as surface from './surface.mjs';

const pages = ['client', 'daemon'].flatMap((room) => readdirSync(`${room}/man`).map((name) => `${room}/man/${name}`));
const page = (name) => surface.read(pages.find((path) => path.endsWith(`/${name}.scd`)));
const client = page('codex-pool.1');
const daemon = page('codex-poold.8');
const json = page('codex-pool.json.5');
const protocol = page('codex-pool-protocol.7');

/** The text below a heading, up to the next of its rank or a higher one. */
function section(text, heading, rank = 1) {
    const parts = text.split(new RegExp(`^(?=#{1,${rank}} )`, 'm'));
    const mine = parts.find((part) => part.startsWith(`${'#'.repeat(rank)} ${heading}`));
    assert(mine, `there is a section ${heading}`);
    return mine.slice(mine.indexOf('\n'));
}

/** The terms of a section's list that begin with what a pattern matches. */
const terms = (text, pattern) => surface.matches(text, new RegExp(`^\\*(${pattern})\\*`, 'gm'));

/** Fails with the names of what is in one list alone. */
function same(inProgram, inManual, what) {
    const undocumented = inProgram.filter((name) => !inManual.includes(name));
    const gone = inManual.filter((name) => !inProgram.includes(name));
    assert.deepEqual({ undocumented, gone }, { undocumented: [], gone: [] }, what);
}

const have = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

test('codex-poold(8): every option', () => {
    same(surface.daemonOptions(), surface.optionsNamed(surface.help(poold)), 'the table of options and --help');
    same(surface.daemonOptions(), terms(section(daemon, 'OPTIONS'), '--[a-z-]+'), 'options of codex-poold');
});

test('codex-pool(1): every command', () => {
    const commands = surface.commands();
    same(commands, surface.matches(surface.read('client/main.c'), /^ {4}\{"([a-z-]+)",/gm), 'the table of commands and what codex-pool lists');
    const overview = surface.help(pool);
    same(commands, commands.filter((name) => new RegExp(`\\b${name}\\b`).test(overview)), 'commands in codex-pool --help');
    same(commands, surface.matches(client, /^## ([a-z-]+)/gm), 'commands');
});

test('codex-pool(1): every option of every command', () => {
    const own = surface.optionsNamed(surface.help(pool));
    same(own, terms(section(client, 'OPTIONS'), '--[a-z-]+'), 'options of codex-pool');
    for (const command of surface.commands()) {
        const named = surface.optionsNamed(surface.help(pool, command)).filter((option) => option !== '--socket');
        // One that takes anything has those that it does something with in its help.
        const taken = surface.takesAnything(command) ? named : surface.optionsTaken(command);
        same(taken, named, `options that ${command} takes, and its --help`);
        if (!surface.matches(client, /^## ([a-z-]+)/gm).includes(command)) continue;
        const text = section(client, command, 2);
        same(taken, terms(text, '--[a-z-]+'), `options of ${command}`);
        if (surface.takesAnything(command)) continue;
        same(taken, surface.optionsNamed(client.match(new RegExp(`^## ${command}\\b(.*)$`, 'm'))[1].replaceAll('*', '')), `options in the heading of ${command}`);
    }
});

test('codex-pool(1): every exit status', () => {
    const codes = surface.matches(surface.read('client/cmd.h'), /CMD_\w+ = (\d+)/g);
    same(codes, terms(section(client, 'EXIT STATUS'), '\\d+'), 'exit statuses of codex-pool');
});

test('environment variables', () => {
    const listed = (text) => surface.matches(section(text, 'ENVIRONMENT').replace(/^\t.*$/gm, ''), /\*([A-Z_]+)\*/g);
    same(surface.variables('client', 'proto'), listed(client), 'variables of codex-pool');
    same(surface.variables('daemon', 'proto'), listed(daemon), 'variables of codex-poold');
});

test('codex-pool.json(5): every setting, its default and its range', () => {
    const settings = surface.settings();
    const text = section(json, 'SETTINGS');
    const lines = [...text.matchAll(/^(\*.*)$/gm)].map(([line]) => line);
    const documented = new Map(lines.flatMap((line) => [...line.matchAll(/\*([A-Za-z.]+)\*(?: \((.*?)\)(?=,|$))?/g)]
        .map(([, key, rest]) => [key, rest])));
    same(Object.keys(settings), [...documented.keys()], 'settings');
    same(surface.settingNamesInCode(), [...new Set(Object.keys(settings).map((key) => key.split('.').at(-1)))], 'names in the source');
    for (const [key, rest] of documented) {
        const answer = surface.checkConfig(surface.setting(key, typeof settings[key] === 'number' ? -1 : [[]]));
        assert.equal(answer.code, 78, `${key}: a wrong value is refused`);
        assert.doesNotMatch(answer.stderr, /unknown key/, key);
        if (typeof settings[key] === 'number') {
            const range = answer.stderr.match(/a whole number from (\d+) to (\d+)/);
            assert.equal(rest, `${settings[key]}; ${range[1]} to ${range[2]}`, key);
        } else if (rest && !/^(see|the) /.test(rest)) {
            assert.deepEqual(JSON.parse(rest), settings[key], `default of ${key}`);
        }
    }
});

test('codex-pool-protocol(7): every method and notification', async (t) => {
    const methods = terms(section(protocol, 'METHODS'), 'pool/[A-Za-z]+');
    const notifications = terms(section(protocol, 'NOTIFICATIONS'), 'pool/[A-Za-z]+');
    same(surface.ownNames(), [...methods, ...notifications], 'names that begin with pool/');
    const { socket } = await startDaemon(t, { config: { prewarm: false, codex: { command: '/bin/false' } } });
    for (const name of new Set([...methods, ...notifications])) {
        const asking = await PoolClient.connect(socket, 'manual');
        // An unknown method is refused at once, hence before the ping; one that is known may take its time.
        const error = await Promise.race([asking.request(name).then(() => null, (refusal) => refusal), asking.request('pool/ping').catch(() => null)]);
        assert.equal(error?.code === -32601, !methods.includes(name), `${name} is a method`);
        asking.end();
    }
});

test('codex-pool-protocol(7): every error', () => {
    const documented = [...section(protocol, 'ERRORS').matchAll(/^\*(\w+)\* \(([-\d, ]+)(; retryable)?\)$/gm)]
        .map(([, reason, codes, retryable]) => ({ reason, codes: codes.split(', ').map(Number), retryable: !!retryable }));
    const text = (all) => all.map(({ reason, codes, retryable }) => `${reason} ${codes}${retryable ? ' retryable' : ''}`);
    same(text(surface.errors()), text(documented), 'errors');
});

test('codex-pool-protocol(7): every member of the status', async (t) => {
    const documented = surface.matches(section(protocol, 'STATUS').replace(/\*(pool\/\w+|codex-pool[^*]*)\*/g, ''), /\*(\w+)\*/g);
    same(surface.statusMembers(), documented, 'members of the status');
    const daemon = await startDaemon(t, { config: { prewarm: false, codex: { command: '/bin/false' } } });
    const names = (value) => (Array.isArray(value) ? value.flatMap(names)
        : value && typeof value === 'object' ? Object.entries(value).flatMap(([key, each]) => [key, ...names(each)]) : []);
    assert.deepEqual(names(await daemon.status()).filter((name) => !documented.includes(name)), []);
});

test('pages refer to each other, and are what they say', () => {
    for (const path of pages) {
        const text = surface.read(path);
        const [, name, number] = path.match(/([^/]+)\.(\d)\.scd$/);
        assert.match(text, new RegExp(`^${name.replaceAll('.', '\\.')}\\(${number}\\) `), path);
        for (const [, other, section] of text.matchAll(/\*(codex-pool[a-z.-]*)\*\((\d)\)/g))
            assert(pages.some((each) => each.endsWith(`/${other}.${section}.scd`)), `${path}: ${other}(${section})`);
    }
});

test('pages are clean for mandoc and man', { skip: ['scdoc', 'mandoc', 'man', 'groff'].filter((name) => !have(name)).map((name) => `no ${name}`)[0] ?? false }, (t) => {
    const build = mkdtempSync(join(tmpdir(), 'codex-pool-'));
    t.after(() => rmSync(build, { recursive: true }));
    execFileSync('make', ['-s', '--no-print-directory', 'man', `BUILD=${build}`]);
    for (const path of pages) {
        const made = join(build, 'man', path.replace(/.*\/(.*)\.scd$/, '$1'));
        assert(existsSync(made), made);
        const lint = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', made], { encoding: 'utf8' });
        // scdoc begins every list and section with a paragraph.
        assert.equal(lint.stdout.replace(/^.*skipping paragraph macro: PP (empty|after S[HS])\n/gm, ''), '', path);
        const man = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', made], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } });
        assert.equal(man.stderr, '', path);
    }
});
