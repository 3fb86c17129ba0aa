import { createServer, type Server, type ServerResponse } from 'node:http';
import { describeError, type Logger } from '../../base/index.ts';
import type { HealthPort } from './host-state.ts';

interface Listening {
  server: Server;
  answer: HealthPort;
}

/**
 * Answers on the healthCheckNodePorts of this node, as load balancers outside expect it from any Service proxy: 200 while
 * the Service has a ready endpoint here and the node is fit, else 503, with the number of endpoints as weight.
 */
export class HealthCheckServer {
  readonly #logger: Logger;
  readonly #host: string | undefined;
  readonly #open = new Map<number, Listening>();
  readonly #failed = new Map<number, string>();
  #nodeEligible = true;

  /** @param host address to listen on; every address of the machine when left out */
  constructor(logger: Logger, host?: string) {
    this.#logger = logger;
    this.#host = host;
  }

  /** Ports that cannot be served, with the reason. Tried again at each `setDesired`. */
  get failures(): ReadonlyMap<number, string> {
    return this.#failed;
  }

  /** Opens and closes ports as needed; answers change at once. Resolves when every port is open or has failed. */
  async setDesired(ports: readonly HealthPort[], nodeEligible: boolean): Promise<void> {
    this.#nodeEligible = nodeEligible;
    const wanted = new Set(ports.map(({ port }) => port));
    for (const port of this.#failed.keys()) if (!wanted.has(port)) this.#failed.delete(port);
    const closing = [...this.#open.keys()].filter((port) => !wanted.has(port)).map((port) => this.#close(port));
    await Promise.all(closing);
    await Promise.all(ports.map((answer) => this.#serve(answer)));
  }

  async close(): Promise<void> {
    await this.setDesired([], false);
  }

  async #serve(answer: HealthPort): Promise<void> {
    const listening = this.#open.get(answer.port);
    if (listening) {
      listening.answer = answer;
      return;
    }
    const server = createServer((request, response) => {
      request.resume();
      this.#answer(answer.port, response);
    });
    // Each probe stands for itself: a kept connection would go on being answered after a removal.
    server.keepAliveTimeout = 1;
    server.requestTimeout = 5_000;
    const entry = { server, answer };
    const opened = Promise.withResolvers<void>();
    server.once('listening', opened.resolve);
    server.once('error', opened.reject);
    server.listen(answer.port, this.#host);
    try {
      await opened.promise;
      server.removeAllListeners('error');
      server.on('error', (err) => this.#logger.warn({ err, port: answer.port }, 'health check port failed'));
      this.#open.set(answer.port, entry);
      this.#failed.delete(answer.port);
    } catch (thrown) {
      const reason = `healthCheckNodePort ${answer.port} of Service ${answer.namespace}/${answer.name} cannot be opened: ${describeError(thrown)}`;
      if (this.#failed.get(answer.port) !== reason) this.#logger.warn({ port: answer.port }, reason);
      this.#failed.set(answer.port, reason);
    }
  }

  #answer(port: number, response: ServerResponse): void {
    const answer = this.#open.get(port)?.answer;
    const endpoints = answer?.readyEndpoints ?? 0;
    const healthy = this.#nodeEligible && endpoints > 0;
    response.writeHead(healthy ? 200 : 503, {
      'Content-Type': 'application/json',
      'X-Content-Type-Options': 'nosniff',
      'X-Load-Balancing-Endpoint-Weight': String(endpoints),
      Connection: 'close',
    });
    response.end(
      JSON.stringify({
        service: { namespace: answer?.namespace ?? '', name: answer?.name ?? '' },
        localEndpoints: endpoints,
        serviceProxyHealthy: this.#nodeEligible,
      }),
    );
  }

  async #close(port: number): Promise<void> {
    const entry = this.#open.get(port);
    if (!entry) return;
    this.#open.delete(port);
    const closed = Promise.withResolvers<void>();
    entry.server.close(() => closed.resolve());
    entry.server.closeAllConnections();
    await closed.promise;
  }
}
