import type { Clock } from '../../base/index.ts';
import { type AddressFamily, addressFamilies } from '../message/assigned-numbers.ts';
import type { UpdateVerdict } from '../message/update-classifier.ts';
import { Allowance } from './allowance.ts';
import type { SessionCounters } from './counters.ts';
import type { EventDetail } from './events.ts';

/** What becomes of the routes of a peer: they are counted, and reported where they are malformed. */
export class ReceivedUpdates {
  readonly #peer: string;
  readonly #allowance: Allowance;
  readonly #counters: SessionCounters;
  readonly #emit: (event: EventDetail) => void;
  /** Families whose End-of-RIB was reported on this session. */
  readonly #ended = new Set<AddressFamily>();

  constructor(peer: string, clock: Clock, counters: SessionCounters, emit: (event: EventDetail) => void) {
    this.#peer = peer;
    this.#allowance = new Allowance(clock);
    this.#counters = counters;
    this.#emit = emit;
  }

  /** A session begins: what the last one ended is open again. */
  begin(): void {
    this.#ended.clear();
  }

  /** @param message all of it, good until this returns */
  take(verdict: UpdateVerdict, message: Uint8Array): void {
    const counters = this.#counters;
    const { action, endOfRib, problems } = verdict;
    for (const family of addressFamilies) {
      counters.prefixesIn += verdict.announced[family];
      counters.withdrawnIn += verdict.withdrawn[family];
    }
    if (endOfRib && !this.#ended.has(endOfRib)) {
      this.#ended.add(endOfRib);
      this.#emit({ type: 'end-of-rib', peer: this.#peer, family: endOfRib, direction: 'in' });
    }
    if (action === 'accept') return;
    if (action === 'session-reset') counters.sessionResets += 1;
    else if (action === 'treat-as-withdraw') counters.treatedAsWithdraw += 1;
    else counters.attributesDiscarded += 1;
    const unreported = this.#allowance.take();
    if (unreported === undefined) return;
    const copy = Uint8Array.from(message);
    this.#emit({ type: 'malformed-update', peer: this.#peer, action, problems, message: copy, unreported });
  }
}
