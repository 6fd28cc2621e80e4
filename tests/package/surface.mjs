// What the built programs have, asked of them where they tell, read in their source where they do not: commands, options,
// settings, methods, errors.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pool, poold, cleanEnv } from '../lib/daemon.mjs';

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');

export const read = (path) => readFileSync(join(root, path), 'utf8');

/** The C files of a room, one after the other. */
export const source = (room) => readdirSync(join(root, room)).filter((name) => name.endsWith('.c')).sort()
    .map((name) => read(`${room}/${name}`)).join('\n');

/** All that the first group of a pattern matches, each once, sorted. */
export const matches = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((match) => match[1]))].sort();

/** {code, stdout, stderr} */
export function ask(program, ...args) {
    const result = spawnSync(program, args, { env: cleanEnv(), encoding: 'utf8', timeout: 60000, input: '' });
    return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** What `--help` prints, without that of a codex which may be in PATH. */
export function help(program, ...command) {
    const { code, stdout, stderr } = ask(program, ...command, '--help');
    if (code !== 0) throw new Error(`${command} --help: ${code} ${stderr}`);
    return stdout.split('\nAnd what codex itself has:\n')[0];
}

/** The options that a help names. */
export const optionsNamed = (text) => matches(text, /(?:^|[\s[|(`])(--[a-z][a-z-]*)/g);

/** The names of codex-pool's commands, as it lists them where one is missing. */
export function commands() {
    const { stderr } = ask(pool);
    return stderr.match(/^commands: (.*); --help tells more$/m)[1].split(', ').sort();
}

/** Every option that any command has, by the tables in the source and by the helps. */
export function allOptions() {
    const inCode = matches(source('client'), /\{\s*"(--[a-z][a-z-]*)",/g);
    return [...new Set([...inCode, ...commands().flatMap((command) => optionsNamed(help(pool, command)))])].sort();
}

const NOWHERE = ['--socket', '/nonexistent/codex-pool.sock'];

/** A command that takes whatever it is given has no options of its own. */
export const takesAnything = (command) => !/unknown option/.test(ask(pool, ...NOWHERE, command, '--no-such-option').stderr);

/** The options that a command does take, by trying all there are. */
export function optionsTaken(command) {
    if (takesAnything(command)) return [];
    return allOptions().filter((option) => !/unknown option/.test(ask(pool, ...NOWHERE, command, option).stderr));
}

/** The options of codex-poold. With --check-config it never starts. */
export function daemonOptions() {
    const inCode = matches(read('daemon/main.c'), /\{"([a-z][a-z-]*)", (?:required|no|optional)_argument,/g);
    for (const option of inCode)
        if (/unrecognized option/.test(ask(poold, '--check-config', `--${option}`).stderr))
            throw new Error(`--${option} is in the table and not taken`);
    return inCode.map((option) => `--${option}`).sort();
}

/** Runs codex-poold --check-config on settings: {code, stdout, stderr}. */
export function checkConfig(settings) {
    const dir = mkdtempSync(join(tmpdir(), 'codex-pool-'));
    const file = join(dir, 'config.json');
    writeFileSync(file, JSON.stringify(settings));
    const result = ask(poold, '--check-config', '--config', file);
    rmSync(dir, { recursive: true });
    return result;
}

/** {"poolSize": 2, "codex": …, "codex.command": "codex", …}: each setting and member with its default. */
export function settings() {
    const all = {};
    for (const [key, value] of Object.entries(JSON.parse(checkConfig({}).stdout))) {
        all[key] = value;
        if (value && typeof value === 'object' && !Array.isArray(value))
            for (const [member, each] of Object.entries(value)) all[`${key}.${member}`] = each;
    }
    return all;
}

/** A setting "a.b" as {"a": {"b": value}}. */
export const setting = (key, value) => key.split('.').reduceRight((inner, name) => ({ [name]: inner }), value);

/** The names that the source compares keys of the settings with. */
export const settingNamesInCode = () => [
    ...matches(read('daemon/config.c'), /strcmp\((?:key|each->string), "(\w+)"\)/g),
    ...matches(read('daemon/config.c'), /NUMBER\("(\w+)"/g),
].sort();

/** What begins with "pool/" in the daemon's messages: methods and notifications. */
export const ownNames = () => matches(source('daemon'), /"(pool\/[A-Za-z]+)"/g);

/** [{reason, codes, retryable}] */
export function errors() {
    const codes = Object.fromEntries([...read('proto/rpc.h').matchAll(/(RPC_\w+) = (-\d+),/g)].map(([, name, code]) => [name, Number(code)]));
    const table = [...read('proto/rpc.c').matchAll(/\{(RPC_\w+), "(\w+)", (true|false)\}/g)]
        .map(([, name, reason, retryable]) => ({ name, reason, codes: [codes[name]], retryable: retryable === 'true' }));
    const named = new Set(table.map(({ name }) => name));
    const others = Object.keys(codes).filter((name) => !named.has(name)).map((name) => codes[name]);
    const all = [...table, { reason: 'invalidRequest', codes: others, retryable: false }];
    return all.map(({ reason, codes, retryable }) => ({ reason, codes: codes.sort((a, b) => b - a), retryable }));
}

/** The names of all members that a status can have: by the files of that name and of its problems, and functions of that name elsewhere. */
export function statusMembers() {
    const parts = readdirSync(join(root, 'daemon')).filter((name) => name.endsWith('.c')).flatMap((name) => {
        const text = read(`daemon/${name}`);
        return /^(status|problems)/.test(name) ? text : text.match(/^(static )?cJSON \*\w*status\w*\([^]*?^}/gm) ?? '';
    });
    return matches(parts.join('\n'), /\b(?:number|text|rpc_add|cJSON_Add\w+)\(\s*\w+,\s*"(\w+)"/g);
}

/** The environment variables that files of C ask for. */
export const variables = (...rooms) => {
    const calls = [...rooms.map(source).join('\n').matchAll(/\b(?:getenv|env|worker_env|take_variable|unsetenv)\(([^;]*?)\)/g)];
    return matches(calls.map(([, args]) => args).join('\n'), /"([A-Z][A-Z_]+)"/g);
};
