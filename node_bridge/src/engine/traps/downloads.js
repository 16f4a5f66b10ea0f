const WITHIN_MS = 30_000; // what comes in behind a download waits for it

/** What a socket hands to its downloads as their dispatcher: here a mark alone. */
export const WHOLE = {};

/**
 * Baileys listens for no error of what it downloads, its history and settings: one that breaks off would end the session as a crash, and one
 * that stalls hold up for ever what comes in. Here a download is there as a whole, or an error that Baileys takes. It is meant to be called
 * once for the process.
 * @param {number} [withinMs]
 */
export function downloadWhole(withinMs = WITHIN_MS) {
  const { fetch } = globalThis;
  globalThis.fetch = async (url, options) => {
    const { dispatcher, ...rest } = /** @type {RequestInit & {dispatcher?: unknown}} */ (options ?? {});
    if (dispatcher !== WHOLE) return fetch(url, options);
    const response = await fetch(url, { ...rest, signal: AbortSignal.timeout(withinMs) });
    return new Response(await response.arrayBuffer(), { status: response.status, headers: response.headers });
  };
}
