// A machine that misbehaves: a library that is preloaded into codex-poold and told by a file what is to fail.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startDaemon } from './daemon.mjs';

/** The sanitizer has a malloc of its own, which nothing may stand before. */
export { sanitized } from './memory.mjs';

const source = fileURLToPath(new URL('./failing.c', import.meta.url));

// As in failing.c.
const SLOTS = ['clockOffset', 'allocations', 'failFrom', 'failCount', 'failBytes', 'failed'];
const CALLS = ['read', 'write', 'accept', 'fork', 'epollCtl'];
const PASSED = SLOTS.length + 2 * CALLS.length;
const SIZE = 8 * (PASSED + 1);

/** What the preloaded library does from now on. */
class Machine {
    constructor() {
        this.dir = mkdtempSync(join(tmpdir(), 'failing-'));
        this.library = join(this.dir, 'failing.so');
        this.control = join(this.dir, 'control');
        const { status, stderr } = spawnSync(process.env.CC ?? 'cc',
            ['-shared', '-fPIC', '-O1', '-o', `${this.library}.new`, source, '-ldl'], { encoding: 'utf8' });
        if (status !== 0) throw new Error(`cannot build failing.c: ${stderr}`);
        renameSync(`${this.library}.new`, this.library);
        this.fd = openSync(this.control, 'w+');
        writeSync(this.fd, Buffer.alloc(SIZE), 0, SIZE, 0);
        this.env = { LD_PRELOAD: this.library, FAILING_CONTROL: this.control };
    }

    #write(slot, value) {
        const bytes = Buffer.alloc(8);
        bytes.writeBigInt64LE(BigInt(value));
        writeSync(this.fd, bytes, 0, 8, slot * 8);
    }

    #read(slot) {
        const bytes = Buffer.alloc(8);
        readSync(this.fd, bytes, 0, 8, slot * 8);
        return Number(bytes.readBigInt64LE());
    }

    /** Sets the wall clock off by so many seconds. */
    setClock(seconds) { this.#write(0, seconds); }

    /** So many seconds pass at once. */
    pass(seconds) { this.#write(PASSED, this.#read(PASSED) + seconds); }

    /** How many allocations there have been. */
    get allocations() { return this.#read(1); }
    get failed() { return this.#read(5); }

    /** Of the allocations to come, of at least `bytes` each, those from the k-th on fail, `count` of them. */
    failAllocations(k, count = 1, bytes = 0) {
        this.#write(2, 0);
        this.#write(4, bytes);
        this.#write(3, count);
        this.#write(5, 0);
        this.#write(2, this.allocations + k);
    }

    enoughMemory() {
        this.#write(2, 0);
        this.#write(4, 0);
    }

    /** The next `count` calls of a kind fail with this errno. */
    failCalls(call, error, count) {
        const slot = SLOTS.length + 2 * CALLS.indexOf(call);
        this.#write(slot, error);
        this.#write(slot + 1, count);
    }

    /** How many of them are still to come. */
    callsLeft(call) { return this.#read(SLOTS.length + 2 * CALLS.indexOf(call) + 1); }

    remove() {
        closeSync(this.fd);
        rmSync(this.dir, { recursive: true, force: true });
    }
}

/** A machine for a test. */
export function misbehavingMachine(t) {
    const machine = new Machine();
    t.after(() => machine.remove());
    return machine;
}

/** [machine, daemon], the daemon being ready. `prepare`: what the machine does from the first moment on. */
export async function startOnMachine(t, options = {}) {
    const machine = misbehavingMachine(t);
    options.prepare?.(machine);
    const daemon = await startDaemon(t, { ...options, env: { ...machine.env, ...options.env } });
    return [machine, daemon];
}
