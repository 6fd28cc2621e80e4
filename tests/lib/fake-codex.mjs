#!/usr/bin/env node
// Stands in for `codex`: relays its stdin and stdout to the test, which plays the worker.
//
// Control socket (FAKE_CODEX_SOCKET), one JSON object a line. To the test: {hello}, {line}, {eof},
// {term}, {pending}, {flooded}.
// From the test: {out}, {flood}, {echo}, {err}, {exit}, {signal}, {ignoreTerm}, {pause}, {resume},
// {closeOut}, {report}, {spawn}, {lock}, {orphan}, {onEof}.
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { closeSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

if (process.argv.includes('--version')) {
    console.log('codex-cli 0.169.0-fake');
    process.exit(0);
}

const control = connect(process.env.FAKE_CODEX_SOCKET);
let onEof = 'exit';
let echo = null;
const tell = (message) => control.write(`${JSON.stringify(message)}\n`);

/** Writes all, also to a pipe that is full. */
function writeAll(fd, text) {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) {
        try {
            at += writeSync(fd, bytes, at);
        } catch (error) {
            if (error.code === 'EPIPE') return;
            if (error.code !== 'EAGAIN') throw error;
        }
    }
}

const orders = {
    out: (text) => process.stdout.write(text),
    bytes: (base64) => process.stdout.write(Buffer.from(base64, 'base64')),
    // Requests of this method, whose parameters come last and may be of any size.
    echo: (method) => { echo = `"method":"${method}","params":`; },
    // One line again and again, so many bytes in all, as fast as they are taken.
    flood: ({ line, bytes }) => {
        const chunk = Buffer.from(`${line}\n`.repeat(Math.ceil(1e6 / line.length)));
        let left = bytes;
        const more = () => {
            left -= chunk.length;
            process.stdout.write(chunk, left > 0 ? more : () => tell({ flooded: true }));
        };
        more();
    },
    err: (text) => writeAll(2, text),
    exit: (code) => process.stdout.write('', () => process.exit(code)),
    signal: (name) => process.stdout.write('', () => process.kill(process.pid, name)),
    ignoreTerm: () => process.on('SIGTERM', () => tell({ term: true })),
    pause: () => process.stdin.pause(),
    resume: () => process.stdin.resume(),
    // What stdout has yet to take.
    report: () => tell({ pending: process.stdout.writableLength }),
    closeOut: () => closeSync(1),
    onEof: (what) => { onEof = what; },
    // A grandchild that has left the process group and holds the pipes.
    spawn: () => {
        const child = spawn('sleep', ['600'], { detached: true, stdio: 'inherit' });
        tell({ spawned: child.pid });
    },
    // A child that locks a file, as Codex locks a thread.
    lock: (path) => {
        const child = spawn('flock', [path, '-c', 'echo locked; exec sleep 600'], { stdio: ['ignore', 'pipe', 'inherit'] });
        child.stdout.once('data', () => tell({ spawned: child.pid }));
    },
    // A grandchild whose parent has ended.
    orphan: () => {
        const shell = spawn('sh', ['-c', 'sleep 600 >&- & echo $!'], { stdio: ['ignore', 'pipe', 'inherit'] });
        shell.stdout.on('data', (pid) => shell.once('exit', () => tell({ spawned: Number(pid) })));
    },
};

/** Tells the test, but answers by itself with the parameters where it is told to echo the method. */
function take(line) {
    const at = echo ? line.indexOf(echo) : -1;
    if (at < 0) tell({ line });
    else process.stdout.write(`${line.slice(0, at)}"result":${line.slice(at + echo.length)}\n`);
}

control.on('connect', () => {
    tell({ hello: { pid: process.pid, argv: process.argv.slice(2), cwd: process.cwd(), env: process.env } });
    let rest = '';
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (text) => {
        rest += text;
        if (!text.includes('\n')) return;
        const lines = rest.split('\n');
        rest = lines.pop();
        for (const line of lines) take(line);
    });
    process.stdin.on('end', () => {
        tell({ eof: true });
        if (onEof === 'exit') process.exit(0);
    });
});
control.on('error', () => process.exit(3));
control.on('close', () => process.exit(3));
process.stdout.on('error', () => {});
createInterface({ input: control }).on('line', (line) => {
    for (const [name, value] of Object.entries(JSON.parse(line))) orders[name](value);
});
