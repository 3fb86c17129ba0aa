import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `condition` holds; throws with `what` after `limitMs` of real time. */
export async function eventually(condition: () => boolean, what = String(condition), limitMs = 3000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`did not happen in ${limitMs} ms: ${what}`);
    await sleep(2);
  }
}
