import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { OvsdbError } from '../errors.ts';
import { abbreviate, type Json } from '../json/json-value.ts';
import type { RpcConnection, Work } from '../rpc/connection.ts';
import { type DatabaseSchema, tableOf } from '../schema/schema.ts';
import { isUuid, type Uuid, zeroUuid } from '../value/uuid.ts';
import type { Change } from './change.ts';
import { ChangeFeed } from './change-feed.ts';
import { type ContentReply, type MonitorMethod, requestContent } from './content-request.ts';
import { encodeAnyOf, type MissingElement, type MonitorPlan, planMonitor, type TableRequest } from './request.ts';
import type { CachedRow } from './row-codec.ts';
import type { RowRevival } from './row-revival.ts';
import { TableStore } from './table-store.ts';
import { CacheDivergence, type ReadTable, readContent, readUpdate } from './table-updates.ts';

/**
 * How current a monitor's tables are.
 *
 * - `syncing`: nothing has been read yet
 * - `live`: the tables are what the server last said
 * - `stale`: the tables are what a server said before the connection was lost
 * - `closed`: the tables will not change any more
 */
export type MonitorState =
  | { readonly kind: 'syncing' }
  | { readonly kind: 'live' }
  | { readonly kind: 'stale'; readonly reason: string }
  | { readonly kind: 'closed' };

/** Above this many changed rows of a table, the new content is built beside the old one instead of in place. */
const STAGE_ABOVE = 1000;

/** Servers answer before they update; a few that are late to it can be waited for. */
const MAXIMUM_EARLY_UPDATES = 100;

export interface MonitorOptions {
  database: string;
  wanted: ReadonlyMap<string, TableRequest>;
  expected: DatabaseSchema | undefined;
  logger: Logger | undefined;
  onClosed: () => void;
}

/** What a monitor needs of a session. */
export interface MonitorSession {
  readonly connection: RpcConnection;
  readonly schema: DatabaseSchema;
  readonly revival: RowRevival;
  /** A name that no other monitor of this connection has. */
  newMonitorId(): string;
}

/** One server-side monitor: what the connection of the moment is told, and what it has told us. */
interface Attachment extends MonitorSession {
  /** The `<json-value>` that names this monitor on this connection. */
  id: string;
  plan: MonitorPlan;
  method: MonitorMethod;
  /** Updates that came before the reply to the request. */
  early: { method: string; json: Json; transaction: Json | undefined }[] | undefined;
  divergences: number;
  /** Our own writes did not show, and everything was read again for that. Done once for a connection. */
  distrusted: boolean;
  /** Resolves when the request has been answered, or there is no use in waiting. */
  answered: PromiseWithResolvers<void>;
}

/**
 * The tables of one monitor, kept through reconnects (untyped; `Client.monitor` puts types on top).
 *
 * All changes of one update show at once, in tables, snapshots and indexes. After a reconnect the server is asked to go
 * on from the last transaction that was seen; if it cannot, its whole content is read beside the old tables and swapped
 * in, and the difference is what readers are told.
 */
