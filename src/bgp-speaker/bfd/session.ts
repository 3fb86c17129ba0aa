/** One session with its timers, counters and the bytes last sent and received. */
import type { Clock, OvenbirdError, Random, Timer } from '../../base/index.ts';
import { type BfdControlPacket, bfdPacketBytes, encodeBfdPacketInto } from './control-packet.ts';
import type { BfdDropReason, BfdSessionEvent, BfdSessionStatus } from './session-events.ts';
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
import { SessionRecord } from './session-record.ts';
import { SessionTimers } from './session-timers.ts';

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
  readonly #timers: SessionTimers;
  readonly #record: SessionRecord;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  readonly #lastReceived = new Uint8Array(bfdPacketBytes);
  readonly #outgoing = new Uint8Array(bfdPacketBytes);
  #encoded: BfdControlPacket | undefined;
  /** What the transmit timer does in this state of the machine. */
  #periodic: { machine: BfdSession; effects: readonly BfdEffect[] } | undefined;
  /** In a step whose effects are not all applied. */
  #isBusy = false;
  /** Told when the farewell is over; once there is one, nobody hears of this session any more. */
  #onClosed: (() => void) | undefined;
  #farewellTimer: Timer | undefined;
  #isClosed = false;

  constructor(options: ResolvedBfdSession, localDiscriminator: number, needs: SessionNeeds) {
    this.localDiscriminator = localDiscriminator;
    this.#needs = needs;
    this.#timers = new SessionTimers(needs.clock, () => this.#wake());
    this.#record = new SessionRecord(needs.clock);
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
    this.#record.received();
    this.#setDetect(detectionMicroseconds(this.#machine));
  }

  /** A packet that passed all checks (or came while taken down); `bytes` is what it was decoded from. */
  receive(packet: BfdControlPacket, bytes: Uint8Array): void {
    if (this.#isClosed) return;
    if (!this.isAdminDown) this.#record.received();
    this.#lastReceived.set(bytes.subarray(0, bfdPacketBytes));
    this.#step({ type: 'packet', packet });
  }

  noteDiscard(reason: BfdDropReason): void {
    this.#record.discarded(reason);
  }

  /** Sockets could not be opened; undefined: they are open now. */
  setProblem(error: OvenbirdError | undefined): void {
    this.#record.setProblem(error);
    if (!this.#isBusy) this.#tell();
  }

  status(sourcePort: number): BfdSessionStatus {
    return this.#record.status(this.#machine, sourcePort);
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
    this.#timers.stop();
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
    if (this.#onClosed) this.#record.dropEvents();
    this.#endAfterFarewell();
    for (let event = this.#record.takeEvent(); event; event = this.#record.takeEvent()) this.#needs.onEvent(event);
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
          this.#timers.transmitAtMs = Number.POSITIVE_INFINITY;
          break;
        case 'set-detect':
          this.#setDetect(effect.microseconds);
          break;
        case 'cancel-detect':
          this.#timers.detectAtMs = Number.POSITIVE_INFINITY;
          break;
        case 'changed':
          this.#record.changed(effect, this.#machine);
          break;
      }
    }
    this.#record.timing(this.#machine);
  }

  #send(packet: BfdControlPacket): void {
    if (packet !== this.#encoded) {
      encodeBfdPacketInto(this.#outgoing, packet);
      this.#encoded = packet;
    }
    // The answer to a poll is outside the pace.
    if (!packet.final) this.#lastSentMs = this.#needs.clock.monotonicMs();
    this.#record.sent(this.#needs.send(this.#outgoing));
  }

  /** The pace counts from the packet before, so that an interval that the peer shortened holds at once. */
  #setTransmit(leastMs: number, mostMs: number): void {
    const nowMs = this.#needs.clock.monotonicMs();
    const highestMs = Math.max(leastMs, mostMs - timerGrainMs);
    const delayMs = leastMs + this.#needs.random() * (highestMs - leastMs);
    this.#timers.transmitAtMs = Math.max(nowMs, Math.max(this.#lastSentMs, nowMs - mostMs) + delayMs);
  }

  #setDetect(microseconds: number): void {
    this.#timers.detectAtMs =
      microseconds > 0 ? this.#needs.clock.monotonicMs() + microseconds / 1000 : Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    if (!this.#isClosed) this.#timers.arm();
  }

  #wake(): void {
    const { clock } = this.#needs;
    const nowMs = clock.monotonicMs();
    const { dueMs } = this.#timers;
    if (dueMs <= nowMs + timerSlackMs) this.#record.late(Math.max(0, nowMs - dueMs));
    this.#isBusy = true;
    if (this.#timers.transmitAtMs <= nowMs + timerSlackMs) this.#transmit();
    if (this.#timers.detectAtMs <= clock.monotonicMs()) this.#judge();
    this.#arm();
    this.#isBusy = false;
    this.#tell();
  }

  #transmit(): void {
    this.#timers.transmitAtMs = Number.POSITIVE_INFINITY;
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
    if (this.#isClosed || this.#timers.detectAtMs > this.#needs.clock.monotonicMs()) return;
    this.#timers.detectAtMs = Number.POSITIVE_INFINITY;
    const { session, effects } = stepBfd(this.#machine, { type: 'detect-timer' });
    this.#machine = session;
    this.#apply(effects);
  }
}

function isSame(a: BfdSession, b: BfdSession): boolean {
  const keys = Object.keys(a) as (keyof BfdSession)[];
  return keys.every((key) => a[key] === b[key]);
}
