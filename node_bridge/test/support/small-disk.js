import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scratch } from './bridge.js';

/** Why there can be none here; false where there can. */
export const NO_SMALL_DISK = process.getuid?.() !== 0 && 'NO SMALL DISK: mounting one takes root; nothing here tried a full disk';

/** A disk of 2 MB, in memory, that can be filled to its last byte and its last file. */
export class SmallDisk {
  dir = scratch();
  #filler = join(this.dir, 'filler');
  #files = 0;

  /** @param {import('node:test').TestContext} t */
  constructor(t) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,nr_inodes=20', 'tmpfs', this.dir]);
    t.after(() => execFileSync('umount', ['-l', this.dir]));
  }

  /** @param {number} [left] - bytes that stay free, about */
  fill(left = 0) {
    mkdirSync(this.#filler);
    const fd = openSync(join(this.#filler, 'bytes'), 'a');
    const block = Buffer.alloc(4_096);
    let bytes = 0;
    untilFull(() => (bytes += writeSync(fd, block)));
    ftruncateSync(fd, bytes - left);
    untilFull(() => closeSync(openSync(join(this.#filler, `${++this.#files}`), 'a')));
    closeSync(fd);
  }

  free() {
    rmSync(this.#filler, { recursive: true, force: true });
  }
}

/** @param {() => unknown} write */
function untilFull(write) {
  try {
    for (;;) write();
  } catch (error) {
    if (/** @type {any} */ (error).code !== 'ENOSPC') throw error;
  }
}
