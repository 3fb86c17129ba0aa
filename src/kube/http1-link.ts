import { type Agent, type ClientRequest, type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Clock } from '../base/index.ts';
import { BodyReader } from './body-reader.ts';
import { type HttpRequest, type HttpResponse, type Link, pathOn, StaleLinkError } from './http-exchange.ts';
import { KubeError } from './kube-error.ts';

/** A pool of HTTP/1.1 connections: for `kubectl proxy`, HTTP proxies and load balancers that refuse HTTP/2. */
export class Http1Link implements Link {
  readonly server: URL;
  readonly #agent: Agent;
  readonly #inFlight = new Set<(cause: Error) => void>();
  readonly #clock: Clock;
  readonly #connectTimeoutMs: number | undefined;
  #retired = false;

  /**
   * `agent` belongs to this link and is destroyed with it. Without `connectTimeoutMs` the agent is left to limit its
   * connecting itself, as one for a proxy must: nobody else can tell when it is done.
   */
  constructor(server: URL, agent: Agent, clock: Clock, connectTimeoutMs?: number) {
    this.server = server;
    this.#agent = agent;
    this.#clock = clock;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  get usable(): boolean {
    return !this.#retired;
  }

  probe(): void {
    // Each request that gets no answer takes its own connection down.
  }

  retire(): void {
    this.#retired = true;
    if (this.#inFlight.size === 0) this.#agent.destroy();
  }

  destroy(cause: unknown): void {
    this.#retired = true;
    const error = new KubeError('Network', `connection to ${this.server.origin} closed`, { cause });
    for (const end of this.#inFlight) end(error);
    this.#agent.destroy();
  }

  request(request: HttpRequest): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const { signal, body } = request;
      const text = `connection to ${this.server.origin} lost`;
      const send = this.server.protocol === 'https:' ? tlsRequest : plainRequest;
      const outgoing = send({
        agent: this.#agent,
        host: this.server.hostname.replace(/^\[|\]$/g, ''),
        port: this.server.port || (this.server.protocol === 'https:' ? 443 : 80),
        method: request.method,
        path: pathOn(this.server, request),
        headers: {
          ...request.headers,
          ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        },
      });
      const onAbort = () => outgoing.destroy();
      const end = (cause: Error) => outgoing.destroy(cause);
      this.#inFlight.add(end);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#limitConnect(outgoing);
      outgoing.on('error', (cause) => {
        if (signal.aborted) reject(signal.reason);
        else if (outgoing.reusedSocket) reject(new StaleLinkError(text, cause));
        else reject(new KubeError('Network', `${request.method} ${this.server.origin}`, { cause }));
      });
      outgoing.once('close', () => {
        signal.removeEventListener('abort', onAbort);
        this.#inFlight.delete(end);
        if (this.#retired && this.#inFlight.size === 0) this.#agent.destroy();
        reject(signal.aborted ? signal.reason : new KubeError('Network', text));
      });
      outgoing.once('response', (incoming: IncomingMessage) => {
        resolve({
          status: incoming.statusCode ?? 0,
          header(name) {
            const value = incoming.headers[name];
            return Array.isArray(value) ? value[0] : value;
          },
          body: new BodyReader(
            incoming,
            () => incoming.complete,
            (cause) => (signal.aborted ? signal.reason : new KubeError('Network', text, { cause })),
          ),
          cancel: onAbort,
        });
      });
      outgoing.end(body);
    });
  }

  /** Ends the request when its new connection is not made in time. */
  #limitConnect(outgoing: ClientRequest): void {
    const ms = this.#connectTimeoutMs;
    if (ms === undefined) return;
    outgoing.once('socket', (socket) => {
      if (outgoing.reusedSocket) return;
      const text = `cannot connect to ${this.server.origin}: no answer in ${ms} ms`;
      const timer = this.#clock.setTimer(ms, () => outgoing.destroy(new KubeError('Network', text)));
      const made = this.server.protocol === 'https:' ? 'secureConnect' : 'connect';
      for (const event of [made, 'close']) socket.once(event, () => timer.cancel());
    });
  }
}
