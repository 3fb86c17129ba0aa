import { OvsdbError } from '../errors.ts';
import { abbreviate, isArray, isObject, type Json, type JsonObject, member } from '../json/json-value.ts';

/**
 * One JSON-RPC 1.0 message as RFC 7047 section 4 uses it:
 *
 *     request       {"method": string, "params": [...], "id": non-null}
 *     notification  {"method": string, "params": [...], "id": null}
 *     response      {"result": any, "error": null, "id": non-null}, or "error" set and no usable result
 *
 * ovsdb-server leaves out `result` in error responses, and `error` is a string or an object.
 */
export type Message =
  | { kind: 'request'; id: Json; method: string; params: readonly Json[] }
  | { kind: 'notification'; method: string; params: readonly Json[] }
  | { kind: 'result'; id: Json; result: Json }
  | { kind: 'error'; id: Json; error: string; details: string | undefined };

/** Sorts a received value into a message. Throws OvsdbError `ProtocolError` when it is none. */
export function readMessage(value: Json): Message {
  if (!isObject(value)) throw malformed(value);
  const id = member(value, 'id') ?? null;
  const method = member(value, 'method');
  if (method !== undefined && method !== null) {
    const params = member(value, 'params');
    if (typeof method !== 'string' || !isArray(params)) throw malformed(value);
    return id === null ? { kind: 'notification', method, params } : { kind: 'request', id, method, params };
  }
  if (id === null) throw malformed(value);
  const error = member(value, 'error');
  if (error === undefined || error === null) {
    const result = member(value, 'result');
    if (result === undefined) throw malformed(value);
    return { kind: 'result', id, result };
  }
  return { kind: 'error', id, ...readError(error) };
}

/** The word and the sentence of an `<error>` (RFC 7047 section 3.1), which old and new servers shape differently. */
export function readError(error: Json): { error: string; details: string | undefined } {
  if (typeof error === 'string') return { error, details: undefined };
  if (isObject(error)) {
    const word = member(error, 'error');
    const details = member(error, 'details');
    if (typeof word === 'string') return { error: word, details: typeof details === 'string' ? details : undefined };
  }
  return { error: 'unreadable error', details: abbreviate(error) };
}

function malformed(value: Json): OvsdbError {
  return new OvsdbError(
    'ProtocolError',
    `the peer sent ${abbreviate(value as JsonObject)}, which is not a JSON-RPC message`,
  );
}
