/** One session with its timers, counters and the bytes last sent and received. */
import type { Clock, OvenbirdError, Random, Timer } from '../../base/index.ts';
import { type BfdControlPacket, bfdPacketBytes, diagnostic, encodeBfdPacketInto } from './control-packet.ts';
import { noLateness, noteLateness } from './lateness.ts';
import {
  type BfdDropReason,
  type BfdSessionEvent,
  type BfdSessionStatus,
  type BfdStateReason,
  noDrops,
} from './session-events.ts';
import {
  type BfdEffect,
  type BfdEvent,
  type BfdSession,
  type BfdStep,
  detectionMicroseconds,
  newBfdSession,
  stepBfd,
} from './session-machine.ts';
import { type BfdTiming, type ResolvedBfdSession, resolveBfdTiming } from './session-options.ts';

export interface SessionNeeds {
  clock: Clock;
  /** For jitter. */
  random: Random;
  /** Undefined when it was sent. */
  send(packet: Uint8Array): OvenbirdError | undefined;
  /** Gives what is queued in the session's socket to its session, in this call. */
  drain(): void;
  onEvent(event: BfdSessionEvent): void;
}

/** Timers fire up to this much before their time, and are then taken as due: for sending, which has jitter anyway. */
const timerSlackMs = 0.5;
/** And up to this much later, as they count whole milliseconds. */
const timerGrainMs = 1;
/** Counted, but no problem to tell of: queues full for a moment, sockets whose own problem has been told. */
const passing = new Set(['Overrun', 'NotOpen']);
const pollAndFinal = 0x30;
/** Whoever closes waits no longer than this for the peer to hear of it. */
export const longestFarewellMs = 2000;

/**
 * Runs a session machine. What comes and goes most of the time, one packet after another that says the same, costs no
 * memory: a packet equal to the one before it only moves the deadline, and what the machine said about sending is kept
 * until its state changes.
 */
export class RunningSession {
  readonly localDiscriminator: number;
  readonly #needs: SessionNeeds;
  #machine: BfdSession;
  #transmitAtMs = Number.POSITIVE_INFINITY;
  #detectAtMs = Number.POSITIVE_INFINITY;
  #armedAtMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  #stateSinceMs: number;
  readonly #lastReceived = new Uint8Array(bfdPacketBytes);
  readonly #outgoing = new Uint8Array(bfdPacketBytes);
  #encoded: BfdControlPacket | undefined;
  /** What the transmit timer does in this state of the machine. */
  #periodic: { machine: BfdSession; effects: readonly BfdEffect[] } | undefined;
  #told = { transmitIntervalMs: 0, detectionTimeMs: 0 };
  #problem: OvenbirdError | undefined;
  readonly #events: BfdSessionEvent[] = [];
  /** In a step whose effects are not all applied. */
  #isBusy = false;
  /** Told when the farewell is over; once there is one, nobody hears of this session any more. */
  #onClosed: (() => void) | undefined;
  #farewellTimer: Timer | undefined;
  #isClosed = false;
  #received = 0;
  #sent = 0;
  #unsent = 0;
  #ups = 0;
  #downs = 0;
  readonly #discarded = noDrops();
  readonly #lateness = noLateness();

