import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { ClusterConfig, KubeObject, Resource, StatusObject } from '../../src/kube/index.ts';
import { objectKey, resourcePath } from '../../src/kube/index.ts';
import { FakeCollection, type HistoryEvent } from './fake-collection.ts';

/** What happens to one request instead of an answer in good order. */
export type Fault =
  /** The connection is reset. */
  | { kind: 'reset' }
  /** An HTTP error with a Status body. */
  | {
      kind: 'status';
      code: number;
      reason?: string;
      message?: string;
      retryAfter?: number;
      causes?: { reason: string }[];
    }
  /** No answer at all. */
  | { kind: 'stall' }
  /** Watch: headers, then nothing, not even bookmarks. */
  | { kind: 'silent' }
  /** Watch: headers, then the end. */
  | { kind: 'close' }
  /** Watch: an ERROR event, then the end. */
  | { kind: 'error-event'; code: number; reason: string; message?: string; causes?: { reason: string }[] }
  /** Watch: these bytes first, then as usual. */
  | { kind: 'prefix'; text: string }
  /** List: half of the body, then a reset. */
  | { kind: 'truncated' }
  /** The answer begins after this. */
  | { kind: 'slow'; ms: number };

export interface SeenRequest {
  verb: string;
  path: string;
  query: URLSearchParams;
  authorization: string | undefined;
  contentType: string | undefined;
  body: unknown;
  protocol: 'h2' | 'http/1.1';
}

interface OpenWatch {
  response: Http2ServerResponse;
  bookmarks: boolean;
  path: string;
  end(): void;
  send(value: unknown): void;
}

export interface FakeApiServerOptions {
  protocol?: 'h2' | 'http/1.1';
  /** How the server takes `sendInitialEvents`. Default `supported`. */
  watchList?: 'supported' | 'refused' | 'ignored' | 'error-event';
  /** Write watch bodies one byte at a time. */
  byteByByte?: boolean;
  /** Only this token is let in; all when absent. */
  token?: string;
  /** Listen here instead of at a free port. */
  port?: number;
}

/** A scripted API server: real HTTP/2 or HTTP/1.1 over TLS, collections with history, and faults on demand. */
export class FakeApiServer {
  readonly requests: SeenRequest[] = [];
  watchList: NonNullable<FakeApiServerOptions['watchList']>;
  token: string | undefined;
  byteByByte: boolean;
  readonly #server: Server | ReturnType<typeof createSecureServer>;
  readonly #collections = new Map<string, { resource: Resource; collection: FakeCollection }>();
  readonly #revisions = { revision: 100 };
  readonly #faults: { verb: string; fault: Fault }[] = [];
  readonly #watches = new Set<OpenWatch>();
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #snapshots = new Map<string, { items: KubeObject[]; revision: number }>();
  readonly ca: string;
  #port = 0;
  #connections = 0;

