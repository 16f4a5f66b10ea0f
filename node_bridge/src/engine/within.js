/**
 * What has come by the time of the end counts.
 * @template T
 * @param {Promise<T>} work
 * @param {number} ms
 * @param {AbortSignal} [ended]
 * @returns {Promise<T | 'late' | 'ended'>}
 */
export function within(work, ms, ended) {
  return new Promise((resolve, reject) => {
    const end = () => setImmediate(() => finish('ended'));
    const timer = setTimeout(() => finish('late'), ms);
    const over = () => {
      clearTimeout(timer);
      ended?.removeEventListener('abort', end);
    };
    const finish = (/** @type {T | 'late' | 'ended'} */ result) => {
      over();
      resolve(result);
    };
    const failed = (/** @type {unknown} */ error) => {
      over();
      reject(error);
    };
    ended?.addEventListener('abort', end, { once: true });
    if (ended?.aborted) end();
    work.then(finish, failed);
  });
}
