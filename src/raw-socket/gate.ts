import { type Addon, addon, type GateHandle } from './addon.ts';
import { attempt, RawSocketError } from './errors.ts';

/**
 * The right to send, with a deadline.
 *
 * `PacketSocket.sendGated` asks the gate inside the addon, immediately before the frame goes to the kernel. So a process
 * that was stopped, swapped out or busy beyond the deadline sends nothing when it wakes up, whatever its JavaScript
 * believes. The clock is CLOCK_BOOTTIME: time in suspend counts.
 *
 * A gate starts closed. It belongs to the thread that made it.
 */
export class Gate {
  readonly #addon: Addon;
  readonly #handle: GateHandle;

  /** @internal use createGate */
  constructor(native: Addon) {
    this.#addon = native;
    this.#handle = native.gateCreate();
  }

  /**
   * Gives the right: the deadline becomes now + `milliseconds`, in (0, 1e9], whether the gate was open or not.
   * @throws RawSocketError `BadArgument`
   */
  open(milliseconds: number): void {
    this.#addon.gateOpen(this.#handle, checked(milliseconds));
  }

  /**
   * Keeps the right: the deadline becomes now + `milliseconds`, provided that the gate is still open. Otherwise it stays
   * closed and the answer is false: who was away too long must earn the right again (and `open`), since others may have
   * taken it over in the meantime.
   * @throws RawSocketError `BadArgument`
   */
  extend(milliseconds: number): boolean {
    return this.#addon.gateExtend(this.#handle, checked(milliseconds));
  }

  /** Gives the right back at once. */
  close(): void {
    this.#addon.gateClose(this.#handle);
  }

  get isOpen(): boolean {
    return this.remainingMs > 0;
  }

  /** Milliseconds until the deadline, 0 when closed. */
  get remainingMs(): number {
    return this.#addon.gateRemaining(this.#handle);
  }

  /** @internal for PacketSocket */
  static handleOf(gate: Gate): GateHandle {
    return gate.#handle;
  }
}

function checked(milliseconds: number): number {
  if (milliseconds > 0 && milliseconds <= 1e9) return milliseconds;
  throw new RawSocketError('BadArgument', `a gate is opened for (0, 1e9] ms, not ${milliseconds}`);
}

/** A closed gate. @throws RawSocketError `AddonMissing`, `AddonMismatch` */
export function createGate(): Gate {
  return attempt('make a gate', () => new Gate(addon()));
}
