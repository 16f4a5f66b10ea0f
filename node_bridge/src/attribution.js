import { AsyncLocalStorage } from 'node:async_hooks';

/** @typedef {{crashed: (error: unknown) => void}} Culprit - holds no session: what it started may outlive it */

/** @type {AsyncLocalStorage<Culprit | undefined>} */
const running = new AsyncLocalStorage();

/**
 * Whatever is begun in `work`, listeners and timers included, is one session's: an exception there ends that session and not the process.
 * @template T @param {Culprit} culprit @param {() => T} work @returns {T}
 */
export function onAccountOf(culprit, work) {
  return running.run(culprit, work);
}

/** What sessions share is not on account of the one that was first to need it. @template T @param {() => T} work @returns {T} */
export function onNobodysAccount(work) {
  return running.run(undefined, work);
}

/** On whose account the running code is; in a handler of `uncaughtException`: the code that threw. @returns {Culprit | undefined} */
export function culprit() {
  return running.getStore();
}
