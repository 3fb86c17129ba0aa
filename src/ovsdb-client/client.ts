import { describeError } from '../base/errors.ts';
import { OvsdbError, TransactionError } from './errors.ts';
import { isArray, type Json } from './json/json-value.ts';
import { Lock } from './lock.ts';
import { Monitor, type MonitoredRows, type MonitorSelection } from './monitor/live-monitor.ts';
import { MonitorCore } from './monitor/monitor.ts';
import { checkOwnWrites } from './monitor/own-writes.ts';
import type { TableRequest } from './monitor/request.ts';
import type { TransactionResult } from './operations/result.ts';
import { sendTransaction } from './operations/send.ts';
import { Transaction } from './operations/transaction.ts';
import { type ConnectOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import type { Work } from './rpc/connection.ts';
import { type DatabaseSchema, hasColumn } from './schema/schema.ts';
import { type ConnectionEvent, type ConnectionState, EventStream } from './session/events.ts';
import { fetchSchema } from './session/handshake.ts';
import type { Session } from './session/session.ts';
import { runSessions } from './session/session-loop.ts';
import type { TablesOf, UntypedTables } from './value/row-types.ts';
import { isUuid, type Uuid } from './value/uuid.ts';

/**
 * Connects to a database and keeps connected. Resolves once requests can be carried out; goes on trying all endpoints
 * until then, so give a `signal` with your deadline. Throws OvsdbError `InvalidOptions`, or the signal's reason (with the
 * last failure in the message when that is an OvsdbError of ours).
 */
export async function connect<Tables extends TablesOf<Tables> = UntypedTables>(
  options: ConnectOptions<Tables>,
): Promise<Client<Tables>> {
  options.signal?.throwIfAborted();
  const client = new Client<Tables>(resolveOptions(options));
  try {
    await client.connected(options.signal === undefined ? {} : { signal: options.signal });
    return client;
  } catch (thrown) {
    await client.close();
    throw thrown;
  }
}

/** One database on one server of a list, whichever is fit at the moment. Made by {@link connect}. */
export class Client<Tables extends TablesOf<Tables> = UntypedTables> {
  readonly #options: ResolvedOptions;
  readonly #events = new EventStream<ConnectionEvent>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #monitors = new Set<MonitorCore>();
  readonly #locks = new Map<string, Lock>();
  #state: ConnectionState = { kind: 'waiting', retryInMs: 0 };
  #session: Session | undefined;
  #schema: DatabaseSchema | undefined;
  #sessionWaiters: (() => void)[] = [];
  #lastFailure: string | undefined;

  /** Use {@link connect}. */
  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#running = runSessions(
      options,
      {
        emit: (event) => this.#emit(event),
        onSession: (session) => this.#onSession(session),
        onSessionEnd: (session, error) => this.#onSessionEnd(session, error),
        onNotification: (session, method, params) => this.#onNotification(session, method, params),
        onStatus: (session) => this.#onStatus(session),
        onConversion: (session) => void this.#followConversion(session),
      },
      this.#stop.signal,
    ).catch((thrown: unknown) => {
      if (this.#stop.signal.aborted) return;
      // A defect of ours: nobody shall wait for a connection that will never come.
      options.logger?.error({ err: thrown }, 'the session loop ended');
      this.#stop.abort(new OvsdbError('Closed', `the client stopped: ${describeError(thrown)}`, { cause: thrown }));
      for (const monitor of [...this.#monitors]) monitor.close();
    });
  }

  /** Name of the database. */
  get database(): string {
    return this.#options.database;
  }

  /** The schema that is served, or was when there was last a connection. Look here before using what is new. */
  get schema(): DatabaseSchema {
    if (this.#schema === undefined)
      throw new OvsdbError('ConnectionLost', 'not connected yet: await connected() first');
    return this.#schema;
  }

  /** Whether the served schema has the table, and the column if one is given. */
  has(table: string, column?: string): boolean {
    return hasColumn(this.schema, table, column);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** What happens to the connection from this call on. Ends when the client is closed. */
  events(options: { signal?: AbortSignal } = {}): AsyncGenerator<ConnectionEvent, void, void> {
    return this.#events.read(options.signal);
  }

  /** Resolves when there is a connection. */
  async connected(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#connectedSession(options.signal);
  }

  /** An empty transaction with this database's types. */
  transaction(): Transaction<Tables> {
    return new Transaction<Tables>();
  }

  /**
   * Carries out a transaction, waiting for a connection if there is none. Resolves when it is committed; the monitors of
   * this client then show it. Throws {@link TransactionError}, whose `outcome` tells what is known of the database, or
   * OvsdbError when an operation does not fit the schema (nothing was sent).
   *
   * After `unknown` (the connection or the signal ended first, or a cluster carried the transaction out twice) wait until
   * a monitor is live, compare, and send only what is missing. Aborting does not undo what the server has done.
   */
  async transact(transaction: Transaction<Tables>, options: { signal?: AbortSignal } = {}): Promise<TransactionResult> {
    const { signal } = options;
    // Whatever does not fit is found now, connected or not.
    const checked = this.#schema;
    const early = checked === undefined ? undefined : transaction.encode(checked);
    let session: Session;
    try {
      do {
        session = await this.#connectedSession(signal);
        await session.connection.writable(signal);
      } while (session.connection.error !== undefined);
      signal?.throwIfAborted();
    } catch (thrown) {
      throw new TransactionError('not-sent', `nothing was sent: ${describeError(thrown)}`, { cause: thrown });
    }
    const { schema } = session;
    const operations = early !== undefined && schema === checked ? early : transaction.encode(schema);
    const result = await sendTransaction(session, this.database, operations, signal);
    checkOwnWrites(session.connection, schema, transaction.lasting, result, [...this.#monitors]).catch(() => {
      // The connection ended: the monitors start again anyway.
    });
    return result;
  }

  /**
   * Follows tables. Resolves when their content has been read. Tables and columns that the served schema lacks are left
   * out and listed in `missing`. Throws the signal's reason, or OvsdbError when a condition does not fit the schema.
   */
  async monitor<const Selection extends MonitorSelection<Tables>>(
    selection: Selection,
    options: { signal?: AbortSignal } = {},
  ): Promise<Monitor<MonitoredRows<Tables, Selection>>> {
    const wanted = new Map<string, TableRequest>();
    for (const [table, request] of Object.entries(selection)) {
      if (request !== undefined) wanted.set(table, request === true ? {} : (request as TableRequest));
    }
    const core = new MonitorCore({
      database: this.database,
      wanted,
      expected: this.#options.expected,
      logger: this.#options.logger,
      onClosed: () => this.#monitors.delete(core),
    });
    const monitor = new Monitor<MonitoredRows<Tables, Selection>>(core);
    try {
      const session = await this.#connectedSession(options.signal);
      this.#monitors.add(core);
      const live = monitor.live(options);
      live.catch(() => {});
      try {
        await Promise.race([live, core.attach(session)]);
      } catch (thrown) {
        options.signal?.throwIfAborted();
        if (session.connection.error === undefined) throw thrown;
      }
      await live;
      return monitor;
    } catch (thrown) {
      core.close();
      throw thrown;
    }
  }

  /** Queues for a lock of the server; `steal` takes it from whoever holds it. Returns at once: see `Lock.acquired`. */
  lock(name: string, options: { steal?: boolean } = {}): Lock {
    if (this.#locks.has(name))
      throw new OvsdbError('InvalidRequest', `lock ${name} is already asked for by this client`);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new OvsdbError('InvalidRequest', `${JSON.stringify(name)} is not a lock name`);
    const lock = new Lock(name, options.steal ?? false, () => this.#locks.delete(name));
    this.#locks.set(name, lock);
    const session = this.#session;
    if (session !== undefined) this.#attachLock(lock, session);
    return lock;
  }

  /** The identity of the server process (ovsdb-server(7) section 4.1.18), for telling servers of a list apart. */
  async serverId(options: { signal?: AbortSignal } = {}): Promise<Uuid> {
    const reply = await this.call('get_server_id', [], options);
    if (!isUuid(reply))
      throw new OvsdbError('ProtocolError', 'get_server_id was answered with something that is not a uuid');
    return reply;
  }

  /** Names of the databases that the server serves. */
  async databases(options: { signal?: AbortSignal } = {}): Promise<readonly string[]> {
    const reply = await this.call('list_dbs', [], options);
    if (!isArray(reply))
      throw new OvsdbError('ProtocolError', 'list_dbs was answered with something that is not a list');
    return reply.filter((name) => typeof name === 'string');
  }

  /** Asks the server for a sign of life. */
  async echo(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.call('echo', [], options);
  }

  /** Converts the database to another schema, in place and for all its clients (`convert`, ovsdb-server(7) 4.1.19). */
  async convert(schema: Json, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.call('convert', [this.database, schema], options);
  }

  /** Any other request, by its name on the wire, on the connection of the moment. */
  async call(method: string, params: readonly Json[], options: { signal?: AbortSignal } = {}): Promise<Json> {
    const session = await this.#connectedSession(options.signal);
    return session.connection.call(method, params, options);
  }

  /** Leaves the server that is used now and starts over with the endpoint list. */
  reconnect(): void {
    this.#session?.connection.close(new OvsdbError('ConnectionLost', 'a reconnect was asked for', { retryable: true }));
  }

  /** Ends everything: pending calls reject, monitors and locks close. Resolves when nothing is left running. */
  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) this.#stop.abort(new OvsdbError('Closed', 'the client was closed'));
    for (const monitor of [...this.#monitors]) monitor.close();
    for (const lock of [...this.#locks.values()]) await lock.release();
    await this.#running;
    if (this.#state.kind === 'closed') return;
    this.#emit({ type: 'closed' });
    this.#events.end();
    this.#wakeWaiters();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #connectedSession(signal: AbortSignal | undefined): Promise<Session> {
    for (;;) {
      if (signal?.aborted) throw this.#waitFailure(signal);
      if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
      if (this.#session !== undefined) return this.#session;
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      signal?.addEventListener('abort', wake, { once: true });
      this.#stop.signal.addEventListener('abort', wake, { once: true });
      this.#sessionWaiters.push(wake);
      await promise;
      signal?.removeEventListener('abort', wake);
      this.#stop.signal.removeEventListener('abort', wake);
      this.#sessionWaiters = this.#sessionWaiters.filter((waiter) => waiter !== wake);
    }
  }

  /** A deadline that passes while nothing can be reached should say what was wrong with the servers. */
  #waitFailure(signal: AbortSignal): unknown {
    if (this.#lastFailure === undefined) return signal.reason;
    return new OvsdbError('ConnectFailed', `no connection in time; last: ${this.#lastFailure}`, {
      cause: signal.reason,
      retryable: true,
    });
  }

  #wakeWaiters(): void {
    for (const wake of this.#sessionWaiters) wake();
  }

  #emit(event: ConnectionEvent): void {
    switch (event.type) {
      case 'connecting':
        this.#state = { kind: 'connecting', endpoint: event.endpoint };
        break;
      case 'rejected':
        this.#lastFailure = event.reason;
        break;
      case 'disconnected':
        this.#state = { kind: 'waiting', retryInMs: 0 };
        break;
      case 'waiting':
        this.#state = { kind: 'waiting', retryInMs: event.retryInMs };
        break;
      case 'connected':
      case 'status':
        this.#state = { kind: 'connected', endpoint: event.endpoint, status: event.status };
        break;
      case 'closed':
        this.#state = { kind: 'closed' };
        break;
      default:
    }
    this.#events.emit(event);
  }

  #onSession(session: Session): void {
    this.#session = session;
    this.#schema = session.schema;
    this.#lastFailure = undefined;
    this.#emit({ type: 'connected', endpoint: session.endpoint, status: session.status, schema: session.schema });
    for (const monitor of this.#monitors) this.#attachMonitor(monitor, session);
    for (const lock of this.#locks.values()) this.#attachLock(lock, session);
    this.#wakeWaiters();
  }

  #onSessionEnd(session: Session, error: OvsdbError): void {
    this.#session = undefined;
    this.#lastFailure = error.message;
    for (const monitor of this.#monitors) monitor.detach(error.message);
    for (const lock of this.#locks.values()) lock.detach();
    this.#emit({ type: 'disconnected', endpoint: session.endpoint, error });
  }

  #attachMonitor(monitor: MonitorCore, session: Session): void {
    monitor.attach(session).catch((thrown: unknown) => {
      if (session.connection.error !== undefined) return;
      this.#options.logger?.error({ err: thrown }, 'a monitor cannot be set up on this server');
      monitor.detach(describeError(thrown));
    });
  }

  #attachLock(lock: Lock, session: Session): void {
    lock.attach(session.connection).catch((thrown: unknown) => {
      if (session.connection.error === undefined)
        this.#options.logger?.error({ err: thrown, lock: lock.name }, 'lock failed');
    });
  }

  #onNotification(session: Session, method: string, params: readonly Json[]): Work | undefined {
    const [first] = params;
    switch (method) {
      case 'update':
      case 'update2':
      case 'update3':
        for (const monitor of this.#monitors) {
          if (monitor.owns(first)) return monitor.handle(method, params);
        }
        return undefined;
      case 'monitor_canceled':
        for (const monitor of this.#monitors) if (monitor.owns(first)) monitor.canceled();
        // The status row may be late: the server updates it only when it next has something to do.
        void this.#followConversion(session);
        return undefined;
      case 'locked':
      case 'stolen':
        if (typeof first === 'string') this.#locks.get(first)?.handle(method);
        return undefined;
      default:
        return undefined;
    }
  }

  #onStatus(session: Session): void {
    if (session !== this.#session) return;
    this.#emit({ type: 'status', endpoint: session.endpoint, status: session.status });
  }

  /** The database was converted, or removed, while we were connected: look at the schema, start the monitors again. */
  async #followConversion(session: Session): Promise<void> {
    try {
      const schema = await fetchSchema(session.connection, this.database, this.#stop.signal);
      if (session !== this.#session) return;
      if (schema.text !== session.schema.text) {
        session.schema = schema;
        this.#schema = schema;
        this.#emit({ type: 'schema', schema });
      }
      for (const monitor of this.#monitors) if (monitor.adrift) this.#attachMonitor(monitor, session);
    } catch (thrown) {
      session.connection.close(
        new OvsdbError('ConnectionLost', `the schema could not be read again: ${describeError(thrown)}`, {
          cause: thrown,
          retryable: true,
        }),
      );
    }
  }
}
