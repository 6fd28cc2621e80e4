// HTTP on the daemon's socket: by Node's own client, and in raw bytes.
import { connect } from 'node:net';
import { request } from 'node:http';
import { within } from './wait.mjs';

/** One request by Node's client: {status, headers, body}. `options` as http.request has them. */
export function ask(daemon, path, options = {}) {
    return within(new Promise((resolve, reject) => {
        const asked = request({ socketPath: daemon.socket, path, agent: false, ...options }, (response) => {
            let body = '';
            response.setEncoding('utf8');
            response.on('data', (text) => { body += text; });
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
        });
        asked.on('error', reject);
        asked.end(options.body);
    }), `the answer to ${path}`);
}

/** A connection on which bytes are written and answers counted. */
export class RawHttp {
    static async connect(daemon) {
        const self = new RawHttp();
        self.socket = connect({ path: daemon.socket, allowHalfOpen: true });
        self.text = '';
        self.waiting = new Set();
        self.socket.on('data', (bytes) => {
            self.text += bytes.toString('latin1');
            for (const look of self.waiting) look();
        });
        self.socket.on('error', () => {});
        self.ended = new Promise((resolve) => self.socket.once('end', resolve));
        self.closed = new Promise((resolve) => self.socket.once('close', resolve));
        self.socket.once('close', () => { for (const look of self.waiting) look(true); });
        await within(new Promise((resolve) => self.socket.once('connect', resolve)), 'connecting');
        return self;
    }

    write(bytes) {
        this.socket.write(bytes);
        return this;
    }

    /** The whole answers so far: {status, head, body}; `heads`: to HEAD, without bodies. */
    answers(heads = false) {
        const found = [];
        for (let at = 0; ;) {
            const end = this.text.indexOf('\r\n\r\n', at);
            if (end < 0) return found;
            const head = this.text.slice(at, end);
            const status = Number(head.match(/^HTTP\/1\.1 (\d{3}) /)?.[1]);
            const length = heads || status < 200 ? 0 : Number(head.match(/^content-length: (\d+)$/im)[1]);
            if (this.text.length < end + 4 + length) return found;
            found.push({ status, head, body: this.text.slice(end + 4, end + 4 + length) });
            at = end + 4 + length;
        }
    }

    /** Until there are n whole answers. */
    async next(n = 1, heads = false) {
        await within(new Promise((resolve, reject) => {
            const look = (closed) => {
                if (this.answers(heads).length >= n) resolve();
                else if (closed) reject(new Error(`closed after: ${this.text}`));
                else return;
                this.waiting.delete(look);
            };
            this.waiting.add(look);
            look(this.socket.destroyed);
        }), `${n} answers`);
        return this.answers(heads);
    }

    /** Until the daemon has said all; every answer. */
    async all() {
        await within(Promise.race([this.ended, this.closed]), 'the end of the answers');
        this.socket.destroy();
        return this.answers();
    }

    async close() {
        this.socket.destroy();
        await this.closed;
    }
}

/** Writes the bytes on a connection of their own and awaits its end: all answers. */
export async function exchange(daemon, bytes) {
    return (await RawHttp.connect(daemon)).write(bytes).all();
}