  private constructor(options: FakeApiServerOptions) {
    const { key, cert } = certificate();
    this.ca = cert;
    this.watchList = options.watchList ?? 'supported';
    this.token = options.token;
    this.byteByByte = options.byteByByte ?? false;
    const handle = (request: Http2ServerRequest, response: Http2ServerResponse) => {
      this.#handle(request, response).catch(() => response.stream?.destroy());
    };
    if (options.protocol === 'http/1.1') {
      this.#server = createServer({ key, cert }, handle as unknown as Parameters<typeof createServer>[1]);
    } else {
      const server = createSecureServer({ key, cert }, handle);
      server.on('session', (session) => {
        this.#sessions.add(session);
        session.on('error', () => {});
        session.once('close', () => this.#sessions.delete(session));
      });
      this.#server = server;
    }
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      this.#connections += 1;
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('tlsClientError', () => {});
  }

  static async start(options: FakeApiServerOptions = {}): Promise<FakeApiServer> {
    const server = new FakeApiServer(options);
    await new Promise<void>((resolve) => server.#server.listen(options.port ?? 0, '127.0.0.1', resolve));
    const address = server.#server.address();
    if (typeof address === 'object' && address) server.#port = address.port;
    return server;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /** TCP connections accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  get openWatches(): number {
    return this.#watches.size;
  }

  /** A configuration for KubeClient; `token` is what the client presents at the moment of each request. */
  config(token: () => string = () => this.token ?? 'anyone', forget: () => void = () => {}): ClusterConfig {
    return {
      servers: [this.url],
      namespace: 'default',
      tls: async () => ({ ca: this.ca }),
      headers: async () => ({ authorization: `Bearer ${token()}` }),
      forgetCredentials: forget,
    };
  }

  /** The collection of a resource; from then on the server serves it. */
  collection<T extends KubeObject>(resource: Resource<T>): FakeCollection<T> {
    const path = resourcePath(resource);
    let entry = this.#collections.get(path);
    if (!entry) {
      entry = { resource, collection: new FakeCollection(this.#revisions) };
      this.#collections.set(path, entry);
    }
    return entry.collection as unknown as FakeCollection<T>;
  }

  /** The next request with this verb (`any` for each) meets `fault`; several are met in order. */
  inject(verb: string, ...faults: Fault[]): void {
    for (const fault of faults) this.#faults.push({ verb, fault });
  }

  count(verb: string): number {
    return this.requests.filter((request) => request.verb === verb).length;
  }

  /** Resets all TCP connections. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends all watches in good order. */
  endWatches(): void {
    for (const watch of this.#watches) watch.end();
  }

  /** Sends a value, or raw text, to all watches. */
  send(value: unknown): void {
    for (const watch of this.#watches) {
      if (typeof value === 'string') watch.response.write(value);
      else watch.send(value);
    }
  }

  /** Sends BOOKMARKs with the current revision to the watches that asked for them. */
  bookmark(): void {
    const object = { metadata: { resourceVersion: String(this.#revisions.revision) } };
    for (const watch of this.#watches) if (watch.bookmarks) watch.send({ type: 'BOOKMARK', object });
  }

  /** HTTP/2 GOAWAY: streams that are open may finish. */
  goaway(): void {
    for (const session of this.#sessions) session.close();
  }

  async stop(): Promise<void> {
    for (const watch of this.#watches) watch.end();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const url = new URL(request.url, this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const target = this.#target(url.pathname);
    const verb = verbOf(request.method, url, target?.name);
    const authorization = request.headers.authorization;
    this.requests.push({
      verb,
      path: url.pathname,
      query: url.searchParams,
      authorization,
      contentType: request.headers['content-type'],
      body: text === '' ? undefined : JSON.parse(text),
      protocol: request.httpVersionMajor === 2 ? 'h2' : 'http/1.1',
    });
    const at = this.#faults.findIndex((entry) => entry.verb === verb || entry.verb === 'any');
    const fault = at < 0 ? undefined : this.#faults.splice(at, 1)[0]?.fault;
    if (fault && !(await this.#suffer(fault, request, response))) return;
    if (this.token !== undefined && authorization !== `Bearer ${this.token}`) {
      answer(response, 401, status(401, 'Unauthorized', 'Unauthorized'));
    } else if (!target)
      answer(response, 404, status(404, 'NotFound', 'the server could not find the requested resource'));
    else if (verb === 'watch') await this.#watch(target, url.searchParams, response, fault);
    else if (verb === 'list') this.#list(target, url.searchParams, response, fault);
    else this.#object(verb, target, text === '' ? undefined : JSON.parse(text), request, response);
  }

  /** True when the request goes on after the fault. */
  async #suffer(fault: Fault, request: Http2ServerRequest, response: Http2ServerResponse): Promise<boolean> {
    switch (fault.kind) {
      case 'reset':
        request.socket.destroy();
        for (const socket of this.#sockets) socket.resetAndDestroy();
        return false;
      case 'status': {
        const { code, reason = '', message = `fault ${code}`, retryAfter, causes } = fault;
        if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
        answer(response, code, status(code, reason, message, causes));
        return false;
      }
      case 'stall':
        return false;
      case 'slow':
        await new Promise((resolve) => setTimeout(resolve, fault.ms));
        return true;
      default:
        return true;
    }
  }

  #target(path: string): Target | undefined {
    for (const [base, { resource, collection }] of this.#collections) {
      const prefix = base.slice(0, base.length - resource.plural.length);
      if (!path.startsWith(prefix)) continue;
      const parts = path.slice(prefix.length).split('/').map(decodeURIComponent);
      const namespace = parts[0] === 'namespaces' && resource.namespaced ? parts[1] : undefined;
      const [plural, name, subresource] = namespace === undefined ? parts : parts.slice(2);
      if (plural !== resource.plural) continue;
      return { resource, collection, namespace, name, subresource };
    }
    return undefined;
  }

  #list(target: Target, query: URLSearchParams, response: Http2ServerResponse, fault: Fault | undefined): void {
    const { collection } = target;
    const token = query.get('continue');
    const [id = '', offset = '0'] = token?.split(':') ?? [];
    let snapshot = this.#snapshots.get(id);
    if (token !== null && (!snapshot || !collection.since(snapshot.revision))) {
      answer(response, 410, status(410, 'Expired', 'the provided continue parameter is too old'));
      return;
    }
    snapshot ??= { items: collection.list().filter(matcher(target, query)), revision: collection.revision };
    const limit = Number(query.get('limit') ?? 0) || snapshot.items.length;
    const begin = Number(offset);
    const rest = snapshot.items.length - begin - limit;
    const metadata: Record<string, unknown> = { resourceVersion: String(snapshot.revision) };
    if (rest > 0) {
      const key = id || `snapshot-${this.#snapshots.size}`;
      this.#snapshots.set(key, snapshot);
      metadata.continue = `${key}:${begin + limit}`;
      metadata.remainingItemCount = rest;
    }
    const items = snapshot.items.slice(begin, begin + limit);
    const text = JSON.stringify({ kind: `${target.resource.kind}List`, apiVersion: 'v1', metadata, items });
    if (fault?.kind === 'truncated') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(text.slice(0, text.length / 2));
      setTimeout(() => this.reset(), 20);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(text);
  }

  async #watch(
    target: Target,
    query: URLSearchParams,
    response: Http2ServerResponse,
    fault: Fault | undefined,
  ): Promise<void> {
    const { collection } = target;
    const initial = query.get('sendInitialEvents') === 'true';
    const version = query.get('resourceVersion') ?? '';
    if (initial && this.watchList === 'refused') {
      const text =
        'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled';
      answer(response, 422, status(422, 'Invalid', text));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    const pending: string[] = [];
    let writing = false;
    const drain = async () => {
      if (writing) return;
      writing = true;
      for (let text = pending.shift(); text !== undefined; text = pending.shift()) {
        if (!this.byteByByte) response.write(text);
        else {
          for (const byte of Buffer.from(text)) {
            response.write(Buffer.of(byte));
            await turn();
          }
        }
      }
      writing = false;
    };
    const matches = matcher(target, query);
    let stop = () => {};
    const watch: OpenWatch = {
      response,
      bookmarks: query.get('allowWatchBookmarks') === 'true',
      path: resourcePath(target.resource),
      end: () => {
        stop();
        response.end();
      },
      send: (value) => {
        pending.push(`${JSON.stringify(value)}\n`);
        drain().catch(() => {});
      },
    };
    if (fault?.kind === 'silent') {
      flushHeaders(response);
      return;
    }
    if (fault?.kind === 'close') {
      response.end();
      return;
    }
    if (fault?.kind === 'error-event') {
      const { code, reason, message = reason, causes } = fault;
      watch.send({ type: 'ERROR', object: status(code, reason, message, causes) });
      response.end();
      return;
    }
    if (initial && this.watchList === 'error-event') {
      watch.send({ type: 'ERROR', object: status(500, 'InternalError', 'the storage cannot do this') });
      response.end();
      return;
    }
    if (fault?.kind === 'prefix') response.write(fault.text);
    const tell = ({ type, object }: HistoryEvent<KubeObject>) => {
      if (matches(object)) watch.send({ type, object });
    };
    if (version === '' || version === '0') {
      for (const object of collection.list().filter(matches)) watch.send({ type: 'ADDED', object });
      if (initial && this.watchList === 'supported') {
        const annotations = { 'k8s.io/initial-events-end': 'true' };
        watch.send({
          type: 'BOOKMARK',
          object: { metadata: { resourceVersion: String(collection.revision), annotations } },
        });
      }
    } else {
      const events = collection.since(Number(version));
      if (!events) {
        const future = Number(version) > collection.revision;
        const object = future
          ? status(504, 'Timeout', 'Too large resource version', [{ reason: 'ResourceVersionTooLarge' }])
          : status(410, 'Expired', `too old resource version: ${version}`);
        watch.send({ type: 'ERROR', object });
        response.end();
        return;
      }
      for (const event of events) tell(event);
    }
    stop = collection.watch(tell);
    this.#watches.add(watch);
    response.once('close', () => {
      stop();
      this.#watches.delete(watch);
    });
    // Headers must leave even when there is nothing to send yet.
    flushHeaders(response);
  }

  #object(
    verb: string,
    target: Target,
    body: unknown,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
  ): void {
    const { collection, namespace, resource } = target;
    const sent = body as KubeObject | undefined;
    const name = target.name ?? sent?.metadata.name ?? '';
    const key = objectKey({ metadata: { name, ...(namespace === undefined ? {} : { namespace }) } });
    const old = collection.get(key);
    if (verb === 'create') {
      if (old) answer(response, 409, status(409, 'AlreadyExists', `${resource.plural} "${name}" already exists`));
      else answer(response, 201, collection.put(placed(sent, name, namespace)));
      return;
    }
    const apply = request.headers['content-type'] === 'application/apply-patch+yaml';
    if (!old && !(verb === 'patch' && apply && target.subresource === undefined)) {
      answer(response, 404, status(404, 'NotFound', `${resource.plural} "${name}" not found`));
      return;
    }
    const wanted = sent?.metadata?.resourceVersion;
    if (old && verb !== 'get' && verb !== 'delete' && wanted !== undefined && wanted !== old.metadata.resourceVersion) {
      answer(response, 409, status(409, 'Conflict', `${resource.plural} "${name}": the object has been modified`));
      return;
    }
    if (verb === 'get') answer(response, 200, old);
    else if (verb === 'delete') answer(response, 200, collection.delete(key));
    else if (verb === 'replace') answer(response, 200, collection.put(placed(sent, name, namespace)));
    else {
      const merged = mergePatch(old ?? {}, apply && target.subresource ? { [target.subresource]: null } : {});
      answer(response, 200, collection.put(placed(mergePatch(merged, body) as KubeObject, name, namespace)));
    }
  }
}

interface Target {
  resource: Resource;
  collection: FakeCollection;
  namespace: string | undefined;
  name: string | undefined;
  subresource: string | undefined;
}

function placed(object: KubeObject | undefined, name: string, namespace: string | undefined): KubeObject {
  const metadata = { ...object?.metadata, name, ...(namespace === undefined ? {} : { namespace }) };
  return { ...object, metadata };
}

function verbOf(method: string, url: URL, name: string | undefined): string {
  if (method === 'GET') {
    if (url.searchParams.get('watch') === 'true') return 'watch';
    return name === undefined ? 'list' : 'get';
  }
  return { POST: 'create', PUT: 'replace', PATCH: 'patch', DELETE: 'delete' }[method] ?? method;
}

function matcher(target: Target, query: URLSearchParams): (object: KubeObject) => boolean {
  const labels = (query.get('labelSelector') ?? '').split(',').filter((part) => part !== '');
  const fields = (query.get('fieldSelector') ?? '').split(',').filter((part) => part !== '');
  return ({ metadata }) =>
    (target.namespace === undefined || metadata.namespace === target.namespace) &&
    labels.every((part) => {
      const [label = '', value] = part.split('=');
      return value === undefined ? metadata.labels?.[label] !== undefined : metadata.labels?.[label] === value;
    }) &&
    fields.every(
      (part) => part === `metadata.name=${metadata.name}` || part === `metadata.namespace=${metadata.namespace}`,
    );
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

function status(code: number, reason: string, message: string, causes?: { reason: string }[]): StatusObject {
  return { kind: 'Status', status: 'Failure', code, reason, message, ...(causes ? { details: { causes } } : {}) };
}

function answer(response: Http2ServerResponse, code: number, body: unknown): void {
  response.statusCode = code;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

/** HTTP/1.1 holds the headers back until the first byte of the body; HTTP/2 does not. */
function flushHeaders(response: Http2ServerResponse): void {
  (response as unknown as { flushHeaders(): void }).flushHeaders();
}

let made: { key: string; cert: string } | undefined;

/** A self-signed certificate for 127.0.0.1, made once a process. */
function certificate(): { key: string; cert: string } {
  if (made) return made;
  const directory = mkdtempSync(join(tmpdir(), 'ovenbird-fake-api-'));
  try {
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=fake';
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', key, '-out', cert];
    execFileSync('openssl', [...words.split(' '), ...names], { stdio: 'ignore' });
    made = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    return made;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
