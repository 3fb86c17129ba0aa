import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../base/index.ts';
import { BodyReader } from './body-reader.ts';
import {
  type HttpRequest,
  type HttpResponse,
  type Link,
  pathOn,
  RefusedError,
  StaleLinkError,
} from './http-exchange.ts';
import { KubeError } from './kube-error.ts';

/** HTTP/2 flow-control windows, bytes: bound what is buffered for a slow reader, and keep a 24 MB list from crawling. */
const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 4 * 1024 * 1024;

/** A connection on which an answer did not come has this long to answer a ping, ms. */
const probeTimeoutMs = 5_000;

export interface PingOptions {
  /** Ping this often, ms. */
  intervalMs: number;
  /** A connection that has not answered after this is dead, ms. */
  timeoutMs: number;
}

/**
 * One HTTP/2 connection to one API server.
 *
 * Pings find a half-open connection within `intervalMs + timeoutMs`, or soon after a request got no answer. After a
 * GOAWAY `usable` is false, and streams that the server accepted run to their end.
 */
export class Http2Link implements Link {
  readonly server: URL;
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  readonly #ping: PingOptions;
  #retired = false;
  #deathCause: unknown;
  #timer: Timer | undefined;
  #used = false;
  #pinging = false;

  constructor(server: URL, socket: TLSSocket, clock: Clock, ping: PingOptions) {
    this.server = server;
    this.#clock = clock;
    this.#ping = ping;
    this.#session = connect(server.origin, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: streamWindowBytes },
      maxSessionMemory: 64,
    });
    this.#session.once('connect', () => {
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(connectionWindowBytes);
    });
    this.#session.on('goaway', () => {
      this.#retired = true;
    });
    this.#session.on('error', (error) => {
      this.#deathCause ??= error;
    });
    this.#session.once('close', () => this.#timer?.cancel());
    this.#schedulePing();
  }

  get usable(): boolean {
    return !this.#retired && !this.#session.closed && !this.#session.destroyed;
  }

  retire(): void {
    this.#retired = true;
    if (!this.#session.closed) this.#session.close();
  }

  destroy(cause: unknown): void {
    const error = cause instanceof Error ? cause : new KubeError('Network', String(cause));
    this.#deathCause ??= error;
    // Without an error the streams would end as if the server had finished them.
    this.#session.destroy(error, constants.NGHTTP2_CANCEL);
  }

  probe(): void {
    if (this.#pinging) return;
    this.#timer?.cancel();
    this.#sendPing(Math.min(this.#ping.timeoutMs, probeTimeoutMs));
  }

  #schedulePing(): void {
    this.#timer = this.#clock.setTimer(this.#ping.intervalMs, () => this.#sendPing(this.#ping.timeoutMs));
  }

  #sendPing(timeoutMs: number): void {
    if (this.#session.destroyed) return;
    this.#pinging = true;
    const late = this.#clock.setTimer(timeoutMs, () => {
      this.destroy(new KubeError('Network', `${this.server.origin} did not answer a ping`));
    });
    this.#timer = late;
    this.#session.ping((error) => {
      this.#pinging = false;
      late.cancel();
      if (error === null) this.#schedulePing();
    });
  }

  request(request: HttpRequest): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const { signal, body } = request;
      const text = `connection to ${this.server.origin} lost`;
      const reused = this.#used;
      this.#used = true;
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session.request(
          {
            ...request.headers,
            ':method': request.method,
            ':path': pathOn(this.server, request),
            ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
          },
          { endStream: body === undefined },
        );
      } catch (cause) {
        reject(new RefusedError(text, cause));
        return;
      }
      const lost = (cause: unknown) => new KubeError('Network', text, { cause: this.#deathCause ?? cause });
      const reader = new BodyReader(
        stream,
        () => !stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR,
        (cause) => (signal.aborted ? signal.reason : lost(cause)),
      );
      const onAbort = () => stream.close(constants.NGHTTP2_CANCEL);
      signal.addEventListener('abort', onAbort, { once: true });
      let failed: unknown;
      stream.on('error', (cause) => {
        failed ??= cause;
      });
      stream.once('close', () => {
        signal.removeEventListener('abort', onAbort);
        const cause = this.#deathCause ?? failed;
        if (signal.aborted) reject(signal.reason);
        else if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) reject(new RefusedError(text, cause));
        else if (reused) reject(new StaleLinkError(text, cause));
        else reject(lost(cause));
      });
      stream.once('response', (headers) => {
        resolve({
          status: headers[':status'] ?? 0,
          header(name) {
            const value = headers[name];
            return Array.isArray(value) ? value[0] : value;
          },
          body: reader,
          cancel: onAbort,
        });
      });
      if (body !== undefined) stream.end(body);
    });
  }
}
