import type { Address, Family } from '../../net/index.ts';
import type { HostEndpoint, HostService, HostServicePort, TransportProtocol } from './host-inputs.ts';
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

/** What one Service asks for by itself, before others are looked at. */
export interface JudgedService {
  /** "namespace/name". */
  id: string;
  treatments: { treatment: Treatment; claims: Claims }[];
  problems: HostProblem[];
}

/** What only one Service can have: "protocol address port" for each address, and the node port. */
interface Claims {
  addresses: readonly { address: Address; key: string }[];
  nodePort: string | undefined;
}

/** Judges every port of a Service. */
export function judgeService(service: HostService, overlay: Overlay): JudgedService {
  const id = `${service.namespace}/${service.name}`;
  const problems: HostProblem[] = [];
  const admission = readSourceRanges(service.sourceRanges);
  if (admission.kind === 'only' && admission.invalid.length > 0) {
    const shown = admission.invalid.map((text) => JSON.stringify(text)).join(', ');
    problems.push({
      service: id,
      message: `spec.loadBalancerSourceRanges of Service ${id} holds ${shown}, which is not a prefix; it admits nobody`,
    });
  }
  const treatments: JudgedService['treatments'] = [];
  for (const port of service.ports) {
    for (const family of [4, 6] as const) {
      const treatment = judge(service, id, port, family, admission, overlay);
      if (treatment) treatments.push({ treatment, claims: claimsOf(treatment) });
    }
  }
  return { id, treatments, problems };
}

/**
 * Gives each address and port to the first Service that claims it, in the order of the list. A treatment that gets all
 * it asked for stays the same object.
 */
export function settleClaims(services: readonly JudgedService[]): { treatments: Treatment[]; problems: HostProblem[] } {
  const holders = new Map<string, string>();
  const treatments: Treatment[] = [];
  const problems: HostProblem[] = [];
  for (const { id, treatments: judged, problems: own } of services) {
    problems.push(...own);
    const claim = (key: string) => {
      const holder = holders.get(key);
      if (holder === undefined) holders.set(key, id);
      else {
        const message = `${key} is already served for Service ${holder}; Service ${id} is not reachable there`;
        problems.push({ service: id, message });
      }
      return holder === undefined;
    };
    for (const { treatment, claims } of judged) {
      const lost = new Set(claims.addresses.filter(({ key }) => !claim(key)).map(({ address }) => address));
      const keepsNodePort = claims.nodePort === undefined || claim(claims.nodePort);
      treatments.push(lost.size === 0 && keepsNodePort ? treatment : without(treatment, lost, keepsNodePort));
    }
  }
  return { treatments, problems };
}

function claimsOf({ protocol, family, port, nodePort, clusterIPs, externalAddresses }: Treatment): Claims {
  return {
    addresses: [...clusterIPs, ...externalAddresses].map((address) => {
      return { address, key: `${protocol} ${address} port ${port}` };
    }),
    nodePort: nodePort === undefined ? undefined : `${protocol} IPv${family} node port ${nodePort}`,
  };
}

function without(treatment: Treatment, lost: ReadonlySet<Address>, keepsNodePort: boolean): Treatment {
  const clusterIPs = treatment.clusterIPs.filter((address) => !lost.has(address));
  return {
    ...treatment,
    clusterIPs,
    externalAddresses: treatment.externalAddresses.filter((address) => !lost.has(address)),
    nodePort: keepsNodePort && clusterIPs.length > 0 ? treatment.nodePort : undefined,
  };
}

function judge(
  service: HostService,
  id: string,
  { protocol, port, nodePort, ...given }: HostServicePort,
  family: Family,
  admission: Admission,
  overlay: Overlay,
): Treatment | undefined {
  const clusterIPs = service.clusterIPs.filter((address) => address.family === family);
  const externalAddresses = service.externalAddresses.filter((address) => address.family === family);
  if (clusterIPs.length === 0 && externalAddresses.length === 0) return undefined;

  const endpoints = ofFamily(given.endpoints, family);
  const local = ofFamily(given.localEndpoints, family);
  const sticky = service.sessionAffinity === 'ClientIP';
  // An endpoint outside the overlay (a host, a machine elsewhere) cannot be reached by way of OVN's load balancer: the
  // router would send a packet of this host back to this host. So the host chooses for everyone.
  const outside = endpoints.some(({ address }) => !inOverlay(overlay, address));
  // OVN would see every outside client under this host's address and send all of them to one endpoint.
  const chooseForClients = outside || (sticky && endpoints.length > 0);
  return {
    service: id,
    id: `${id}/${protocol}/${port}`,
    protocol,
    family,
    port,
    nodePort: clusterIPs.length > 0 ? nodePort : undefined,
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
