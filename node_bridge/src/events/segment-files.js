import fs from 'node:fs';

const NEWLINE = 10;

/**
 * Whole lines, the first `max` of those that lie in so many bytes.
 * @param {string} file @param {{offset: number, bytes: number, max: number}} part @returns {{lines: string[], bytes: number}}
 */
export function readLines(file, { offset, bytes, max }) {
  const chunk = readAt(file, offset, bytes);
  const lines = [];
  let from = 0;
  for (let end = chunk.indexOf(NEWLINE); end >= 0 && lines.length < max; end = chunk.indexOf(NEWLINE, from)) {
    lines.push(chunk.toString('utf8', from, end));
    from = end + 1;
  }
  return { lines, bytes: from };
}

/** @param {string} file @param {number} [upTo] - bytes @returns {number} */
export function countLines(file, upTo = Infinity) {
  if (upTo === 0) return 0;
  let lines = 0;
  for (const byte of fs.readFileSync(file).subarray(0, upTo)) if (byte === NEWLINE) lines += 1;
  return lines;
}

/** Under a name by which it is not taken for a segment any more; what is not there needs none. @param {string} file */
export function setAside(file) {
  try {
    fs.renameSync(file, `${file}.unreadable`);
  } catch {
    // It is gone, or the disk refuses: then the next process says so again.
  }
}

/** @param {string} file @param {number} offset @param {number} length */
function readAt(file, offset, length) {
  const fd = fs.openSync(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(Math.min(length, Math.max(0, fs.fstatSync(fd).size - offset)));
    return buffer.subarray(0, fs.readSync(fd, buffer, 0, buffer.length, offset));
  } finally {
    fs.closeSync(fd);
  }
}
