import type { Address, Family } from '../../net/index.ts';
import type { HostEndpoint, HostInputs, HostService, HostServicePort, TransportProtocol } from './host-inputs.ts';
import { inOverlay, type Overlay } from './overlay.ts';
import { type Admission, readSourceRanges } from './source-ranges.ts';

/** Something about one Service that cannot be done as asked. */
export interface HostProblem {
  /** "namespace/name". */
  service: string;
  message: string;
}

/**
 * What the host does with packets to one Service port in one family. Undefined means: nothing, the packet goes to the
 * overlay as it is and OVN's load balancer chooses.
 */
export interface Treatment {
  /** "namespace/name". */
  service: string;
  /** Unique and stable; names the chains. */
  id: string;
  protocol: TransportProtocol;
  family: Family;
  port: number;
  nodePort: number | undefined;
  clusterIPs: readonly Address[];
  externalAddresses: readonly Address[];
  /** Who may reach the external addresses. */
  admission: Admission;
  /** True: one client stays with one endpoint. */
  sticky: boolean;
  /** The host chooses among all endpoints for packets from outside. */
  fromOutside: readonly HostEndpoint[] | undefined;
  /** The host chooses among all endpoints for its own packets. */
  fromHost: readonly HostEndpoint[] | undefined;
  /** externalTrafficPolicy Local: the endpoints of this node; none means that clients are refused. */
  externalLocal: readonly HostEndpoint[] | undefined;
  /** internalTrafficPolicy Local: the endpoints of this node that its own packets may use. */
  internalLocal: readonly HostEndpoint[] | undefined;
}

/** Judges every Service port. An address and port that two Services claim goes to the first by namespace and name. */
export function treatments(inputs: HostInputs, overlay: Overlay): { treatments: Treatment[]; problems: HostProblem[] } {
  const problems: HostProblem[] = [];
  const result: Treatment[] = [];
  const claims = new Map<string, string>();
  const services = [...inputs.services].sort((a, b) => compare(`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`));
  for (const service of services) {
    const id = `${service.namespace}/${service.name}`;
    const admission = readSourceRanges(service.sourceRanges);
    if (admission.kind === 'only' && admission.invalid.length > 0) {
      problems.push({
        service: id,
        message: `spec.loadBalancerSourceRanges of Service ${id} holds ${admission.invalid.map((text) => JSON.stringify(text)).join(', ')}, which is not a prefix; it admits nobody`,
      });
    }
    for (const port of service.ports) {
      for (const family of [4, 6] as const) {
        const treatment = judge(service, id, port, family, admission, overlay, claims, problems);
        if (treatment) result.push(treatment);
      }
    }
  }
  return { treatments: result, problems };
}

function judge(
  service: HostService,
  id: string,
  port: HostServicePort,
  family: Family,
  admission: Admission,
  overlay: Overlay,
  claims: Map<string, string>,
  problems: HostProblem[],
): Treatment | undefined {
  const claim = (what: string) => {
    const key = `${port.protocol} ${what}`;
    const holder = claims.get(key);
    if (holder === undefined) claims.set(key, id);
    else
      problems.push({
        service: id,
        message: `${key} is already served for Service ${holder}; Service ${id} is not reachable there`,
      });
    return holder === undefined;
  };
  const mine = (address: Address) => address.family === family && claim(`${address} port ${port.port}`);
  const clusterIPs = service.clusterIPs.filter(mine);
  const externalAddresses = service.externalAddresses.filter(mine);
  if (clusterIPs.length === 0 && externalAddresses.length === 0) return undefined;
  const { nodePort } = port;
  const hasNodePort = nodePort !== undefined && clusterIPs.length > 0 && claim(`IPv${family} node port ${nodePort}`);

  const endpoints = ofFamily(port.endpoints, family);
  const local = ofFamily(port.localEndpoints, family);
  const sticky = service.sessionAffinity === 'ClientIP';
  // An endpoint outside the overlay (a host, a machine elsewhere) cannot be reached by way of OVN's load balancer: the
  // router would send a packet of this host back to this host. So the host chooses for everyone.
  const outside = endpoints.some(({ address }) => !inOverlay(overlay, address));
  // OVN would see every outside client under this host's address and send all of them to one endpoint.
  const chooseForClients = outside || (sticky && endpoints.length > 0);
  return {
    service: id,
    id: `${id}/${port.protocol}/${port.port}`,
    protocol: port.protocol,
    family,
    port: port.port,
    nodePort: hasNodePort ? nodePort : undefined,
    clusterIPs,
    externalAddresses,
    admission,
    sticky,
    fromOutside: chooseForClients ? endpoints : undefined,
    fromHost: outside ? endpoints : undefined,
    externalLocal: service.externalTrafficPolicy === 'Local' ? local : undefined,
    internalLocal: service.internalTrafficPolicy === 'Local' ? local : undefined,
  };
}

function ofFamily(endpoints: readonly HostEndpoint[], family: Family): HostEndpoint[] {
  const byText = new Map<string, HostEndpoint>();
  for (const endpoint of endpoints) {
    if (endpoint.address.family === family) byText.set(`${endpoint.address} ${endpoint.port}`, endpoint);
  }
  return [...byText].sort(([a], [b]) => compare(a, b)).map(([, endpoint]) => endpoint);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
