import type { Bench } from './bench.ts';

/** Every benchmark by name: what it measures, and how to load it. */
export const benches: Record<string, { what: string; load(): Promise<Bench> }> = {
  'service-to-answer': {
    what: 'Service created until the client sees the first ARP frame',
    load: async () => (await import('./lab/service-to-answer.ts')).serviceToAnswer,
  },
  'endpoint-loss-to-silence': {
    what: 'last endpoint lost until the last ARP answer',
    load: async () => (await import('./lab/service-to-answer.ts')).endpointLossToSilence,
  },
  'l2-failover': {
    what: "owner's link pulled, owner's speaker killed: until another node answers",
    load: async () => (await import('./lab/l2-failover.ts')).l2Failover,
  },
  'allocate-1000': {
    what: '1,000 Services created until all have addresses',
    load: async () => (await import('./lab/many-services.ts')).allocate1000,
  },
  rss: {
    what: 'resident memory of controller and speaker',
    load: async () => (await import('./lab/many-services.ts')).residentMemory,
  },
  'kube-cache': {
    what: 'memory and stall of a process that caches 10,000 Services, beside the informer of client-node',
    load: async () => (await import('./kube-cache.ts')).run,
  },
  'arp-latency': {
    what: 'ARP request until the answer of a worker thread through the addon, beside the kernel',
    load: async () => (await import('./raw-socket-latency.ts')).run,
  },
  'bfd-detection': {
    what: 'BFD at 50 ms x 3: path gone until the session is down, beside BIRD',
    load: async () => (await import('./bfd-detection.ts')).run,
  },
  'bfd-soak': {
    what: 'BFD at 50 ms x 3: false downs while the main thread lists 20,000 objects; --samples is minutes (10)',
    load: async () => (await import('./bfd-soak.ts')).run,
  },
  'bfd-soak-realtime': {
    what: 'the same with a real-time priority for the worker',
    load: async () => (await import('./bfd-soak.ts')).runRealtime,
  },
  'bgp-to-bird-1m': {
    what: 'BGP: session up until BIRD has 1,000,000 routes from us, beside GoBGP as the sender',
    load: async () => (await import('./bgp-to-bird.ts')).toBird1m,
  },
  'bgp-resync-10k': {
    what: 'BGP: session up again until BIRD has 10,000 routes',
    load: async () => (await import('./bgp-to-bird.ts')).resync10k,
  },
  'bgp-announce-latency': {
    what: 'BGP: call of announce until the bytes are at the peer',
    load: async () => (await import('./bgp-sessions.ts')).announceLatency,
  },
  'bgp-sessions-1000': {
    what: 'BGP: resident memory of a process with 1,000 sessions, its CPU time when idle',
    load: async () => (await import('./bgp-sessions.ts')).sessions1000,
  },
  'bgp-memory-1m-received': {
    what: 'BGP: memory, KEEPALIVEs and stalls while a peer dumps 1,000,000 routes, again and again',
    load: async () => (await import('./bgp-sessions.ts')).memory1mReceived,
  },
  'bgp-encode': {
    what: 'BGP: 1,000,000 IPv4 routes packed into UPDATEs',
    load: async () => (await import('./bgp-sessions.ts')).encode,
  },
  'bgp-fuzz': {
    what: 'BGP: 5,000,000 mutated messages through the decoders; fails on a crash, a hang or memory that grows',
    load: async () => (await import('./bgp-fuzz.ts')).run,
  },
  'ovsdb-insert-10k': {
    what: 'OVSDB client: 10,000 rows inserted, beside ovsdb-client and python3-openvswitch',
    load: async () => (await import('./ovsdb-insert-10k.ts')).run,
  },
  'ovsdb-initial-20k': {
    what: 'OVSDB client: 20,000 rows read into the cache, beside ovsdb-client, ovn-nbctl and python3-openvswitch',
    load: async () => (await import('./ovsdb-initial-20k.ts')).run,
  },
  'ovsdb-update-stream': {
    what: 'OVSDB client: 100,000 row changes followed, and the longest event-loop stall meanwhile',
    load: async () => (await import('./ovsdb-update-stream.ts')).run,
  },
  'ovsdb-memory': {
    what: 'OVSDB client: resident memory per 10,000 cached rows, beside python3-openvswitch',
    load: async () => (await import('./ovsdb-memory.ts')).run,
  },
};
