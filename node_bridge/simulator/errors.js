/** An answer of the control API other than success. `code` is stable, `message` is for people. */
export class ControlError extends Error {
  /** @param {400 | 404 | 409} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A client's query is answered with an error. */
export class QueryError extends Error {
  /** @param {number} code @param {string} text */
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}
