import type { MetricRegistry } from '../base/index.ts';
import type { KubeClient, LeaderElectionStatus } from '../kube/index.ts';
import type { NorthboundStatus } from '../ovn/index.ts';
import type { ControllerCaches } from './controller-caches.ts';
import type { TermReport } from './leader-term.ts';

/** Where the numbers come from; read when scraped. */
export interface MetricSources {
  client: Pick<KubeClient, 'counters' | 'connects'>;
  caches: ControllerCaches;
  election(): LeaderElectionStatus;
  /** Undefined while this replica does not lead. */
  term(): TermReport | undefined;
  northbound(): NorthboundStatus;
}

/** Registers what the controller reports about itself. */
export function registerControllerMetrics(registry: MetricRegistry, sources: MetricSources): void {
  const { client, caches, election, term, northbound } = sources;
  registry.gauge({
    name: 'ovenbird_controller_leader',
    help: '1 while this replica leads.',
    collect: () => [{ value: election().leading ? 1 : 0 }],
  });
  registry.gauge({
    name: 'ovenbird_pool_addresses',
    help: 'Addresses of a pool, by family and state (assigned or available); the leader knows.',
    labels: ['pool', 'family', 'state'],
    *collect() {
      for (const { name, assigned, available } of term()?.usage ?? []) {
        for (const family of [4, 6] as const) {
          yield { values: [name, `IPv${family}`, 'assigned'], value: assigned[family] };
          yield { values: [name, `IPv${family}`, 'available'], value: Number(available[family]) };
        }
      }
    },
  });
  registry.gauge({
    name: 'ovenbird_services_waiting',
    help: 'Services that wait for an address; the leader knows.',
    collect: () => {
      const report = term();
      return report ? [{ value: report.waiting }] : [];
    },
  });
  registry.gauge({
    name: 'ovenbird_reconciles_total',
    help: 'Reconciles of Services in this term, by result.',
    labels: ['result'],
    type: 'counter',
    collect: () => {
      const queue = term()?.queue;
      if (!queue) return [];
      return [
        { values: ['succeeded'], value: queue.succeeded },
        { values: ['failed'], value: queue.failed },
      ];
    },
  });
  registry.gauge({
    name: 'ovenbird_queue_depth',
    help: 'Services to be reconciled now.',
    collect: () => [{ value: term()?.queue.depth ?? 0 }],
  });
  registry.gauge({
    name: 'ovenbird_kube_requests_total',
    help: 'Requests to the API server, by verb, resource and result.',
    labels: ['verb', 'resource', 'result'],
    type: 'counter',
    *collect() {
      for (const { verb, resource, result, count } of client.counters.snapshot()) {
        yield { values: [verb, resource, result], value: count };
      }
    },
  });
  registry.gauge({
    name: 'ovenbird_cache_objects',
    help: 'Objects held of a resource.',
    labels: ['resource'],
    *collect() {
      for (const cache of Object.values(caches)) yield { values: [cache.resource.plural], value: cache.store.size };
    },
  });
  registry.gauge({
    name: 'ovenbird_cache_connected',
    help: '1 while a watch of the resource is open.',
    labels: ['resource'],
    *collect() {
      for (const { resource, status } of Object.values(caches)) {
        yield { values: [resource.plural], value: status.disconnectedSinceMs === undefined ? 1 : 0 };
      }
    },
  });
  registerNorthboundMetrics(registry, northbound);
}

function registerNorthboundMetrics(registry: MetricRegistry, northbound: () => NorthboundStatus): void {
  const gauge = (name: string, help: string, value: (status: NorthboundStatus) => number, type?: 'counter') =>
    registry.gauge({
      name,
      help: `${help} Absent where OVN is not used and on replicas that do not lead.`,
      ...(type ? { type } : {}),
      collect: () => {
        const status = northbound();
        return status.state === 'off' ? [] : [{ value: value(status) }];
      },
    });
  gauge('ovenbird_northbound_ready', '1 while the OVN northbound database is connected and written.', ({ state }) =>
    state === 'ready' ? 1 : 0,
  );
  gauge('ovenbird_northbound_rows', 'Load_Balancer rows of ours.', ({ rows }) => rows);
  gauge('ovenbird_northbound_pending', 'Desired states not written yet.', (status) => {
    return status.desiredGeneration - status.writtenGeneration;
  });
  gauge(
    'ovenbird_northbound_problems',
    'Services or ports that OVN cannot carry as asked.',
    ({ problems }) => problems.length,
  );
  gauge(
    'ovenbird_northbound_withheld_deletions',
    'Rows whose deletion awaits confirmation.',
    ({ withheldDeletions }) => withheldDeletions,
  );
  gauge(
    'ovenbird_northbound_transactions_total',
    'Transactions sent in this term.',
    ({ transactions }) => transactions,
    'counter',
  );
  gauge(
    'ovenbird_northbound_restored_rows_total',
    'Rows written again because somebody deleted them, in this term.',
    ({ restored }) => restored,
    'counter',
  );
}
