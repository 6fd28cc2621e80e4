// What the demo shows while it runs: in place on a terminal, as lines that are only added to elsewhere.

const FRAME_MS = 100;
const QUIET_MS = 2000;
const LINE_CHARS = 72;

/** A view of runs (see run.mjs), by what the output is. */
export function makeView(out, startedAt) {
    const terminal = out.isTTY && process.env.TERM !== 'dumb' && out.rows >= 12 && out.columns >= 60;
    return terminal ? new LiveView(out, startedAt) : new PlainView(out, startedAt);
}

function seconds(ms) {
    return `${(ms / 1000).toFixed(1)} s`;
}

/** One line of printable characters of one column each. */
function printable(text) {
    return text
        .replace(/\s+/g, ' ')
        .replace(/[\p{C}\p{M}]/gu, '')
        .replace(/[\u1100-\uffff]|[^\u0000-\uffff]/gu, '.');
}

function stateOf(run) {
    switch (run.state) {
        case 'waits':
            return `waits, place ${run.place}`;
        case 'runs':
            return `worker ${run.worker}`;
        default:
            return run.state;
    }
}

/** Redraws one block of lines; what `say` adds stands above it. */
class LiveView {
    constructor(out, startedAt) {
        Object.assign(this, { out, startedAt, runs: [], drawn: 0, doing: '' });
        this.color = process.env.NO_COLOR === undefined;
        out.write('\x1b[?25l');
        this.timer = setInterval(() => this.draw(), FRAME_MS);
    }

    add(run) {
        this.runs.push(run);
    }

    changed() {}

    text() {}

    /** What goes on now, with the seconds that it takes; '' is nothing in particular. */
    progress(doing) {
        this.doing = doing;
        this.draw();
    }

    say(line = '') {
        this.erase();
        this.out.write(`${this.paint(1, line)}\n`);
        this.draw();
    }

    paint(code, text) {
        return this.color && text ? `\x1b[${code}m${text}\x1b[0m` : text;
    }

    erase() {
        this.out.write(this.drawn ? `\x1b[${this.drawn}A\r\x1b[J` : '');
        this.drawn = 0;
    }

    draw() {
        const lines = this.runs.map((run) => this.line(run));
        const elapsed = seconds(performance.now() - this.startedAt);
        lines.push(this.doing ? this.paint(2, `  ${elapsed}  ${this.doing}`) : this.paint(2, `  ${elapsed}`));
        const up = this.drawn ? `\x1b[${this.drawn}A\r` : '';
        this.out.write(`${up}${lines.map((line) => `\x1b[K${line}\n`).join('')}\x1b[J`);
        this.drawn = lines.length;
    }

    line(run) {
        const columns = this.out.columns || 80;
        const head = `  ${run.name}  ${printable(run.prompt).slice(0, 26).padEnd(26)}  `;
        const state = stateOf(run).padEnd(14);
        const room = Math.max(0, columns - head.length - state.length - 1);
        const text = printable(run.text);
        const tail = text.length > room ? `...${text.slice(text.length - room + 3)}` : text;
        const color = { runs: 32, waits: 33, killed: 31, failed: 31 }[run.state] ?? 2;
        return `${head}${this.paint(color, state)}${room > 10 ? tail : ''}`;
    }

    /** The block stays as it is. */
    end() {
        clearInterval(this.timer);
        if (this.drawn) {
            this.erase();
            this.out.write(this.runs.map((run) => `${this.line(run)}\n`).join(''));
        }
        this.runs = [];
        this.out.write('\x1b[?25h');
    }
}

/** Adds a line for each thing that happens, and now and then one that says that something still does. */
class PlainView {
    constructor(out, startedAt) {
        Object.assign(this, { out, startedAt, runs: [], doing: '', spoken: new Map() });
        this.last = performance.now();
        this.timer = setInterval(() => this.tick(), FRAME_MS);
    }

    add(run) {
        this.runs.push(run);
        this.spoken.set(run, 0);
    }

    changed(run) {
        if (run.state !== 'runs' && run.state !== 'waits') {
            this.flush(run, true);
        }
        const words =
            run.state === 'runs' ? `runs on worker ${run.worker}: ${printable(run.prompt)}` : stateOf(run);
        this.print(`${run.name}  ${words}`);
    }

    text(run) {
        this.flush(run, false);
    }

    /** Whole lines of a run's text, up to the last blank that fits. */
    flush(run, all) {
        const text = printable(run.text);
        let from = this.spoken.get(run);
        while (text.length - from > (all ? 0 : LINE_CHARS)) {
            const blank = text.lastIndexOf(' ', from + LINE_CHARS);
            const to =
                text.length - from <= LINE_CHARS ? text.length : blank > from ? blank + 1 : from + LINE_CHARS;
            this.print(`${run.name}  | ${text.slice(from, to).trim()}`);
            from = to;
        }
        this.spoken.set(run, from);
    }

    progress(doing) {
        this.doing = doing;
    }

    tick() {
        if (performance.now() - this.last < QUIET_MS) {
            return;
        }
        const open = this.runs.filter(({ state }) => state === 'runs' || state === 'waits');
        const states = open.map((run) => `${run.name} ${stateOf(run)}`).join(', ');
        this.print(`... ${[this.doing, states].filter(Boolean).join(': ') || 'still here'}`);
    }

    say(line = '') {
        this.print(line && `-- ${line}`);
    }

    print(line = '') {
        this.last = performance.now();
        this.out.write(line ? `${seconds(this.last - this.startedAt).padStart(7)}  ${line}\n` : '\n');
    }

    end() {
        clearInterval(this.timer);
    }
}
