import { Backoff, type Clock, describeError, type Logger, type Timer } from '../base/index.ts';
import { type Client, type DatabaseSchema, OvsdbError, TransactionError } from '../ovsdb-client/index.ts';
import { type Capabilities, capabilitiesOf } from './capabilities.ts';
import { ChassisLag } from './chassis-lag.ts';
import { DeletionGuard } from './deletion-guard.ts';
import { foreignVips } from './foreign-vips.ts';
import { type DesiredRows, desiredRows, type LoadBalancerRow, RowMemo } from './load-balancer-rows.ts';
import { LookPacing } from './look-pacing.ts';
import { NorthboundReader, shapeOf } from './northbound-reader.ts';
import type { NorthboundStatus, ServiceProgramming } from './northbound-status.ts';
import type { NorthboundView } from './northbound-view.ts';
import type { Operation } from './operations.ts';
import { type Plan, plan, planRemoval, RowComparison } from './plan.ts';
import type { OvnProblem } from './problems.ts';
import { RefusedRows } from './refused-rows.ts';
import type { OvnInputs, OvnMode, OvnService } from './service-input.ts';
import {
  type Attachment,
  decideMode,
  defaultTopologyOptions,
  discoverTopology,
  type ModeDecision,
  type RequestedMode,
  type TopologyOptions,
} from './topology.ts';
import { toTransaction } from './transactions.ts';

export interface NorthboundOptions {
  /** Makes a client of the northbound database, connected. Called by `run`, which also closes it. */
  connect(signal: AbortSignal): Promise<Client>;
  clock: Clock;
  logger: Logger;
  /** Names this cluster in a database that several may share: letters, digits, "-", "_" and ".". */
  clusterId: string;
  mode: RequestedMode;
  topology?: Partial<TopologyOptions>;
  /**
   * Shortest time from one look to the next, in which changes gather, ms. Default 50. A few looks a second are made at
   * once, so that a single change is not kept waiting.
   */
  gatherMs?: number;
  /** When more than half of the rows would go, they go only if that still holds after this time, ms. Default 15000. */
  confirmDeletionMs?: number;
  /** A transaction without an answer for this long has an unknown outcome, ms. Default 10000. */
  transactionTimeoutMs?: number;
  /** How often at most to measure how far chassis lag behind (one counter is raised for it), ms. Default: never. */
  measureLagEveryMs?: number;
  /** See DesiredRowsInput. */
  nodePortVipLimit?: number;
}

/**
 * Keeps the rows of this cluster in the northbound database equal to what Services need, whatever happens there.
 *
 * Each look compares everything wanted with everything there and sends the difference. Rows have uuids derived from what
 * they are, so a transaction may be lost, repeated or executed twice: the next look sees what came of it. Rows of others
 * are never written; ours come back within a second when somebody deletes them, as Kube-OVN does at its start.
 */
export class Northbound {
  readonly #options: NorthboundOptions;
  readonly #topologyOptions: TopologyOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #pacing: LookPacing;
  readonly #memo = new RowMemo();
  readonly #comparison = new RowComparison();
  readonly #guard: DeletionGuard;
  readonly #refused = new RefusedRows();
  readonly #lag: ChassisLag;
  readonly #listeners = new Set<() => void>();

  #inputs: OvnInputs | undefined;
  #generation = 0;
  #writtenGeneration = 0;
  #decision: ModeDecision | undefined;
  #settledMode: OvnMode | undefined;
  /** The Services that are in the database as they were handed in. */
  #programmed: readonly OvnService[] = [];
  readonly #byKey = new ServicesByKey();
  #problems: OvnProblem[] = [];
  #missing: string[] = [];
  #attachments: readonly Attachment[] = [];
  #staleness: string | undefined = 'not connected yet';
  #lastError: string | undefined;
  #counts = { rows: 0, transactions: 0, operations: 0, restored: 0, withheld: 0 };
  #capabilities: { schema: DatabaseSchema; value: Capabilities } | undefined;
  /** Rows that were in the database after a look: one that is missing at the next was taken away by somebody. */
  #written: readonly LoadBalancerRow[] = [];
  #awake = false;
  #wake: (() => void) | undefined;

  constructor(options: NorthboundOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#logger = options.logger.child({ component: 'ovn' });
    this.#pacing = new LookPacing(options.gatherMs ?? 50);
    this.#topologyOptions = { ...defaultTopologyOptions, ...options.topology };
    this.#guard = new DeletionGuard(options.confirmDeletionMs ?? 15_000);
    this.#lag = new ChassisLag(options.measureLagEveryMs);
  }

