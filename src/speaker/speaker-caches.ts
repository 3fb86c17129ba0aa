import {
  groupVersion,
  type IPAddressPool,
  ipAddressPoolResource,
  type L2Advertisement,
  l2AdvertisementResource,
} from '../api/index.ts';
import type { Clock, Logger } from '../base/index.ts';
import { defineResource, type KubeClient, ResourceCache, resources } from '../kube/index.ts';
import type { EndpointSlice, KubeObject, Node, Secret, Service } from '../kube/objects.ts';

const serviceNameLabel = 'kubernetes.io/service-name';

/** What the speaker keeps of the cluster: only fields that it reads. */
export interface SpeakerCaches {
  services: ResourceCache<Service>;
  /** Indexed by the key of the Service they belong to. */
  slices: ResourceCache<EndpointSlice, EndpointSlice, 'service'>;
  nodes: ResourceCache<Node>;
  pools: ResourceCache<IPAddressPool>;
  advertisements: ResourceCache<L2Advertisement>;
  /** The one Secret with the heartbeat key. */
  key: ResourceCache<Secret>;
}

/** Describes the caches of a speaker; starts nothing. */
export function speakerCaches(options: {
  client: KubeClient;
  clock: Clock;
  logger: Logger;
  namespace: string;
  keySecret: string;
}): SpeakerCaches {
  const { client, clock, logger } = options;
  const common = { client, clock, logger };
  const [group = '', version = ''] = groupVersion.split('/');
  const custom = <T extends KubeObject>({ kind, plural }: { kind: string; plural: string }) =>
    defineResource<T>({ group, version, plural, kind, namespaced: false });
  return {
    services: new ResourceCache({ ...common, resource: resources.services, project: projectService }),
    slices: new ResourceCache({
      ...common,
      resource: resources.endpointSlices,
      project: projectSlice,
      indexes: { service: (slice: EndpointSlice) => serviceKeyOf(slice) },
    }),
    nodes: new ResourceCache({ ...common, resource: resources.nodes, project: projectNode, same: sameJson }),
    pools: new ResourceCache({
      ...common,
      resource: custom<IPAddressPool & KubeObject>(ipAddressPoolResource),
      project: withoutStatus,
      same: sameSpec,
    }),
    advertisements: new ResourceCache({
      ...common,
      resource: custom<L2Advertisement & KubeObject>(l2AdvertisementResource),
      project: withoutStatus,
      same: sameSpec,
    }),
    key: new ResourceCache({
      ...common,
      resource: resources.secrets,
      selection: { namespace: options.namespace, fieldSelector: `metadata.name=${options.keySecret}` },
    }),
  };
}

/** The key of the Service that a slice belongs to, as an index value. */
export function serviceKeyOf(slice: EndpointSlice): string[] {
  const name = slice.metadata.labels?.[serviceNameLabel];
  return name === undefined ? [] : [`${slice.metadata.namespace}/${name}`];
}

function identity({ name, namespace, uid, resourceVersion, deletionTimestamp }: KubeObject['metadata']) {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
}

function projectService(service: Service): Service {
  const { labels, annotations, generation } = service.metadata;
  const { selector: _, ...spec } = service.spec;
  const ingress = service.status?.loadBalancer?.ingress;
  return {
    metadata: {
      ...identity(service.metadata),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations: withoutLastApplied(annotations) }),
      ...(generation === undefined ? {} : { generation }),
    },
    spec,
    status: ingress === undefined ? {} : { loadBalancer: { ingress } },
  };
}

function projectSlice(slice: EndpointSlice): EndpointSlice {
  const name = slice.metadata.labels?.[serviceNameLabel];
  const endpoints = (slice.endpoints ?? []).map(({ addresses, conditions, nodeName }) => ({
    addresses: addresses.slice(0, 1),
    ...(conditions === undefined ? {} : { conditions }),
    ...(nodeName === undefined ? {} : { nodeName }),
  }));
  return {
    metadata: { ...identity(slice.metadata), labels: name === undefined ? {} : { [serviceNameLabel]: name } },
    addressType: slice.addressType,
    endpoints,
    ports: slice.ports ?? [],
  };
}

function projectNode(node: Node): Node {
  const { labels, annotations } = node.metadata;
  const kept = Object.entries(annotations ?? {}).filter(([key]) => key.startsWith('ovn.kubernetes.io/'));
  const conditions = (node.status?.conditions ?? [])
    .filter(({ type }) => type === 'NetworkUnavailable')
    .map(({ type, status }) => ({ type, status }));
  return {
    metadata: {
      ...identity(node.metadata),
      ...(labels === undefined ? {} : { labels }),
      annotations: Object.fromEntries(kept),
    },
    status: { addresses: node.status?.addresses ?? [], conditions },
  };
}

function withoutStatus<T extends KubeObject>(object: T): T {
  const { status: _, ...rest } = object as T & { status?: unknown };
  return rest as unknown as T;
}

function withoutLastApplied(annotations: Record<string, string>): Record<string, string> {
  const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...rest } = annotations;
  return rest;
}

/** True when nothing but the version of two projected objects differs. */
function sameJson(old: KubeObject, object: KubeObject): boolean {
  const bare = (value: KubeObject) => {
    const { resourceVersion: _, ...metadata } = value.metadata;
    return JSON.stringify({ ...value, metadata });
  };
  return bare(old) === bare(object);
}

/** True when the generation, which counts changes of the spec, is the same. */
function sameSpec(old: KubeObject, object: KubeObject): boolean {
  return (
    old.metadata.uid === object.metadata.uid &&
    old.metadata.generation !== undefined &&
    old.metadata.generation === object.metadata.generation &&
    old.metadata.deletionTimestamp === object.metadata.deletionTimestamp
  );
}
