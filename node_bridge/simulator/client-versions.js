import { DEFAULT_CONNECTION_CONFIG } from 'baileys';

/** @typedef {{current: string, oldest: string | null}} Set */

export const VERSION = /^2\.3000\.[1-9][0-9]{0,9}$/;

/** Which version the network's own web client has, and the oldest one that it lets in. */
export class ClientVersions {
  #current = DEFAULT_CONNECTION_CONFIG.version.join('.');
  /** @type {string | null} */ #oldest = null;

  /** @param {Partial<Set>} change @returns {Set} all that is set */
  set({ current = this.#current, oldest = this.#oldest }) {
    [this.#current, this.#oldest] = [current, oldest];
    return { current, oldest };
  }

  /** @param {import('baileys').proto.ClientPayload} payload */
  admits({ userAgent }) {
    return !this.#oldest || (userAgent?.appVersion?.tertiary ?? 0) >= revision(this.#oldest);
  }

  /** The web client's service worker, as far as clients read it: they look for its revision. */
  serviceWorker() {
    const data = JSON.stringify(JSON.stringify({ client_revision: revision(this.#current), server: 'simulated' }));
    return `"use strict";self.__configuration=JSON.parse(${data});self.addEventListener("install",()=>self.skipWaiting());\n`;
  }
}

/** @param {string} version */
const revision = (version) => Number(version.split('.')[2]);
