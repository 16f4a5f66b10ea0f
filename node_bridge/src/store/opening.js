/**
 * One opening of a session under a term. It numbers what it writes: a write whose connection stood still may reach the database long after it was
 * given up and repeated, and a lower number than the last one says that it is out of date. Each opening begins far above the one before.
 */
export class Opening {
  #written;

  /** @param {{session: string, term: number, written: number}} options - `written`: the number that the opening itself has */
  constructor({ session, term, written }) {
    this.session = session;
    this.term = term;
    this.#written = written;
  }

  /** The number of the next write, and of every repetition of it. */
  next() {
    this.#written += 1;
    return this.#written;
  }
}
