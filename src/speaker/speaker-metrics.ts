import { MetricRegistry, registerProcessMetrics, version } from '../base/index.ts';
import type { HostAgentStatus } from './host-agent/index.ts';
import type { SpeakerCaches } from './speaker-caches.ts';
import type { AddressReport, SegmentReport } from './wire.ts';

/** What the metrics are read from when they are scraped. */
export interface MetricSources {
  caches: Readonly<Partial<Record<keyof SpeakerCaches, { readonly status: { readonly synced: boolean } }>>>;
  reports(): Map<string, AddressReport[]>;
  segments(): readonly SegmentReport[];
  hostAgent(): HostAgentStatus | undefined;
}

/** The metrics of a speaker. No series per address: their number must not grow with the Services. */
export function speakerMetrics(sources: MetricSources): MetricRegistry {
  const registry = new MetricRegistry();
  registerProcessMetrics(registry, version);

  registry.gauge({
    name: 'ovenbird_speaker_addresses',
    help: 'Addresses by the role this node has for them.',
    labels: ['interface', 'role'],
    collect: () => {
      const counts = new Map<string, number>();
      for (const reports of sources.reports().values()) {
        for (const { interface: name = '', role } of reports) {
          counts.set(`${name}\u0000${role}`, (counts.get(`${name}\u0000${role}`) ?? 0) + 1);
        }
      }
      return [...counts].sort().map(([key, value]) => ({ values: key.split('\u0000'), value }));
    },
  });
  registry.gauge({
    name: 'ovenbird_speaker_peers',
    help: 'Other speakers heard on an interface, by whether they are alive.',
    labels: ['interface', 'alive'],
    collect: () =>
      sources.segments().flatMap(({ interface: name, peers }) =>
        [true, false].map((alive) => ({
          values: [name, String(alive)],
          value: peers.filter((peer) => peer.alive === alive).length,
        })),
      ),
  });
  registry.gauge({
    name: 'ovenbird_speaker_layer2_events_total',
    help: 'What happened on an interface since it came up: heartbeats, claims, takeovers, conflicts and so on.',
    labels: ['interface', 'event'],
    type: 'counter',
    collect: () => sources.segments().flatMap(({ interface: name, counters }) => eventSeries(name, counters)),
  });
  registry.gauge({
    name: 'ovenbird_speaker_arp_total',
    help: 'ARP frames on an interface since it came up, by what became of them.',
    labels: ['interface', 'event'],
    type: 'counter',
    collect: () => sources.segments().flatMap(({ interface: name, arp }) => eventSeries(name, arp)),
  });
  registry.gauge({
    name: 'ovenbird_speaker_timer_lateness_max_seconds',
    help: 'How late the latest timer of an interface fired; heartbeats are kept only while this is small.',
    labels: ['interface'],
    collect: () =>
      sources.segments().map(({ interface: name, lateness }) => ({ values: [name], value: lateness.maximumMs / 1000 })),
  });
  registry.gauge({
    name: 'ovenbird_cache_synced',
    help: 'Whether a cache holds a full list (1) or still waits for it (0).',
    labels: ['resource'],
    collect: () =>
      Object.entries(sources.caches).map(([name, { status }]) => ({ values: [name], value: status.synced ? 1 : 0 })),
  });
  registry.gauge({
    name: 'ovenbird_host_agent_applied',
    help: 'Whether the host agent has programmed this node (1), or fails or waits (0). Absent where it does not run.',
    collect: () => {
      const status = sources.hostAgent();
      return status ? [{ value: status.state === 'applied' ? 1 : 0 }] : [];
    },
  });
  registry.gauge({
    name: 'ovenbird_host_agent_carries',
    help: 'Whether this host has a way for Services into the overlay (1); without (0) it stands for no address.',
    collect: () => {
      const status = sources.hostAgent();
      return status ? [{ value: status.carries ? 1 : 0 }] : [];
    },
  });
  registry.gauge({
    name: 'ovenbird_host_agent_repairs_total',
    help: 'How often something that somebody else removed from this host was put back.',
    type: 'counter',
    collect: () => {
      const status = sources.hostAgent();
      return status ? [{ value: status.repairs }] : [];
    },
  });
  return registry;
}

function eventSeries(name: string, counters: object): { values: string[]; value: number }[] {
  return Object.entries(counters as Record<string, number>).map(([event, value]) => ({ values: [name, event], value }));
}
