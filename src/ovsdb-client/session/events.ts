import type { OvsdbError } from '../errors.ts';
import type { DatabaseSchema } from '../schema/schema.ts';
import type { ServerStatus } from './server-status.ts';

/** What happens to a client's connection, in order. Endpoints are written as in the endpoint list. */
export type ConnectionEvent =
  /** An attempt begins. */
  | { readonly type: 'connecting'; readonly endpoint: string }
  /** The attempt failed, or the server is not one to work with. */
  | {
      readonly type: 'rejected';
      readonly endpoint: string;
      readonly reason: string;
      readonly error?: OvsdbError | undefined;
    }
  /** All endpoints failed, or the last session ended as soon as it began; the next round starts after the pause. */
  | { readonly type: 'waiting'; readonly retryInMs: number }
  /** Requests are carried out from now on. */
  | {
      readonly type: 'connected';
      readonly endpoint: string;
      readonly status: ServerStatus;
      readonly schema: DatabaseSchema;
    }
  /** The server says something new of itself (leader, log index). */
  | { readonly type: 'status'; readonly endpoint: string; readonly status: ServerStatus }
  /** The database was converted to another schema. */
  | { readonly type: 'schema'; readonly schema: DatabaseSchema }
  | { readonly type: 'disconnected'; readonly endpoint: string; readonly error: OvsdbError }
  /** `close` was called. The last event. */
  | { readonly type: 'closed' };

/** Where a client stands. */
export type ConnectionState =
  | { readonly kind: 'connecting'; readonly endpoint: string }
  | { readonly kind: 'waiting'; readonly retryInMs: number }
  | { readonly kind: 'connected'; readonly endpoint: string; readonly status: ServerStatus }
  | { readonly kind: 'closed' };

// A reader that never reads must not fill the memory; the newest events are the ones that matter.
const MAXIMUM_WAITING_EVENTS = 1000;

/** Hands events to any number of readers, each with a queue of its own that forgets the oldest beyond 1000. */
export class EventStream<Event> {
  readonly #readers = new Set<{ queue: Event[]; wake: () => void }>();
  #ended = false;

  emit(event: Event): void {
    for (const reader of this.#readers) {
      reader.queue.push(event);
      if (reader.queue.length > MAXIMUM_WAITING_EVENTS) reader.queue.shift();
      reader.wake();
    }
  }

  end(): void {
    this.#ended = true;
    for (const reader of this.#readers) reader.wake();
  }

  /** The events from this call on. Ends with the stream; throws the signal's reason when aborted. */
  read(signal?: AbortSignal): AsyncGenerator<Event, void, void> {
    const reader = { queue: [] as Event[], wake: () => {} };
    this.#readers.add(reader);
    return this.#drain(reader, signal);
  }

  async *#drain(reader: { queue: Event[]; wake: () => void }, signal?: AbortSignal): AsyncGenerator<Event, void, void> {
    try {
      for (;;) {
        signal?.throwIfAborted();
        const event = reader.queue.shift();
        if (event !== undefined) yield event;
        else if (this.#ended) return;
        else {
          const { promise, resolve } = Promise.withResolvers<void>();
          const onAbort = () => resolve();
          reader.wake = onAbort;
          signal?.addEventListener('abort', onAbort, { once: true });
          await promise;
          signal?.removeEventListener('abort', onAbort);
        }
      }
    } finally {
      this.#readers.delete(reader);
    }
  }
}
