import type { Clock } from './clock.ts';
import { describeError, OvenbirdError } from './errors.ts';
import type { Logger } from './logger.ts';

/** A named piece of work that runs until its signal is aborted. */
export interface Task {
  name: string;
  /** Resolves when the work is over. Must return soon after `signal` aborts. A rejection ends the whole process. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Starts named tasks and stops them in reverse order of their start, saying what is still pending.
 *
 * One task failing stops all of them: a daemon with half of its parts is worse than one that is restarted.
 */
export class Lifecycle {
  readonly #running: { name: string; abort: AbortController; done: Promise<void> }[] = [];
  readonly #failure: PromiseWithResolvers<never> = Promise.withResolvers();
  readonly #clock: Clock;
  readonly #logger: Logger;
  #stopping = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
    this.#failure.promise.catch(() => {});
  }

  /** Starts a task. A task that ends by itself without an error is simply over. */
  start(task: Task): void {
    const abort = new AbortController();
    const done = (async () => task.run(abort.signal))().catch((thrown: unknown) => {
      if (this.#stopping || abort.signal.aborted) return;
      this.#logger.error({ task: task.name, err: thrown }, 'task failed');
      this.#failure.reject(
        new OvenbirdError('TaskFailed', `${task.name}: ${describeError(thrown)}`, { cause: thrown }),
      );
    });
    this.#running.push({ name: task.name, abort, done });
  }

  /** Waits until `signal` aborts (resolves) or a task fails (rejects with OvenbirdError `TaskFailed`). */
  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([aborted.promise, this.#failure.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Aborts the tasks, last started first, waiting for each; those still pending after `graceMs` in all are named. */
  async stop(graceMs: number): Promise<{ pending: string[] }> {
    this.#stopping = true;
    const deadline = new AbortController();
    const timer = this.#clock.setTimer(graceMs, () => deadline.abort());
    const late = new Promise<'late'>((resolve) => {
      deadline.signal.addEventListener('abort', () => resolve('late'), { once: true });
    });
    const over = new Set<string>();
    for (const task of this.#running.toReversed()) {
      void task.done.then(() => over.add(task.name));
      task.abort.abort(new OvenbirdError('Stopping', `${task.name} was told to stop`));
      await Promise.race([task.done, late]);
    }
    timer.cancel();
    // Tasks told to stop only after the grace was over get one turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    const pending = this.#running.map((task) => task.name).filter((name) => !over.has(name));
    if (pending.length > 0) this.#logger.warn({ pending }, 'stopped with tasks still pending');
    this.#running.length = 0;
    return { pending };
  }
}
