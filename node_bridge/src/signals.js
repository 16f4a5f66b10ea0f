/** @typedef {import('./status.js').Status} Status */
/** @typedef {import('node:stream').Writable} Writable */

const PING_MS = 5_000;
const STUCK_MS = 30_000;

/** Tells readers the state of every session as it changes. */
export class Signals {
  /** @type {Set<Reader>} */ #readers = new Set();

  /** @param {Status} status */
  publish(status) {
    for (const reader of this.#readers) reader.tell(status);
  }

  /** Serves a reader until it leaves. @param {Writable} stream @param {Status[]} now */
  attach(stream, now) {
    const reader = new Reader(stream, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    now.forEach((status) => reader.tell(status));
  }

  close() {
    for (const reader of this.#readers) reader.end();
  }
}

/**
 * One reader. While it is slow only the newest state of each session waits for it, and the close before that: memory
 * stays bounded by the sessions, and no close goes untold.
 */
class Reader {
  /** @type {Map<string, Status[]>} */ #waiting = new Map();
  #blockedSince = 0;
  #stream;
  #timer;

  /** @param {Writable} stream @param {() => void} onGone */
  constructor(stream, onGone) {
    this.#stream = stream;
    this.#timer = setInterval(() => this.#ping(), PING_MS);
    stream.on('drain', () => this.#flush());
    stream.on('error', () => {}); // followed by close
    stream.on('close', () => {
      clearInterval(this.#timer);
      onGone();
    });
  }

  /** @param {Status} status */
  tell(status) {
    const kept = (this.#waiting.get(status.id) ?? []).filter(({ state }) => state === 'closed').slice(-1);
    this.#waiting.set(status.id, [...kept, status]);
    if (!this.#blockedSince) this.#flush();
  }

  end() {
    this.#stream.end();
  }

  #flush() {
    this.#blockedSince = 0;
    for (const [id, statuses] of this.#waiting) {
      if (this.#blockedSince) return;
      this.#waiting.delete(id);
      this.#write(statuses.map((status) => JSON.stringify(status)).join('\n'));
    }
  }

  #ping() {
    if (!this.#blockedSince) this.#write('{"ping":true}');
    else if (performance.now() - this.#blockedSince > STUCK_MS) this.#stream.destroy();
  }

  /** @param {string} lines */
  #write(lines) {
    if (!this.#stream.write(`${lines}\n`)) this.#blockedSince = performance.now();
  }
}
