/** BFD in a worker thread, seen from the thread that started it. */
import { Worker } from 'node:worker_threads';
import { describeError, type Logger } from '../../base/index.ts';
import type { Bfd, BfdSessionHandle } from './bfd.ts';
import { BfdError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import { longestFarewellMs } from './session.ts';
import type { BfdEngineStatus, BfdSessionStatus } from './session-events.ts';
import { type BfdSessionOptions, bfdSessionKey, resolveBfdSession, resolveBfdTiming } from './session-options.ts';
import type { BfdAnswer, BfdWorkerSettings, FromBfdWorker, ToBfdWorker } from './worker-messages.ts';

export interface BfdWorkerOptions extends BfdWorkerSettings {
  logger: Logger;
  onFailure(error: BfdError): void;
}

/** Little garbage and less to keep: collections of such a heap take well under a millisecond. */
const resourceLimits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 };
/** A worker that has not ended by itself after this, with its farewells, is ended. */
const endingMs = longestFarewellMs + 1000;

interface Known {
  readonly key: string;
  readonly stream: EventStream;
  isRemoved: boolean;
}

/** @throws BfdError `WorkerFailed` */
export async function startBfdWorker(options: BfdWorkerOptions): Promise<Bfd> {
  const owner = new WorkerOwner(options);
  await owner.ready;
  return owner;
}

class WorkerOwner implements Bfd {
  readonly ready: Promise<void>;
  readonly #options: BfdWorkerOptions;
  readonly #worker: Worker;
  readonly #exited = Promise.withResolvers<void>();
  readonly #sessions = new Map<number, Known>();
  readonly #requests = new Map<number, PromiseWithResolvers<BfdAnswer>>();
  readonly #starting = Promise.withResolvers<void>();
  #last = 0;
  #isStarted = false;
  #ended: BfdError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: BfdWorkerOptions) {
    this.#options = options;
    this.ready = this.#starting.promise;
    const { realtimePriority } = options;
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './bfd-worker.mjs';
    this.#worker = new Worker(new URL(file, import.meta.url), {
      name: 'bfd',
      // Flags of the owner, such as --eval, are not for it.
      execArgv: [],
      workerData: { realtimePriority } satisfies BfdWorkerSettings,
      resourceLimits,
    });
    this.#worker.on('message', (message: FromBfdWorker) => this.#onMessage(message));
    this.#worker.on('error', (cause) => {
      this.#fail(new BfdError('WorkerFailed', `the BFD worker failed: ${describeError(cause)}`, { cause }));
    });
    this.#worker.on('exit', (code) => {
      this.#exited.resolve();
      this.#fail(new BfdError('WorkerFailed', `the BFD worker ended with code ${code}`));
    });
  }

  addSession(options: BfdSessionOptions): BfdSessionHandle {
    const resolved = resolveBfdSession(options);
    const key = bfdSessionKey(resolved);
    this.#assertOpen();
    for (const known of this.#sessions.values()) {
      if (known.key === key && !known.isRemoved) {
        throw new BfdError('DuplicateSession', `there is a BFD session "${key}" already; use it, or remove it first`);
      }
    }
    const session = ++this.#last;
    const stream = new EventStream();
    const known: Known = { key, stream, isRemoved: false };
    this.#sessions.set(session, known);
    this.#post({ kind: 'add', session, options: resolved });
    const { desiredMinTxMs, requiredMinRxMs, detectMultiplier } = resolved;
    return {
      events: (how) => stream.subscribe(how),
      status: async () => {
        if (known.isRemoved) throw new BfdError('Closed', `the BFD session "${key}" was removed`);
        return (await this.#ask((request) => ({ kind: 'status', session, request }))) as BfdSessionStatus;
      },
      configure: (change) => {
        resolveBfdTiming(change, { desiredMinTxMs, requiredMinRxMs, detectMultiplier });
        this.#post({ kind: 'configure', session, change });
      },
      setAdminDown: (adminDown) => this.#post({ kind: 'admin-down', session, adminDown }),
      remove: async () => {
        if (known.isRemoved || this.#ended) return;
        known.isRemoved = true;
        await this.#ask((request) => ({ kind: 'remove', session, request }));
        this.#sessions.delete(session);
        stream.end();
      },
    };
  }

  async status(): Promise<BfdEngineStatus> {
    return (await this.#ask((request) => ({ kind: 'engine-status', request }))) as BfdEngineStatus;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#ended === undefined) {
      const closed = this.#ask((request) => ({ kind: 'close', request }));
      this.#ended = new BfdError('Closed', 'BFD is closed');
      closed.catch(() => {});
      const timer = setTimeout(() => void this.#worker.terminate(), endingMs);
      await this.#exited.promise;
      clearTimeout(timer);
    }
    this.#rejectAll(this.#ended);
    for (const { stream } of this.#sessions.values()) stream.end();
    this.#sessions.clear();
  }

  #assertOpen(): void {
    if (this.#ended) throw this.#ended;
  }

  #ask(message: (request: number) => ToBfdWorker): Promise<BfdAnswer> {
    if (this.#ended) return Promise.reject(this.#ended);
    const request = ++this.#last;
    const pending = Promise.withResolvers<BfdAnswer>();
    this.#requests.set(request, pending);
    this.#worker.postMessage(message(request));
    return pending.promise;
  }

  #post(message: ToBfdWorker): void {
    if (this.#ended === undefined) this.#worker.postMessage(message);
  }

  #onMessage(message: FromBfdWorker): void {
    switch (message.kind) {
      case 'ready':
        if (message.realtimeRefused !== undefined) {
          const fields = { error: message.realtimeRefused };
          this.#options.logger.warn(fields, 'BFD has no real-time priority; going on without');
        }
        this.#isStarted = true;
        this.#starting.resolve();
        return;
      case 'event':
        this.#sessions.get(message.session)?.stream.push(message.event);
        return;
      case 'reply':
        this.#requests.get(message.request)?.resolve(message.answer);
        this.#requests.delete(message.request);
        return;
    }
  }

  #fail(error: BfdError): void {
    if (this.#ended) return;
    this.#ended = error;
    if (!this.#isStarted) {
      this.#starting.reject(error);
      return;
    }
    this.#rejectAll(error);
    for (const { stream } of this.#sessions.values()) stream.end(error);
    this.#sessions.clear();
    this.#options.onFailure(error);
  }

  #rejectAll(error: Error): void {
    for (const pending of this.#requests.values()) pending.reject(error);
    this.#requests.clear();
  }
}
