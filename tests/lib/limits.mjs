// How many descriptors the daemon may have.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { valgrind } from './memory.mjs';

/** Why that cannot be limited here; '': it can. */
export const cannotLimit = spawnSync('prlimit', ['--version']).status !== 0 ? 'prlimit is not installed'
    : valgrind ? 'valgrind needs descriptors of its own' : '';

/** So many of the daemon's from now on. */
export const limitFds = (daemon, n) =>
    assert.equal(spawnSync('prlimit', ['--pid', daemon.pid, `--nofile=${n}:`]).status, 0);
