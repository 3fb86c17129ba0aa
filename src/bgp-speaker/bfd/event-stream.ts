import type { BfdSessionEvent } from './session-events.ts';

/** Events that one subscriber may leave untaken; the oldest are dropped then. */
const longestQueue = 1000;

type Result = IteratorResult<BfdSessionEvent, undefined>;

/** The events of one session, for any number of subscribers, each of which begins with how things stand. */
export class EventStream {
  readonly #subscribers = new Set<Subscriber>();
  /** The latest of each type that describes how things stand. */
  readonly #standing = new Map<string, BfdSessionEvent>();
  #end: { error: Error | undefined } | undefined;

  push(event: BfdSessionEvent): void {
    if (event.type === 'recovered') this.#standing.delete('problem');
    else this.#standing.set(event.type, event);
    for (const subscriber of this.#subscribers) subscriber.push(event);
  }

  /** No event comes any more; with an error, whoever waits for one gets it. */
  end(error?: Error): void {
    this.#end ??= { error };
    for (const subscriber of this.#subscribers) subscriber.end(this.#end.error);
    this.#subscribers.clear();
  }

  /** From the first `next()` on: nothing is kept for whoever never asks. An aborted signal ends it. */
  subscribe({ signal }: { signal?: AbortSignal } = {}): AsyncIterableIterator<BfdSessionEvent> {
    const subscriber = new Subscriber({
      begin: () => {
        if (signal?.aborted) return subscriber.end(undefined);
        for (const event of this.#standing.values()) subscriber.push(event);
        if (this.#end) return subscriber.end(this.#end.error);
        this.#subscribers.add(subscriber);
        signal?.addEventListener('abort', onAbort, { once: true });
      },
      over: () => {
        this.#subscribers.delete(subscriber);
        signal?.removeEventListener('abort', onAbort);
      },
    });
    const onAbort = () => subscriber.end(undefined);
    return subscriber;
  }
}

class Subscriber implements AsyncIterableIterator<BfdSessionEvent, undefined> {
  readonly #needs: { begin(): void; over(): void };
  readonly #queue: BfdSessionEvent[] = [];
  readonly #waiting: PromiseWithResolvers<Result>[] = [];
  #lost = 0;
  #hasBegun = false;
  #end: { error: Error | undefined } | undefined;

  constructor(needs: { begin(): void; over(): void }) {
    this.#needs = needs;
  }

  push(event: BfdSessionEvent): void {
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting.resolve({ done: false, value: event });
      return;
    }
    if (this.#queue.length >= longestQueue) {
      this.#queue.shift();
      this.#lost += 1;
    }
    this.#queue.push(event);
  }

  end(error: Error | undefined): void {
    if (this.#end) return;
    this.#end = { error };
    this.#needs.over();
    for (const waiting of this.#waiting.splice(0)) {
      if (error) waiting.reject(error);
      else waiting.resolve({ done: true, value: undefined });
    }
  }

  async next(): Promise<Result> {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      if (!this.#end) this.#needs.begin();
    }
    const event = this.#take();
    if (event) return { done: false, value: event };
    if (this.#end?.error) throw this.#end.error;
    if (this.#end) return { done: true, value: undefined };
    const waiting = Promise.withResolvers<Result>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** `break` in a `for await`. */
  async return(): Promise<Result> {
    this.#queue.length = 0;
    this.#lost = 0;
    this.end(undefined);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): BfdSessionEvent | undefined {
    if (this.#lost === 0) return this.#queue.shift();
    const count = this.#lost;
    this.#lost = 0;
    return { type: 'lost', count };
  }
}
