import { type Clock, type Logger, silentLogger, systemClock } from '../base/index.ts';
import { apiCall, type Call, complete, selectors, shown } from './api-call.ts';
import type {
  CallOptions,
  DeleteOptions,
  ListOptions,
  ObjectList,
  PatchOptions,
  PatchType,
  WatchOptions,
  WriteOptions,
} from './client-options.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { Connection } from './connection.ts';
import { deadline } from './deadline.ts';
import { FrameDecoder } from './frame-decoder.ts';
import { type HttpResponse, RefusedError, StaleLinkError } from './http-exchange.ts';
import type { PingOptions } from './http2-link.ts';
import { asStatus, errorFromStatus, isKubeError, KubeError } from './kube-error.ts';
import type { KubeObject } from './objects.ts';
import { RequestCounters, type RequestObservation } from './request-counters.ts';
import { type ObjectName, type Resource, resourceName } from './resources.ts';
import { type WatchEvent, watchEvent } from './watch-event.ts';

export interface KubeClientOptions {
  /** Default field manager and part of the user agent. */
  fieldManager: string;
  clock?: Clock;
  logger?: Logger;
  /** HTTP/2 pings. Default every 30 s, dead after 15 s; one at once, dead after 5 s, when a request got no answer. */
  ping?: PingOptions;
  /** Default 10 000. */
  connectTimeoutMs?: number;
  /** Called at the end of each request, for metrics. */
  onRequest?: (observation: RequestObservation) => void;
}

const patchContentTypes: Record<PatchType, string> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  // JSON is YAML; the server accepts it under this type since server-side apply exists.
  apply: 'application/apply-patch+yaml',
};

const defaultTimeoutMs = 30_000;
const maximumRetries = 5;

/**
 * A client of the Kubernetes API over one connection.
 *
 * All methods reject with KubeError, or with the reason of the caller's signal. 429 and 503 with a Retry-After are
 * repeated within the call's timeout, a 401 once with fresh credentials; on a new connection requests that the server
 * never saw, and reads whose connection had been idle and was found dead. Nothing else is repeated: after `Timeout` or
 * `Network` the outcome of a write is unknown, so read again.
 */
export class KubeClient {
  readonly counters: RequestCounters = new RequestCounters();
  readonly config: ClusterConfig;
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #fieldManager: string;
  readonly #onRequest: ((observation: RequestObservation) => void) | undefined;

