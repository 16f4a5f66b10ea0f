import { AsyncLocalStorage } from 'node:async_hooks';
import { SessionCipher } from 'libsignal';

/**
 * libsignal queues its jobs by the customer's address, for all sessions of the process together, and runs those that have waited in the context of the one that came
 * first. There the keys of another session are outside its transaction: they are written before it is committed, and what it has written is not seen. Here each job
 * keeps the context it came from.
 */
export function keepContextOfJobs() {
  const cipher = /** @type {any} */ (SessionCipher.prototype);
  const { queueJob } = cipher;
  cipher.queueJob = function (/** @type {() => Promise<unknown>} */ job) {
    return queueJob.call(this, AsyncLocalStorage.bind(job));
  };
}
