import type { EndpointSlice, Protocol } from '../kube/objects.ts';
import { Address } from '../net/index.ts';

/** One backend of one Service port. */
export interface Endpoint {
  address: Address;
  port: number;
  /** Absent for endpoints that no node hosts (hand-made slices). */
  nodeName?: string;
}

/** The endpoints of one Service port after readiness was judged; sorted, without duplicates. */
export interface PortEndpoints {
  /** Name of the Service port; "" for the unnamed one. */
  portName: string;
  protocol: Protocol;
  endpoints: Endpoint[];
}

type Health = 'ready' | 'draining' | 'unusable';

/**
 * Joins the EndpointSlices of one Service: ready endpoints, or, where a port has no ready one of a family within the scope
 * asked for, those that terminate but still serve (KEP-1669). A missing `ready` or `serving` means true, a missing
 * `terminating` false (KEP-0752). Slices of FQDNs are not ours; one address counts per endpoint.
 *
 * @param onlyNode keep only endpoints on this node before readiness is judged, as externalTrafficPolicy Local needs it
 */
export function selectEndpoints(slices: Iterable<EndpointSlice>, onlyNode?: string): PortEndpoints[] {
  const ports = new Map<
    string,
    { portName: string; protocol: Protocol; candidates: Map<string, [Endpoint, Health]> }
  >();
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') continue;
    for (const port of slice.ports ?? []) {
      if (port.port === undefined) continue;
      const portName = port.name ?? '';
      const protocol = port.protocol ?? 'TCP';
      const portKey = `${protocol}/${portName}`;
      let entry = ports.get(portKey);
      if (!entry) {
        entry = { portName, protocol, candidates: new Map() };
        ports.set(portKey, entry);
      }
      for (const endpoint of slice.endpoints ?? []) {
        if (onlyNode !== undefined && endpoint.nodeName !== onlyNode) continue;
        const address = Address.tryParse(endpoint.addresses[0] ?? '');
        if (!address) continue;
        const health = judge(endpoint.conditions);
        const key = `${address}|${port.port}`;
        const known = entry.candidates.get(key);
        if (known && rank(known[1]) <= rank(health)) continue;
        const { nodeName } = endpoint;
        entry.candidates.set(key, [
          { address, port: port.port, ...(nodeName === undefined ? {} : { nodeName }) },
          health,
        ]);
      }
    }
  }
  return [...ports.values()]
    .map(({ portName, protocol, candidates }) => {
      const all = [...candidates.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
      const readyFamilies = new Set(all.flatMap(([{ address }, health]) => (health === 'ready' ? address.family : [])));
      const chosen = all.filter(([{ address }, health]) => {
        return health === (readyFamilies.has(address.family) ? 'ready' : 'draining');
      });
      return { portName, protocol, endpoints: chosen.map(([endpoint]) => endpoint) };
    })
    .sort((a, b) => (`${a.protocol}/${a.portName}` < `${b.protocol}/${b.portName}` ? -1 : 1));
}

function judge(conditions: { ready?: boolean; serving?: boolean; terminating?: boolean } = {}): Health {
  if (conditions.ready ?? true) return 'ready';
  return (conditions.serving ?? true) && (conditions.terminating ?? false) ? 'draining' : 'unusable';
}

function rank(health: Health): number {
  return { ready: 0, draining: 1, unusable: 2 }[health];
}
