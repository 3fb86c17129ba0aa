import type { Change } from '../kube/object-store.ts';
import type { EndpointSlice, Node, Service } from '../kube/objects.ts';
import { Address, compareAddresses } from '../net/index.ts';
import { selectEndpoints } from '../service/index.ts';
import type { HostEndpoint, HostInputs, HostService, HostServicePort } from './host-agent/index.ts';
import { type Dirty, type FollowedCaches, keysToLookAt, ServiceChanges } from './service-changes.ts';

const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';
const sourceRangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';
const gatewayAnnotation = 'ovn.kubernetes.io/gateway';

/**
 * A Service as the host agent of `node` needs it, or undefined when the agent has nothing to do for it: no cluster
 * address, or another proxy serves it (KEP-2447).
 */
export function hostServiceOf(
  service: Service,
  slices: readonly EndpointSlice[],
  node: string,
): HostService | undefined {
  const { spec, metadata } = service;
  if (spec.type === 'ExternalName' || metadata.labels?.[proxyNameLabel] !== undefined) return undefined;
  const clusterIPs = addressesOf(spec.clusterIPs ?? [spec.clusterIP ?? '']);
  if (clusterIPs.length === 0) return undefined;

  const everywhere = endpointsByPort(slices);
  const here = endpointsByPort(slices, node);
  const ports = (spec.ports ?? []).map(({ name = '', protocol = 'TCP', port, nodePort }): HostServicePort => {
    const key = `${protocol}/${name}`;
    const own = nodePort === undefined || nodePort === 0 ? {} : { nodePort };
    return { name, protocol, port, ...own, endpoints: everywhere.get(key) ?? [], localEndpoints: here.get(key) ?? [] };
  });
  const vips = (service.status?.loadBalancer?.ingress ?? []).filter(({ ipMode = 'VIP' }) => ipMode === 'VIP');
  const { healthCheckNodePort } = spec;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    clusterIPs,
    externalAddresses: spec.type === 'LoadBalancer' ? addressesOf(vips.map(({ ip = '' }) => ip)) : [],
    ports,
    externalTrafficPolicy: spec.externalTrafficPolicy ?? 'Cluster',
    internalTrafficPolicy: spec.internalTrafficPolicy ?? 'Cluster',
    sessionAffinity: spec.sessionAffinity ?? 'None',
    sourceRanges: sourceRangesOf(service),
    ...(healthCheckNodePort === undefined || healthCheckNodePort === 0 ? {} : { healthCheckNodePort }),
    localReadyEndpoints: countReady(slices, node),
  };
}

/** spec.loadBalancerSourceRanges, else the annotation that cloud controllers read; only for load balancers. */
function sourceRangesOf({ spec, metadata }: Service): string[] {
  if (spec.type !== 'LoadBalancer') return [];
  if (spec.loadBalancerSourceRanges && spec.loadBalancerSourceRanges.length > 0) return spec.loadBalancerSourceRanges;
  const annotation = metadata.annotations?.[sourceRangesAnnotation]?.trim() ?? '';
  return annotation === '' ? [] : annotation.split(',');
}

function addressesOf(texts: readonly string[]): Address[] {
  return texts.flatMap((text) => Address.tryParse(text) ?? []);
}

function endpointsByPort(slices: readonly EndpointSlice[], onlyNode?: string): Map<string, HostEndpoint[]> {
  return new Map(
    selectEndpoints(slices, onlyNode).map(({ protocol, portName, endpoints }) => [
      `${protocol}/${portName}`,
      endpoints.map(({ address, port }) => ({ address, port })),
    ]),
  );
}

/** Ready endpoints on the node, each address once: what a load balancer's health check weighs. */
function countReady(slices: readonly EndpointSlice[], node: string): number {
  const ready = new Set<string>();
  for (const slice of slices) {
    for (const { addresses, conditions, nodeName } of slice.endpoints ?? []) {
      if (nodeName === node && (conditions?.ready ?? true) && addresses[0] !== undefined) ready.add(addresses[0]);
    }
  }
  return ready.size;
}

/** What the feed needs of the host agent. */
export interface HostTarget {
  setDesired(inputs: HostInputs): void;
}

/** Keeps the host agent's inputs equal to what the caches say; a Service that did not change stays the same object. */
export class HostFeed {
  readonly #services = new Map<string, HostService>();
  readonly #changes: ServiceChanges;
  readonly #unsubscribe: () => void;

  constructor(options: { caches: FollowedCaches<'services' | 'slices' | 'nodes'>; node: string; target: HostTarget }) {
    const { caches, node, target } = options;
    this.#changes = new ServiceChanges(caches, (dirty) => this.#look(dirty, caches, node, target));
    this.#unsubscribe = caches.nodes.subscribe((change) => {
      if (change.key === node || addressesChanged(change)) this.#changes.touchAll();
    });
  }

  /** Call once, when every cache has its first full list. */
  start(): void {
    this.#changes.start();
  }

  stop(): void {
    this.#changes.stop();
    this.#unsubscribe();
  }

  #look(
    dirty: Dirty,
    { services, slices, nodes }: FollowedCaches<'services' | 'slices' | 'nodes'>,
    node: string,
    target: HostTarget,
  ): void {
    for (const key of keysToLookAt(dirty, this.#services.keys(), services.store)) {
      const service = services.store.get(key);
      const host = service && hostServiceOf(service, slices.store.listBy('service', key), node);
      if (host) this.#services.set(key, host);
      else this.#services.delete(key);
    }
    target.setDesired({
      services: [...this.#services.values()],
      complete: true,
      serviceCidrs: [],
      ...nodeInputs(nodes.store.get(node)),
      peerAddresses: nodes.store
        .list()
        .filter(({ metadata }) => metadata.name !== node)
        .flatMap(nodeAddresses)
        .sort(compareAddresses),
    });
  }
}

function nodeInputs(node: Node | undefined): Pick<HostInputs, 'nodeAddresses' | 'overlayGateways' | 'nodeEligible'> {
  const gateways = (node?.metadata.annotations?.[gatewayAnnotation] ?? '').split(',').map((text) => text.trim());
  return {
    nodeAddresses: node ? nodeAddresses(node).sort(compareAddresses) : [],
    overlayGateways: addressesOf(gateways),
    nodeEligible: node !== undefined && node.metadata.deletionTimestamp === undefined,
  };
}

function nodeAddresses(node: Node): Address[] {
  return addressesOf((node.status?.addresses ?? []).map(({ address }) => address));
}

function addressesChanged(change: Change<Node>): boolean {
  const of = (node: Node) => nodeAddresses(node).join();
  if (change.type === 'modified') return of(change.object) !== of(change.old);
  return of(change.type === 'added' ? change.object : change.old) !== '';
}
