import { DEFAULT_CONNECTION_CONFIG } from 'baileys';

/** @typedef {import('../log.js').Log} Log */
/** @typedef {[number, number, number]} Version */

const FETCH_MS = 10_000;
const ASK_AGAIN_MS = 60_000;
const REFUSED = 'WhatsApp refused the client as too old';
const REVISION = /\\?"client_revision\\?":\s*(\d+)/;
const HEADERS = {
  'sec-fetch-site': 'none',
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
};

/**
 * The version of WhatsApp Web that every socket of this process claims to be: the engine's own until WhatsApp refuses it as too old,
 * from then on the one that WhatsApp Web has. Each renewal, and each that fails, is one line at level error: it concerns every session.
 */
export class ClientVersion {
  /** @type {Version} */ current = [...DEFAULT_CONNECTION_CONFIG.version];
  #askedAt = -Infinity;
  /** @type {Promise<void> | undefined} */ #asking;
  #url;
  #log;

  /** @param {{url: string, log: Log}} options - where WhatsApp Web's service worker is to be had */
  constructor({ url, log }) {
    this.#url = url;
    this.#log = log;
  }

  toString() {
    return this.current.join('.');
  }

  /**
   * WhatsApp has refused this one. Asked by many sessions at once it looks once, and at most once a minute.
   * @param {Version} refused
   * @returns {Promise<boolean>} whether there is a newer one now
   */
  async renew(refused) {
    if (!isNewer(this.current, refused) && performance.now() - this.#askedAt >= ASK_AGAIN_MS) {
      this.#askedAt = performance.now();
      this.#asking = this.#ask().finally(() => (this.#asking = undefined));
    }
    await this.#asking;
    return isNewer(this.current, refused);
  }

  async #ask() {
    const refused = String(this);
    try {
      const found = await fetchVersion(this.#url);
      if (!isNewer(found, this.current)) return this.#log.error({ refused, found: found.join('.') }, `${REFUSED}, and there is no newer version`);
      this.current = found;
      this.#log.error({ refused, now: String(this) }, `${REFUSED}: the newest version is used from now on`);
    } catch (err) {
      this.#log.error({ refused, err }, `${REFUSED}, and the newest version could not be had`);
    }
  }
}

/** @param {string} url @returns {Promise<Version>} */
async function fetchVersion(url) {
  const response = await fetch(url, { headers: HEADERS, signal: AbortSignal.timeout(FETCH_MS) });
  if (!response.ok) throw new Error(`the page with the version answered ${response.status}`);
  const revision = REVISION.exec(await response.text())?.[1];
  if (!revision) throw new Error('the page with the version names none');
  return [2, 3000, Number(revision)];
}

/** @param {Version} one @param {Version} other */
function isNewer(one, other) {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at >= 0 && Number(one[at]) > Number(other[at]);
}
