import { OvsdbError, ServerError } from './errors.ts';
import { isObject, member } from './json/json-value.ts';
import type { RpcConnection } from './rpc/connection.ts';
import { EventStream } from './session/events.ts';

/**
 * - `waiting`: somebody else holds it, or there is no connection
 * - `held`: the server says it is ours
 * - `released`: given back; the last state
 */
export type LockState = 'waiting' | 'held' | 'released';

/**
 * A lock of the server (RFC 7047 section 4.1.8), asked for again after each reconnect.
 *
 * `held` is what the server last said; only `Transaction.assert(name)` makes a write depend on it. A lock lives in one
 * server process: members of a cluster do not share it, so every client has to insist on the leader.
 */
export class Lock {
  readonly name: string;
  readonly #events = new EventStream<LockState>();
  readonly #onReleased: () => void;
  #state: LockState = 'waiting';
  #connection: RpcConnection | undefined;
  /** Taken by force; asked for by force again after a reconnect would be rude, so only once. */
  #steal: boolean;

  constructor(name: string, steal: boolean, onReleased: () => void) {
    this.name = name;
    this.#steal = steal;
    this.#onReleased = onReleased;
  }

  get state(): LockState {
    return this.#state;
  }

  get held(): boolean {
    return this.#state === 'held';
  }

  /** The states from this call on. */
  states(options: { signal?: AbortSignal } = {}): AsyncGenerator<LockState, void, void> {
    return this.#events.read(options.signal);
  }

  /** Resolves when the lock is held. Throws the signal's reason, or OvsdbError `Closed` when it was released. */
  async acquired(options: { signal?: AbortSignal } = {}): Promise<void> {
    const states = this.states(options);
    try {
      while (this.#state !== 'held') {
        if (this.#state === 'released') throw new OvsdbError('Closed', `lock ${this.name} was released`);
        if ((await states.next()).done) throw new OvsdbError('Closed', `lock ${this.name} was released`);
      }
    } finally {
      await states.return();
    }
  }

  /** Asks for the lock on a new connection. */
  async attach(connection: RpcConnection): Promise<void> {
    this.#connection = connection;
    const method = this.#steal ? 'steal' : 'lock';
    this.#steal = false;
    await connection.call(method, [this.name], {
      onResult: (result) => {
        if (this.#connection === connection && isObject(result) && member(result, 'locked') === true)
          this.#become('held');
        return undefined;
      },
    });
  }

  detach(): void {
    this.#connection = undefined;
    if (this.#state === 'held') this.#become('waiting');
  }

  /** The notifications `locked` and `stolen`. */
  handle(method: string): void {
    if (this.#state !== 'released') this.#become(method === 'locked' ? 'held' : 'waiting');
  }

  /** Takes the lock from whoever holds it (`steal`, section 4.1.9). */
  async steal(options: { signal?: AbortSignal } = {}): Promise<void> {
    const connection = this.#connection;
    if (this.#state !== 'waiting') return;
    if (connection === undefined) {
      this.#steal = true;
      return;
    }
    // The server allows `steal` only to a client that is not queueing for the lock.
    await connection.call('unlock', [this.name], options);
    this.#steal = true;
    await this.attach(connection);
  }

  /** Gives the lock back, or stops waiting for it. */
  async release(options: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#state === 'released') return;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#become('released');
    this.#events.end();
    this.#onReleased();
    try {
      await connection?.call('unlock', [this.name], options);
    } catch (thrown) {
      // With the connection the lock is gone as well.
      if (!(thrown instanceof OvsdbError) || thrown instanceof ServerError) throw thrown;
    }
  }

  #become(state: LockState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#events.emit(state);
  }
}
