import { NOISE_WA_HEADER } from 'baileys';

const ROUTING_PREFIX = Buffer.from('ED');
/** @type {Buffer} */
const NOTHING = Buffer.alloc(0);

/** Cuts a client's byte stream into frames: one intro, then frames with a 3-byte big-endian length in front. */
export class FrameReader {
  #bytes = NOTHING;
  #introSeen = false;

  /** @param {Buffer} chunk @returns {Buffer[]} the frames that are complete now */
  push(chunk) {
    this.#bytes = this.#bytes.length ? Buffer.concat([this.#bytes, chunk]) : chunk;
    if (!this.#introSeen && !this.#takeIntro()) return [];
    const frames = [];
    for (let frame = this.#takeFrame(); frame; frame = this.#takeFrame()) frames.push(frame);
    return frames;
  }

  #takeIntro() {
    const start = this.#bytes.subarray(0, 2).equals(ROUTING_PREFIX) ? this.#routingLength() : 0;
    if (start < 0 || this.#bytes.length < start + 4) return false;
    const intro = this.#bytes.subarray(start, start + 4);
    if (!intro.equals(NOISE_WA_HEADER)) throw new Error(`not a WhatsApp client: intro ${intro.toString('hex')}`);
    this.#bytes = this.#bytes.subarray(start + 4);
    this.#introSeen = true;
    return true;
  }

  #routingLength() {
    return this.#bytes.length < 7 ? -1 : 7 + this.#bytes.readUIntBE(4, 3);
  }

  #takeFrame() {
    if (this.#bytes.length < 3) return undefined;
    const length = this.#bytes.readUIntBE(0, 3);
    if (this.#bytes.length < 3 + length) return undefined;
    const frame = this.#bytes.subarray(3, 3 + length);
    this.#bytes = this.#bytes.subarray(3 + length);
    return frame;
  }
}

/** @param {Uint8Array} body */
export function frame(body) {
  const header = Buffer.alloc(3);
  header.writeUIntBE(body.length, 0, 3);
  return Buffer.concat([header, body]);
}
