import type { PeerStatus, SpeakerStatus } from '../api/speaker-status.ts';
import {
  Backoff,
  type Clock,
  describeError,
  type HttpRoute,
  Lifecycle,
  type Logger,
  serveHttp,
  systemClock,
  version,
} from '../base/index.ts';
import { allSynced, inClusterConfig, KubeClient, kubeconfig, resources, type Secret } from '../kube/index.ts';
import { releaseFilePages } from '../raw-socket/index.ts';
import { isOurs } from '../service/index.ts';
import { Announcer } from './announcer.ts';
import { defaultHostAgentOptions, HostAgent, type HostAgentStatus } from './host-agent/index.ts';
import { HostReadiness } from './host-readiness.ts';
import { HostFeed } from './host-services.ts';
import type { SpeakerOptions } from './options.ts';
import { type SpeakerCaches, speakerCaches } from './speaker-caches.ts';
import { speakerMetrics } from './speaker-metrics.ts';
import { type SegmentReport, type SpeakerKeys, WireWorker } from './wire.ts';

/** How long addresses are handed over to other nodes before the process ends, ms. */
const resignMs = 2_000;
/** How long the parts may take to stop, ms. */
const stopMs = 3_000;
/** The start is over this long after the first announcements, ms. */
const settleMs = 5_000;
/** Field of the Secret that holds the heartbeat key. */
const keyField = 'key';
const minimumKeyBytes = 16;

/**
 * The process `ovenbird speaker`: follows the cluster, elects and announces in the wire worker, programs the host.
 *
 * Returns after a clean stop. Throws OvenbirdError when a part failed for good; the process must then be restarted. What
 * it programmed on the host stays in both cases, so that a restart costs no packet.
 */
export async function runSpeaker(options: SpeakerOptions, logger: Logger, signal: AbortSignal): Promise<void> {
  const clock: Clock = systemClock;
  const cluster = await (options.kubeconfig === undefined
    ? inClusterConfig({ environment: process.env, clock })
    : kubeconfig({ path: options.kubeconfig }));
  const client = new KubeClient(cluster, { fieldManager: 'ovenbird-speaker', clock, logger });
  const caches = speakerCaches({ client, clock, logger, namespace: options.namespace, keySecret: options.keySecret });
  const life = new Lifecycle(clock, logger);
  const speaker = new Speaker(options, caches, clock, logger);
  const http = await serveHttp({ port: options.httpPort, routes: speaker.routes(), logger });
  try {
    for (const [name, cache] of Object.entries(caches)) {
      life.start({ name: `cache ${name}`, run: (stop) => cache.run(stop) });
    }
    life.start({ name: 'speaker', run: (stop) => speaker.run(client, stop) });
    await life.wait(signal);
    logger.info({}, 'stopping: handing addresses over');
    await speaker.resign();
  } finally {
    await life.stop(stopMs);
    await speaker.close();
    await http.close();
    client.close();
  }
}

class Speaker {
  readonly #options: SpeakerOptions;
  readonly #caches: SpeakerCaches;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #announcer: Announcer;
  readonly #hostAgent: HostAgent | undefined;
  readonly #failure = Promise.withResolvers<never>();
  #hostFeed: HostFeed | undefined;
  #wire: WireWorker | undefined;
  readonly #host: HostReadiness;
  #segments: readonly SegmentReport[] = [];
  #started = false;

