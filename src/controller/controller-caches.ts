import {
  apiGroup,
  apiVersion,
  type IPAddressPool,
  ipAddressPoolResource,
  type L2Advertisement,
  l2AdvertisementResource,
} from '../api/index.ts';
import type { Clock, Logger } from '../base/index.ts';
import {
  defineResource,
  type EndpointSlice,
  type KubeClient,
  type KubeObject,
  type Node,
  type ReflectorTiming,
  ResourceCache,
  resources,
  type Service,
} from '../kube/index.ts';

const serviceNameLabel = 'kubernetes.io/service-name';
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** IPAddressPools in the API. */
export const ipAddressPools = defineResource<IPAddressPool & KubeObject>({
  group: apiGroup,
  version: apiVersion,
  plural: ipAddressPoolResource.plural,
  kind: ipAddressPoolResource.kind,
  namespaced: false,
});

/** L2Advertisements in the API. */
export const l2Advertisements = defineResource<L2Advertisement & KubeObject>({
  group: apiGroup,
  version: apiVersion,
  plural: l2AdvertisementResource.plural,
  kind: l2AdvertisementResource.kind,
  namespaced: false,
});

/** What the controller keeps of the cluster. Every replica keeps it, so that a new leader can begin at once. */
export interface ControllerCaches {
  services: ResourceCache<Service>;
  /** Indexed by the key of the Service they belong to. */
  slices: ResourceCache<EndpointSlice, EndpointSlice, 'service'>;
  nodes: ResourceCache<Node>;
  pools: ResourceCache<IPAddressPool & KubeObject>;
  advertisements: ResourceCache<L2Advertisement & KubeObject>;
}

/** Describes the caches; starts nothing. */
export function controllerCaches(options: {
  client: Pick<KubeClient, 'pages' | 'watch'> & Partial<Pick<KubeClient, 'onConnect'>>;
  clock: Clock;
  logger: Logger;
  timing?: Partial<ReflectorTiming>;
}): ControllerCaches {
  return {
    services: new ResourceCache({ ...options, resource: resources.services, project: projectService }),
    slices: new ResourceCache({
      ...options,
      resource: resources.endpointSlices,
      project: projectSlice,
      indexes: { service: serviceKeysOf },
    }),
    nodes: new ResourceCache({ ...options, resource: resources.nodes, project: projectNode, same: sameNode }),
    // A pool's status is the controller's own: its changes are no news.
    pools: new ResourceCache({ ...options, resource: ipAddressPools, same: sameSpec }),
    advertisements: new ResourceCache({ ...options, resource: l2Advertisements, same: sameSpec }),
  };
}

/** The keys of the Services a slice belongs to: one or none. */
export function serviceKeysOf({ metadata }: EndpointSlice): string[] {
  const name = metadata.labels?.[serviceNameLabel];
  return name === undefined ? [] : [`${metadata.namespace}/${name}`];
}

/** Everything that is written back must stay: finalizers, annotations and conditions of others. */
export function projectService(service: Service): Service {
  const { [lastApplied]: _, ...annotations } = service.metadata.annotations ?? {};
  const { selector: __, ...spec } = service.spec;
  const { managedFields: ___, ...metadata } = service.metadata as Service['metadata'] & { managedFields?: unknown };
  return { ...service, metadata: { ...metadata, annotations }, spec };
}

function projectSlice(slice: EndpointSlice): EndpointSlice {
  const { name, namespace, uid, resourceVersion, labels } = slice.metadata;
  const owner = labels?.[serviceNameLabel];
  return {
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      labels: owner === undefined ? {} : { [serviceNameLabel]: owner },
    },
    addressType: slice.addressType,
    ports: slice.ports ?? [],
    endpoints: (slice.endpoints ?? []).map(({ addresses, conditions, nodeName }) => ({
      addresses: addresses.slice(0, 1),
      ...(conditions === undefined ? {} : { conditions }),
      ...(nodeName === undefined ? {} : { nodeName }),
    })),
  };
}

function projectNode(node: Node): Node {
  const { name, uid, resourceVersion } = node.metadata;
  return {
    metadata: {
      name,
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    status: { addresses: node.status?.addresses ?? [] },
  };
}

function sameNode(old: Node, node: Node): boolean {
  return JSON.stringify(old.status?.addresses) === JSON.stringify(node.status?.addresses);
}

function sameSpec<T extends KubeObject>(old: T, object: T): boolean {
  return (
    object.metadata.generation !== undefined &&
    old.metadata.generation === object.metadata.generation &&
    old.metadata.deletionTimestamp === object.metadata.deletionTimestamp
  );
}
