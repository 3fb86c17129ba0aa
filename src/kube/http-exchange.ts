import { KubeError } from './kube-error.ts';

/** One HTTP request, whatever the version that carries it. */
export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query below the server's base URL. */
  path: string;
  /** Lower-case names. */
  headers: Readonly<Record<string, string>>;
  body?: string;
  /** Ends the request, and the reading of its answer, with the signal's reason. */
  signal: AbortSignal;
}

export interface HttpResponse {
  status: number;
  /** The first value of a header; `name` in lower case. */
  header(name: string): string | undefined;
  /** The body as it arrives. Throws KubeError `Network` when it ends before the server finished it. */
  body: AsyncIterable<Uint8Array>;
  /** Gives up the rest of the body. */
  cancel(): void;
}

/** One way to one API server: an HTTP/2 connection or a pool of HTTP/1.1 connections. */
export interface Link {
  readonly server: URL;
  /** False once new requests must go elsewhere. */
  readonly usable: boolean;
  /**
   * Rejects with the signal's reason, or with KubeError `Network`: a `RefusedError` when the server never processed the
   * request, a `StaleLinkError` when the connection had been idle and may have died before it.
   */
  request(request: HttpRequest): Promise<HttpResponse>;
  /** A request got no answer in time: finds out soon whether the connection is dead. */
  probe(): void;
  /** Takes no new requests; those in flight run to their end. */
  retire(): void;
  /** Ends everything in flight. */
  destroy(cause: unknown): void;
}

/** The server never processed the request: it may be sent again, even a write. */
export class RefusedError extends KubeError {
  constructor(message: string, cause: unknown) {
    super('Network', message, { cause });
  }
}

/** A connection that had been used before failed: a read may be sent again at once. */
export class StaleLinkError extends KubeError {
  constructor(message: string, cause: unknown) {
    super('Network', message, { cause });
  }
}

/** The path that `request` has on `server`, whose URL may carry a prefix. */
export function pathOn(server: URL, request: HttpRequest): string {
  return server.pathname === '/' ? request.path : `${server.pathname.replace(/\/+$/, '')}${request.path}`;
}
