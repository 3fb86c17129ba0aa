import type { BfdSessionEvent } from './session-events.ts';

/** Events that one subscriber may leave untaken; the oldest are dropped then. */
const longestQueue = 1000;

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
    for (const subscriber of this.#subscribers) subscriber.wake();
  }

  subscribe(): AsyncIterableIterator<BfdSessionEvent> {
    const subscriber = new Subscriber([...this.#standing.values()]);
    this.#subscribers.add(subscriber);
    return this.#iterate(subscriber);
  }

  async *#iterate(subscriber: Subscriber): AsyncGenerator<BfdSessionEvent, void, undefined> {
    try {
      for (;;) {
        const event = subscriber.take();
        if (event) {
          yield event;
          continue;
        }
        if (this.#end?.error) throw this.#end.error;
        if (this.#end) return;
        await subscriber.more();
      }
    } finally {
      this.#subscribers.delete(subscriber);
    }
  }
}

class Subscriber {
  readonly #queue: BfdSessionEvent[];
  #lost = 0;
  #waiting: PromiseWithResolvers<void> | undefined;

  constructor(standing: BfdSessionEvent[]) {
    this.#queue = standing;
  }

  push(event: BfdSessionEvent): void {
    if (this.#queue.length >= longestQueue) {
      this.#queue.shift();
      this.#lost += 1;
    }
    this.#queue.push(event);
    this.wake();
  }

  take(): BfdSessionEvent | undefined {
    if (this.#lost > 0) {
      const count = this.#lost;
      this.#lost = 0;
      return { type: 'lost', count };
    }
    return this.#queue.shift();
  }

  more(): Promise<void> {
    this.#waiting ??= Promise.withResolvers<void>();
    return this.#waiting.promise;
  }

  wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}
