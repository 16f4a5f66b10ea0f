import fs from 'node:fs';
import path from 'node:path';

/** @typedef {import('../log.js').Log} Log */

/** Events that the web side will never take, in a file for a person. As in the spool the oldest are kept: what has no room is dropped, counted and loud. */
export class Rejected {
  #dropped = 0; // by this process
  #file;
  #maxBytes;
  #log;

  /** @param {{dir: string, maxBytes: number, log: Log}} options */
  constructor({ dir, maxBytes, log }) {
    this.#file = path.join(dir, 'rejected.ndjson');
    this.#maxBytes = maxBytes;
    this.#log = log;
  }

  /** @param {string[]} lines */
  put(lines) {
    try {
      this.#append(Buffer.from(lines.map((line) => `${line}\n`).join('')));
    } catch (err) {
      this.#dropped += lines.length;
      this.#log.error({ err, events: lines.length, dropped: this.#dropped }, 'refused events could not be put aside: they are gone');
    }
  }

  /** @param {Buffer} bytes */
  #append(bytes) {
    const size = fs.statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0;
    if (size + bytes.length > this.#maxBytes) throw new Error('rejected.ndjson is full: look at it, and take it away');
    fs.appendFileSync(this.#file, bytes, { mode: 0o600 });
  }
}
