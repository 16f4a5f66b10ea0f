import { S_WHATSAPP_NET } from 'baileys';

const QUIET_MS = 20_000;
const ANSWER_MS = 20_000; // a server that is busy answers late, and would lose all its idle connections at once
const TOGETHER_MS = 250; // the connections of a process wake it up together
const LATE_MS = 1_000; // a timer that much behind its time: this process stood still meanwhile

/**
 * Finds a socket that is dead without having ended, by what comes through it and not by what it says of itself: after a silence it pings,
 * and when nothing at all comes in time, nobody is there. One timer a connection, from its first stanza on; traffic does not touch it.
 */
export class Pulse {
  /** Round trip of the last ping that was answered. @type {number | null} */ pingMs = null;
  /** @type {number | null} */ lastStanzaAt = null;
  #heardAt = 0; // on the clock that nobody sets
  #begun = false;
  /** @type {NodeJS.Timeout | undefined} */ #timer;
  #with;

  /** @param {{sock: any, onDead: (cause: string) => void, quietMs?: number, answerMs?: number}} options */
  constructor({ sock, onDead, quietMs = QUIET_MS, answerMs = ANSWER_MS }) {
    this.#with = { sock, onDead, quietMs, answerMs };
    sock.ws.on('frame', () => this.#heard());
    sock.ev.on('connection.update', (/** @type {any} */ { connection }) => connection === 'close' && this.stop());
  }

  stop() {
    this.#begun = true; // what is still in the pipe begins nothing
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #heard() {
    this.lastStanzaAt = Date.now();
    this.#heardAt = performance.now();
    if (this.#begun) return;
    this.#begun = true;
    this.#listen();
  }

  #listen() {
    const left = this.#heardAt + this.#with.quietMs - performance.now();
    if (left <= 0) return this.#ask();
    this.#timer = setTimeout(() => this.#listen(), untilNextMultiple(left));
  }

  #ask() {
    const askedAt = performance.now();
    this.#ping(askedAt);
    // After a freeze timers come first, and what lies in the socket after them: it is read before this judges.
    this.#timer = setTimeout(() => setImmediate(() => this.#timer && this.#judge(askedAt)), this.#with.answerMs);
  }

  /** @param {number} askedAt */
  #judge(askedAt) {
    const { quietMs, answerMs, onDead } = this.#with;
    if (this.#heardAt >= askedAt) return this.#listen();
    if (performance.now() - askedAt > answerMs + LATE_MS) return this.#ask(); // the silence may have been ours
    this.stop();
    onDead(`nothing came for ${quietMs / 1000} s, nor within ${answerMs / 1000} s of a ping`);
  }

  /** @param {number} askedAt */
  #ping(askedAt) {
    const { sock, answerMs } = this.#with;
    const ping = { tag: 'iq', attrs: { to: S_WHATSAPP_NET, type: 'get', xmlns: 'w:p' }, content: [{ tag: 'ping', attrs: {} }] };
    const measure = (/** @type {unknown} */ answer) => void (answer && (this.pingMs = Math.round(performance.now() - askedAt)));
    sock.query(ping, answerMs).then(measure, () => {}); // a refusal is an answer, too: `frame` has told of it
  }
}

/** @param {number} ms @returns {number} those, and up to 250 more */
function untilNextMultiple(ms) {
  return ms + TOGETHER_MS - ((performance.now() + ms) % TOGETHER_MS);
}
