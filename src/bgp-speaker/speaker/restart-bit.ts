import type { Clock } from '../../base/index.ts';
import type { PeerMachineConfig } from '../session/peer-state.ts';

/**
 * The R bit of graceful restart (RFC 4724 section 3): it goes out until the routes were sent once, or the restart time,
 * in which peers hold them, is over.
 */
export class RestartBit {
  readonly #config: PeerMachineConfig;
  readonly #withoutBit: PeerMachineConfig;
  readonly #clock: Clock;
  readonly #endsAtMs: number;
  #isOver: boolean;

  constructor(config: PeerMachineConfig, clock: Clock) {
    const { local } = config;
    const { gracefulRestart: restart } = local.capabilities;
    this.#config = config;
    this.#clock = clock;
    this.#isOver = !restart?.restarted;
    this.#endsAtMs = clock.monotonicMs() + (restart?.restartTimeSeconds ?? 0) * 1000;
    const capabilities = restart && { ...local.capabilities, gracefulRestart: { ...restart, restarted: false } };
    this.#withoutBit = capabilities ? { ...config, local: { ...local, capabilities } } : config;
  }

  /** With the OPEN to send now. */
  get config(): PeerMachineConfig {
    return this.#isOver || this.#clock.monotonicMs() > this.#endsAtMs ? this.#withoutBit : this.#config;
  }

  /** The peer has all routes, End-of-RIB included. */
  routesSent(): void {
    this.#isOver = true;
  }
}
