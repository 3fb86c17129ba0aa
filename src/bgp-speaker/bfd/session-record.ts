/** What happened to one session: its counters, and the events that nobody was told of yet. */
import type { Clock, OvenbirdError } from '../../base/index.ts';
import { diagnostic } from './control-packet.ts';
import { noLateness, noteLateness } from './lateness.ts';
import {
  type BfdDropReason,
  type BfdSessionEvent,
  type BfdSessionStatus,
  type BfdStateReason,
  noDrops,
} from './session-events.ts';
import { type BfdEffect, type BfdSession, detectionMicroseconds } from './session-machine.ts';

/** Counted, but no problem to tell of: queues full for a moment, sockets whose own problem has been told. */
const passing = new Set(['Overrun', 'NotOpen']);

export class SessionRecord {
  readonly #clock: Clock;
  readonly #events: BfdSessionEvent[] = [];
  readonly #discarded = noDrops();
  readonly #lateness = noLateness();
  #stateSinceMs: number;
  #told = { transmitIntervalMs: 0, detectionTimeMs: 0 };
  #problem: OvenbirdError | undefined;
  #received = 0;
  #sent = 0;
  #unsent = 0;
  #ups = 0;
  #downs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#stateSinceMs = clock.monotonicMs();
  }

  received(): void {
    this.#received += 1;
  }

  /** @param error why a packet was not sent */
  sent(error: OvenbirdError | undefined): void {
    if (error === undefined) this.#sent += 1;
    else this.#unsent += 1;
    if (error === undefined || !passing.has(error.code)) this.setProblem(error);
  }

  discarded(reason: BfdDropReason): void {
    this.#discarded[reason] += 1;
  }

  late(byMs: number): void {
    noteLateness(this.#lateness, byMs);
  }

  /** Undefined: there is none now. */
  setProblem(error: OvenbirdError | undefined): void {
    if (error?.message === this.#problem?.message) return;
    this.#problem = error;
    const atMs = this.#clock.nowMs();
    if (error) this.#events.push({ type: 'problem', code: error.code, message: error.message, atMs });
    else this.#events.push({ type: 'recovered', atMs });
  }

  changed(
    { from, to, diagnostic: code, byOperator }: Extract<BfdEffect, { type: 'changed' }>,
    after: BfdSession,
  ): void {
    this.#stateSinceMs = this.#clock.monotonicMs();
    if (to === 'up') this.#ups += 1;
    if (from === 'up') this.#downs += 1;
    const reason = reasonOf(from, to, code, byOperator);
    this.#events.push({
      type: 'state',
      from,
      to,
      reason,
      isFailure: from === 'up' && (reason === 'peer-silent' || reason === 'peer-signaled-down'),
      diagnostic: code,
      remoteDiagnostic: after.remote.diagnostic,
      atMs: this.#clock.nowMs(),
    });
  }

  /** Tells of the intervals where they are others than were told. */
  timing(machine: BfdSession): void {
    const { transmitIntervalMs, detectionTimeMs } = this.#told;
    const detection = detectionMicroseconds(machine);
    if (machine.pacedMicroseconds === transmitIntervalMs * 1000 && detection === detectionTimeMs * 1000) return;
    this.#told = negotiated(machine);
    this.#events.push({ type: 'timing', ...this.#told, atMs: this.#clock.nowMs() });
  }

  /** The oldest that was not taken. */
  takeEvent(): BfdSessionEvent | undefined {
    return this.#events.shift();
  }

  dropEvents(): void {
    this.#events.length = 0;
  }

  status(machine: BfdSession, sourcePort: number): BfdSessionStatus {
    const { state, remote, diagnostic: code, config } = machine;
    return {
      state,
      diagnostic: code,
      forMs: this.#clock.monotonicMs() - this.#stateSinceMs,
      localDiscriminator: config.localDiscriminator,
      sourcePort,
      remote: {
        state: remote.state,
        diagnostic: remote.diagnostic,
        discriminator: remote.discriminator,
        minRxMs: remote.minRxMicroseconds / 1000,
        desiredMinTxMs: remote.desiredMinTxMicroseconds / 1000,
        detectMultiplier: remote.detectMultiplier,
      },
      ...negotiated(machine),
      received: this.#received,
      sent: this.#sent,
      unsent: this.#unsent,
      discarded: { ...this.#discarded },
      ups: this.#ups,
      downs: this.#downs,
      lateness: { counts: [...this.#lateness.counts], maxMs: this.#lateness.maxMs },
      problem: this.#problem?.message,
    };
  }
}

function negotiated(machine: BfdSession): { transmitIntervalMs: number; detectionTimeMs: number } {
  return {
    transmitIntervalMs: machine.pacedMicroseconds / 1000,
    detectionTimeMs: detectionMicroseconds(machine) / 1000,
  };
}

function reasonOf(from: string, to: string, code: number, byOperator: boolean): BfdStateReason {
  if (to === 'admin-down') return 'admin-down';
  if (to === 'up') return 'established';
  if (to === 'init') return 'peer-seen';
  if (from === 'admin-down') return 'started';
  if (byOperator) return 'peer-admin-down';
  return code === diagnostic.detectionTimeExpired ? 'peer-silent' : 'peer-signaled-down';
}
