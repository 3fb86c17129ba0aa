import { OvenbirdError, type OvenbirdErrorOptions } from '../base/index.ts';
import type { StatusObject } from './objects.ts';

/**
 * What went wrong with a request to the API server.
 *
 * The first group is the server's verdict (HTTP status and reason), the second what happened on the way:
 * `Timeout` no answer in time (outcome of a write unknown), `Network` connection refused, reset or closed (outcome of a
 * write unknown), `BadResponse` an answer that is not what the API promises, `BadConfig` no usable way to reach it.
 */
export type KubeErrorCode =
  | 'NotFound'
  | 'Conflict'
  | 'AlreadyExists'
  | 'Gone'
  | 'TooManyRequests'
  | 'Invalid'
  | 'BadRequest'
  | 'Forbidden'
  | 'Unauthorized'
  | 'Unavailable'
  | 'Internal'
  | 'Rejected'
  | 'Timeout'
  | 'Network'
  | 'BadResponse'
  | 'BadConfig';

export interface KubeErrorOptions extends OvenbirdErrorOptions {
  httpStatus?: number;
  status?: StatusObject;
  retryAfterMs?: number;
}

const retryableCodes: ReadonlySet<KubeErrorCode> = new Set([
  'TooManyRequests',
  'Unavailable',
  'Internal',
  'Timeout',
  'Network',
  'BadResponse',
]);

/** Every failure of this room. `status` keeps the server's Status object, `retryAfterMs` its Retry-After. */
export class KubeError extends OvenbirdError<KubeErrorCode> {
  /** HTTP status, when the server answered. */
  readonly httpStatus: number | undefined;
  readonly status: StatusObject | undefined;
  /** How long the server asks to wait before the next try, ms. */
  readonly retryAfterMs: number | undefined;

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    super(code, message, { retryable: retryableCodes.has(code), ...options });
    this.httpStatus = options.httpStatus;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** True when `thrown` is a KubeError with one of these codes. */
export function isKubeError(thrown: unknown, ...codes: KubeErrorCode[]): thrown is KubeError {
  return thrown instanceof KubeError && (codes.length === 0 || codes.includes(thrown.code));
}

function codeOf(httpStatus: number, reason: string | undefined): KubeErrorCode {
  switch (httpStatus) {
    case 400:
      return 'BadRequest';
    case 401:
      return 'Unauthorized';
    case 403:
      return 'Forbidden';
    case 404:
      return 'NotFound';
    case 408:
    case 504:
      return 'Timeout';
    case 409:
      return reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict';
    case 410:
      return 'Gone';
    case 422:
      return 'Invalid';
    case 429:
      return 'TooManyRequests';
    case 502:
    case 503:
      return 'Unavailable';
    default:
      return httpStatus >= 500 ? 'Internal' : 'Rejected';
  }
}

/** A Status object out of parsed JSON, or undefined when it is something else. */
export function asStatus(value: unknown): StatusObject | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as { kind?: unknown }).kind === 'Status' ? (value as StatusObject) : undefined;
}

/**
 * The error for an answer with `httpStatus` (>= 400) or a watch ERROR event.
 *
 * `what` names the request for the operator, e.g. `get services default/web`. `retryAfter` is the header: seconds or an
 * HTTP date (RFC 9110 10.2.3); only seconds are used, as the API server sends nothing else.
 */
export function errorFromStatus(
  what: string,
  httpStatus: number,
  status: StatusObject | undefined,
  retryAfter?: string,
): KubeError {
  const seconds = retryAfter === undefined ? status?.details?.retryAfterSeconds : Number(retryAfter);
  const code = codeOf(httpStatus, status?.reason);
  const text = status?.message ?? `HTTP ${httpStatus}`;
  return new KubeError(code, `${what}: ${text}`, {
    httpStatus,
    ...(status ? { status } : {}),
    ...(seconds !== undefined && Number.isFinite(seconds) && seconds >= 0 ? { retryAfterMs: seconds * 1000 } : {}),
  });
}

/** True for the 504 that a watch cache gives for a resourceVersion it has not reached (yet, or after a restore). */
export function isTooLargeResourceVersion(thrown: unknown): boolean {
  if (!isKubeError(thrown, 'Timeout')) return false;
  const causes = thrown.status?.details?.causes ?? [];
  return causes.some((cause) => cause.reason === 'ResourceVersionTooLarge');
}
