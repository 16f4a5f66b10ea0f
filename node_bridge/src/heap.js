import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What V8 holds and nobody needs. A usual collection keeps the pages it has freed; one of the last resort gives them to the system. @returns {() => void} */
export function collector() {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  return () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/**
 * What the allocator of C holds and nobody needs: keys, hashes and sockets lie there. glibc gives back only the end of its heap by
 * itself; with `malloc_trim(3)` every free page. Elsewhere than on glibc there is no such call, and nothing happens.
 * @returns {() => void}
 */
export function trimmer() {
  /** @type {(() => void) | undefined} */ let trim;
  return () => {
    trim ??= load();
    trim();
  };
}

/** @returns {() => void} */
function load() {
  try {
    const koffi = createRequire(import.meta.url)('koffi');
    const call = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');
    return () => void call(0);
  } catch {
    return () => {}; // no prebuilt library for this machine, or another C library than glibc
  }
}
