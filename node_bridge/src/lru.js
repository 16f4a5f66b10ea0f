/** The most recently used entries of a map, at most `size`. @template V */
export class Lru {
  /** @type {Map<string, V>} */ #entries = new Map();
  #size;

  /** @param {number} size */
  constructor(size) {
    this.#size = size;
  }

  get size() {
    return this.#entries.size;
  }

  /** The least recently used first; what is deleted meanwhile disturbs nothing. */
  entries() {
    return this.#entries.entries();
  }

  /** @param {string} key @returns {V | undefined} */
  get(key) {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** @param {string} key @param {V} value */
  set(key, value) {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#size) this.#entries.delete(/** @type {string} */ (this.#entries.keys().next().value));
  }

  /** @param {string} key */
  delete(key) {
    this.#entries.delete(key);
  }

  clear() {
    this.#entries.clear();
  }
}
