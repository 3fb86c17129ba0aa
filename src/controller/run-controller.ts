import { randomBytes } from 'node:crypto';
import { controllerName } from '../api/index.ts';
import {
  type Clock,
  type HttpRoute,
  Lifecycle,
  type Logger,
  MetricRegistry,
  registerProcessMetrics,
  serveHttp,
  systemClock,
  version,
} from '../base/index.ts';
import {
  type ClusterConfig,
  EventRecorder,
  inClusterConfig,
  KubeClient,
  kubeconfig,
  LeaderElection,
  type LeaderElectionOptions,
  type Leadership,
} from '../kube/index.ts';
import { type ControllerCaches, controllerCaches } from './controller-caches.ts';
import { registerControllerMetrics } from './controller-metrics.ts';
import { LeaderTerm } from './leader-term.ts';
import { type NorthboundPort, noNorthbound, northboundOf } from './northbound-port.ts';
import type { ControllerOptions } from './options.ts';
import { keepSpeakerKey } from './speaker-key.ts';

/** What the process takes from its surroundings; tests hand in their own. */
export interface ControllerSurroundings {
  logger: Logger;
  clock?: Clock;
  /** How the API server is reached; default: the kubeconfig of the options, else the pod's service account. */
  cluster?: ClusterConfig;
  /** What requests go through; default: the client itself. */
  wrapClient?: (client: KubeClient) => KubeClient;
  /** The OVN writer of one term; default: what the options say. */
  northbound?: () => NorthboundPort;
  electionTiming?: Pick<LeaderElectionOptions, 'leaseMs' | 'renewDeadlineMs' | 'retryMs'>;
  /** Called when the process serves HTTP, with its port. */
  onListening?: (port: number) => void;
}

/** Every step of a reconcile ends by itself much earlier: one that takes this long never will. */
const stuckMs = 120_000;
/** Events of so many Services are remembered for counting. */
const eventCapacity = 10_000;

/**
 * The body of `ovenbird controller`: keeps caches, contends for leadership, and while leading gives Services their
 * addresses, writes statuses and hands over to OVN what it is to carry. Resolves after `signal` aborts and everything
 * has stopped; rejects when it cannot go on.
 */
export async function runController(
  options: ControllerOptions,
  surroundings: ControllerSurroundings,
  signal: AbortSignal,
): Promise<void> {
  const { logger, clock = systemClock } = surroundings;
  const cluster = surroundings.cluster ?? (await reachCluster(options, clock));
  const plainClient = new KubeClient(cluster, { fieldManager: controllerName, clock, logger });
  const client = surroundings.wrapClient?.(plainClient) ?? plainClient;
  const caches = controllerCaches({ client, clock, logger });
  const events = new EventRecorder({
    client,
    component: controllerName,
    instance: options.podName,
    clock,
    logger,
    capacity: eventCapacity,
  });
  const election = new LeaderElection({
    client,
    namespace: options.leaseNamespace,
    name: options.leaseName,
    identity: `${options.podName}_${randomBytes(4).toString('hex')}`,
    clock,
    logger,
    onLeader: (leader) => logger.info({ leader }, 'the leader is known'),
    ...surroundings.electionTiming,
  });
  let term: LeaderTerm | undefined;
  let northbound = noNorthbound;
  const registry = new MetricRegistry();
  registerProcessMetrics(registry, version);
  registerControllerMetrics(registry, {
    client,
    caches,
    election: () => election.status,
    term: () => term?.report,
    northbound: () => northbound.status(),
  });

  const lead = async (leadership: Leadership) => {
    northbound = surroundings.northbound?.() ?? northboundOf(options.ovn, clock, logger);
    term = new LeaderTerm({
      client,
      caches,
      serviceClass: options,
      northbound,
      carriesForeign: options.ovn.mode === 'full',
      announce: (about, { type, reason, note }) => {
        const action = about.kind === 'Service' ? 'AssignAddress' : 'CheckConfiguration';
        events.record(about, { type, reason, action, note });
      },
      clock,
      logger,
      guard: () => leadership.check(),
      workers: options.workers,
    });
    const { namespace, keySecret: name } = options;
    const key = { client, namespace, name, clock, logger };
    // One part failing must stop the others before the lease is released.
    const part = new AbortController();
    const until = AbortSignal.any([leadership.signal, part.signal]);
    const parts = [term.run(until), keepSpeakerKey(key, until), northbound.run(until)].map((running) =>
      running.catch((thrown: unknown) => {
        part.abort(thrown);
        throw thrown;
      }),
    );
    try {
      const results = await Promise.allSettled(parts);
      const failed = results.find((result) => result.status === 'rejected');
      if (failed && !leadership.signal.aborted) throw failed.reason;
    } finally {
      term = undefined;
      northbound = noNorthbound;
    }
  };

  const http = await serveHttp({
    port: options.httpPort,
    routes: routes(caches, registry, () => term?.report.queue.longestRunningMs ?? 0),
    logger,
  });
  surroundings.onListening?.(http.port);
  const lifecycle = new Lifecycle(clock, logger);
  for (const [name, cache] of Object.entries(caches)) lifecycle.start({ name, run: (stop) => cache.run(stop) });
  lifecycle.start({ name: 'events', run: (stop) => events.run(stop) });
  lifecycle.start({ name: 'leader', run: (stop) => election.run(stop, lead) });
  try {
    await lifecycle.wait(signal);
  } finally {
    await lifecycle.stop(8_000);
    await http.close();
    plainClient.close();
  }
}

async function reachCluster(options: ControllerOptions, clock: Clock): Promise<ClusterConfig> {
  if (options.kubeconfig !== undefined) return kubeconfig({ path: options.kubeconfig, clock });
  return inClusterConfig({ environment: process.env, clock });
}

function routes(
  caches: ControllerCaches,
  registry: MetricRegistry,
  longestReconcileMs: () => number,
): Record<string, HttpRoute> {
  return {
    '/healthz': {
      answer() {
        const runningMs = longestReconcileMs();
        if (runningMs < stuckMs) return { body: 'ok\n' };
        return { status: 500, body: `a Service has been worked on for ${Math.round(runningMs / 1000)} s\n` };
      },
    },
    '/readyz': {
      answer() {
        const missing = Object.values(caches).filter(({ status }) => !status.synced);
        if (missing.length === 0) return { body: 'ok\n' };
        const lines = missing.map(({ resource, status }) => `${resource.plural}: ${status.message || status.reason}\n`);
        return { status: 503, body: `not read yet:\n${lines.join('')}` };
      },
    },
    '/metrics': {
      answer: () => ({ body: registry.text(), contentType: 'text/plain; version=0.0.4; charset=utf-8' }),
    },
  };
}
