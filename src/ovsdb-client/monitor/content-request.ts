import { OvsdbError, ServerError } from '../errors.ts';
import { abbreviate, isArray, type Json } from '../json/json-value.ts';
import type { RpcConnection, Work } from '../rpc/connection.ts';
import { isUuid, type Uuid, zeroUuid } from '../value/uuid.ts';
import type { MonitorPlan } from './request.ts';
import type { UpdateFormat } from './table-updates.ts';

/** The requests that start a monitor: RFC 7047 section 4.1.5, ovsdb-server(7) sections 4.1.12 and 4.1.15. */
export type MonitorMethod = 'monitor' | 'monitor_cond' | 'monitor_cond_since';

const newestFirst: readonly MonitorMethod[] = ['monitor_cond_since', 'monitor_cond', 'monitor'];

/** The answer to a monitor request, whichever it was. */
export interface ContentReply {
  /** True: `updates` lead on from the transaction that was asked about. False: they are the whole content. */
  readonly resumed: boolean;
  /** The last transaction that the content holds; all zero if the server does not number them. */
  readonly transaction: Uuid;
  readonly updates: Json;
  readonly format: UpdateFormat;
}

/**
 * Asks for the content of a monitor with the newest method that the server knows. `newId` names each attempt, and
 * `onReply` runs in wire order when the answer is there. Rejects with ServerError when the server refuses.
 */
export async function requestContent(
  connection: RpcConnection,
  database: string,
  requests: MonitorPlan['requests'],
  since: Uuid,
  newId: (method: MonitorMethod) => string,
  onReply: (reply: ContentReply) => Work | undefined,
): Promise<void> {
  for (const method of newestFirst) {
    if (method === 'monitor') refuseConditions(requests);
    const params: unknown[] = [database, newId(method), requests];
    if (method === 'monitor_cond_since') params.push(since);
    try {
      await connection.call(method, params, { onResult: (result) => onReply(readReply(method, since, result)) });
      return;
    } catch (thrown) {
      if (!(thrown instanceof ServerError) || thrown.error !== 'unknown method' || method === 'monitor') throw thrown;
    }
  }
}

function readReply(method: MonitorMethod, since: Uuid, result: Json): ContentReply {
  if (method !== 'monitor_cond_since') {
    return { resumed: false, transaction: zeroUuid, updates: result, format: method === 'monitor' ? 1 : 2 };
  }
  // [<found>, <last-txn-id>, <table-updates2>]; the id counts even when nothing was found.
  if (!isArray(result) || result.length !== 3 || typeof result[0] !== 'boolean' || !isUuid(result[1])) {
    throw new OvsdbError('ProtocolError', `monitor_cond_since was answered with ${abbreviate(result)}`);
  }
  return { resumed: result[0] && since !== zeroUuid, transaction: result[1], updates: result[2] ?? null, format: 2 };
}

function refuseConditions(requests: MonitorPlan['requests']): void {
  for (const [table, [request]] of Object.entries(requests)) {
    if (request !== null && typeof request === 'object' && 'where' in request) {
      throw new OvsdbError(
        'ServerError',
        `this server does not know conditional monitors, which table ${table} asks for`,
      );
    }
  }
}
