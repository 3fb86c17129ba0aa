import type { Clock } from '../../base/index.ts';
import type { RfcState } from '../session/peer-state.ts';
import { Allowance } from './allowance.ts';
import type { EventDetail } from './events.ts';

/** Why an attempt failed. */
type FailureReason = Extract<EventDetail, { type: 'failed' }>['reason'];

export interface SessionReportsOptions {
  readonly peer: string;
  readonly dynamic: boolean;
  readonly clock: Clock;
  /** Of all dynamic peers together: each new connection may be another. */
  readonly arrivals: Allowance;
  emit(event: EventDetail): void;
}

/**
 * Tells how a session comes and goes. A peer can provoke at will what happens before it is established, so that much is
 * told ten times a second at most. Of a dynamic peer whose coming was not told nothing else is, until it is established.
 */
export class SessionReports {
  readonly #options: SessionReportsOptions;
  readonly #states: Allowance;
  readonly #failures: Allowance;
  #isKnown = false;

  constructor(options: SessionReportsOptions) {
    this.#options = options;
    this.#states = new Allowance(options.clock);
    this.#failures = new Allowance(options.clock);
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

  failed(reason: FailureReason, text: string): void {
    const { emit, peer } = this.#options;
    const unreported = this.#isKnown ? this.#failures.take() : undefined;
    if (unreported !== undefined) emit({ type: 'failed', peer, reason, text, unreported });
  }

  #introduce(unreported: number): void {
    if (this.#isKnown) return;
    this.#isKnown = true;
    const { emit, peer, dynamic } = this.#options;
    emit({ type: 'peer-added', peer, dynamic, unreported });
  }
}
