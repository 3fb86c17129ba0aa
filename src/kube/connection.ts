import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { type Clock, describeError, type Logger } from '../base/index.ts';
import type { ClusterConfig, ClusterTls } from './cluster-config.ts';
import type { HttpRequest, HttpResponse, Link } from './http-exchange.ts';
import { Http1Link } from './http1-link.ts';
import { Http2Link, type PingOptions } from './http2-link.ts';
import { isKubeError, KubeError } from './kube-error.ts';

export interface ConnectionOptionsOfCluster {
  clock: Clock;
  logger: Logger;
  ping: PingOptions;
  /** Longest time for TCP and TLS together, ms. */
  connectTimeoutMs: number;
}

/**
 * The one connection of a process to its API server, opened on demand and replaced when it ends.
 *
 * ALPN decides between HTTP/2 and pooled HTTP/1.1. With several servers the next one is tried when one cannot be
 * reached, and kept as long as it works.
 */
export class Connection {
  readonly #config: ClusterConfig;
  readonly #options: ConnectionOptionsOfCluster;
  #link: Promise<Link> | undefined;
  #current: Link | undefined;
  #server = 0;
  #connects = 0;
  readonly #onConnect = new Set<() => void>();
  #closed = false;

  constructor(config: ClusterConfig, options: ConnectionOptionsOfCluster) {
    this.#config = config;
    this.#options = options;
  }

  /** How many connections were opened so far. */
  get connects(): number {
    return this.#connects;
  }

  /** Calls `listener` after each connection that was opened; returns how to stop that. */
  onConnect(listener: () => void): () => void {
    this.#onConnect.add(listener);
    return () => {
      this.#onConnect.delete(listener);
    };
  }

  /** Rejects with the signal's reason or KubeError `Network` (RefusedError, StaleLinkError: see Link). */
  async request(request: HttpRequest): Promise<HttpResponse> {
    const link = await abortable(this.#usableLink(), request.signal);
    try {
      return await link.request(request);
    } catch (thrown) {
      // HTTP/1.1 has no connection of its own to watch: after a failure the next request negotiates again.
      if (link instanceof Http1Link && isKubeError(thrown, 'Network')) this.#drop(link);
      throw thrown;
    }
  }

  /** Lets requests in flight finish and opens a new connection for the next one: new credentials or CA. */
  renew(): void {
    this.#current?.retire();
  }

  /** A request got no answer in time: the connection may be dead. */
  probe(): void {
    this.#current?.probe();
  }

  close(): void {
    this.#closed = true;
    this.#current?.destroy(new KubeError('Network', 'the client was closed'));
  }

  #drop(link: Link): void {
    if (this.#current === link) this.#link = this.#current = undefined;
    link.retire();
  }

  #usableLink(): Promise<Link> {
    if (this.#closed) return Promise.reject(new KubeError('Network', 'the client was closed', { retryable: false }));
    if (this.#current && !this.#current.usable) this.#link = this.#current = undefined;
    this.#link ??= this.#open();
    return this.#link;
  }

  async #open(): Promise<Link> {
    const failures: unknown[] = [];
    const { servers } = this.#config;
    try {
      for (let attempt = 0; attempt < servers.length; attempt++) {
        const server = new URL(servers[this.#server % servers.length] ?? servers[0]);
        try {
          const link = await this.#openTo(server);
          this.#connects += 1;
          this.#current = link;
          if (this.#closed) this.close();
          for (const listener of this.#onConnect) listener();
          return link;
        } catch (thrown) {
          failures.push(thrown);
          this.#options.logger.debug({ server: server.origin, err: thrown }, 'cannot reach the API server');
          this.#server += 1;
        }
      }
      if (failures.length === 1) throw failures[0];
      const text = failures.map((failure) => describeError(failure)).join('; ');
      throw new KubeError('Network', text, { cause: new AggregateError(failures) });
    } catch (thrown) {
      this.#link = undefined;
      throw thrown;
    }
  }

  async #openTo(server: URL): Promise<Link> {
    const { agent } = this.#config;
    const { clock, connectTimeoutMs, ping } = this.#options;
    const pooled = { keepAlive: true, maxFreeSockets: 4 };
    if (agent) return new Http1Link(server, agent, clock);
    if (server.protocol === 'http:') return new Http1Link(server, new PlainAgent(pooled), clock, connectTimeoutMs);
    const tls = tlsOptions(server, await this.#config.tls());
    const socket = await this.#secure(server, tls);
    if (socket.alpnProtocol === 'h2') return new Http2Link(server, socket, clock, ping);
    socket.destroy();
    return new Http1Link(server, new TlsAgent({ ...tls, ...pooled }), clock, connectTimeoutMs);
  }

  #secure(server: URL, tls: ConnectionOptions): Promise<TLSSocket> {
    const { clock, connectTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = connectTls({ ...tls, ALPNProtocols: ['h2', 'http/1.1'] });
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 30_000);
      const fail = (cause: unknown) => {
        timer.cancel();
        const text = `cannot connect to ${server.origin}${hintFor(cause)}`;
        reject(new KubeError('Network', text, { cause }));
      };
      const timer = clock.setTimer(connectTimeoutMs, () => {
        socket.destroy();
        reject(new KubeError('Network', `cannot connect to ${server.origin}: no answer in ${connectTimeoutMs} ms`));
      });
      socket.once('error', fail);
      socket.once('close', fail);
      socket.once('secureConnect', () => {
        timer.cancel();
        socket.off('error', fail);
        socket.off('close', fail);
        resolve(socket);
      });
    });
  }
}

function tlsOptions(server: URL, tls: ClusterTls): ConnectionOptions {
  const host = server.hostname.replace(/^\[|\]$/g, '');
  const servername = tls.serverName ?? (isIP(host) === 0 ? host : undefined);
  return {
    host,
    port: Number(server.port || 443),
    ...(servername === undefined ? {} : { servername }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls.insecure !== true,
  };
}

/** What the operator can do about a failure that no repetition mends. */
function hintFor(cause: unknown): string {
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return ' (its certificate is for other names: use one of them, or give it as the TLS server name)';
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return ' (its certificate was not issued by the cluster CA that was given)';
    default:
      return '';
  }
}

/** Waits for `work`, but no longer than until `signal` aborts; the work itself goes on for others. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  work.catch(() => {});
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
