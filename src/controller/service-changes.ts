import {
  allocatedFromPoolAnnotations,
  claimedForClassAnnotation,
  cleanupFinalizer,
  conditionTypes,
  serviceConditionTypes,
} from '../api/index.ts';
import type { Decision } from '../ipam/index.ts';
import {
  type Condition,
  type DesiredCondition,
  ensureCondition,
  type LoadBalancerIngress,
  type Service,
} from '../kube/index.ts';
import { tracesOn } from '../service/index.ts';

/** A JSON merge patch (RFC 7386) of a Service's metadata: null removes. */
export interface MetadataPatch {
  finalizers?: string[] | null;
  annotations?: Record<string, string | null>;
}

/** A JSON merge patch of a Service's status. */
export interface StatusPatch {
  loadBalancer?: { ingress: LoadBalancerIngress[] | null };
  conditions?: Condition[] | null;
}

/** What to tell people about a change. */
export interface Announcement {
  type: 'Normal' | 'Warning';
  reason: string;
  note: string;
}

/**
 * What to do with the condition that says whether OVN carries the Service. `settling`: the writer works and has the
 * Service before it, so that the answer is expected in a moment.
 */
export type Programming =
  | { kind: 'unknown'; settling: boolean }
  | { kind: 'unused' }
  | { kind: 'known'; condition: DesiredCondition; settling?: boolean };

const [poolAnnotation] = allocatedFromPoolAnnotations;

/**
 * What marks the Service as ours before it gets an address: finalizer, class, pool. Undefined when all of it is there.
 * A Service without an address is not marked; marks it has stay until it is let go.
 */
export function claimPatch(service: Service, decision: Decision, loadBalancerClass: string): MetadataPatch | undefined {
  if (decision.addresses.length === 0) return undefined;
  const { finalizers = [], annotations = {} } = service.metadata;
  const pools = decision.allocatedFrom.join(',');
  const patch: MetadataPatch = {};
  if (!finalizers.includes(cleanupFinalizer)) patch.finalizers = [...finalizers, cleanupFinalizer];
  const wanted: Record<string, string> = {
    [claimedForClassAnnotation]: loadBalancerClass,
    // An address of unknown origin in no pool leaves whatever another implementation recorded.
    ...(pools === '' ? {} : { [poolAnnotation]: pools }),
  };
  const changed = Object.entries(wanted).filter(([key, value]) => annotations[key] !== value);
  if (changed.length > 0) patch.annotations = Object.fromEntries(changed);
  return patch.finalizers || patch.annotations ? patch : undefined;
}

/** What brings the status in line with a decision, and what to tell about it. Undefined when nothing differs. */
export function statusPatch(
  service: Service,
  decision: Decision,
  programming: Programming,
  now: string,
): { patch: StatusPatch; announcements: Announcement[] } | undefined {
  const patch: StatusPatch = {};
  const { status = {} } = service;
  const ips = decision.addresses.map(({ address }) => String(address));
  const ingressChanges = !sameIngress(status.loadBalancer?.ingress ?? [], ips);
  if (ingressChanges) patch.loadBalancer = { ingress: ips.length === 0 ? null : ips.map((ip) => ({ ip })) };

  const { generation } = service.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const conditionOf = (wanted: string) => status.conditions?.find(({ type }) => type === wanted);
  const { reason, message } = decision;
  const allocated: DesiredCondition = {
    type: conditionTypes.ipAllocated,
    status: decision.satisfied ? 'True' : 'False',
    ...observed,
    reason,
    message,
  };
  let { conditions, changed } = ensureCondition(status.conditions, allocated, now);
  if (programming.kind === 'known') {
    const next = ensureCondition(conditions, { ...programming.condition, ...observed }, now);
    conditions = next.conditions;
    changed ||= next.changed;
  } else if (programming.kind === 'unused') {
    const others = conditions.filter(({ type }) => type !== conditionTypes.programmed);
    changed ||= others.length < conditions.length;
    conditions = others;
  }
  if (changed) patch.conditions = conditions;
  if (!ingressChanges && !changed) return undefined;

  const announcements: Announcement[] = [];
  const before = conditionOf(conditionTypes.ipAllocated);
  if (ingressChanges || before?.reason !== reason || before.message !== message) {
    const calm = reason === 'Allocated' || reason === 'AllocatedPartially';
    announcements.push({ type: calm ? 'Normal' : 'Warning', reason, note: message });
  }
  if (programming.kind === 'known') {
    announcements.push(...programmingNews(conditionOf(conditionTypes.programmed), programming.condition));
  }
  return { patch, announcements };
}

