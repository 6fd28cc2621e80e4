// What the programs of the speed benchmark share beside their figures.

export const progress = (text) => console.error(`[${process.uptime().toFixed(0).padStart(4)} s] ${text}`);

/** What is to be undone at the end, last first; stands for a test's context with what starts a daemon. */
export class Scope {
    constructor() { this.undo = []; }

    after(undo) { this.undo.push(undo); }

    async end() {
        while (this.undo.length) await this.undo.pop()();
    }
}
