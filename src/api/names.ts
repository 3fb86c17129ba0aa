/** Names of Ovenbird's API that programs and manifests share. Plain constants: no schema library is loaded for them. */

/** API group and version of every custom resource here. */
export const apiGroup = 'ovenbird.dev';
export const apiVersion = 'v1alpha1';
export const groupVersion = `${apiGroup}/${apiVersion}`;

/** Where one kind of custom resource lives in the API. All kinds are cluster-scoped. */
export interface CustomResource {
  kind: string;
  /** Last part of the URL: `/apis/ovenbird.dev/v1alpha1/<plural>`. */
  plural: string;
  singular: string;
  shortNames: readonly string[];
}

export const ipAddressPoolResource = {
  kind: 'IPAddressPool',
  plural: 'ipaddresspools',
  singular: 'ipaddresspool',
  shortNames: ['ipap'],
} as const satisfies CustomResource;

export const l2AdvertisementResource = {
  kind: 'L2Advertisement',
  plural: 'l2advertisements',
  singular: 'l2advertisement',
  shortNames: ['l2ad'],
} as const satisfies CustomResource;

/** The `spec.loadBalancerClass` that is ours unless the operator chose another. */
export const defaultLoadBalancerClass = 'ovenbird.dev/loadbalancer';

/** The finalizer every load-balancer implementation uses (KEP-980): on a Service while something of it is set up. */
export const cleanupFinalizer = 'service.kubernetes.io/load-balancer-cleanup';

/** Node label that keeps a node from announcing (KEP-1143), unless its value is "false". */
export const excludeNodeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';

/**
 * Annotations on a Service that its owner writes. Each list is in order of precedence: where several are present, the
 * first counts and the others are ignored, so that a Service can be moved over before the old annotation is removed.
 */
export const requestAnnotations = {
  /** Addresses wanted, one per family, comma separated. */
  loadBalancerIPs: [
    'ovenbird.dev/loadBalancerIPs',
    'metallb.io/loadBalancerIPs',
    'metallb.universe.tf/loadBalancerIPs',
  ],
  /** Name of the IPAddressPool to take the address from. */
  addressPool: ['ovenbird.dev/address-pool', 'metallb.io/address-pool', 'metallb.universe.tf/address-pool'],
} as const;

/**
 * Annotation the controller writes together with the finalizer: the pool the Service's address was taken from. It tells
 * a pool that was edited under the Service (the address stays) from a Service that asks for another pool (it moves).
 */
export const allocatedFromPoolAnnotations = [
  'ovenbird.dev/ip-allocated-from-pool',
  'metallb.io/ip-allocated-from-pool',
] as const;

/**
 * Annotation the controller writes together with the finalizer: the load-balancer class it acted for. It is how the
 * controller knows its own finalizer again after the Service's type or class has changed.
 */
export const claimedForClassAnnotation = 'ovenbird.dev/claimed-for-class';

/** Condition types. Those on Services are prefixed, because other controllers write there too. */
export const conditionTypes = {
  /** On a Service: it has the addresses it asks for. */
  ipAllocated: 'ovenbird.dev/IPAllocated',
  /** On a Service: the OVN load balancers that carry its traffic are in the database. */
  programmed: 'ovenbird.dev/Programmed',
  /** On a pool or an advertisement: every part of it is in use as written. */
  ready: 'Ready',
} as const;

/** The condition types on Services that are Ovenbird's to write and to remove. */
export const serviceConditionTypes = [conditionTypes.ipAllocated, conditionTypes.programmed] as const;

/** Name under which the API server records what the controller wrote, and reporter of its Events. */
export const controllerName = 'ovenbird-controller';

/**
 * The value of the first of these annotations that is present.
 *
 * @param keys in order of precedence
 */
export function readAnnotation(
  annotations: Readonly<Record<string, string>> | undefined,
  keys: readonly string[],
): { key: string; value: string } | undefined {
  for (const key of keys) {
    const value = annotations?.[key];
    if (value !== undefined) return { key, value };
  }
  return undefined;
}
