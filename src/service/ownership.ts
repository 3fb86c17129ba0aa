import {
  allocatedFromPoolAnnotations,
  claimedForClassAnnotation,
  cleanupFinalizer,
  readAnnotation,
  serviceConditionTypes,
} from '../api/index.ts';
import type { Service } from '../kube/objects.ts';

/** Which Services an installation serves. */
export interface ServiceClass {
  /** The `spec.loadBalancerClass` that is ours. */
  readonly loadBalancerClass: string;
  /** Whether Services of type LoadBalancer that name no class are ours too. */
  readonly servesUnclassed: boolean;
}

/** True for a Service of type LoadBalancer of our class. Says nothing about whether it is being deleted. */
export function isOurs(service: Service, { loadBalancerClass, servesUnclassed }: ServiceClass): boolean {
  if (service.spec.type !== 'LoadBalancer') return false;
  const named = service.spec.loadBalancerClass;
  return named === undefined || named === '' ? servesUnclassed : named === loadBalancerClass;
}

/** What a controller of this project has left on a Service. */
export interface Traces {
  /** The shared finalizer is there; whose it is, `claimedFor` says. */
  finalizer: boolean;
  /** The class a controller of ours acted for; undefined when none claimed the Service. */
  claimedFor: string | undefined;
  /** Names of the pools its addresses were taken from, in the order of the addresses; may be one for all. */
  allocatedFrom: string[];
  /** One of our conditions is there. */
  conditions: boolean;
}

/** Reads back what was left on a Service. */
export function tracesOn(service: Service): Traces {
  const { annotations, finalizers = [] } = service.metadata;
  const pools = readAnnotation(annotations, allocatedFromPoolAnnotations)?.value ?? '';
  const ours: readonly string[] = serviceConditionTypes;
  return {
    finalizer: finalizers.includes(cleanupFinalizer),
    claimedFor: annotations?.[claimedForClassAnnotation],
    allocatedFrom: pools.split(',').flatMap((name) => name.trim() || []),
    conditions: (service.status?.conditions ?? []).some(({ type }) => ours.includes(type)),
  };
}
