import { Worker } from 'node:worker_threads';
import { type Logger, OvenbirdError } from '../base/index.ts';
import type { Expectation } from './l2/interface-choice.ts';
import type { AddressReport } from './l2/layer2.ts';
import type { AssignmentChange, FromWorker, ToWorker, WireReport, WireSettings } from './wire-messages.ts';

export type { Expectation } from './l2/interface-choice.ts';
export type { AddressReport } from './l2/layer2.ts';
export type { OwnershipReason, OwnershipRole } from './l2/ownership-report.ts';
export type { SegmentPeerReport, SegmentReport } from './l2/segment-runtime.ts';
export type { WireReport } from './wire-messages.ts';

/** The key that all speakers of a cluster share, and the one before it while it is being replaced. 16 bytes at least. */
export interface SpeakerKeys {
  current: Uint8Array;
  previous?: Uint8Array | undefined;
}

export interface WireOptions extends Omit<WireSettings, 'keys'> {
  keys: SpeakerKeys;
  logger: Logger;
  /** Reports of these addresses changed; an empty list: the address is not assigned any more. */
  onChange(changes: ReadonlyMap<string, readonly AddressReport[]>): void;
  /** Peers appeared, died or left: ask `status`. */
  onPeersChange?(): void;
  /**
   * The worker ended by itself. There is no going on without it, as nobody else holds the timers: end the process, so
   * that it starts anew.
   */
  onFailure(error: Error): void;
}

/** What the announcer hands over, once per address. */
export interface AddressAssignment {
  address: string;
  /** Names of interfaces; undefined or empty: wherever the address fits. */
  interfaces?: readonly string[] | undefined;
  eligibleNodes: readonly string[];
}

type Pending = { resolve(value: WireReport | undefined): void; reject(error: Error): void };

/**
 * The wire worker, seen from the main thread: hands it wishes, keeps what it reports.
 *
 * All timers of layer 2 live in the worker, with a heap of its own: nothing that the main thread does delays a
 * heartbeat or an ARP reply.
 */
export class WireWorker {
  readonly #options: WireOptions;
  readonly #worker: Worker;
  readonly #reports = new Map<string, { reports: readonly AddressReport[]; atMs: number }>();
  readonly #assigned = new Map<string, AddressAssignment>();
  readonly #pending = new Map<number, Pending>();
  #request = 0;
  #ended: Error | undefined;