  constructor(options: SpeakerOptions, caches: SpeakerCaches, clock: Clock, logger: Logger) {
    this.#options = options;
    this.#caches = caches;
    this.#clock = clock;
    this.#logger = logger;
    this.#failure.promise.catch(() => {});
    this.#host = new HostReadiness(clock, !options.hostAgent, () => this.#onHostChange());
    this.#hostAgent = options.hostAgent ? this.#newHostAgent() : undefined;
    this.#announcer = new Announcer({
      caches,
      node: options.node,
      isOurs: (service) => isOurs(service, options),
      target: {
        setAssignments: (assignments) => this.#wire?.setAssignments(assignments),
        setExpectation: (expectation) => this.#wire?.setExpectation(expectation),
      },
      hostReady: () => this.#host.ready,
    });
  }

  /** Works until `signal` aborts; rejects when a part failed for good. */
  async run(client: KubeClient, signal: AbortSignal): Promise<void> {
    const agentDone = this.#hostAgent?.run(signal);
    const cleared = this.#hostAgent ? undefined : this.#clearHost(signal);
    await Promise.all([allSynced(Object.values(this.#caches), signal), cleared]);
    if (this.#hostAgent) {
      this.#hostFeed = new HostFeed({ caches: this.#caches, node: this.#options.node, target: this.#hostAgent });
      this.#hostFeed.start();
    }
    const keys = await this.#firstKey(signal);
    const clusterId = await this.#clusterId(client, signal);
    this.#wire = await WireWorker.start({
      node: this.#options.node,
      clusterId,
      keys,
      port: this.#options.heartbeatPort,
      heartbeatMs: this.#options.heartbeatIntervalMs,
      // The announcer says more in the next moment; until then no interface is opened in vain.
      expectation: { named: [], ranges: [] },
      logger: this.#logger.child({ component: 'wire' }),
      onChange: () => {},
      onFailure: (error) => this.#failure.reject(error),
    });
    this.#followKey(this.#wire, keys);
    this.#announcer.start();
    this.#started = true;
    this.#logger.info({ node: this.#options.node, clusterId }, 'announcing');

    await Promise.race([this.#failure.promise, this.#settle(signal)]);
    await Promise.race([this.#failure.promise, aborted(signal)]);
    await agentDone;
  }

  #newHostAgent(): HostAgent {
    const { ovnInterface: device } = this.#options;
    return new HostAgent({
      clock: this.#clock,
      logger: this.#logger,
      options: { device },
      onPass: () => this.#host.tell(this.#hostAgent?.status().carries ?? false),
    });
  }

  #onHostChange(): void {
    const { ready } = this.#host;
    const notes = this.#hostAgent?.status().notes;
    if (ready) this.#logger.info({}, 'this host carries traffic: it stands for election');
    else this.#logger.warn({ notes }, 'this host has no way into the overlay: its addresses are handed over');
    this.#announcer.touchAll();
  }

  /** Takes away what mode `full` has left on this host: it would be in the way of the Service proxy that serves it now. */
  async #clearHost(signal: AbortSignal): Promise<void> {
    try {
      await this.#newHostAgent().cleanup(signal);
    } catch (thrown) {
      if (signal.aborted) return;
      const { table, routeTable } = defaultHostAgentOptions;
      const cure = `if the host was in OVN mode full before: nft delete table inet ${table}; ip rule del table ${routeTable}`;
      this.#logger.warn({ error: describeError(thrown), cure }, 'this host could not be cleared of mode full');
    }
  }

  /** Hands every address over; harmless when nothing was announced yet. */
  async resign(): Promise<void> {
    try {
      await this.#wire?.resign(resignMs);
    } catch (thrown) {
      this.#logger.warn({ err: thrown }, 'addresses could not be handed over');
    }
  }

  async close(): Promise<void> {
    this.#host.stop();
    this.#announcer.stop();
    this.#hostFeed?.stop();
    await this.#wire?.close();
  }

  routes(): Record<string, HttpRoute> {
    const metrics = speakerMetrics({
      caches: this.#caches,
      reports: () => this.#wire?.reports() ?? new Map(),
      segments: () => this.#segments,
      hostAgent: () => this.#hostAgent?.status(),
    });
    return {
      '/healthz': { answer: () => ({ body: 'ok\n' }) },
      '/readyz': { answer: () => this.#readiness() },
      '/metrics': {
        answer: async () => {
          await this.#readSegments();
          return { body: metrics.text(), contentType: 'text/plain; version=0.0.4; charset=utf-8' };
        },
      },
      '/status': { loopbackOnly: true, answer: async () => ({ body: await this.#status() }) },
    };
  }

  #readiness(): { status: number; body: string } {
    const waiting = Object.entries(this.#caches)
      .filter(([, { status }]) => !status.synced)
      .map(([name, { status }]) => `cache ${name}: ${status.message || status.phase}`);
    if (waiting.length === 0 && !this.#started) waiting.push(this.#waitingFor());
    const agent = this.#hostAgent?.status();
    if (agent?.appliedGeneration === 0) waiting.push(`host agent: ${agent.lastError ?? 'not applied yet'}`);
    return waiting.length === 0 ? { status: 200, body: 'ok\n' } : { status: 503, body: `${waiting.join('\n')}\n` };
  }

  #waitingFor(): string {
    const reading = this.#readKey();
    const { namespace, keySecret } = this.#options;
    return 'key' in reading ? 'wire worker: starting' : `Secret ${namespace}/${keySecret}: ${reading.problem}`;
  }

  async #status(): Promise<SpeakerStatus> {
    await this.#readSegments();
    const onWire = new Map(
      [...(this.#wire?.reports() ?? [])].map(([address, reports]) => [
        address,
        reports.map(({ forMs, ...report }) => ({ ...report, sinceMs: Math.round(forMs) })),
      ]),
    );
    const peers: PeerStatus[] = this.#segments.flatMap(({ interface: name, peers: heard }) =>
      heard.map(({ node, alive, lastHeardMs }) => ({
        node,
        interface: name,
        alive,
        lastHeardMs: Math.round(lastHeardMs),
      })),
    );
    const agent = this.#hostAgent?.status();
    return {
      node: this.#options.node,
      version,
      synced: this.#started,
      peers,
      addresses: this.#announcer.status(onWire),
      ...(agent === undefined
        ? {}
        : {
            hostAgent: {
              ready: agent.carries && agent.state !== 'failing',
              reason: { code: agent.state, message: agent.lastError ?? wordsOf(agent) },
            },
          }),
    };
  }

  async #readSegments(): Promise<void> {
    if (this.#wire) this.#segments = (await this.#wire.status()).segments;
  }

  #readKey(): { key: Buffer } | { problem: string } {
    return readKey(this.#caches.key.store.list()[0]);
  }

  /** Waits for the key; rejects only with the signal's reason. */
  #firstKey(signal: AbortSignal): Promise<SpeakerKeys> {
    const { promise, resolve, reject } = Promise.withResolvers<SpeakerKeys>();
    const look = () => {
      const reading = this.#readKey();
      if ('key' in reading) resolve({ current: reading.key });
    };
    const unsubscribe = this.#caches.key.subscribe(look);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    look();
    return promise.finally(unsubscribe);
  }

  /** Hands a changed key to the worker, with the one before it so that speakers change over one by one. */
  #followKey(wire: WireWorker, first: SpeakerKeys): void {
    let keys = first;
    this.#caches.key.subscribe(() => {
      const reading = this.#readKey();
      if ('problem' in reading) {
        this.#logger.warn({ problem: reading.problem }, 'the heartbeat key is unusable; going on with the one before');
        return;
      }
      if (Buffer.compare(reading.key, keys.current) === 0) return;
      keys = { current: reading.key, previous: keys.current };
      wire.setKeys(keys);
      this.#logger.info({}, 'the heartbeat key has changed');
    });
  }

  /** The UID of namespace kube-system; asked until it is told. */
  async #clusterId(client: KubeClient, signal: AbortSignal): Promise<string> {
    const backoff = new Backoff({ initialMs: 200, maximumMs: 5_000 });
    for (;;) {
      try {
        const { metadata } = await client.get(resources.namespaces, { name: 'kube-system' }, { signal });
        if (metadata.uid !== undefined) return metadata.uid;
      } catch (thrown) {
        signal.throwIfAborted();
        this.#logger.warn({ error: describeError(thrown) }, 'namespace kube-system could not be read; trying again');
      }
      await this.#clock.sleep(backoff.next(), signal);
    }
  }

  /** When the start is over, gives back the memory that only the start needed. */
  async #settle(signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(settleMs, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      this.#logger.debug({ bytes: releaseFilePages() }, 'released pages of code that is not in use');
    } catch (thrown) {
      this.#logger.debug({ err: thrown }, 'pages of code could not be released');
    }
  }
}

function wordsOf({ carries, notes, services, routes }: HostAgentStatus): string {
  if (!carries && notes.length > 0) return notes.join('; ');
  return `${services} Services and ${routes} routes programmed`;
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** The key bytes of the Secret, or what keeps it from being a key. */
function readKey(secret: Secret | undefined): { key: Buffer } | { problem: string } {
  if (!secret) return { problem: 'waiting for the controller to create it' };
  const key = Buffer.from(secret.data?.[keyField] ?? '', 'base64');
  if (key.length >= minimumKeyBytes) return { key };
  const found = `field "${keyField}" holds ${key.length} bytes and ${minimumKeyBytes} are needed`;
  return { problem: `${found}; delete the Secret and the controller makes a new one` };
}