  constructor(options: ResolvedBfdSession, localDiscriminator: number, needs: SessionNeeds) {
    this.localDiscriminator = localDiscriminator;
    this.#needs = needs;
    this.#stateSinceMs = needs.clock.monotonicMs();
    this.#machine = newBfdSession({
      localDiscriminator,
      desiredMinTxMicroseconds: options.desiredMinTxMs * 1000,
      requiredMinRxMicroseconds: options.requiredMinRxMs * 1000,
      detectMultiplier: options.detectMultiplier,
      passive: options.passive,
    });
  }

  start(adminDown: boolean): void {
    this.#step({ type: adminDown ? 'admin-down' : 'start' });
  }

  setAdminDown(adminDown: boolean): void {
    if (this.#onClosed || adminDown === (this.#machine.state === 'admin-down')) return;
    this.#step({ type: adminDown ? 'admin-down' : 'start' });
  }

  /** @throws BfdError `BadOptions` */
  configure(change: BfdTiming): void {
    const { config } = this.#machine;
    const timing = resolveBfdTiming(change, {
      desiredMinTxMs: config.desiredMinTxMicroseconds / 1000,
      requiredMinRxMs: config.requiredMinRxMicroseconds / 1000,
      detectMultiplier: config.detectMultiplier,
    });
    if (this.#onClosed) return;
    this.#step({
      type: 'configure',
      desiredMinTxMicroseconds: timing.desiredMinTxMs * 1000,
      requiredMinRxMicroseconds: timing.requiredMinRxMs * 1000,
      detectMultiplier: timing.detectMultiplier,
    });
  }

  get isAdminDown(): boolean {
    return this.#machine.state === 'admin-down';
  }

  /** Whether this is the packet that came before, of which the machine would learn nothing but that the peer lives. */
  isRepetition(bytes: Uint8Array): boolean {
    if (this.#machine.state !== 'up' || ((bytes[1] ?? 0) & pollAndFinal) !== 0) return false;
    const last = this.#lastReceived;
    for (let i = 0; i < bfdPacketBytes; i++) if (bytes[i] !== last[i]) return false;
    return true;
  }

  /** A packet for which `isRepetition` holds, and which passed the checks of its path. */
  repeat(): void {
    this.#received += 1;
    this.#setDetect(detectionMicroseconds(this.#machine));
  }

  /** A packet that passed all checks (or came while taken down); `bytes` is what it was decoded from. */
  receive(packet: BfdControlPacket, bytes: Uint8Array): void {
    if (this.#isClosed) return;
    if (!this.isAdminDown) this.#received += 1;
    this.#lastReceived.set(bytes.subarray(0, bfdPacketBytes));
    this.#step({ type: 'packet', packet });
  }

  noteDiscard(reason: BfdDropReason): void {
    this.#discarded[reason] += 1;
  }

  /** Sockets could not be opened; undefined: they are open now. */
  setProblem(error: OvenbirdError | undefined): void {
    if (error?.message === this.#problem?.message) return;
    this.#problem = error;
    const atMs = this.#needs.clock.nowMs();
    if (error) this.#events.push({ type: 'problem', code: error.code, message: error.message, atMs });
    else this.#events.push({ type: 'recovered', atMs });
    if (!this.#isBusy) this.#tell();
  }

  status(sourcePort: number): BfdSessionStatus {
    const { state, remote, diagnostic: code } = this.#machine;
    return {
      state,
      diagnostic: code,
      forMs: this.#needs.clock.monotonicMs() - this.#stateSinceMs,
      localDiscriminator: this.localDiscriminator,
      sourcePort,
      remote: {
        state: remote.state,
        diagnostic: remote.diagnostic,
        discriminator: remote.discriminator,
        minRxMs: remote.minRxMicroseconds / 1000,
        desiredMinTxMs: remote.desiredMinTxMicroseconds / 1000,
        detectMultiplier: remote.detectMultiplier,
      },
      ...this.#negotiated(),
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

  /**
   * Tells the peer, if it is known, that this is no failure: several times where it may think the session up, until it
   * has heard or `longestFarewellMs` are over. Then `onClosed`. To be called once.
   */
  close(onClosed: () => void): void {
    this.setAdminDown(true);
    this.#onClosed = onClosed;
    this.#farewellTimer = this.#needs.clock.setTimer(longestFarewellMs, () => this.end());
    this.#endAfterFarewell();
  }

  /** Cuts the farewell short. */
  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#farewellTimer?.cancel();
    this.#onClosed?.();
  }

  #endAfterFarewell(): void {
    if (this.#onClosed && this.#machine.farewells === 0) this.end();
  }

  #step(event: BfdEvent): void {
    this.#isBusy = true;
    const { session, effects } = stepBfd(this.#machine, event);
    this.#machine = session;
    this.#apply(effects);
    this.#arm();
    this.#isBusy = false;
    this.#tell();
  }

  /** Last of all: whoever hears of it may call back. */
  #tell(): void {
    if (this.#onClosed) this.#events.length = 0;
    this.#endAfterFarewell();
    for (let event = this.#events.shift(); event; event = this.#events.shift()) this.#needs.onEvent(event);
  }

  #apply(effects: readonly BfdEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.#send(effect.packet);
          break;
        case 'set-transmit':
          this.#setTransmit(effect.leastMicroseconds / 1000, effect.mostMicroseconds / 1000);
          break;
        case 'cancel-transmit':
          this.#transmitAtMs = Number.POSITIVE_INFINITY;
          break;
        case 'set-detect':
          this.#setDetect(effect.microseconds);
          break;
        case 'cancel-detect':
          this.#detectAtMs = Number.POSITIVE_INFINITY;
          break;
        case 'changed':
          this.#changed(effect);
          break;
      }
    }
    this.#tellTiming();
  }

  #send(packet: BfdControlPacket): void {
    if (packet !== this.#encoded) {
      encodeBfdPacketInto(this.#outgoing, packet);
      this.#encoded = packet;
    }
    // The answer to a poll is outside the pace.
    if (!packet.final) this.#lastSentMs = this.#needs.clock.monotonicMs();
    const error = this.#needs.send(this.#outgoing);
    if (error === undefined) {
      this.#sent += 1;
      if (this.#problem !== undefined) this.setProblem(undefined);
      return;
    }
    this.#unsent += 1;
    if (!passing.has(error.code)) this.setProblem(error);
  }

  /** The pace counts from the packet before, so that an interval that the peer shortened holds at once. */
  #setTransmit(leastMs: number, mostMs: number): void {
    const nowMs = this.#needs.clock.monotonicMs();
    const highestMs = Math.max(leastMs, mostMs - timerGrainMs);
    const delayMs = leastMs + this.#needs.random() * (highestMs - leastMs);
    this.#transmitAtMs = Math.max(nowMs, Math.max(this.#lastSentMs, nowMs - mostMs) + delayMs);
  }

  #setDetect(microseconds: number): void {
    this.#detectAtMs =
      microseconds > 0 ? this.#needs.clock.monotonicMs() + microseconds / 1000 : Number.POSITIVE_INFINITY;
  }

  #changed({ from, to, diagnostic: code, byOperator }: Extract<BfdEffect, { type: 'changed' }>): void {
    const { clock } = this.#needs;
    this.#stateSinceMs = clock.monotonicMs();
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
      remoteDiagnostic: this.#machine.remote.diagnostic,
      atMs: clock.nowMs(),
    });
  }

  #negotiated() {
    return {
      transmitIntervalMs: this.#machine.pacedMicroseconds / 1000,
      detectionTimeMs: detectionMicroseconds(this.#machine) / 1000,
    };
  }

  #tellTiming(): void {
    const { pacedMicroseconds } = this.#machine;
    const { transmitIntervalMs, detectionTimeMs } = this.#told;
    const detection = detectionMicroseconds(this.#machine);
    if (pacedMicroseconds === transmitIntervalMs * 1000 && detection === detectionTimeMs * 1000) return;
    this.#told = this.#negotiated();
    this.#events.push({ type: 'timing', ...this.#told, atMs: this.#needs.clock.nowMs() });
  }

  /** One timer for both deadlines. A deadline that moves on leaves it as it is: it fires, and is set anew. */
  #arm(): void {
    if (this.#isClosed) return;
    const atMs = Math.min(this.#transmitAtMs, this.#detectAtMs);
    if (this.#timer !== undefined && this.#armedAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#armedAtMs = atMs;
    const delayMs = Math.ceil(Math.max(0, atMs - this.#needs.clock.monotonicMs()));
    this.#timer = this.#needs.clock.setTimer(delayMs, this.#wake);
  }

  readonly #wake = (): void => {
    this.#timer = undefined;
    const { clock } = this.#needs;
    const nowMs = clock.monotonicMs();
    const dueMs = Math.min(this.#transmitAtMs, this.#detectAtMs);
    if (dueMs <= nowMs + timerSlackMs) noteLateness(this.#lateness, Math.max(0, nowMs - dueMs));
    this.#isBusy = true;
    if (this.#transmitAtMs <= nowMs + timerSlackMs) this.#transmit();
    if (this.#detectAtMs <= clock.monotonicMs()) this.#judge();
    this.#arm();
    this.#isBusy = false;
    this.#tell();
  };

  #transmit(): void {
    this.#transmitAtMs = Number.POSITIVE_INFINITY;
    if (this.#periodic?.machine === this.#machine) {
      this.#apply(this.#periodic.effects);
      return;
    }
    const { session, effects }: BfdStep = stepBfd(this.#machine, { type: 'transmit-timer' });
    if (isSame(session, this.#machine)) this.#periodic = { machine: this.#machine, effects };
    else this.#machine = session;
    this.#apply(effects);
  }

  /** The peer was silent, or we were deaf: first hear what came in the meantime. */
  #judge(): void {
    this.#needs.drain();
    if (this.#isClosed || this.#detectAtMs > this.#needs.clock.monotonicMs()) return;
    this.#detectAtMs = Number.POSITIVE_INFINITY;
    const { session, effects } = stepBfd(this.#machine, { type: 'detect-timer' });
    this.#machine = session;
    this.#apply(effects);
  }
}

function isSame(a: BfdSession, b: BfdSession): boolean {
  const keys = Object.keys(a) as (keyof BfdSession)[];
  return keys.every((key) => a[key] === b[key]);
}

function reasonOf(from: string, to: string, code: number, byOperator: boolean): BfdStateReason {
  if (to === 'admin-down') return 'admin-down';
  if (to === 'up') return 'established';
  if (to === 'init') return 'peer-seen';
  if (from === 'admin-down') return 'started';
  if (byOperator) return 'peer-admin-down';
  return code === diagnostic.detectionTimeExpired ? 'peer-silent' : 'peer-signaled-down';
}