  private constructor(options: WireOptions) {
    this.#options = options;
    const {
      logger: _logger,
      onChange: _onChange,
      onPeersChange: _onPeersChange,
      onFailure: _onFailure,
      ...settings
    } = options;
    const file = import.meta.url.endsWith('.ts') ? './wire-worker.ts' : './wire-worker.mjs';
    this.#worker = new Worker(new URL(file, import.meta.url), {
      name: 'wire',
      workerData: settings satisfies WireSettings,
      resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 4 },
    });
    this.#worker.on('message', (message: FromWorker) => this.#onMessage(message));
    this.#worker.on('error', (error) => {
      const cause = error instanceof Error ? error : new Error(String(error));
      this.#fail(new OvenbirdError('WireWorkerFailed', `the wire worker failed: ${cause.message}`, { cause }));
    });
    this.#worker.on('exit', (code) => {
      this.#fail(new OvenbirdError('WireWorkerFailed', `the wire worker ended with code ${code}`));
    });
  }

  /** Starts the worker; resolves when it runs. @throws OvenbirdError `WireWorkerFailed` */
  static async start(options: WireOptions): Promise<WireWorker> {
    const wire = new WireWorker(options);
    await wire.#ask((id) => ({ kind: 'ping', id }));
    return wire;
  }

  /** All addresses that shall be announced; what is missing is withdrawn. Cheap when little changed. */
  setAssignments(assignments: readonly AddressAssignment[]): void {
    const change: AssignmentChange = { nodeSets: [], set: [], remove: [] };
    const sets = new Map<string, number>();
    const keep = new Set<string>();
    for (const assignment of assignments) {
      const { address, interfaces = [], eligibleNodes } = assignment;
      keep.add(address);
      const known = this.#assigned.get(address);
      if (known === assignment || (known && sameAssignment(known, assignment))) continue;
      this.#assigned.set(address, assignment);
      const key = eligibleNodes.join(' ');
      let nodes = sets.get(key);
      if (nodes === undefined) {
        nodes = change.nodeSets.push([...eligibleNodes]) - 1;
        sets.set(key, nodes);
      }
      change.set.push({ address, interfaces: [...interfaces], nodes });
    }
    for (const address of this.#assigned.keys()) {
      if (keep.has(address)) continue;
      this.#assigned.delete(address);
      change.remove.push(address);
    }
    if (change.set.length > 0 || change.remove.length > 0) this.#post({ kind: 'assign', change });
  }

  /** Where announcements may come to be made: speakers get to know each other there before the first address comes. */
  setExpectation(expectation: Expectation): void {
    this.#post({ kind: 'expect', expectation });
  }

  /** Replaces the shared key. @throws OvenbirdError `WeakKey` */
  setKeys(keys: SpeakerKeys): void {
    for (const key of [keys.current, ...(keys.previous ? [keys.previous] : [])]) {
      if (key.length < 16) {
        throw new OvenbirdError(
          'WeakKey',
          `the key that speakers share has ${key.length} bytes; at least 16 are needed`,
        );
      }
    }
    this.#post({ kind: 'keys', keys: { current: keys.current, previous: keys.previous } });
  }

  /** The latest reports, by address; `forMs` counts up to now. Sorted by interface name. */
  reports(): Map<string, AddressReport[]> {
    const nowMs = performance.now();
    const reports = new Map<string, AddressReport[]>();
    for (const [address, known] of this.#reports) {
      reports.set(
        address,
        known.reports.map((report) => ({ ...report, forMs: report.forMs + nowMs - known.atMs })),
      );
    }
    return reports;
  }

  /**
   * Hands every address over to other nodes and stops answering; resolves when that is done, at the latest after
   * `withinMs` and a little. Nothing is claimed afterwards.
   */
  async resign(withinMs: number): Promise<void> {
    await this.#ask((id) => ({ kind: 'resign', id, withinMs }));
  }

  /** Peers, counters and interfaces as they are now. */
  async status(): Promise<WireReport> {
    const report = await this.#ask((id) => ({ kind: 'status', id }));
    if (!report) throw new OvenbirdError('WireWorkerFailed', 'the wire worker gave no status');
    return report;
  }

  /** Ends the worker at once. Call `resign` before. */
  async close(): Promise<void> {
    this.#ended ??= new OvenbirdError('WireWorkerClosed', 'the wire worker was closed');
    this.#rejectPending(this.#ended);
    await this.#worker.terminate();
  }

  #ask(request: (id: number) => ToWorker): Promise<WireReport | undefined> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = ++this.#request;
    const { promise, resolve, reject } = Promise.withResolvers<WireReport | undefined>();
    this.#pending.set(id, { resolve, reject });
    this.#post(request(id));
    return promise;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #onMessage(message: FromWorker): void {
    switch (message.kind) {
      case 'reply':
        this.#pending.get(message.id)?.resolve(message.report);
        this.#pending.delete(message.id);
        return;
      case 'changes': {
        const atMs = performance.now();
        const changes = new Map<string, readonly AddressReport[]>();
        for (const { address, reports } of message.changes) {
          changes.set(address, reports);
          if (reports.length === 0) this.#reports.delete(address);
          else this.#reports.set(address, { reports, atMs });
        }
        this.#options.onChange(changes);
        return;
      }
      case 'peers-changed':
        this.#options.onPeersChange?.();
        return;
      case 'log':
        this.#options.logger[message.level](message.fields, message.text);
        return;
    }
  }

  #fail(error: Error): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#rejectPending(error);
    this.#options.onFailure(error);
  }

  #rejectPending(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function sameAssignment(a: AddressAssignment, b: AddressAssignment): boolean {
  const same = (left: readonly string[] = [], right: readonly string[] = []) =>
    left.length === right.length && left.every((text, i) => text === right[i]);
  return same(a.interfaces, b.interfaces) && same(a.eligibleNodes, b.eligibleNodes);
}
