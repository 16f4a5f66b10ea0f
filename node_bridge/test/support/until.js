import { setTimeout as sleep } from 'node:timers/promises';

/** For what nobody announces: asks until it holds. @param {() => Promise<unknown>} holds @param {number} [withinMs] */
export async function until(holds, withinMs = 15_000) {
  for (const giveUpAt = performance.now() + withinMs; !(await holds()); await sleep(20)) {
    if (performance.now() > giveUpAt) throw new Error(`it did not come true: ${holds}`);
  }
}
