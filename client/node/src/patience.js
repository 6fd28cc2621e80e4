/** How long, and how often, to try to reach a daemon that has gone. */
import { setTimeout as delay } from 'node:timers/promises';
import { AbortedError } from './errors.js';

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

export class Patience {
    /** @param {number} [limitMs] 0: none @param {AbortSignal} [signal] */
    constructor(limitMs = 10000, signal = undefined) {
        this.limitMs = limitMs;
        this.signal = signal;
        this.began = 0;
        this.last = -Infinity;
        this.pause = 0;
    }

    /**
     * After a failure: waits a little. What has gone well for a while begins anew.
     * @returns {Promise<boolean>} whether to try again
     */
    async again() {
        const now = Date.now();
        if (now - this.last > 4 * LONGEST_PAUSE_MS) {
            this.began = now;
            this.pause = FIRST_PAUSE_MS;
        }
        this.last = now;
        if (now - this.began >= this.limitMs) return false;
        try {
            await delay(this.pause, undefined, { signal: this.signal });
        } catch (cause) {
            throw new AbortedError({ cause: this.signal?.reason ?? cause });
        }
        this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
        return true;
    }
}
