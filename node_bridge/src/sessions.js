import { BridgeError, firstLine, StaleTerm, Unreadable } from './errors.js';
import { Inquiry } from './engine/inquiry.js';
import { Memories } from './engine/memory.js';
import { Session } from './engine/session.js';
import { Leavings } from './leavings.js';

/** @typedef {import('./status.js').Link} Link */
/** @typedef {import('./status.js').Status} Status */
/** @typedef {import('./store/store.js').Store} Store */
/** @typedef {import('./events/outbox.js').Outbox} Outbox */
/** @typedef {import('./signals.js').Signals} Signals */
/** @typedef {import('./log.js').Log} Log */

/** The sessions that are open here. What is done to one session happens one after the other; sessions do not wait for each other. */
export class Sessions {
  /** @type {Map<string, Session>} */ #open = new Map();
  /** @type {Map<string, Promise<unknown>>} */ #turns = new Map();
  #leavings = new Leavings();
  #closings = 0; // how often all was closed
  #stopping = false;
  #inquiry;
  #memories;
  #with;

  /**
   * @param {{store: Store, outbox: Outbox, signals: Signals, clientVersion: import('./engine/client-version.js').ClientVersion,
   *   mayAct: () => boolean, socketUrl: string | undefined, ackTimeoutMs: number,
   *   lookupLimit: import('./engine/lookups.js').LookupLimit, log: Log}} options - `mayAct` is asked before anything is sent
   */
  constructor(options) {
    this.#with = options;
    this.#inquiry = new Inquiry(options);
    this.#memories = new Memories(options);
  }

  /** @returns {Status[]} */
  list() {
    return [...this.#open.values()].map((session) => session.status);
  }

  get size() {
    return this.#open.size;
  }

  get connected() {
    return [...this.#open.values()].filter(({ state }) => state === 'connected').length;
  }

  /** @param {string} id @returns {Session} @throws {BridgeError} */
  get(id) {
    const session = this.#open.get(id);
    if (!session) throw new BridgeError('not_found', 'the session is not open here');
    return session;
  }

  /** The session, if it is open under this very term. @param {string} id @param {number} term @returns {Session} @throws {BridgeError} */
  under(id, term) {
    const session = this.get(id);
    if (session.term > term) throw new StaleTerm(id, term);
    if (session.term < term) throw new BridgeError('not_found', `the session is not open under term ${term}`);
    return session;
  }

  /** @param {{id: string, owner: string, term: number, link?: Link}} wish @returns {Promise<Status>} */
  open(wish) {
    const closings = this.#closings;
    return this.#inTurn(wish.id, async () => {
      const before = this.#open.get(wish.id);
      if (before && before.term > wish.term) throw new StaleTerm(wish.id, wish.term);
      if (before && before.term === wish.term && before.state !== 'closed') return before.status;
      await before?.end('stale_term', { cause: `taken over under term ${wish.term}` });
      return (await this.#start({ ...wish, closings })).status;
    });
  }

  /**
   * What is not open at all is closed already; a logout takes over what is open under a lower term.
   * @param {string} id
   * @param {number} term
   * @param {boolean} logout
   * @returns {Promise<{closed: true, logged_out: boolean}>}
   */
  close(id, term, logout) {
    const closings = this.#closings;
    return this.#inTurn(id, async () => {
      const session = this.#open.get(id);
      if (session && session.term > term) throw new StaleTerm(id, term);
      if (logout) return { closed: true, logged_out: await this.#logout(session, { id, term, closings }) };
      if (session) await this.under(id, term).end('requested');
      return { closed: true, logged_out: false };
    });
  }

  /** Closes every socket; the links stay. Nothing is sent any more once this was called, and what is just being opened is not. */
  async closeAll(reason = 'requested') {
    this.#closings += 1;
    await Promise.all([...this.#open.values()].map((session) => session.end(reason)));
  }

  /** Closes every socket, and opens none any more. */
  async stop() {
    this.#stopping = true;
    await this.closeAll();
  }

  /** Forgets what is out of date; to be called now and then. */
  sweep() {
    this.#memories.sweep();
  }

  /** @param {{id: string, owner: string, term: number, link?: Link, closings: number}} wish @returns {Promise<Session>} */
  async #start({ id, owner, term, link, closings }) {
    const { store, outbox, signals, clientVersion, mayAct, socketUrl, ackTimeoutMs } = this.#with;
    const { vault, creds } = await store.open(id, term);
    this.#refuseWhatIsOver(closings);
    if (!creds?.account && !link) throw new BridgeError('not_linked', 'no number is linked: `link` is needed');
    const log = this.#with.log.child({ session: id, term });
    /** @type {Session} */
    const session = new Session({
      id,
      term,
      vault,
      creds: creds?.account ? creds : null,
      link,
      memory: this.#memories.of(id, !creds?.account),
      inquiry: this.#inquiry,
      clientVersion,
      socketUrl,
      ackTimeoutMs,
      log,
      mayAct,
      culprit: { crashed: (error) => this.#crashed(id, term, error) },
      tell: (type, data) => outbox.tell(id, term, type, data),
      hasRoom: () => outbox.hasRoom,
      onHeldBack: () => outbox.whenRoom(id, () => session.end('held_back')),
      onChange: () => signals.publish(session.status),
      onClosed: () => this.#closed(id, session),
    });
    this.#open.set(id, session);
    this.#leavings.opened(this.#open.size);
    log.info({ owner, linking: !creds?.account }, 'session opened');
    session.open();
    signals.publish(session.status);
    return session;
  }

  /** A wish that has waited since before the lease ended is as old as that, even if there is a new lease by now. @param {number} closings - when it came */
  #refuseWhatIsOver(closings) {
    if (this.#with.mayAct() && !this.#stopping && closings === this.#closings) return;
    throw new BridgeError('lease_ran_out', 'this bridge may not act: all was closed while the session was being opened');
  }

  /** @param {string} id @param {Session} session */
  #closed(id, session) {
    if (this.#open.get(id) === session) {
      this.#open.delete(id);
      this.#memories.closed(id);
    }
    this.#leavings.closed(this.#open.size);
  }

  /**
   * Logging out needs a connection: one that is not open is opened for it, as long as WhatsApp can be reached.
   * @param {Session | undefined} session
   * @param {{id: string, term: number, closings: number}} wish
   */
  async #logout(session, { id, term, closings }) {
    if (session && session.term === term && session.state !== 'closed') return session.logout();
    await session?.end('stale_term');
    if (await this.#mayLogIn(id, term)) return (await this.#start({ id, owner: 'logout', term, closings })).logout();
    await this.#with.store.wipe(id, term);
    return false;
  }

  /** Credentials whose key is lost must not stand in the way of a logout, the only way to link the number anew. @param {string} id @param {number} term */
  async #mayLogIn(id, term) {
    try {
      return Boolean((await this.#with.store.open(id, term)).creds?.account);
    } catch (error) {
      if (error instanceof Unreadable) return false;
      throw error;
    }
  }

  /** What it left behind may still throw when it is closed. @param {string} id @param {number} term @param {unknown} error */
  #crashed(id, term, error) {
    this.#with.log.error({ err: error, session: id, term }, 'a session crashed');
    const session = this.#open.get(id);
    if (session?.term === term) session.end('crashed', { cause: firstLine(error) });
  }

  /** @template T @param {string} id @param {() => Promise<T>} work @returns {Promise<T>} */
  #inTurn(id, work) {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(work, work);
    this.#turns.set(id, turn);
    const forget = () => this.#turns.get(id) === turn && this.#turns.delete(id);
    turn.then(forget, forget);
    return turn;
  }
}
