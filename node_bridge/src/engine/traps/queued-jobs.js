import { AsyncLocalStorage } from 'node:async_hooks';
import { SessionBuilder, SessionCipher } from 'libsignal';

/**
 * libsignal queues its jobs by the customer's address, for all sessions of the process together, and runs those that have waited in the
 * context of the one that came first. There the keys of another session are outside its transaction: they are written before it is committed,
 * and what it has written is not seen. Here each job keeps the context it came from.
 */
export function keepContextOfJobs() {
  const cipher = /** @type {any} */ (SessionCipher.prototype);
  const { queueJob } = cipher;
  cipher.queueJob = function (/** @type {() => Promise<unknown>} */ job) {
    return queueJob.call(this, AsyncLocalStorage.bind(job));
  };
  const builder = /** @type {any} */ (SessionBuilder.prototype);
  const { initOutgoing } = builder;
  builder.initOutgoing = function (/** @type {unknown} */ device) {
    return initOutgoing.call(Object.create(this, { storage: { value: bound(this.storage) } }), device); // its queue is not to be had
  };
}

/** The same storage, used in the present context by whoever uses it. @param {Record<string, (...given: any[]) => unknown>} storage */
function bound(storage) {
  return Object.fromEntries(Object.entries(storage).map(([name, act]) => [name, AsyncLocalStorage.bind(act)]));
}