export class MonitorCore {
  readonly stores = new Map<string, TableStore>();
  readonly #options: MonitorOptions;
  readonly #wanted: Map<string, TableRequest>;
  readonly #feeds = new Set<ChangeFeed>();
  readonly #listeners = new Set<() => void>();
  #state: MonitorState = { kind: 'syncing' };
  #attachment: Attachment | undefined;
  #lastTransaction: Uuid = zeroUuid;
  #fingerprint = '';
  #missing: readonly MissingElement[] = [];
  /** Conditions were changed and the server has not confirmed it: where we stand in its history is not certain. */
  #conditionsInFlight = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#wanted = new Map(options.wanted);
    for (const name of options.wanted.keys()) this.stores.set(name, new TableStore());
  }

  get state(): MonitorState {
    return this.#state;
  }

  get missing(): readonly MissingElement[] {
    return this.#missing;
  }

  /** The last transaction that is in the tables; all zero when the server does not number them. */
  get lastTransaction(): Uuid {
    return this.#lastTransaction;
  }

  /** Calls back after each change of tables or state. Returns what ends it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A feed that begins with the current rows as inserts. `close` when it is not read any more. */
  feed(): { feed: ChangeFeed; close: () => void } {
    const feed = new ChangeFeed();
    const content = new Map<string, Change<CachedRow>[]>();
    for (const [name, store] of this.stores) {
      if (store.rows.size === 0) continue;
      content.set(
        name,
        Array.from(store.rows, ([uuid, row]) => ({ kind: 'insert', uuid, row })),
      );
    }
    feed.add(content, false);
    if (this.#state.kind === 'closed') feed.end();
    else this.#feeds.add(feed);
    return { feed, close: () => this.#feeds.delete(feed) };
  }

  /** No server keeps it up to date at the moment. */
  get adrift(): boolean {
    return this.#attachment === undefined && this.#state.kind !== 'closed';
  }

  /** Starts on a new connection; resolves when live. Rejects when the connection ends or the request does not fit. */
  async attach({ connection, schema, revival, newMonitorId }: MonitorSession): Promise<void> {
    if (this.#state.kind === 'closed') return;
    const plan = planMonitor(this.#wanted, schema, this.#options.expected);
    this.#missing = plan.missing;
    const attachment: Attachment = {
      connection,
      schema,
      revival,
      newMonitorId,
      id: '',
      plan,
      method: 'monitor_cond_since',
      early: undefined,
      divergences: 0,
      distrusted: false,
      answered: Promise.withResolvers<void>(),
    };
    this.#leave();
    this.#attachment = attachment;
    for (const codec of plan.codecs.values()) revival.add(codec);
    const resumable = this.#fingerprint === plan.fingerprint && this.#conditionsInFlight === 0;
    this.#conditionsInFlight = 0;
    await this.#request(attachment, resumable ? this.#lastTransaction : zeroUuid);
  }

  detach(reason: string): void {
    this.#leave();
    if (this.#state.kind === 'live') this.#setState({ kind: 'stale', reason });
  }

  /** Ends the monitor for good. */
  close(): void {
    const attachment = this.#attachment;
    this.#leave();
    if (this.#state.kind === 'closed') return;
    this.#setState({ kind: 'closed' });
    for (const feed of this.#feeds) feed.end();
    this.#feeds.clear();
    this.#options.onClosed();
    // Updates for the id that are under way find no attachment, and are dropped.
    attachment?.connection.start('monitor_cancel', [attachment.id]).catch(() => {});
  }

  /** The notifications `update`, `update2`, `update3` and `monitor_canceled`. True when it was meant for this monitor. */
  owns(id: Json | undefined): boolean {
    return this.#attachment !== undefined && this.#attachment.id === id;
  }

  handle(method: string, params: readonly Json[]): Work | undefined {
    const attachment = this.#attachment;
    if (attachment === undefined) return undefined;
    const transaction = method === 'update3' ? params[1] : undefined;
    const json = (method === 'update3' ? params[2] : params[1]) ?? null;
    if (attachment.early !== undefined) {
      if (attachment.early.length >= MAXIMUM_EARLY_UPDATES)
        throw new OvsdbError('ProtocolError', 'the server sends updates but no reply to the monitor request');
      attachment.early.push({ method, json, transaction });
      return undefined;
    }
    return this.#update(attachment, method, json, transaction);
  }

  /** Whether this monitor is live on the connection and lacks a row of the table that it ought to show. */
  lacks(connection: RpcConnection, table: string, uuid: Uuid): boolean {
    const attachment = this.#attachment;
    if (attachment?.connection !== connection || this.#state.kind !== 'live' || attachment.distrusted) return false;
    const shows = attachment.plan.codecs.has(table) && this.#wanted.get(table)?.anyOf === undefined;
    return shows && this.stores.get(table)?.rows.has(uuid) === false;
  }

  /** The server does not tell this monitor what it should: reads everything again. */
  distrust(table: string, uuid: Uuid): void {
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    attachment.distrusted = true;
    this.#resync(attachment, new CacheDivergence(table, uuid, 'was inserted by this client and is not reported'));
  }

  /** The server gave the monitor up (the database was converted or removed): the tables are no longer current. */
  canceled(): void {
    if (this.#attachment === undefined) return;
    this.detach('the server cancelled the monitor');
  }

  /** Changes which rows of a table are shown; resolves when the tables follow the new conditions. */
  async setConditions(table: string, anyOf: readonly unknown[] | undefined, signal?: AbortSignal): Promise<void> {
    const request = this.#wanted.get(table);
    if (request === undefined) throw new OvsdbError('UnknownTable', `table ${table} is not part of this monitor`);
    // Conditions that overtake the request for the content would be lost with it if it has to be repeated.
    for (let busy = this.#attachment; busy?.early !== undefined; busy = this.#attachment) {
      await settledOrAborted(busy.answered.promise, signal);
    }
    const attachment = this.#attachment;
    if (attachment !== undefined) encodeAnyOf(tableOf(attachment.schema, table), anyOf);
    this.#wanted.set(table, { ...request, anyOf });
    if (attachment === undefined) {
      this.#conditionsInFlight += 1;
      return;
    }
    if (!attachment.plan.codecs.has(table)) return;
    if (attachment.method === 'monitor') {
      throw new OvsdbError('ServerError', 'this server does not know conditional monitors');
    }
    const where = encodeAnyOf(tableOf(attachment.schema, table), anyOf).where ?? [true];
    this.#conditionsInFlight += 1;
    await attachment.connection.call('monitor_cond_change', [attachment.id, attachment.id, { [table]: [{ where }] }], {
      signal,
      onResult: () => {
        this.#conditionsInFlight -= 1;
        return undefined;
      },
    });
  }

  #leave(): void {
    const attachment = this.#attachment;
    this.#attachment = undefined;
    attachment?.answered.resolve();
    for (const codec of attachment?.plan.codecs.values() ?? []) attachment?.revival.delete(codec);
  }

  #request(attachment: Attachment, since: Uuid): Promise<void> {
    attachment.early = [];
    const newId = (method: MonitorMethod) => {
      attachment.method = method;
      attachment.id = attachment.newMonitorId();
      return attachment.id;
    };
    const { connection, plan } = attachment;
    return requestContent(connection, this.#options.database, plan.requests, since, newId, (reply) =>
      this.#reply(attachment, reply),
    );
  }

  *#reply(attachment: Attachment, { resumed, transaction, updates, format }: ContentReply): Work {
    if (this.#attachment !== attachment) return;
    const tables = this.#readTables(attachment);
    const sameShape = this.#fingerprint === attachment.plan.fingerprint;
    const becomeLive = () => {
      this.#lastTransaction = transaction;
      this.#fingerprint = attachment.plan.fingerprint;
      this.#state = { kind: 'live' };
    };
    try {
      const changes = resumed
        ? yield* readUpdate(updates, format, tables)
        : yield* readContent(updates, format, tables, sameShape);
      if (!resumed) this.#addVanishedTables(attachment, changes);
      yield* this.#commit(attachment, changes, becomeLive, !resumed);
    } catch (thrown) {
      if (!(thrown instanceof CacheDivergence)) throw thrown;
      this.#resync(attachment, thrown);
      return;
    }
    const early = attachment.early ?? [];
    attachment.early = undefined;
    for (const update of early) yield* this.#update(attachment, update.method, update.json, update.transaction);
    attachment.answered.resolve();
  }

  *#update(attachment: Attachment, method: string, json: Json, transaction: Json | undefined): Work {
    if (transaction !== undefined && !isUuid(transaction)) {
      throw new OvsdbError('ProtocolError', `update3 has ${abbreviate(transaction)} for a transaction id`);
    }
    try {
      const changes = yield* readUpdate(json, method === 'update' ? 1 : 2, this.#readTables(attachment));
      const remember = () => {
        if (transaction !== undefined) this.#lastTransaction = transaction;
      };
      yield* this.#commit(attachment, changes, remember, false);
    } catch (thrown) {
      if (!(thrown instanceof CacheDivergence)) throw thrown;
      this.#resync(attachment, thrown);
    }
  }

  /** Makes the changes visible, all in one instant. */
  *#commit(
    attachment: Attachment,
    changes: ReadonlyMap<string, readonly Change<CachedRow>[]>,
    also: () => void,
    resynced: boolean,
  ): Work {
    const steps: (() => void)[] = [];
    for (const [name, list] of changes) {
      const store = this.stores.get(name);
      if (store === undefined) continue;
      if (list.length > STAGE_ABOVE) steps.push(yield* store.stage(list));
      else steps.push(() => store.apply(list));
    }
    if (this.#attachment !== attachment) return;
    for (const step of steps) step();
    also();
    for (const feed of this.#feeds) feed.add(changes, resynced);
    this.#notify();
  }

  #readTables(attachment: Attachment): ReadonlyMap<string, ReadTable> {
    const tables = new Map<string, ReadTable>();
    for (const [name, codec] of attachment.plan.codecs) {
      tables.set(name, { codec, rows: this.stores.get(name)?.rows ?? new Map() });
    }
    return tables;
  }

  /** A table that this server does not have is empty, whatever another server said of it. */
  #addVanishedTables(attachment: Attachment, changes: Map<string, Change<CachedRow>[]>): void {
    for (const [name, store] of this.stores) {
      if (attachment.plan.codecs.has(name) || store.rows.size === 0) continue;
      changes.set(
        name,
        Array.from(store.rows, ([uuid, old]) => ({ kind: 'delete', uuid, old })),
      );
    }
  }

  /** Reads everything again on the same connection; readers keep the old tables until then. */
  #resync(attachment: Attachment, divergence: CacheDivergence): void {
    attachment.divergences += 1;
    this.#options.logger?.warn({ err: divergence, monitor: attachment.id }, 'monitor diverged; reading it again');
    if (attachment.divergences > 2) throw divergence;
    this.#lastTransaction = zeroUuid;
    attachment.early = [];
    attachment.answered = Promise.withResolvers<void>();
    this.#setState({ kind: 'stale', reason: divergence.message });
    attachment.connection.start('monitor_cancel', [attachment.id]).catch(() => {});
    this.#request(attachment, zeroUuid).catch((thrown: unknown) => {
      if (attachment.connection.error === undefined && this.#attachment === attachment) {
        attachment.connection.close(
          new OvsdbError('ProtocolError', `the monitor could not be read again: ${describeError(thrown)}`, {
            cause: thrown,
          }),
        );
      }
    });
  }

  #setState(state: MonitorState): void {
    this.#state = state;
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (thrown) {
        this.#options.logger?.error({ err: thrown }, 'a listener of a monitor threw');
      }
    }
  }
}

async function settledOrAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