  constructor(config: ClusterConfig, options: KubeClientOptions) {
    this.config = config;
    this.#clock = options.clock ?? systemClock;
    this.#fieldManager = options.fieldManager;
    this.#onRequest = options.onRequest;
    this.#connection = new Connection(config, {
      clock: this.#clock,
      logger: options.logger ?? silentLogger,
      ping: options.ping ?? { intervalMs: 30_000, timeoutMs: 15_000 },
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    });
  }

  /** How many connections were opened so far. */
  get connects(): number {
    return this.#connection.connects;
  }

  /** Calls `listener` whenever a connection was opened, also after a loss; returns how to stop that. */
  onConnect(listener: () => void): () => void {
    return this.#connection.onConnect(listener);
  }

  /** Ends all requests; the client cannot be used again. */
  close(): void {
    this.#connection.close();
  }

  get<T extends KubeObject>(resource: Resource<T>, name: ObjectName, options: CallOptions = {}): Promise<T> {
    return this.#call(apiCall('get', 'GET', resource, name), options);
  }

  /** All objects, read page by page at one resourceVersion. */
  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<ObjectList<T>> {
    const items: T[] = [];
    let resourceVersion = '';
    for await (const page of this.pages(resource, options)) {
      for (const item of page.items) items.push(item);
      resourceVersion = page.metadata.resourceVersion;
    }
    return { metadata: { resourceVersion }, items };
  }

  /** The pages of a list. A page token that expired meanwhile (410) is thrown as `Gone`: begin again. */
  async *pages<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions = {},
  ): AsyncGenerator<ObjectList<T>, void> {
    const { namespace, pageSize = 500 } = options;
    const query = selectors(options);
    if (pageSize > 0) query.set('limit', String(pageSize));
    if (options.resourceVersion !== undefined) query.set('resourceVersion', options.resourceVersion);
    if (options.resourceVersionMatch !== undefined) query.set('resourceVersionMatch', options.resourceVersionMatch);
    for (;;) {
      const call = apiCall('list', 'GET', resource, { namespace }, { query });
      const page = await this.#call<ObjectList<T>>({ ...call, retry: options.retry ?? true }, options);
      page.items ??= [];
      yield page;
      const next = page.metadata.continue;
      if (!next) return;
      query.delete('resourceVersion');
      query.delete('resourceVersionMatch');
      query.set('continue', next);
    }
  }

  /** `object.metadata` names it; rejects with `AlreadyExists` when it is there. */
  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata;
    const query = this.#writeQuery(options);
    const call = apiCall('create', 'POST', resource, { namespace }, { query, body: complete(resource, object) });
    return this.#call({ ...call, what: `create ${resourceName(resource)} ${shown({ namespace, name })}` }, options);
  }

  /** Replaces the whole object; with a resourceVersion in it, only if nobody changed it since (`Conflict`). */
  replace<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions & { subresource?: string } = {},
  ): Promise<T> {
    const { subresource } = options;
    const query = this.#writeQuery(options);
    const body = complete(resource, object);
    return this.#call(apiCall('replace', 'PUT', resource, object.metadata, { query, body, subresource }), options);
  }

  patch<T extends KubeObject>(resource: Resource<T>, name: ObjectName, options: PatchOptions): Promise<T> {
    const { subresource, body, type, force } = options;
    const query = this.#writeQuery(options);
    if (type === 'apply' && force) query.set('force', 'true');
    const call = apiCall('patch', 'PATCH', resource, name, { query, body, subresource });
    return this.#call({ ...call, contentType: patchContentTypes[type] }, options);
  }

  /** Server-side apply of the fields in `object`; creates it when absent. `force` defaults to true. */
  apply<T extends KubeObject>(
    resource: Resource<T>,
    object: Partial<Omit<T, 'metadata'>> & Pick<T, 'metadata'>,
    options: WriteOptions & { subresource?: string; force?: boolean } = {},
  ): Promise<T> {
    const body = complete(resource, object);
    return this.patch(resource, object.metadata, { force: true, ...options, type: 'apply', body });
  }

  /**
   * Server-side apply of the status subresource: this field manager's fields become exactly those in `object.status`.
   * A resourceVersion in `object.metadata` makes it conditional (`Conflict`). `force` defaults to true.
   */
  applyStatus<T extends KubeObject>(
    resource: Resource<T>,
    object: { metadata: ObjectName & { resourceVersion?: string; uid?: string }; status: unknown },
    options: WriteOptions & { force?: boolean } = {},
  ): Promise<T> {
    const body = complete(resource, object);
    return this.patch(resource, object.metadata, {
      force: true,
      ...options,
      type: 'apply',
      body,
      subresource: 'status',
    });
  }

  /** Resolves also when the object was already gone: then `existed` is false. */
  async delete(resource: Resource, name: ObjectName, options: DeleteOptions = {}): Promise<{ existed: boolean }> {
    const { preconditions, propagationPolicy, gracePeriodSeconds } = options;
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions, propagationPolicy, gracePeriodSeconds };
    try {
      await this.#call(apiCall('delete', 'DELETE', resource, name, { body }), options);
      return { existed: true };
    } catch (thrown) {
      if (isKubeError(thrown, 'NotFound')) return { existed: false };
      throw thrown;
    }
  }

  /**
   * The events of a watch, until the server ends it (returns) or it breaks (throws KubeError). Never begins again by
   * itself: that is the reflector's work. Leaving the loop closes the stream.
   */
  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>, void> {
    const query = selectors(options);
    query.set('watch', 'true');
    if (options.resourceVersion !== undefined) query.set('resourceVersion', options.resourceVersion);
    if (options.bookmarks) query.set('allowWatchBookmarks', 'true');
    if (options.timeoutSeconds !== undefined) query.set('timeoutSeconds', String(options.timeoutSeconds));
    if (options.sendInitialEvents) {
      query.set('sendInitialEvents', 'true');
      query.set('resourceVersionMatch', 'NotOlderThan');
      query.set('allowWatchBookmarks', 'true');
    }
    const call = apiCall('watch', 'GET', resource, { namespace: options.namespace }, { query });
    const limit = deadline(this.#clock, options.timeoutMs, options.signal, () => timedOut(call.what));
    try {
      const response = await this.#exchange({ ...call, retry: false }, limit.signal);
      options.onOpen?.();
      const decoder = new FrameDecoder();
      for await (const chunk of response.body) {
        options.onData?.(chunk.length);
        for (const value of decoder.decode(chunk)) yield watchEvent<T>(call.what, value);
      }
      // A frame that was cut off is not an event; the resourceVersion reached so far is the truth.
    } finally {
      limit.dispose();
    }
  }

  /** GET of any path, e.g. `/version` or `/readyz`, as text. */
  async text(path: string, options: CallOptions = {}): Promise<string> {
    const call: Call = { verb: 'get', resource: path, what: `get ${path}`, method: 'GET', path };
    return (await this.#body(call, options)).toString('utf8');
  }

  #writeQuery(options: WriteOptions): URLSearchParams {
    const query = new URLSearchParams({ fieldManager: options.fieldManager ?? this.#fieldManager });
    if (options.dryRun) query.set('dryRun', 'All');
    return query;
  }

  async #call<R>(call: Call, options: CallOptions): Promise<R> {
    const bytes = await this.#body(call, options);
    try {
      return JSON.parse(bytes.toString('utf8')) as R;
    } catch (cause) {
      throw new KubeError('BadResponse', `${call.what}: the answer is not JSON`, { cause });
    }
  }

  async #body(call: Call, options: CallOptions): Promise<Buffer> {
    const { timeoutMs = defaultTimeoutMs, signal } = options;
    const limit = deadline(this.#clock, timeoutMs, signal, () => timedOut(call.what, timeoutMs));
    try {
      return await readAll(await this.#exchange(call, limit.signal));
    } catch (thrown) {
      if (limit.signal.aborted && !signal?.aborted) this.#connection.probe();
      throw withContext(call.what, thrown);
    } finally {
      limit.dispose();
    }
  }

  /** Sends until there is an answer that is not to be repeated; an answer >= 400 is thrown. */
  async #exchange(call: Call, signal: AbortSignal): Promise<HttpResponse> {
    let renewed = false;
    let resent = 0;
    for (let retries = 0; ; ) {
      let response: HttpResponse;
      try {
        response = await this.#send(call, signal);
      } catch (thrown) {
        const again = thrown instanceof RefusedError || (thrown instanceof StaleLinkError && call.method === 'GET');
        if (!again || ++resent > 3) throw withContext(call.what, thrown);
        continue;
      }
      if (response.status < 400) return response;
      const error = await errorOf(call, response);
      if (error.code === 'Unauthorized' && !renewed) {
        renewed = true;
        this.config.forgetCredentials();
        this.#connection.renew();
        continue;
      }
      const wait = error.code === 'TooManyRequests' || error.code === 'Unavailable' ? error.retryAfterMs : undefined;
      if (wait === undefined || call.retry === false || ++retries > maximumRetries) throw error;
      await this.#clock.sleep(Math.max(wait, 100), signal);
    }
  }

  async #send(call: Call, signal: AbortSignal): Promise<HttpResponse> {
    const startedMs = this.#clock.monotonicMs();
    const observe = (result: number | string) => {
      const { verb, resource } = call;
      const observation = { verb, resource, result, durationMs: this.#clock.monotonicMs() - startedMs };
      this.counters.observe(observation);
      this.#onRequest?.(observation);
    };
    try {
      const response = await this.#connection.request({
        method: call.method,
        path: call.path,
        headers: {
          accept: 'application/json',
          'user-agent': this.#fieldManager,
          ...(await this.config.headers()),
          ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        signal,
      });
      observe(response.status);
      return response;
    } catch (thrown) {
      observe(thrown instanceof KubeError ? thrown.code : 'Aborted');
      throw thrown;
    }
  }
}

function timedOut(what: string, timeoutMs?: number): KubeError {
  return new KubeError('Timeout', `${what}: no answer${timeoutMs === undefined ? '' : ` in ${timeoutMs} ms`}`);
}

function withContext(what: string, thrown: unknown): unknown {
  if (!(thrown instanceof KubeError) || thrown.message.startsWith(what)) return thrown;
  const { code, retryable, cause } = thrown;
  return new KubeError(code, `${what}: ${thrown.message}`, { cause, retryable });
}

async function readAll(response: HttpResponse): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function errorOf(call: Call, response: HttpResponse): Promise<KubeError> {
  const text = (await readAll(response)).toString('utf8');
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    // A proxy's or an early server's plain text; the HTTP status says enough.
  }
  return errorFromStatus(call.what, response.status, asStatus(status), response.header('retry-after'));
}
