import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Rejected } from './rejected.js';
import { countLines, readLines, setAside } from './segment-files.js';

/** @typedef {import('../log.js').Log} Log */
/** @typedef {{path: string, bytes: number, lines: number, fd?: number}} Segment - `lines`: those that wait */
/** @typedef {{lines: string[], bytes: number, segment: Segment}} Batch */

const SEGMENT_BYTES = 8 * 1024 * 1024;
const SMALLEST_SEGMENT_BYTES = 64 * 1024;
const READ_BYTES = 1024 * 1024;
const LOUD_EVERY_MS = 10_000;
const FULL = new Set(['ENOSPC', 'EDQUOT']);
const PASSING = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']);
const SEGMENT_NAME = /^\d{15}-\d{6}-[0-9a-f]{8}\.ndjson$/; // sorts by time and order

/**
 * Events that wait for the web side, on disk, in order: NDJSON segments, the oldest first. A line is in the system's
 * hands when `append` returns, so that kill -9 of this process loses none; `sync` makes it survive a power cut. One process a directory.
 * When it or the disk is full, what comes is refused, loudly, and the oldest are kept; nothing here is worth ending for.
 */
export class Spool {
  /** @type {Segment[]} */ #segments = [];
  #offset = 0; // how far the first segment has been taken
  #bytes = 0;
  /** @type {Set<string>} */ #known = new Set(); // every segment's name so far: one that cannot be removed is not told again and again
  #newest = 0; // the time in the last segment's name: a clock that is set back must not mix up their order
  #serial = 0;
  #refused = 0;
  #loudAt = -Infinity;
  #dir;
  #maxBytes;
  #segmentBytes; // room is had back by whole segments
  #rejected;
  #log;

  /** @param {{dir: string, maxBytes: number, log: Log}} options */
  constructor({ dir, maxBytes, log }) {
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    this.#segmentBytes = Math.min(SEGMENT_BYTES, Math.max(SMALLEST_SEGMENT_BYTES, maxBytes / 4));
    this.#rejected = new Rejected({ dir, maxBytes, log });
    this.#log = log;
    this.#takeOver();
  }

  /** Events that wait. */
  get count() {
    return this.#segments.reduce((sum, { lines }) => sum + lines, 0);
  }

