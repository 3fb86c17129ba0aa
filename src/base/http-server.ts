import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeError, OvenbirdError } from './errors.ts';
import type { Logger } from './logger.ts';

/** What a route answers. A string body is text/plain, anything else JSON. */
export interface HttpAnswer {
  /** Default 200. */
  status?: number;
  body: unknown;
  contentType?: string;
}

/** A GET route. `loopbackOnly` hides it (404) from any peer that is not this host. */
export interface HttpRoute {
  loopbackOnly?: boolean;
  answer(url: URL): HttpAnswer | Promise<HttpAnswer>;
}

/** A running server. */
export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * A small HTTP/1.1 server for health, metrics and status: GET only, exact paths, no bodies read.
 *
 * @param options.port 0 picks a free one
 * @throws OvenbirdError `ListenFailed` naming address and port
 */
export async function serveHttp(options: {
  host?: string;
  port: number;
  routes: Record<string, HttpRoute>;
  logger: Logger;
}): Promise<HttpServer> {
  const { host = '::', port, routes, logger } = options;
  const server = createServer((request, response) => {
    const send = ({ status = 200, body, contentType }: HttpAnswer) => {
      const text = typeof body === 'string' ? body : `${JSON.stringify(body)}\n`;
      const type = contentType ?? (typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json');
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    answer(request, routes)
      .then(send)
      .catch((thrown: unknown) => {
        logger.warn({ err: thrown, path: request.url }, 'http route failed');
        send({ status: 500, body: `${describeError(thrown)}\n` });
      });
  });
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 60_000;
  server.maxHeadersCount = 50;

  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen({ host, port }, listening.resolve);
  try {
    await listening.promise;
  } catch (thrown) {
    throw new OvenbirdError('ListenFailed', `cannot serve HTTP on [${host}]:${port}; choose another --http-port`, {
      cause: thrown,
    });
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, routes: Record<string, HttpRoute>): Promise<HttpAnswer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET is served here\n' };
  const url = new URL(request.url ?? '/', 'http://localhost');
  const route = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
  if (!route || (route.loopbackOnly && !isLoopback(request.socket.remoteAddress ?? ''))) {
    return { status: 404, body: `no such path; try ${Object.keys(routes).sort().join(' ')}\n` };
  }
  return route.answer(url);
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}
