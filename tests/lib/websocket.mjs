// WebSockets on the daemon's socket: a PoolClient by the package `ws`, and frames in raw bytes.
import { EventEmitter } from 'node:events';
import { WebSocket } from 'ws';
import { PoolClient } from './client.mjs';
import { RawHttp } from './http.mjs';
import { within } from './wait.mjs';

/** What PoolClient wants of a socket. */
class Adapter extends EventEmitter {
    constructor(ws) {
        super();
        this.ws = ws;
        ws.on('message', (data, binary) => {
            if (binary) this.emit('error', new Error('a binary message'));
            else this.emit('data', `${data}\n`);
        });
        ws.on('close', (code) => {
            this.code = code;
            this.emit('close');
        });
        ws.on('error', (error) => this.emit('error', error));
    }

    setEncoding() {}
    write(text) { for (const line of String(text).split('\n').filter(Boolean)) this.ws.send(line); }
    pause() { this.ws.pause(); }
    resume() { this.ws.resume(); }
    end() { this.ws.close(); }
    destroy() { this.ws.terminate(); }
}

/** A client of the pool by WebSocket; `client.socket.ws` is the WebSocket, `client.socket.code` why it was closed. */
export async function openWebSocket(daemon, { name = 'ws', path = '/', initialize = true, ...options } = {}) {
    const ws = new WebSocket(`ws+unix://${daemon.socket}:${path}`, { perMessageDeflate: false, ...options });
    const client = new PoolClient(new Adapter(ws), name);
    await within(new Promise((resolve, reject) => {
        ws.once('open', resolve);
        ws.once('error', reject);
    }), 'a WebSocket');
    if (initialize) await client.initialize();
    return client;
}

export const OP = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** A client's frame; `bits`: of its first byte on top of the opcode (128: the last, 64, 32, 16: reserved). */
export function frame(opcode, data = '', { fin = true, bits = 0, mask = Buffer.from([1, 2, 3, 4]), length } = {}) {
    const payload = Buffer.from(data);
    const n = length ?? payload.length;
    const head = Buffer.alloc(n < 126 ? 2 : n < 65536 ? 4 : 10);
    head[0] = (fin ? 128 : 0) | bits | opcode;
    head[1] = (mask ? 128 : 0) | (n < 126 ? n : n < 65536 ? 126 : 127);
    if (head.length === 4) head.writeUInt16BE(n, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(n), 2);
    if (!mask) return Buffer.concat([head, payload]);
    return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

export const handshake = (...lines) => [`GET / HTTP/1.1`, 'Host: x', 'Upgrade: websocket', 'Connection: Upgrade',
    'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${KEY}`, ...lines, '', ''].join('\r\n');

/** Frames as bytes. */
export class RawWebSocket {
    static async open(daemon, before = '') {
        const self = new RawWebSocket();
        self.http = await RawHttp.connect(daemon);
        self.http.write(Buffer.concat([Buffer.from(handshake()), Buffer.from(before)]));
        await self.until(() => self.http.text.includes('\r\n\r\n'), 'the handshake');
        return self;
    }

    write(...frames) {
        this.http.write(Buffer.concat(frames));
        return this;
    }

    /** The whole frames so far: {opcode, text, code}. */
    get frames() {
        const bytes = Buffer.from(this.http.text, 'latin1');
        const found = [];
        for (let at = bytes.indexOf('\r\n\r\n') + 4; at + 2 <= bytes.length;) {
            const short = bytes[at + 1];
            const head = short < 126 ? 2 : short === 126 ? 4 : 10;
            if (at + head > bytes.length) break;
            const n = head === 2 ? short : head === 4 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
            if (at + head + n > bytes.length) break;
            const data = bytes.subarray(at + head, at + head + n);
            const opcode = bytes[at] & 15;
            found.push({ opcode, text: data.toString(), ...(opcode === OP.close && n >= 2 && { code: data.readUInt16BE(0) }) });
            at += head + n;
        }
        return found;
    }

    until(probe, what) {
        return within(new Promise((resolve, reject) => {
            const look = (closed) => {
                if (probe()) resolve();
                else if (closed) reject(new Error(`closed before ${what}: ${this.http.text}`));
                else return;
                this.http.waiting.delete(look);
            };
            this.http.waiting.add(look);
            look(this.http.socket.destroyed);
        }), what);
    }

    /** The n-th frame, once it is there. */
    async next(n = 1) {
        await this.until(() => this.frames.length >= n, `${n} frames`);
        return this.frames[n - 1];
    }

    /** The code with which the daemon closes the connection; it has said nothing else since the n-th frame. */
    async closed(n = 0) {
        await within(Promise.race([this.http.ended, this.http.closed]), 'the end of the connection');
        this.http.socket.destroy();
        const rest = this.frames.slice(n);
        return rest.length === 1 && rest[0].opcode === OP.close ? rest[0].code ?? null : rest;
    }

    close() { return this.http.close(); }
}
