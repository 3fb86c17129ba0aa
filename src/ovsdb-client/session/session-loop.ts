import { Backoff } from '../../base/backoff.ts';
import { describeError } from '../../base/errors.ts';
import { OvsdbError } from '../errors.ts';
import type { Json } from '../json/json-value.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Work } from '../rpc/connection.ts';
import type { Uuid } from '../value/uuid.ts';
import { formatEndpoint } from './endpoint.ts';
import { afterFailure, type EndpointChoice, firstRound, nextEndpoint } from './endpoint-choice.ts';
import type { ConnectionEvent } from './events.ts';
import type { ServerStatus } from './server-status.ts';
import { openSession, type Session } from './session.ts';

/** What the owner of a session loop is told. */
export interface SessionOwner {
  emit(event: ConnectionEvent): void;
  /** A session begins. */
  onSession(session: Session): void;
  onSessionEnd(session: Session, error: OvsdbError): void;
  onNotification(session: Session, method: string, params: readonly Json[]): Work | undefined;
  onStatus(session: Session): void;
  onConversion(session: Session): void;
}

/**
 * Keeps a session open for as long as the signal allows: picks endpoints, judges servers, pauses when nothing works, and
 * starts again at once when a session that had worked ends.
 */
export async function runSessions(options: ResolvedOptions, owner: SessionOwner, signal: AbortSignal): Promise<void> {
  const { clock, logger } = options;
  const backoff = new Backoff(options.backoff, options.random);
  const seen = new Map<Uuid, bigint>();
  const remember = (status: ServerStatus) => {
    const { cid, index } = status;
    if (cid === undefined || index === undefined) return;
    const known = seen.get(cid);
    if (known === undefined || index > known) seen.set(cid, index);
  };
  const handlers = {
    onNotification: (session: Session, method: string, params: readonly Json[]) =>
      owner.onNotification(session, method, params),
    onStatus: (session: Session) => {
      remember(session.status);
      owner.onStatus(session);
    },
    onConversion: (session: Session) => owner.onConversion(session),
  };
  const sessionOptions = {
    database: options.database,
    dial: options.dial,
    leader: options.leader,
    clock,
    connectTimeoutMs: options.connectTimeoutMs,
    connection: { clock, probeIntervalMs: options.probeIntervalMs, ...options.limits },
  };

  const pause = async () => {
    const retryInMs = Math.round(backoff.next());
    owner.emit({ type: 'waiting', retryInMs });
    await clock.sleep(retryInMs, signal);
  };
  let choice: EndpointChoice = firstRound(options.endpoints.length);
  while (!signal.aborted) {
    const next = nextEndpoint(choice);
    const endpoint = next.kind === 'try' ? options.endpoints[next.endpoint] : undefined;
    if (next.kind === 'pause' || endpoint === undefined) {
      await pause();
      choice = firstRound(options.endpoints.length, choice.order[0] ?? 0);
      continue;
    }
    const name = formatEndpoint(endpoint);
    owner.emit({ type: 'connecting', endpoint: name });
    const opened = await openSession(endpoint, next.acceptSecondBest, seen, sessionOptions, handlers, signal);
    if (opened.kind === 'failed') {
      logger?.debug({ endpoint: name, err: opened.error }, 'endpoint rejected');
      owner.emit({ type: 'rejected', endpoint: name, reason: describeError(opened.error), error: opened.error });
      choice = afterFailure(choice, opened.secondBest);
      continue;
    }
    const { session } = opened;
    remember(session.status);
    const startedMs = clock.monotonicMs();
    owner.onSession(session);
    logger?.info({ endpoint: name, model: session.status.model, leader: session.status.leader }, 'connected');
    const error = await endOf(session, signal);
    owner.onSessionEnd(session, error);
    logger?.info({ endpoint: name, err: error }, 'disconnected');
    if (signal.aborted) return;
    // A server that ends every session at once must not be asked in a tight loop.
    if (clock.monotonicMs() - startedMs >= options.backoff.initialMs) backoff.reset();
    else await pause();
    choice = firstRound(options.endpoints.length, next.endpoint);
  }
}

async function endOf(session: Session, signal: AbortSignal): Promise<OvsdbError> {
  const onAbort = () => session.connection.close(new OvsdbError('Closed', 'the client was closed'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await session.connection.closed;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
