export { KubeClient, type KubeClientOptions } from './client.ts';
export type {
  CallOptions,
  DeleteOptions,
  ListOptions,
  ObjectList,
  PatchOptions,
  PatchType,
  WatchOptions,
  WriteOptions,
} from './client-options.ts';
export type { ClusterConfig, ClusterTls } from './cluster-config.ts';
export { type DesiredCondition, ensureCondition, kubeMicroTime, kubeTime } from './conditions.ts';
export { type EventCounts, EventRecorder, type EventRecorderOptions, type EventText } from './event-recorder.ts';
export type { PingOptions } from './http2-link.ts';
export { type InClusterOptions, inClusterConfig, serviceAccountDirectory } from './in-cluster-config.ts';
export { isKubeError, KubeError, type KubeErrorCode } from './kube-error.ts';
export { type KubeconfigOptions, kubeconfig } from './kubeconfig.ts';
export { LeaderElection, type LeaderElectionOptions, type LeaderElectionStatus } from './leader-election.ts';
export { type FenceToken, type Leadership, LeadershipError } from './leadership.ts';
export type { Change, IndexFunction, ReadStore } from './object-store.ts';
export * from './objects.ts';
export type { ReflectorTiming, Selection } from './reflector.ts';
export type { ReflectorStatus } from './reflector-status.ts';
export { RequestCounters, type RequestLabels, type RequestObservation } from './request-counters.ts';
export { allSynced, type ChangeListener, ResourceCache, type ResourceCacheOptions } from './resource-cache.ts';
export {
  apiVersionOf,
  type CustomResourceDefinition,
  defineResource,
  type EventObject,
  type ObjectName,
  type ObjectReference,
  parseKey,
  type Resource,
  referenceTo,
  resourceName,
  resourcePath,
  resources,
} from './resources.ts';
export type { ReflectorReason } from './watch-ending.ts';
export type { WatchEvent } from './watch-event.ts';
export {
  type AddOptions,
  priorities,
  type Reconcile,
  type ReconcileResult,
  WorkQueue,
  type WorkQueueMetrics,
  type WorkQueueOptions,
} from './work-queue.ts';
