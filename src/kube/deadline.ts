import type { Clock } from '../base/index.ts';

/** A signal that aborts with its parent or after a time, whichever is first. `dispose` lets go of both. */
export interface Deadline {
  signal: AbortSignal;
  dispose(): void;
}

/** `reason` makes the abort reason when the time is over; a parent's reason is passed on as it is. */
export function deadline(
  clock: Clock,
  timeoutMs: number | undefined,
  parent: AbortSignal | undefined,
  reason: () => Error,
): Deadline {
  const controller = new AbortController();
  const onAbort = () => controller.abort(parent?.reason);
  if (parent?.aborted) onAbort();
  else parent?.addEventListener('abort', onAbort, { once: true });
  const timer = timeoutMs === undefined ? undefined : clock.setTimer(timeoutMs, () => controller.abort(reason()));
  return {
    signal: controller.signal,
    dispose() {
      timer?.cancel();
      parent?.removeEventListener('abort', onAbort);
    },
  };
}