  /** Says what should be carried from now on. Kept, and written soon if `run` works. */
  setDesired(inputs: OvnInputs): void {
    this.#inputs = inputs;
    this.#generation += 1;
    this.#kick();
  }

  /** Calls `listener` after each look at the database, and when the connection comes or goes. Returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(): NorthboundStatus {
    const { rows, transactions, operations, restored, withheld } = this.#counts;
    return {
      ...this.#summary(),
      mode: this.#settledMode,
      desiredGeneration: this.#generation,
      writtenGeneration: this.#writtenGeneration,
      lastError: this.#lastError,
      attachments: this.#attachments.map(({ name }) => name).sort(),
      missing: this.#missing,
      rows,
      withheldDeletions: withheld,
      transactions,
      operations,
      restored,
      problems: this.#problems,
      lag: this.#lag.measured,
    };
  }

  /** What became of one Service ("namespace/name") of the newest desired state. */
  programming(service: string): ServiceProgramming {
    const wanted = this.#byKey.of(this.#inputs?.services ?? []).get(service);
    if (!wanted || this.#staleness !== undefined || this.#attachments.length === 0) return { kind: 'pending' };
    if (this.#byKey.of(this.#programmed).get(service) !== wanted) return { kind: 'pending' };
    const blocking = this.#problems.filter((problem) => problem.service === service && problem.blocking);
    if (blocking.length === 0) return { kind: 'programmed' };
    return { kind: 'problem', message: blocking.map(({ message }) => message).join('; ') };
  }

  /** Connects and writes until `signal` aborts, then resolves. @throws OvsdbError `InvalidOptions` for wrong remotes */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 500, maximumMs: 8_000 });
    while (!signal.aborted) {
      let client: Client | undefined;
      try {
        client = await this.#options.connect(signal);
        await this.#follow(client, signal);
      } catch (thrown) {
        if (signal.aborted) break;
        if (thrown instanceof OvsdbError && thrown.code === 'InvalidOptions') throw thrown;
        this.#lastError = describeError(thrown);
        this.#logger.warn({ err: thrown }, 'the northbound database cannot be followed');
        await this.#clock.sleep(backoff.next(), signal).catch(() => {});
      } finally {
        await client?.close();
      }
    }
    this.#staleness = 'stopped';
  }

  async #follow(client: Client, signal: AbortSignal): Promise<void> {
    const reader = await NorthboundReader.open(client, this.#options.measureLagEveryMs !== undefined, signal);
    const backoff = new Backoff({ initialMs: 100, maximumMs: 5_000 });
    const unsubscribe = reader.onChange(() => this.#kick());
    this.#written = [];
    this.#awake = true;
    try {
      while (!signal.aborted) {
        let restMs: number | undefined;
        const startedMs = this.#clock.monotonicMs();
        try {
          restMs = await this.#lookOnce(client, reader, signal);
          if (reader.staleness === undefined) {
            this.#lastError = undefined;
            backoff.reset();
          }
        } catch (thrown) {
          if (signal.aborted) break;
          this.#onFailure(thrown, client);
          restMs = backoff.next();
        }
        this.#notify();
        const nowMs = this.#clock.monotonicMs();
        await this.#clock.sleep(this.#pacing.pauseMs(nowMs - startedMs, nowMs), signal).catch(() => {});
        await this.#sleepUntilWoken(restMs, signal);
      }
    } finally {
      unsubscribe();
      reader.close();
    }
  }

  /** One look. Gives the time after which to look again even if nothing happens, ms. */
  async #lookOnce(client: Client, reader: NorthboundReader, signal: AbortSignal): Promise<number | undefined> {
    this.#staleness = reader.staleness;
    if (this.#staleness !== undefined) return undefined;
    const inputs = this.#inputs;
    const generation = this.#generation;
    const view = reader.view();
    const capabilities = this.#capabilitiesOf(client.schema);
    if (!capabilities.groups) {
      this.#decision = { mode: 'wait', reason: 'this OVN has no load balancer groups; OVN 21.12 or later is needed' };
      return undefined;
    }
    const topology = discoverTopology(view, this.#topologyOptions);
    this.#decision = decideMode(this.#options.mode, topology, this.#settledMode);
    const { mode } = this.#decision;
    this.#attachments = 'attachments' in topology ? topology.attachments : [];
    this.#missing = 'missing' in topology ? topology.missing : [];
    if (mode === 'wait' || mode === 'never') return undefined;
    if (mode !== this.#settledMode) this.#logger.info({ mode, reason: this.#decision.reason }, 'OVN mode settled');
    this.#settledMode = mode;
    if (mode === 'off') {
      await this.#send(client, planRemoval({ clusterId: this.#options.clusterId, view }), reader, signal);
      this.#counts.rows = 0;
      this.#programmed = [];
      return undefined;
    }
    if (!inputs) return undefined;
    const ownsClusterIps = topology.kind === 'kube-ovn' && topology.ownsClusterIps;
    const desired = this.#desire(inputs, mode, view, capabilities, ownsClusterIps);
    const difference = this.#difference(inputs, desired.rows, view);
    this.#noticeRestoration(difference, view);
    this.#problems = [...desired.problems, ...this.#refused.problems(), ...strangers(difference.strangers)];
    await this.#send(client, difference.batches, reader, signal);
    this.#programmed = inputs.services;
    this.#written = desired.rows;
    this.#counts.rows = desired.rows.length;
    this.#writtenGeneration = generation;
    if (difference.batches.length > 0) {
      const { inserted, updated, deleted } = difference;
      this.#logger.debug({ inserted, updated, deleted }, 'load balancers written');
    }
    return this.#guard.dueInMs(this.#clock.monotonicMs());
  }

  #desire(
    { services, nodes }: OvnInputs,
    mode: OvnMode,
    view: NorthboundView,
    capabilities: Capabilities,
    ownsClusterIps: boolean,
  ): DesiredRows {
    const { clusterId, nodePortVipLimit } = this.#options;
    const attachments = this.#attachments;
    return desiredRows(
      {
        services,
        nodes,
        mode,
        clusterId,
        capabilities,
        // Before anything is attached it is not known; rows act nowhere then.
        hostSwitches: attachments.length === 0 || attachments.some(({ side }) => side === 'hosts'),
        clusterIpReach: ownsClusterIps ? 'hosts' : 'every',
        foreign: foreignVips(view, attachments, clusterId),
        ...(nodePortVipLimit === undefined ? {} : { nodePortVipLimit }),
      },
      this.#memo,
    );
  }

  #difference(inputs: OvnInputs, rows: readonly LoadBalancerRow[], view: NorthboundView): Plan {
    const nowMs = this.#clock.monotonicMs();
    let asked = false;
    const difference = plan({
      clusterId: this.#options.clusterId,
      rows,
      view,
      attachments: this.#attachments,
      comparison: this.#comparison,
      refused: this.#refused.current(rows),
      ...(this.#refused.careful ? { batchOperations: 1 } : {}),
      mayDelete: (orphans) => {
        asked = true;
        if (!inputs.complete) return new Set();
        const total = orphans.length + rows.length;
        return this.#guard.allow(
          orphans.map(({ uuid }) => uuid),
          total,
          nowMs,
        );
      },
    });
    if (!asked) this.#guard.clear();
    this.#counts.withheld = difference.withheld.length;
    if (difference.withheld.length > 0) {
      const { complete } = inputs;
      this.#logger.warn({ rows: difference.withheld.length, complete }, 'deletion of load balancers withheld for now');
    }
    return difference;
  }

  /** Rows that were there and are not any more: somebody deletes them. Against one who goes on, slow down. */
  #noticeRestoration(difference: Plan, view: NorthboundView): void {
    if (difference.inserted === 0) return;
    const written = new Set(this.#written.map(({ uuid }) => uuid));
    let restored = 0;
    for (const batch of difference.batches) {
      for (const { op, uuid } of batch) {
        if (op === 'insert' && written.has(uuid) && !view.loadBalancers.has(uuid)) restored += 1;
      }
    }
    if (restored === 0) return;
    this.#counts.restored += restored;
    this.#pacing.contested(this.#clock.monotonicMs());
    this.#logger.info({ rows: restored }, 'load balancers that somebody deleted are written again');
  }

  async #send(
    client: Client,
    batches: readonly Operation[][],
    reader: NorthboundReader,
    signal: AbortSignal,
  ): Promise<void> {
    for (const batch of batches) {
      try {
        await this.#transact(client, batch, signal);
      } catch (thrown) {
        this.#refused.learn(thrown, batch);
        throw thrown;
      }
    }
    const raise = this.#lag.next(reader.global(), batches.length > 0, this.#clock.monotonicMs());
    if (raise) await this.#raiseCounter(client, raise.uuid, signal);
  }

  async #transact(client: Client, batch: readonly Operation[], signal: AbortSignal): Promise<void> {
    await this.#withDeadline(signal, async (until) => {
      this.#counts.transactions += 1;
      this.#counts.operations += batch.length;
      await client.transact(toTransaction(batch), { signal: until });
    });
  }

  async #raiseCounter(client: Client, uuid: string, signal: AbortSignal): Promise<void> {
    await this.#withDeadline(signal, async (until) => {
      const transaction = client.transaction();
      transaction.mutate('NB_Global', [['_uuid', '==', uuid as never]], [['nb_cfg', '+=', 1]] as never);
      await client.transact(transaction, { signal: until });
    });
  }

  async #withDeadline(signal: AbortSignal, work: (until: AbortSignal) => Promise<void>): Promise<void> {
    const { transactionTimeoutMs = 10_000 } = this.#options;
    const deadline = new AbortController();
    const expire = () =>
      deadline.abort(
        new OvsdbError('ConnectionLost', `no answer within ${transactionTimeoutMs} ms`, { retryable: true }),
      );
    const timer = this.#clock.setTimer(transactionTimeoutMs, expire);
    try {
      await work(AbortSignal.any([signal, deadline.signal]));
    } finally {
      timer.cancel();
    }
  }

  #onFailure(thrown: unknown, client: Client): void {
    this.#lastError = describeError(thrown);
    this.#logger.warn({ err: thrown }, 'load balancers could not be written; looking again');
    // The server has a row that our copy lacks: the copy is wrong, however live it says it is.
    if (thrown instanceof TransactionError && thrown.outcome === 'refused' && thrown.error === 'duplicate uuid') {
      client.reconnect();
    }
  }

  #summary(): Pick<NorthboundStatus, 'state' | 'message'> {
    const decision = this.#decision;
    if (this.#options.mode === 'off') return { state: 'off', message: 'the OVN mode is set to off' };
    if (this.#staleness !== undefined) {
      return {
        state: 'waiting',
        message: `the northbound database is not available: ${this.#lastError ?? this.#staleness}`,
      };
    }
    if (!decision) return { state: 'waiting', message: 'the northbound database was not looked at yet' };
    if (decision.mode === 'never') return { state: 'off', message: decision.reason };
    if (decision.mode === 'wait') return { state: 'waiting', message: decision.reason };
    if (this.#lastError !== undefined) return { state: 'waiting', message: this.#lastError };
    if (!this.#inputs) return { state: 'waiting', message: 'no Services were handed over yet' };
    if (this.#attachments.length === 0) {
      return {
        state: 'waiting',
        message: `load balancers act nowhere yet: ${this.#missing.join('; ') || decision.reason}`,
      };
    }
    return { state: 'ready', message: `mode ${decision.mode}: ${decision.reason}` };
  }

  #capabilitiesOf(schema: DatabaseSchema): Capabilities {
    if (this.#capabilities?.schema !== schema) {
      this.#capabilities = { schema, value: capabilitiesOf(shapeOf(schema)) };
      this.#refused.forget();
    }
    return this.#capabilities.value;
  }

  #notify(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (thrown) {
        this.#logger.error({ err: thrown }, 'a listener of the northbound writer threw');
      }
    }
  }

  #kick(): void {
    this.#awake = true;
    this.#wake?.();
  }

  async #sleepUntilWoken(delayMs: number | undefined, signal: AbortSignal): Promise<void> {
    if (!this.#awake && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      const timer: Timer | undefined = delayMs === undefined ? undefined : this.#clock.setTimer(delayMs, wake);
      this.#wake = wake;
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      signal.removeEventListener('abort', wake);
      timer?.cancel();
      this.#wake = undefined;
    }
    this.#awake = false;
  }
}

/** Finds Services by "namespace/name" in lists that are asked about again and again. */
class ServicesByKey {
  readonly #maps = new WeakMap<readonly OvnService[], ReadonlyMap<string, OvnService>>();

  of(services: readonly OvnService[]): ReadonlyMap<string, OvnService> {
    let map = this.#maps.get(services);
    if (!map) {
      map = new Map(services.map((service) => [`${service.namespace}/${service.name}`, service]));
      this.#maps.set(services, map);
    }
    return map;
  }
}

function strangers(names: readonly string[]): OvnProblem[] {
  return names.map((name) => ({
    code: 'StrangerInGroup',
    message: `load balancer "${name}" is not Ovenbird's but a member of its group; it is left there, take it out if that was not meant`,
    blocking: false,
  }));
}
