// What the daemon takes of memory.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { poold } from './daemon.mjs';
import { until } from './wait.mjs';

export const MB = 1024 * 1024;

const program = readFileSync(poold);

/** Run by a script under valgrind. */
export const valgrind = program.includes('valgrind -q');

/**
 * Built with the sanitizers, or run by a script under valgrind: slower, with an allocator of its own, and what has been
 * freed stays resident, so that memory says nothing.
 */
export const sanitized = program.includes('__asan_init') || valgrind;

function statusBytes(daemon, name) {
    const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
    return Number(status.match(new RegExp(`${name}:\\s+(\\d+) kB`))[1]) * 1024;
}

/** Resident memory in bytes. */
export const rss = (daemon) => statusBytes(daemon, 'VmRSS');

/** The most it has had of it since forgetPeak. */
export const peakRss = (daemon) => statusBytes(daemon, 'VmHWM');

export function forgetPeak(daemon) {
    writeFileSync(`/proc/${daemon.pid}/clear_refs`, '5');
}

const megabytes = (bytes) => (bytes / MB).toFixed(1);

export function assertGrewLess(daemon, before, limit) {
    const grown = rss(daemon) - before;
    if (!sanitized) assert.ok(grown < limit, `the daemon has grown by ${megabytes(grown)} MB`);
}

/** Until it has no more than before, give or take what a heap is rounded by. */
export async function untilGivenBack(t, daemon, before, peak) {
    if (sanitized) return;
    await until(() => rss(daemon) < before + MB, `memory is given back: ${megabytes(before)} MB before, ` +
        `${megabytes(peak)} MB at most`);
    t.diagnostic(`memory: ${[before, peak, rss(daemon)].map(megabytes).join(', ')} MB before, at most, afterwards`);
}