  /** @param {string} line - without its newline @returns {boolean} false when there is no room for it */
  append(line) {
    const bytes = Buffer.from(`${line}\n`);
    if (bytes.length > READ_BYTES) return this.#refuse('an event is larger than 1 MiB'); // nothing behind it could ever be read
    if (this.#bytes + bytes.length > this.#maxBytes) return this.#refuse('the event spool is full');
    try {
      const segment = this.#open();
      this.#write(segment, bytes);
      segment.lines += 1;
    } catch (error) {
      return this.#refuse(`the event spool cannot be written: ${/** @type {Error} */ (error).message}`);
    }
    this.#bytes += bytes.length;
    return true;
  }

  /** Whether so much would be taken now: the disk tells only when it is written to. @param {number} bytes */
  fits(bytes) {
    if (this.#bytes + bytes > this.#maxBytes) return false;
    try {
      const segment = this.#open();
      this.#write(segment, Buffer.alloc(bytes)); // without a newline: should we end here, it is a torn last line
      this.#cut(segment, segment.bytes - bytes);
      return true;
    } catch {
      return false;
    }
  }

  /** The oldest lines, at most `max`; null when none wait. @param {number} max @returns {Batch | null} @throws what may pass */
  peek(max) {
    while (this.#segments.length > 0) {
      const batch = this.#read(this.#first(), max);
      if (!batch) continue; // on with the next one
      if (batch.lines.length > 0) return batch;
      if (this.#segments.length === 1) return null;
      this.#retire();
    }
    return null;
  }

  /** Gives up what `peek` returned. @param {Batch} batch */
  advance({ segment, lines, bytes }) {
    if (segment !== this.#first()) return; // it has disappeared meanwhile
    this.#offset += bytes;
    segment.lines = Math.max(0, segment.lines - lines.length);
    if (this.#segments.length === 1 && this.#offset >= this.#first().bytes) this.#startOver();
    else this.#remember();
  }

  /**
   * Takes over what has been moved here meanwhile. It goes behind the first segment, whose place is known by how far it has been taken, and
   * before what is still to come. @returns {boolean} whether there was something @throws when the directory cannot be read
   */
  adopt() {
    const names = this.#unknown();
    const last = this.#segments.at(-1);
    if (names.length > 0 && last) this.#finish(last);
    for (const name of names) this.#take(name);
    const [first, ...others] = this.#segments;
    if (first) this.#segments = [first, ...others.sort((one, other) => (one.path < other.path ? -1 : 1))];
    return names.length > 0;
  }

  /** Puts lines aside that the web side will never take. @param {string[]} lines */
  reject(lines) {
    this.#rejected.put(lines);
  }

  /** @returns {Promise<void>} */
  sync() {
    const fd = this.#segments.at(-1)?.fd;
    return new Promise((resolve) => (fd === undefined ? resolve() : fs.fdatasync(fd, () => resolve())));
  }

  close() {
    for (const segment of this.#segments) if (segment.fd !== undefined) fs.closeSync(segment.fd);
    const [first, ...others] = this.#segments;
    if (first?.bytes === 0 && others.length === 0) fs.rmSync(first.path, { force: true });
    this.#segments = [];
  }

  /** Takes over what an earlier process left, torn last lines included. A disk that is too full for the directory is no reason not to send. */
  #takeOver() {
    try {
      fs.mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    } catch (err) {
      if (!FULL.has(/** @type {any} */ (err).code)) throw err;
      this.#log.error({ err }, 'the event spool cannot be made: events are being refused');
      return;
    }
    for (const name of this.#unknown()) this.#take(name);
    const [first] = this.#segments;
    if (!first) return;
    this.#offset = this.#recall(path.basename(first.path));
    first.lines -= countLines(first.path, this.#offset);
  }

  /** Segments of this directory that nobody here has seen, the oldest first. */
  #unknown() {
    return fs.readdirSync(this.#dir).filter((name) => SEGMENT_NAME.test(name) && !this.#known.has(name)).sort();
  }

  /** @param {string} name @throws what may pass */
  #take(name) {
    const segment = { path: path.join(this.#dir, name), bytes: 0, lines: 0 };
    try {
      segment.lines = countLines(segment.path);
      segment.bytes = fs.statSync(segment.path).size;
      this.#segments.push(segment);
      this.#bytes += segment.bytes;
    } catch (err) {
      this.#giveUp(segment, err);
    }
    this.#known.add(name);
    this.#newest = Math.max(this.#newest, Number.parseInt(name, 10));
  }

  /** A line is written whole or not at all: half a line would spoil the next one. @param {Segment} segment @param {Buffer} bytes */
  #write(segment, bytes) {
    try {
      if (fs.writeSync(/** @type {number} */ (segment.fd), bytes) !== bytes.length) throw new Error('the disk is full');
    } catch (error) {
      this.#cut(segment, segment.bytes);
      throw error;
    }
    segment.bytes += bytes.length;
  }

  /** One that cannot even be cut is left with its torn last line, and the next event begins another. @param {Segment} segment @param {number} bytes */
  #cut(segment, bytes) {
    segment.bytes = bytes;
    try {
      fs.ftruncateSync(/** @type {number} */ (segment.fd), bytes);
    } catch {
      this.#finish(segment);
    }
  }

  /** The segment that is written to. It is begun when it is needed: a full disk must not keep the bridge from starting. @returns {Segment} */
  #open() {
    const last = this.#segments.at(-1);
    if (last?.fd === undefined || last.bytes >= this.#segmentBytes) return this.#begin();
    if (fs.fstatSync(last.fd).nlink > 0) return last;
    this.#forget(last, new Error('somebody removed it')); // the file is there as long as it is open, and nobody would find it
    return this.#begin();
  }

  /** @returns {Segment} */
  #begin() {
    this.#newest = Math.max(this.#newest, Date.now());
    const name = `${pad(this.#newest, 15)}-${pad(this.#serial++, 6)}-${randomBytes(4).toString('hex')}.ndjson`;
    const file = path.join(this.#dir, name);
    const segment = { path: file, bytes: 0, lines: 0, fd: fs.openSync(file, 'ax', 0o600) };
    this.#known.add(name);
    const before = this.#segments.at(-1);
    if (before) this.#finish(before);
    this.#segments.push(segment);
    return segment;
  }

  /** It is written to no more. @param {Segment} segment */
  #finish(segment) {
    if (segment.fd !== undefined) fs.closeSync(segment.fd);
    segment.fd = undefined;
  }

  /** The first segment has been taken whole. */
  #retire() {
    const [done] = this.#segments.splice(0, 1);
    if (!done) return;
    this.#bytes -= done.bytes;
    this.#offset = 0;
    this.#remember(); // before the removal: an offset must never be read as one of another segment
    fs.rmSync(done.path, { force: true });
  }

  /** What has disappeared, or can never be read, must hold up nothing that follows. @param {Segment} segment @param {unknown} err @throws what may pass */
  #forget(segment, err) {
    this.#giveUp(segment, err);
    this.#finish(segment);
    if (segment === this.#first()) this.#offset = 0;
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    this.#bytes -= segment.bytes;
  }

  /** @param {Segment} segment @param {unknown} err @throws what may pass */
  #giveUp({ path: file, lines }, err) {
    if (PASSING.has(/** @type {any} */ (err).code)) throw err;
    this.#log.error(
      { err, file: path.basename(file), events: lines },
      'a file of the event spool is gone or cannot be read (then it is put aside as .unreadable): its events are not told',
    );
    setAside(file);
  }

  /** Everything has been taken: the segment starts over, if it is one that is written to. */
  #startOver() {
    const last = this.#first();
    if (last.fd === undefined) return this.#retire();
    this.#bytes -= last.bytes;
    this.#offset = 0;
    this.#cut(last, 0);
    this.#remember();
  }

  /** @param {Segment} segment @param {number} max @returns {Batch | null} null: it had to be forgotten @throws what may pass */
  #read(segment, max) {
    try {
      const batch = { ...readLines(segment.path, { offset: this.#offset, bytes: READ_BYTES, max }), segment };
      if (batch.lines.length > 0 || segment.lines === 0) return batch;
      throw new Error('somebody has cut it');
    } catch (err) {
      this.#forget(segment, err);
      return null;
    }
  }

  /** Without it, events are told twice after a restart: not worth stopping for. */
  #remember() {
    const [first] = this.#segments;
    const cursor = JSON.stringify({ file: first && path.basename(first.path), offset: this.#offset });
    try {
      fs.writeFileSync(path.join(this.#dir, 'cursor.json'), cursor, { mode: 0o600 });
    } catch (err) {
      this.#log.warn({ err }, 'the place in the event spool could not be written down');
    }
  }

  /** @param {string | undefined} name @returns {number} */
  #recall(name) {
    try {
      const { file, offset } = JSON.parse(fs.readFileSync(path.join(this.#dir, 'cursor.json'), 'utf8'));
      return file === name && Number.isInteger(offset) && offset <= (this.#segments[0]?.bytes ?? 0) ? offset : 0;
    } catch {
      return 0; // no cursor, or one torn by a crash: some events are told twice
    }
  }

  /** @param {string} why @returns {false} */
  #refuse(why) {
    this.#refused += 1;
    if (performance.now() - this.#loudAt > LOUD_EVERY_MS) {
      this.#loudAt = performance.now();
      this.#log.error({ refused: this.#refused, waiting: this.count, bytes: this.#bytes }, `${why}: events are being refused`);
    }
    return false;
  }

  #first() {
    return /** @type {Segment} */ (this.#segments[0]);
  }
}

/** @param {number} number @param {number} length */
function pad(number, length) {
  return String(number).padStart(length, '0');
}
