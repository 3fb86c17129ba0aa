import type { EndpointSlice, Node, Service } from '../kube/index.ts';
import { Address } from '../net/index.ts';
import type { OvnNode, OvnService, OvnServicePort } from '../ovn/index.ts';
import { selectEndpoints } from '../service/index.ts';

const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';
const sourceRangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';

/**
 * A Service as OVN is to carry it; undefined for what has no address to carry, or is another proxy's (KEP-2447).
 *
 * @param externalAddresses its load-balancer addresses
 */
export function ovnServiceOf(
  service: Service,
  slices: readonly EndpointSlice[],
  externalAddresses: readonly Address[],
): OvnService | undefined {
  const { metadata, spec } = service;
  if (spec.type === 'ExternalName' || metadata.labels?.[proxyNameLabel] !== undefined) return undefined;
  const clusterIPs = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None');
  if (clusterIPs.length === 0 && externalAddresses.length === 0) return undefined;

  const endpoints = new Map(
    selectEndpoints(slices).map((port) => [`${port.protocol}/${port.portName}`, port.endpoints]),
  );
  const ports = (spec.ports ?? []).map(({ name = '', protocol = 'TCP', port, nodePort }): OvnServicePort => {
    const own = nodePort === undefined || nodePort === 0 ? {} : { nodePort };
    return { name, protocol, port, ...own, endpoints: endpoints.get(`${protocol}/${name}`) ?? [] };
  });
  const timeoutSeconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    clusterIPs,
    externalAddresses,
    ports,
    externalTrafficPolicy: spec.externalTrafficPolicy ?? 'Cluster',
    internalTrafficPolicy: spec.internalTrafficPolicy ?? 'Cluster',
    sessionAffinity: spec.sessionAffinity ?? 'None',
    ...(timeoutSeconds === undefined ? {} : { sessionAffinityTimeoutSeconds: timeoutSeconds }),
    sourceRestricted: isSourceRestricted(service, externalAddresses),
  };
}

/** The load-balancer addresses that another implementation put into the status of its Service. */
export function foreignAddressesOf(service: Service): Address[] {
  if (service.spec.type !== 'LoadBalancer') return [];
  return (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip = '', ipMode = 'VIP' }) =>
    ipMode === 'VIP' ? (Address.tryParse(ip) ?? []) : [],
  );
}

/** A node and the addresses of it that NodePorts are reached at. */
export function ovnNodeOf(node: Node): OvnNode {
  const addresses = (node.status?.addresses ?? [])
    .filter(({ type }) => type === 'InternalIP' || type === 'ExternalIP')
    .flatMap(({ address }) => Address.tryParse(address) ?? []);
  return { name: node.metadata.name, addresses };
}

/** A list of source ranges that is there limits every family whose whole space it does not name. */
function isSourceRestricted({ metadata, spec }: Service, addresses: readonly Address[]): boolean {
  if (spec.type !== 'LoadBalancer') return false;
  const fromSpec = spec.loadBalancerSourceRanges ?? [];
  const texts = fromSpec.length > 0 ? fromSpec : (metadata.annotations?.[sourceRangesAnnotation] ?? '').split(',');
  const ranges = texts.map((text) => text.trim()).filter((text) => text !== '');
  if (ranges.length === 0) return false;
  return addresses.some(({ family }) => !ranges.includes(family === 4 ? '0.0.0.0/0' : '::/0'));
}
