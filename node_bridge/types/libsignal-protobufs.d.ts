/** What is used of libsignal's wire messages: the package types its entry point alone, and its own code fails a strict check. */
export const PreKeyWhisperMessage: {
  decode(bytes: Uint8Array): { identityKey: Uint8Array; baseKey: Uint8Array; message: Uint8Array; preKeyId?: number };
};
