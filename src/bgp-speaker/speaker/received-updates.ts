import type { Clock } from '../../base/index.ts';
import { addressFamilies } from '../message/assigned-numbers.ts';
import type { UpdateVerdict } from '../message/update-classifier.ts';
import type { SessionCounters } from './counters.ts';
import type { EventDetail } from './events.ts';

/** Reports of malformed UPDATEs a second and peer. */
const mostASecond = 10;

/** What becomes of the routes of a peer: they are counted, and reported where they are malformed. */
export class ReceivedUpdates {
  readonly #peer: string;
  readonly #clock: Clock;
  readonly #counters: SessionCounters;
  readonly #emit: (event: EventDetail) => void;
  #secondStartMs = Number.NEGATIVE_INFINITY;
  #inSecond = 0;
  #unreported = 0;

  constructor(peer: string, clock: Clock, counters: SessionCounters, emit: (event: EventDetail) => void) {
    this.#peer = peer;
    this.#clock = clock;
    this.#counters = counters;
    this.#emit = emit;
  }

  /** @param message all of it, good until this returns */
  take(verdict: UpdateVerdict, message: Uint8Array): void {
    const counters = this.#counters;
    const { action, endOfRib, problems } = verdict;
    for (const family of addressFamilies) {
      counters.prefixesIn += verdict.announced[family];
      counters.withdrawnIn += verdict.withdrawn[family];
    }
    if (endOfRib) this.#emit({ type: 'end-of-rib', peer: this.#peer, family: endOfRib, direction: 'in' });
    if (action === 'accept') return;
    if (action === 'session-reset') counters.sessionResets += 1;
    else if (action === 'treat-as-withdraw') counters.treatedAsWithdraw += 1;
    else counters.attributesDiscarded += 1;
    const unreported = this.#admit();
    if (unreported === undefined) return;
    const copy = Uint8Array.from(message);
    this.#emit({ type: 'malformed-update', peer: this.#peer, action, problems, message: copy, unreported });
  }

  /** How many reports were left out before this one, or undefined when this one is left out too. */
  #admit(): number | undefined {
    const now = this.#clock.monotonicMs();
    if (now - this.#secondStartMs >= 1000) {
      this.#secondStartMs = now;
      this.#inSecond = 0;
    }
    if (this.#inSecond >= mostASecond) {
      this.#unreported += 1;
      return undefined;
    }
    this.#inSecond += 1;
    const before = this.#unreported;
    this.#unreported = 0;
    return before;
  }
}
