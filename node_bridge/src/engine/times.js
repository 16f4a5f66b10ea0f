const LATEST_MS = Date.UTC(9999, 11, 31); // beyond, ISO 8601 takes a form that few can read

/** A time as the server writes it. @param {unknown} seconds - since 1970 @returns {string | undefined} ISO 8601; undefined when it makes no sense */
export function isoOf(seconds) {
  const ms = Number(seconds) * 1000;
  return ms > 0 && ms <= LATEST_MS ? new Date(ms).toISOString() : undefined;
}
