import type { Clock } from '../../base/index.ts';
import type { AddressFamily } from '../message/assigned-numbers.ts';
import type { UnsendableRoutes } from '../rib/route-reader.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { DownReason, RfcState } from '../session/peer-state.ts';
import { Allowance } from './allowance.ts';
import type { SessionCounters } from './counters.ts';
import { describeDown } from './down-text.ts';
import type { EventDetail } from './events.ts';

/** Why an attempt failed. */
type FailureReason = Extract<EventDetail, { type: 'failed' }>['reason'];

export interface SessionReportsOptions {
  readonly peer: string;
  readonly dynamic: boolean;
  readonly clock: Clock;
  readonly counters: SessionCounters;
  /** Of all dynamic peers together: each new connection may be another. */
  readonly arrivals: Allowance;
  emit(event: EventDetail): void;
}

/**
 * Counts and tells how a session comes and goes, and what is wrong with it. A peer can provoke at will what happens before
 * it is established, so that much is told ten times a second at most. Of a dynamic peer whose coming was not told nothing
 * else is, until it is established.
 */
export class SessionReports {
  readonly #options: SessionReportsOptions;
  readonly #states: Allowance;
  readonly #failures: Allowance;
  readonly #refreshes: Allowance;
  readonly #unsendables: Allowance;
  #isKnown = false;

  constructor(options: SessionReportsOptions) {
    const { clock } = options;
    this.#options = options;
    this.#states = new Allowance(clock);
    this.#failures = new Allowance(clock);
    this.#refreshes = new Allowance(clock);
    this.#unsendables = new Allowance(clock);
  }

  added(): void {
    const { dynamic, arrivals } = this.#options;
    const unreported = dynamic ? arrivals.take() : 0;
    if (unreported !== undefined) this.#introduce(unreported);
  }

  removed(): void {
    const { emit, peer } = this.#options;
    if (this.#isKnown) emit({ type: 'peer-removed', peer });
  }

  state(from: RfcState, to: RfcState): void {
    const { emit, peer } = this.#options;
    if (to === 'Established') this.#introduce(0);
    const isSession = to === 'Established' || from === 'Established';
    const unreported = isSession ? 0 : this.#isKnown ? this.#states.take() : undefined;
    if (unreported !== undefined) emit({ type: 'state', peer, from, to, unreported });
  }

  established(negotiated: Negotiated): void {
    const { emit, peer, clock, counters } = this.#options;
    counters.established += 1;
    counters.establishedSinceMs = clock.nowMs();
    emit({ type: 'established', peer, negotiated });
  }

  /** @param detail more than the reason says, or empty */
  down(reason: DownReason, detail: string): void {
    const { emit, peer, counters } = this.#options;
    counters.flaps += 1;
    counters.establishedSinceMs = undefined;
    emit({ type: 'down', peer, reason, text: this.#noteError(describeDown(reason, detail)) });
  }

  failed(reason: DownReason, detail: string): void {
    this.#failed(reason, describeDown(reason, detail));
  }

  connectFailed(error: Error): void {
    this.#failed({ kind: 'connect', error }, error.message);
  }

  refreshRequested(family: AddressFamily): void {
    const { emit, peer } = this.#options;
    if (this.#refreshes.take() !== undefined) emit({ type: 'refresh-requested', peer, family });
  }

  unsendable({ error, ...routes }: UnsendableRoutes): void {
    const { emit, peer } = this.#options;
    const unreported = this.#unsendables.take();
    if (unreported !== undefined) emit({ type: 'unsendable', peer, ...routes, text: error.message, unreported });
  }

  #failed(reason: FailureReason, text: string): void {
    const { emit, peer, counters } = this.#options;
    counters.failures += 1;
    this.#noteError(text);
    const unreported = this.#isKnown ? this.#failures.take() : undefined;
    if (unreported !== undefined) emit({ type: 'failed', peer, reason, text, unreported });
  }

  #noteError(text: string): string {
    const { counters, clock } = this.#options;
    counters.lastError = text;
    counters.lastErrorAtMs = clock.nowMs();
    return text;
  }

  #introduce(unreported: number): void {
    if (this.#isKnown) return;
    this.#isKnown = true;
    const { emit, peer, dynamic } = this.#options;
    emit({ type: 'peer-added', peer, dynamic, unreported });
  }
}
