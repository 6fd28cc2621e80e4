// What the programs of the speed benchmark share beside their figures.

export const progress = (text) => console.error(`[${process.uptime().toFixed(0).padStart(4)} s] ${text}`);

/** What is to be undone at the end, last first; stands for a test's context with what starts a daemon. */
export class Scope {
    constructor() { this.undo = []; }

    after(undo) { this.undo.push(undo); }

    /** Whoever stops the benchmark leaves nothing behind. */
    endOnSignals() {
        for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
            process.once(signal, () => this.end().catch(() => {}).finally(() => process.exit(code)));
        }
        return this;
    }

    async end() {
        while (this.undo.length) await this.undo.pop()();
    }
}
