// Waiting for something that happens, with a limit that only a failure reaches.

export const LIMIT_MS = Number(process.env.TEST_LIMIT_MS ?? 30000);

/** Rejects with `what` if the promise has not settled in time. */
export function within(promise, what, ms = LIMIT_MS) {
    let timer;
    const limit = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`timed out waiting for ${what}`)), ms);
    });
    return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/** Polls until `probe` gives something true; for what tells nobody when it happens, such as /proc. */
export async function until(probe, what, ms = LIMIT_MS) {
    const end = Date.now() + ms;
    for (;;) {
        const value = await probe();
        if (value) return value;
        if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

/** Messages that arrive, and those who wait for one. */
export class Mailbox {
    constructor(name) {
        this.name = name;
        this.messages = [];
        this.waiting = [];
        this.closed = null;
    }

    put(message) {
        const at = this.waiting.findIndex((each) => each.accepts(message));
        if (at >= 0) this.waiting.splice(at, 1)[0].resolve(message);
        else this.messages.push(message);
    }

    /** The first message that is accepted, there already or to come; it is taken out. */
    take(accepts, what) {
        const at = this.messages.findIndex(accepts);
        if (at >= 0) return Promise.resolve(this.messages.splice(at, 1)[0]);
        if (this.closed) return Promise.reject(new Error(`${this.name}: ${this.closed}: no ${what}`));
        const promise = new Promise((resolve, reject) => this.waiting.push({ accepts, resolve, reject }));
        return within(promise, `${this.name}: ${what}`);
    }

    has(accepts) {
        return this.messages.some(accepts);
    }

    close(why) {
        this.closed ??= why;
        for (const each of this.waiting.splice(0)) each.reject(new Error(`${this.name}: ${why}`));
    }
}
