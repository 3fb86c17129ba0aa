import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { OvsdbError } from '../errors.ts';
import type { Json } from '../json/json-value.ts';
import { RowRevival } from '../monitor/row-revival.ts';
import { type ConnectionOptions, RpcConnection, type Work } from '../rpc/connection.ts';
import type { DatabaseSchema } from '../schema/schema.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';
import { becomeChangeAware, fetchSchema, type StatusWatch, watchStatus } from './handshake.ts';
import {
  judgeServer,
  type LeaderPreference,
  type SeenIndexes,
  type ServerStatus,
  type Verdict,
} from './server-status.ts';
import type { Dial } from './transport.ts';

export interface SessionOptions {
  database: string;
  dial: Dial;
  leader: LeaderPreference;
  clock: Clock;
  connectTimeoutMs: number;
  connection: Omit<ConnectionOptions, 'revive'>;
}

/** A connection to a server that was found fit, with what is known of it. */
export interface Session {
  readonly endpoint: string;
  readonly connection: RpcConnection;
  schema: DatabaseSchema;
  status: ServerStatus;
  /** The schema as the server's status gives it, for noticing a conversion. */
  schemaText: string | undefined;
  /** Where monitors register the rows they read. */
  readonly revival: RowRevival;
  /** A name that no other monitor of this connection has. */
  readonly newMonitorId: () => string;
}

/** What a session tells its owner, in the order of the wire. */
export interface SessionHandlers {
  /** Notifications that are not about the server's status. */
  onNotification(session: Session, method: string, params: readonly Json[]): Work | undefined;
  /** The status changed, and the server is still fit. */
  onStatus(session: Session): void;
  /** The database was converted to another schema. */
  onConversion(session: Session): void;
}

export type OpenResult =
  | { readonly kind: 'open'; readonly session: Session }
  | { readonly kind: 'failed'; readonly secondBest: boolean; readonly error: OvsdbError };

/**
 * Connects to one endpoint and finds out whether its server is fit: it serves the database, is part of a working
 * cluster, leads if that is asked for, and is not behind what we have seen. Rejects only with the signal's reason.
 */
export async function openSession(
  endpoint: Endpoint,
  acceptSecondBest: boolean,
  seen: SeenIndexes,
  options: SessionOptions,
  handlers: SessionHandlers,
  signal: AbortSignal,
): Promise<OpenResult> {
  const name = formatEndpoint(endpoint);
  const timeout = new AbortController();
  const timer = options.clock.setTimer(options.connectTimeoutMs, () =>
    timeout.abort(
      new OvsdbError('ConnectFailed', `${name} did not answer within ${options.connectTimeoutMs} ms`, {
        retryable: true,
      }),
    ),
  );
  const either = AbortSignal.any([signal, timeout.signal]);
  let connection: RpcConnection | undefined;
  try {
    const stream = await options.dial(endpoint, either);
    const revival = new RowRevival();
    connection = new RpcConnection(stream, { ...options.connection, revive: revival.revive });
    const opened = await greet(name, connection, revival, acceptSecondBest, seen, options, handlers, either);
    if (opened.kind === 'failed') connection.close(opened.error);
    return opened;
  } catch (thrown) {
    const error = asOvsdbError(name, thrown);
    connection?.close(error);
    signal.throwIfAborted();
    return { kind: 'failed', secondBest: false, error };
  } finally {
    timer.cancel();
  }
}

async function greet(
  name: string,
  connection: RpcConnection,
  revival: RowRevival,
  acceptSecondBest: boolean,
  seen: SeenIndexes,
  options: SessionOptions,
  handlers: SessionHandlers,
  signal: AbortSignal,
): Promise<OpenResult> {
  let session: Session | undefined;
  let watch: StatusWatch | undefined;
  connection.onNotification = (method, params) => {
    const news = watch?.update(method, params);
    if (session === undefined) return undefined;
    if (news === undefined) return handlers.onNotification(session, method, params);
    takeStatus(session, news.status, watch?.schemaText, seen, options, handlers);
    return undefined;
  };
  const [, watching] = await Promise.all([
    becomeChangeAware(connection, signal),
    watchStatus(connection, options.database, signal, (early) => {
      watch = early;
    }),
  ]);
  const verdict = judgeServer(watching.status, options.leader, seen);
  if (verdict.kind === 'reject' || (verdict.kind === 'second-best' && !acceptSecondBest)) {
    const error = new OvsdbError('ConnectFailed', `${name}: ${verdict.reason}`, { retryable: true });
    return { kind: 'failed', secondBest: verdict.kind === 'second-best', error };
  }
  const { schemaText } = watching;
  const schema = await fetchSchema(connection, options.database, signal);
  // The status may have changed meanwhile.
  const { status } = watching;
  if (!isFit(judgeServer(status, options.leader, seen))) {
    return {
      kind: 'failed',
      secondBest: false,
      error: new OvsdbError('ConnectFailed', `${name}: the server is no longer fit`),
    };
  }
  let monitors = 0;
  const newMonitorId = () => `monitor-${++monitors}`;
  session = { endpoint: name, connection, schema, status, schemaText, revival, newMonitorId };
  return { kind: 'open', session };
}

function takeStatus(
  session: Session,
  status: ServerStatus | undefined,
  schemaText: string | undefined,
  seen: SeenIndexes,
  options: SessionOptions,
  handlers: SessionHandlers,
): void {
  if (status === undefined) {
    session.connection.close(
      new OvsdbError('ConnectionLost', `${session.endpoint} no longer serves ${options.database}`, { retryable: true }),
    );
    return;
  }
  session.status = status;
  const verdict = judgeServer(status, options.leader, seen);
  if (verdict.kind === 'reject') {
    session.connection.close(
      new OvsdbError('ConnectionLost', `${session.endpoint}: ${verdict.reason}`, { retryable: true }),
    );
    return;
  }
  handlers.onStatus(session);
  if (schemaText === session.schemaText) return;
  session.schemaText = schemaText;
  handlers.onConversion(session);
}

function isFit(verdict: Verdict): boolean {
  return verdict.kind !== 'reject';
}

function asOvsdbError(name: string, thrown: unknown): OvsdbError {
  if (thrown instanceof OvsdbError && thrown.message.startsWith(name)) return thrown;
  // The chain of causes goes on with the cause of what was thrown: its own message is in ours.
  const isOurs = thrown instanceof OvsdbError;
  const [message, cause] = isOurs ? [thrown.message, thrown.cause] : [describeError(thrown), undefined];
  return new OvsdbError('ConnectFailed', `${name}: ${message}`, { cause, retryable: true });
}
