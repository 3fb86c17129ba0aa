import type { Address, Cidr } from '../../net/index.ts';
import { BgpOptionsError, type Notification } from '../errors.ts';
import type { AddressFamily } from '../message/assigned-numbers.ts';
import type { RouteAttributes } from '../message/path-attributes.ts';
import type { AttributeProblem, ErrorAction } from '../message/update-attributes.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { DownReason, RfcState } from '../session/peer-state.ts';
import type { RefusalReason } from '../transport/transport.ts';

/** What happens, for logs, metrics and status. `peer` is the name of the session. */
export type SpeakerEvent = { readonly atMs: number } /**
 * Of dynamic peers at most 10 a second, and `unreported` counts those left out since the last one. Who was left out is
 * told when the session is established; else nothing is told of it.
 */ & (
  | { type: 'peer-added'; peer: string; dynamic: boolean; unreported: number }
  | { type: 'peer-removed'; peer: string }
  /** RFC 4271 section 8.2.2. To and from Established always, others at most 10 a second and peer; `unreported` as above. */
  | { type: 'state'; peer: string; from: RfcState; to: RfcState; unreported: number }
  | { type: 'established'; peer: string; negotiated: Negotiated }
  /** An established session ended. */
  | { type: 'down'; peer: string; reason: DownReason; text: string }
  /**
   * A connection, or an attempt to make one, ended before it was established. At most 10 a second and peer; `unreported`
   * as above.
   */
  | {
      type: 'failed';
      peer: string;
      reason: DownReason | { kind: 'connect'; error: Error };
      text: string;
      unreported: number;
    }
  /**
   * An UPDATE was malformed (RFC 7606). `message` is all of it. At most 10 a second and peer; `unreported` counts those
   * left out since the last one.
   */
  | {
      type: 'malformed-update';
      peer: string;
      action: ErrorAction;
      problems: readonly AttributeProblem[];
      message: Uint8Array;
      unreported: number;
    }
  /** Once a session and family. */
  | { type: 'end-of-rib'; peer: string; family: AddressFamily; direction: 'in' | 'out' }
  /** The peer asked for all routes of a family again. At most 10 a second and peer are told. */
  | { type: 'refresh-requested'; peer: string; family: AddressFamily }
  /**
   * Routes that this peer goes without, because they cannot be encoded for it; those of one attribute set that fail for
   * one reason together. At most 10 a second and peer; `unreported` as above.
   */
  | {
      type: 'unsendable';
      peer: string;
      family: AddressFamily;
      attributes: RouteAttributes;
      prefixes: number;
      /** One of them. */
      first: Cidr;
      text: string;
      unreported: number;
    }
  | { type: 'bfd'; peer: string; state: 'up' | 'down' | 'admin-down' }
  | { type: 'drain'; peer: string; step: 'graceful-shutdown' | 'withdrawn' | 'ended' }
  /** A connection that is no peer's. At most 10 a second; `unreported` as above. */
  | {
      type: 'refused';
      address: Address;
      port: number | undefined;
      reason: RefusalReason | 'too-many';
      unreported: number;
    }
  /** A listener ended; connections are taken by the others only. */
  | { type: 'listener-failed'; address: Address; error: Error }
  /** This reader was too slow: so many events before this one are lost to it. */
  | { type: 'gap'; lost: number }
);

/** An event without its time. */
export type EventDetail = SpeakerEvent extends infer E ? (E extends SpeakerEvent ? Omit<E, 'atMs'> : never) : never;

export type { Notification };

export interface EventsOptions {
  /** Events held for a reader that is busy, 1-1000000; default 1024. Then the oldest are lost. */
  buffer?: number;
  /** Ends the reading. */
  signal?: AbortSignal;
}

/** Hands every event to every reader; a slow reader loses the oldest, and is told how many. */
export class EventHub {
  readonly #readers = new Set<EventReader>();
  readonly #nowMs: () => number;
  #closed = false;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  emit(detail: EventDetail): void {
    if (this.#readers.size === 0) return;
    const event = { atMs: this.#nowMs(), ...detail } as SpeakerEvent;
    for (const reader of this.#readers) reader.push(event);
  }

  /** Reads from now on, not from the first `next()`. @throws BgpOptionsError */
  read(options: EventsOptions = {}): AsyncIterableIterator<SpeakerEvent> {
    const { buffer = 1024 } = options;
    if (!Number.isInteger(buffer) || buffer < 1 || buffer > 1_000_000) {
      const text = `${buffer} is not a whole number from 1 to 1000000`;
      throw new BgpOptionsError([{ field: 'buffer', text }]);
    }
    const reader = new EventReader(buffer, this.#nowMs, () => {
      this.#readers.delete(reader);
      options.signal?.removeEventListener('abort', onAbort);
    });
    const onAbort = () => reader.end();
    if (this.#closed || options.signal?.aborted) reader.end();
    else {
      this.#readers.add(reader);
      options.signal?.addEventListener('abort', onAbort, { once: true });
    }
    return reader;
  }

  /** Readers get what they hold, then the end. */
  close(): void {
    this.#closed = true;
    for (const reader of [...this.#readers]) reader.end();
  }
}

class EventReader implements AsyncIterableIterator<SpeakerEvent> {
  readonly #events: (SpeakerEvent | undefined)[];
  readonly #onEnd: () => void;
  readonly #nowMs: () => number;
  readonly #waiting: ((result: IteratorResult<SpeakerEvent>) => void)[] = [];
  #first = 0;
  #count = 0;
  #lost = 0;
  #isOver = false;

  constructor(capacity: number, nowMs: () => number, onEnd: () => void) {
    this.#events = Array.from({ length: capacity });
    this.#nowMs = nowMs;
    this.#onEnd = onEnd;
  }

  push(event: SpeakerEvent): void {
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting({ done: false, value: event });
      return;
    }
    const capacity = this.#events.length;
    if (this.#count === capacity) {
      this.#first = (this.#first + 1) % capacity;
      this.#count -= 1;
      this.#lost += 1;
    }
    this.#events[(this.#first + this.#count) % capacity] = event;
    this.#count += 1;
  }

  next(): Promise<IteratorResult<SpeakerEvent>> {
    if (this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      return Promise.resolve({ done: false, value: { atMs: this.#nowMs(), type: 'gap', lost } });
    }
    const event = this.#count > 0 ? this.#events[this.#first] : undefined;
    if (event) {
      this.#events[this.#first] = undefined;
      this.#first = (this.#first + 1) % this.#events.length;
      this.#count -= 1;
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** `break` in a `for await`. */
  return(): Promise<IteratorResult<SpeakerEvent>> {
    this.#count = 0;
    this.#lost = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd();
    for (const resolve of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
