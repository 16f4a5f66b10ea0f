/** @typedef {import('node:events').EventEmitter} EventEmitter */
/** @typedef {(node: any) => unknown} Listener */

/**
 * Puts a guard before the listeners that an event has now. The guard calls `next` to let them have the node.
 * @param {EventEmitter} emitter @param {string} event @param {(node: any, next: () => void) => void} guard
 */
export function intercept(emitter, event, guard) {
  const inner = /** @type {Listener[]} */ (emitter.listeners(event));
  emitter.removeAllListeners(event);
  emitter.on(event, (node) => guard(node, () => inner.forEach((listener) => listener(node))));
}
