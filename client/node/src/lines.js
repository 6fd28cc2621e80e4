/** Bytes into lines. */
import { MessageTooLargeError } from './errors.js';

export class Lines {
    /** @param {number} maxBytes longest line */
    constructor(maxBytes) {
        this.maxBytes = maxBytes;
        /** Pieces of the line that has not ended. @type {Buffer[]} */
        this.pieces = [];
        this.held = 0;
    }

    /**
     * The lines that end in this chunk, without their newline.
     * @param {Buffer} chunk
     * @returns {Generator<Buffer, void>}
     */
    *take(chunk) {
        let from = 0;
        for (let end; (end = chunk.indexOf(10, from)) >= 0; from = end + 1) {
            this.#keep(chunk.subarray(from, end));
            const line = this.pieces.length === 1 ? this.pieces[0] : Buffer.concat(this.pieces);
            this.pieces = [];
            this.held = 0;
            if (line && line.length > 0) yield line;
        }
        this.#keep(chunk.subarray(from));
    }

    /** @param {Buffer} piece */
    #keep(piece) {
        if (piece.length === 0) return;
        this.held += piece.length;
        if (this.held > this.maxBytes) {
            const message = `A message of more than ${this.maxBytes} bytes came.`;
            throw new MessageTooLargeError({
                code: -32016, message, data: { reason: 'messageTooLarge', retryable: false },
            });
        }
        this.pieces.push(piece);
    }
}
