import type { EndpointSlice, KubeObject, Lease, Namespace, Node, Secret, Service } from './objects.ts';

/** A resource of the API: where it lives and which type travels there. */
export interface Resource<T extends KubeObject = KubeObject> {
  /** API group, empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** Lower-case plural, as in the URL. */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Carries `T` for the compiler; never set. */
  readonly type?: T;
}

/** Names one object. `namespace` is required for namespaced resources and ignored for the others. */
export interface ObjectName {
  namespace?: string;
  name: string;
}

/** Describes a resource, e.g. a custom one: `defineResource<IPAddressPool>({group, version, plural, kind, namespaced})`. */
export function defineResource<T extends KubeObject>(description: Omit<Resource<T>, 'type'>): Resource<T> {
  return description;
}

/** events.k8s.io/v1 Event. */
export interface EventObject extends KubeObject {
  eventTime: string;
  reportingController: string;
  reportingInstance: string;
  action: string;
  reason: string;
  type: 'Normal' | 'Warning';
  note: string;
  regarding: ObjectReference;
  series?: { count: number; lastObservedTime: string };
}

/** core/v1 ObjectReference. */
export interface ObjectReference {
  apiVersion: string;
  kind: string;
  namespace?: string;
  name: string;
  uid?: string;
  resourceVersion?: string;
}

/** apiextensions.k8s.io/v1 CustomResourceDefinition, as far as it is read. */
export interface CustomResourceDefinition extends KubeObject {
  spec: unknown;
  status?: { conditions?: { type: string; status: string }[] };
}

/** The built-in resources in use. */
export const resources = {
  services: defineResource<Service>({
    group: '',
    version: 'v1',
    plural: 'services',
    kind: 'Service',
    namespaced: true,
  }),
  endpointSlices: defineResource<EndpointSlice>({
    group: 'discovery.k8s.io',
    version: 'v1',
    plural: 'endpointslices',
    kind: 'EndpointSlice',
    namespaced: true,
  }),
  nodes: defineResource<Node>({ group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false }),
  namespaces: defineResource<Namespace>({
    group: '',
    version: 'v1',
    plural: 'namespaces',
    kind: 'Namespace',
    namespaced: false,
  }),
  secrets: defineResource<Secret>({ group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true }),
  leases: defineResource<Lease>({
    group: 'coordination.k8s.io',
    version: 'v1',
    plural: 'leases',
    kind: 'Lease',
    namespaced: true,
  }),
  events: defineResource<EventObject>({
    group: 'events.k8s.io',
    version: 'v1',
    plural: 'events',
    kind: 'Event',
    namespaced: true,
  }),
  customResourceDefinitions: defineResource<CustomResourceDefinition>({
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    namespaced: false,
  }),
} as const;

/** "v1" or "group/version", as objects carry it. */
export function apiVersionOf(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** "services" or "ipaddresspools.ovenbird.dev": how kubectl and RBAC call it. */
export function resourceName(resource: Resource): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** The URL path of a collection (no `name`), an object, or a subresource of an object. */
export function resourcePath(
  resource: Resource,
  at: { namespace?: string | undefined; name?: string; subresource?: string } = {},
): string {
  const parts = resource.group === '' ? ['', 'api', resource.version] : ['', 'apis', resource.group, resource.version];
  if (resource.namespaced && at.namespace !== undefined) parts.push('namespaces', encodeURIComponent(at.namespace));
  parts.push(resource.plural);
  if (at.name !== undefined) parts.push(encodeURIComponent(at.name));
  if (at.subresource !== undefined) parts.push(at.subresource);
  return parts.join('/');
}

/** The reverse of `objectKey`: "namespace/name" or "name". */
export function parseKey(key: string): ObjectName {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** A reference for events, conditions and owners; kind and version come from the resource, as list items lack them. */
export function referenceTo<T extends KubeObject>(resource: Resource<T>, object: KubeObject): ObjectReference {
  const { namespace, name, uid, resourceVersion } = object.metadata;
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}
