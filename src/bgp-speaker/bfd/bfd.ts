import { type Logger, silentLogger } from '../../base/index.ts';
import { BfdEngine, type BfdEngineSession } from './engine.ts';
import { BfdError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import type { BfdEngineStatus, BfdSessionEvent, BfdSessionStatus } from './session-events.ts';
import {
  type BfdSessionOptions,
  type BfdTiming,
  bfdSessionKey,
  resolveBfdSession,
  resolveBfdTiming,
} from './session-options.ts';
import { UdpTransport } from './udp-transport.ts';
import { startBfdWorker } from './worker-owner.ts';

export interface BfdOptions {
  /**
   * `worker` (default): in a thread of its own, so that nothing the caller does delays it. `caller`: in this thread, for
   * programs that do little else.
   */
  thread?: 'worker' | 'caller';
  /** Worker: SCHED_FIFO with this priority, 1-99, where permitted (SYS_NICE). For intervals below 50 ms. */
  realtimePriority?: number;
  /** Closes it. */
  signal?: AbortSignal;
  logger?: Logger;
  /** The worker ended by itself: sessions are dead, and their `events()` throw. Start anew. */
  onFailure?(error: BfdError): void;
}

export interface Bfd {
  /** @throws BfdError `BadOptions`, `DuplicateSession`, `Closed` */
  addSession(options: BfdSessionOptions): BfdSessionHandle;
  /** @throws BfdError `Closed`, `WorkerFailed` */
  status(): Promise<BfdEngineStatus>;
  /**
   * Tells all peers that this is no failure, ends all sessions, closes all sockets. Resolves when the peers have heard,
   * or had their detection times to, at most 2 s. Idempotent.
   */
  close(): Promise<void>;
}

export interface BfdSessionHandle {
  /**
   * What happens from the first `next()` on, after how things stand then (state, timing, problem). Ends when the session
   * is removed or the signal is aborted; throws BfdError `WorkerFailed` when the worker dies. Any number of times.
   */
  events(options?: { signal?: AbortSignal }): AsyncIterableIterator<BfdSessionEvent>;
  /** @throws BfdError `Closed`, `WorkerFailed` */
  status(): Promise<BfdSessionStatus>;
  /** Other intervals or another multiplier, without a flap. @throws BfdError `BadOptions` */
  configure(change: BfdTiming): void;
  /** Takes the session down without telling the peer of a failure, or up again. */
  setAdminDown(adminDown: boolean): void;
  /** Tells the peer that this is no failure, and ends the session; resolves as `Bfd.close` does. Idempotent. */
  remove(): Promise<void>;
}

/**
 * Starts BFD (RFC 5880, 5881, 5883) in this network namespace.
 * @throws RawSocketError `AddonMissing`, `AddonMismatch`; BfdError `WorkerFailed`; the signal's reason when aborted
 */
export async function startBfd(options: BfdOptions = {}): Promise<Bfd> {
  const { signal, thread = 'worker', logger = silentLogger } = options;
  signal?.throwIfAborted();
  const bfd =
    thread === 'caller'
      ? new LocalBfd()
      : await startBfdWorker({
          realtimePriority: options.realtimePriority,
          logger,
          onFailure: (error) => options.onFailure?.(error),
        });
  if (signal?.aborted) {
    await bfd.close();
    throw signal.reason;
  }
  if (!signal) return bfd;
  const onAbort = () => void bfd.close().catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    addSession: (session) => bfd.addSession(session),
    status: () => bfd.status(),
    close() {
      signal.removeEventListener('abort', onAbort);
      return bfd.close();
    },
  };
}

/** In the calling thread. */
class LocalBfd implements Bfd {
  readonly #engine = new BfdEngine({ transport: new UdpTransport() });
  readonly #streams = new Map<string, EventStream>();
  #isClosed = false;

  addSession(options: BfdSessionOptions): BfdSessionHandle {
    const resolved = resolveBfdSession(options);
    const key = bfdSessionKey(resolved);
    const stream = new EventStream();
    const session: BfdEngineSession = this.#engine.addSession(resolved, (event) => stream.push(event));
    this.#streams.set(key, stream);
    const { desiredMinTxMs, requiredMinRxMs, detectMultiplier } = resolved;
    let isRemoved = false;
    return {
      events: (how) => stream.subscribe(how),
      status: async () => {
        if (isRemoved || this.#isClosed) throw new BfdError('Closed', `the BFD session "${key}" was removed`);
        return session.status();
      },
      configure: (change) => {
        resolveBfdTiming(change, { desiredMinTxMs, requiredMinRxMs, detectMultiplier });
        session.configure(change);
      },
      setAdminDown: (adminDown) => session.setAdminDown(adminDown),
      remove: async () => {
        isRemoved = true;
        const removed = session.remove();
        stream.end();
        if (this.#streams.get(key) === stream) this.#streams.delete(key);
        await removed;
      },
    };
  }

  async status(): Promise<BfdEngineStatus> {
    if (this.#isClosed) throw new BfdError('Closed', 'BFD is closed');
    return this.#engine.status();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const closed = this.#engine.close();
    for (const stream of this.#streams.values()) stream.end();
    this.#streams.clear();
    await closed;
  }
}
