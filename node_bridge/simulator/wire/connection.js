import { decodeDecompressedBinaryNode, decompressingIfRequired, encodeBinaryNode } from 'baileys';
import * as dictionary from 'baileys/lib/WABinary/constants.js';
import { frame, FrameReader } from './frames.js';
import { NoiseResponder } from './noise.js';
import { el } from './nodes.js';

const HANDSHAKE_TIMEOUT_MS = 20_000;
/** How long a closed socket may take to say goodbye before it is cut. */
const CLOSE_TIMEOUT_MS = 1_000;

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {(payload: import('baileys').proto.ClientPayload, noisePublic: Buffer) => void} OnFinish */

let connections = 0;

/** One client's socket: Noise below, nodes above. What it may do is decided by those who hold it. */
export class Connection {
  id = ++connections;
  /** @type {import('../registry.js').Device | undefined} set at login */
  device;
  /** The client has asked for what waits; from then on new stanzas go out at once. */
  active = false;
  /** @type {OnFinish} */ onFinish = () => {};
  /** @type {(node: Node) => void} */ onNode = () => {};
  /** @type {() => void} */ onClose = () => {};
  #ws;
  #noise;
  #log;
  #reader = new FrameReader();
  #step = 'hello';
  #inbox = Promise.resolve();
  #requests = 0;
  /** @type {Map<string, (reply: Node | undefined) => void>} */
  #waiting = new Map();

  /** @param {{ws: import('ws').WebSocket, identity: import('./certificates.js').ServerIdentity, log: import('pino').Logger}} parts */
  constructor({ ws, identity, log }) {
    this.#ws = ws;
    this.#noise = new NoiseResponder(identity);
    this.#log = log.child({ socket: this.id });
    const deadline = setTimeout(() => this.#step === 'open' || this.terminate(), HANDSHAKE_TIMEOUT_MS);
    ws.on('message', (/** @type {Buffer} */ data) => {
      this.#inbox = this.#inbox.then(() => this.#take(data)).catch((error) => this.#refuse(error));
    });
    ws.on('error', (error) => this.#log.debug({ err: error }, 'socket error'));
    ws.on('close', () => {
      clearTimeout(deadline);
      for (const answer of this.#waiting.values()) answer(undefined);
      this.onClose();
    });
  }

  get isOpen() {
    return this.#ws.readyState === this.#ws.OPEN;
  }

  /** @param {Node} node @returns {boolean} whether the socket took it */
  send(node) {
    if (!this.isOpen || this.#step !== 'open') return false;
    this.#ws.send(frame(this.#noise.seal(encodeBinaryNode(node))));
    return true;
  }

  /** Sends an iq of the server's own and waits for its answer; undefined when none comes in time.
   * @param {Node} iq
   * @param {number} timeoutMs
   * @returns {Promise<Node | undefined>}
   */
  request(iq, timeoutMs) {
    const id = `sim-${this.id}-${++this.#requests}`;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#waiting.get(id)?.(undefined), timeoutMs);
      this.#waiting.set(id, (reply) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(reply);
      });
      this.send({ ...iq, attrs: { ...iq.attrs, id } });
    });
  }

  /** @param {number | string | undefined} code @param {Node[]} [content] */
  streamError(code, content) {
    this.send(el('stream:error', { code: code === undefined ? undefined : String(code) }, content));
    this.close();
  }

  /** @param {Record<string, string>} attrs */
  fail(attrs) {
    this.send(el('failure', attrs));
    this.close();
  }

  close() {
    this.#ws.close();
    setTimeout(() => this.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  /** Cuts the socket as a broken network would: no goodbye. */
  terminate() {
    this.#ws.terminate();
  }

  /** @param {Buffer} data */
  async #take(data) {
    for (const each of this.#reader.push(data)) {
      if (this.#step === 'open') await this.#takeNode(each);
      else this.#takeHandshake(each);
    }
  }

  /** @param {Buffer} each */
  #takeHandshake(each) {
    if (this.#step === 'hello') {
      this.#ws.send(frame(this.#noise.hello(each)));
      this.#step = 'finish';
      return;
    }
    const { payload, noisePublic } = this.#noise.finish(each);
    this.#step = 'open';
    this.onFinish(payload, noisePublic);
  }

  /** @param {Buffer} sealed */
  async #takeNode(sealed) {
    const plain = this.#noise.unseal(sealed);
    const body = plain[0] ? await decompressingIfRequired(plain) : plain.subarray(1);
    const node = decodeDecompressedBinaryNode(/** @type {any} */ (body), dictionary);
    if (node.tag === 'iq' && ['result', 'error'].includes(node.attrs.type ?? '')) this.#waiting.get(node.attrs.id ?? '')?.(node);
    else this.onNode(node);
  }

  /** @param {Error} error */
  #refuse(error) {
    this.#log.warn({ err: error }, 'cut a socket that does not speak the protocol');
    this.terminate();
  }
}