/** That OVN cannot carry the Service, or can again. That it carries a new one is no news, nor that it will soon. */
function programmingNews(old: Condition | undefined, { status, reason, message }: DesiredCondition): Announcement[] {
  if (status === 'True' && old?.status === 'False') return [{ type: 'Normal', reason, note: message }];
  const isNews = old?.status !== status || old.reason !== reason || old.message !== message;
  return status === 'False' && isNews ? [{ type: 'Warning', reason, note: message }] : [];
}

/**
 * What to tell when somebody else replaced the addresses in the status of a Service. Undefined when nothing is in their
 * place: the API server itself takes them away when the type changes.
 *
 * @param ours what is written instead; empty when the Service has no address
 */
export function overwrittenNews(service: Service, ours: string): Announcement | undefined {
  const theirs = (service.status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '');
  if (theirs.length === 0) return undefined;
  const instead = ours === '' ? 'it was removed' : `${ours.replace(',', ' and ')} was written again`;
  const note = `somebody else wrote ${theirs.join(' and ')} into the status of the Service; ${instead}. Let one load-balancer implementation serve it: switch the other off, or name one by spec.loadBalancerClass`;
  return { type: 'Warning', reason: 'StatusOverwritten', note };
}

/**
 * What takes our part out of the status of a Service that is let go: its addresses and our conditions. Undefined when
 * nothing of it is there.
 *
 * @param isOurs false for entries that are another implementation's by now
 */
export function clearedStatusPatch(
  service: Service,
  isOurs: (entry: LoadBalancerIngress) => boolean,
): StatusPatch | undefined {
  const patch: StatusPatch = {};
  const { loadBalancer: { ingress = [] } = {}, conditions = [] } = service.status ?? {};
  const left = ingress.filter((entry) => !isOurs(entry));
  if (left.length < ingress.length) patch.loadBalancer = { ingress: left.length === 0 ? null : left };
  const ours: readonly string[] = serviceConditionTypes;
  const others = conditions.filter(({ type }) => !ours.includes(type));
  if (others.length < conditions.length) patch.conditions = others.length === 0 ? null : others;
  return patch.loadBalancer || patch.conditions !== undefined ? patch : undefined;
}

/** Whether our condition says that the Service had an address from us. */
export function hadAddress({ status }: Service): boolean {
  return (status?.conditions ?? []).some(
    (condition) => condition.type === conditionTypes.ipAllocated && condition.status === 'True',
  );
}

/**
 * What removes our marks. Undefined when there are none.
 *
 * @param isUnmarked the finalizer is ours although the annotation that says so is gone
 */
export function unclaimPatch(service: Service, isUnmarked: boolean): MetadataPatch | undefined {
  const { claimedFor, finalizer } = tracesOn(service);
  if (claimedFor === undefined && !(isUnmarked && finalizer)) return undefined;
  const patch: MetadataPatch = { annotations: { [claimedForClassAnnotation]: null } };
  if (service.metadata.annotations?.[poolAnnotation] !== undefined) {
    patch.annotations = { ...patch.annotations, [poolAnnotation]: null };
  }
  if (finalizer) {
    const others = (service.metadata.finalizers ?? []).filter((name) => name !== cleanupFinalizer);
    patch.finalizers = others.length === 0 ? null : others;
  }
  return patch;
}

/**
 * Whether the status already says these addresses. The API server adds `ipMode: VIP` to what is written without it.
 * Where no address is wanted, an entry that is only a host name is another implementation's and stays.
 */
function sameIngress(ingress: readonly LoadBalancerIngress[], ips: readonly string[]): boolean {
  if (ips.length === 0) return ingress.every(({ ip }) => ip === undefined || ip === '');
  return (
    ingress.length === ips.length &&
    ingress.every(
      ({ ip, hostname, ipMode, ports }, index) =>
        ip === ips[index] && !hostname && (ipMode ?? 'VIP') === 'VIP' && (ports ?? []).length === 0,
    )
  );
}
