/** Carries out what the state machine of one peer decides: timers, attempts to connect, connections, messages. */
import type { Socket } from 'node:net';
import type { Clock, Random } from '../../base/index.ts';
import { stepPeer } from '../session/peer-machine.ts';
import {
  initialPeerState,
  type PeerEffect,
  type PeerEvent,
  type PeerMachineConfig,
  type PeerState,
  type PeerTimer,
  type RfcState,
  rfcState,
} from '../session/peer-state.ts';
import type { SessionCounters } from './counters.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import { Dialler } from './dialler.ts';
import type { DriverObserver } from './driver-observer.ts';
import { PeerConnection } from './peer-connection.ts';
import type { Turns } from './turns.ts';

export interface DriverOptions {
  /** Asked at each event, for the R bit of graceful restart goes out once. */
  config: () => PeerMachineConfig;
  dial: (signal: AbortSignal) => Promise<Socket>;
  clock: Clock;
  random: Random;
  turns: Turns;
  counters: SessionCounters;
  observer: DriverObserver;
}

export class PeerDriver {
  readonly #options: DriverOptions;
  readonly #timers: Record<PeerTimer, DeadlineTimer>;
  readonly #connections = new Map<number, PeerConnection>();
  /** Closed by us, still delivering their last message. */
  readonly #leaving = new Set<PeerConnection>();
  readonly #queue: PeerEvent[] = [];
  #state: PeerState = initialPeerState;
  readonly #dialler: Dialler;
  #nextId = 1;
  #isStepping = false;
  #onAllGone: (() => void)[] = [];

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#dialler = new Dialler({
      soon: (run) =>
        options.turns.run(() => {
          run();
          return false;
        }),
      dial: options.dial,
      onConnected: (socket) => this.step({ type: 'connected', connection: this.#adopt(socket), initiator: 'us' }),
      onFailed: (error) => {
        options.observer.onConnectFailed(error);
        this.step({ type: 'connect-failed' });
      },
    });
    const timer = (name: PeerTimer) =>
      new DeadlineTimer(options.clock, () => this.step({ type: 'timer', timer: name }));
    this.#timers = {
      'connect-retry': timer('connect-retry'),
      'idle-hold': timer('idle-hold'),
      stable: timer('stable'),
    };
  }

  get state(): PeerState {
    return this.#state;
  }

  get rfcState(): RfcState {
    return rfcState(this.#state);
  }

  /** Takes a connection that the peer made. */
  accept(socket: Socket): void {
    this.step({ type: 'connected', connection: this.#adopt(socket), initiator: 'peer' });
  }

  /** Resolves when no connection of this peer is left, the last messages delivered or given up. */
  gone(): Promise<void> {
    if (this.#connections.size === 0 && this.#leaving.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onAllGone.push(resolve));
  }

  /** An event that comes while another is dealt with waits for it. */
  step(event: PeerEvent): void {
    this.#queue.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) this.#stepOnce(next);
    } finally {
      this.#isStepping = false;
    }
    this.#options.observer.onSettled();
  }

  #stepOnce(event: PeerEvent): void {
    const before = this.rfcState;
    const { state, effects } = stepPeer(this.#options.config(), this.#state, event);
    this.#state = state;
    const after = this.rfcState;
    if (before !== after) this.#options.observer.onState(before, after);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: PeerEffect): void {
    switch (effect.type) {
      case 'dial':
        this.#dialler.start();
        return;
      case 'cancel-dial':
        this.#dialler.cancel();
        return;
      case 'set-timer':
        this.#timers[effect.timer].set(this.#delayMs(effect.seconds, effect.jitter));
        return;
      case 'cancel-timer':
        this.#timers[effect.timer].cancel();
        return;
      default: {
        const connection = this.#connections.get(effect.connection);
        if (!connection) return;
        if (effect.type === 'close') this.#close(effect.connection, connection);
        else connection.perform(effect);
      }
    }
  }

  #delayMs(seconds: number, jitter: boolean): number {
    return seconds * 1000 * (jitter ? 0.75 + 0.25 * this.#options.random() : 1);
  }

  #adopt(socket: Socket): number {
    const id = this.#nextId++;
    const { clock, turns, observer, counters, config } = this.#options;
    const connection: PeerConnection = new PeerConnection({
      ...{ id, socket, clock, turns, observer, counters },
      local: () => config().local,
      delayMs: (seconds, jitter) => this.#delayMs(seconds, jitter),
      step: (event) => this.step(event),
      isOpen: () => this.#connections.has(id),
      onGone: () => this.#goneAway(connection),
    });
    this.#connections.set(id, connection);
    return id;
  }

  #close(id: number, connection: PeerConnection): void {
    // It stays while effects of the same step name it.
    queueMicrotask(() => {
      this.#connections.delete(id);
      this.#reportAllGone();
    });
    this.#leaving.add(connection);
    connection.close();
  }

  #goneAway(connection: PeerConnection): void {
    this.#leaving.delete(connection);
    this.#reportAllGone();
  }

  #reportAllGone(): void {
    if (this.#connections.size > 0 || this.#leaving.size > 0) return;
    for (const resolve of this.#onAllGone.splice(0)) resolve();
  }
}
