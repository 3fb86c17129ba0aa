import { conditionTypes, type IPAddressPool, type L2Advertisement } from '../api/index.ts';
import type { L2Announcement, Pool, Problem } from '../config/index.ts';
import type { PoolUsage } from '../ipam/index.ts';
import { type Condition, type DesiredCondition, ensureCondition, type KubeObject } from '../kube/index.ts';
import type { Announcement } from './service-changes.ts';

/** The status of a pool as it should be; undefined when it is so already. */
export function poolStatus(
  object: IPAddressPool & KubeObject,
  pool: Pool,
  usage: PoolUsage,
  now: string,
): IPAddressPool['status'] | undefined {
  const { status } = object;
  const counts = {
    assignedIPv4: usage.assigned[4],
    assignedIPv6: usage.assigned[6],
    availableIPv4: asCount(usage.available[4]),
    availableIPv6: asCount(usage.available[6]),
  };
  const keys = ['assignedIPv4', 'assignedIPv6', 'availableIPv4', 'availableIPv6'] as const;
  const countsChange = keys.some((key) => status?.[key] !== counts[key]);
  const { conditions, changed } = ready(pool, status?.conditions, 'every range is in use', now);
  return countsChange || changed ? { ...counts, conditions } : undefined;
}

/** The status of an advertisement as it should be; undefined when it is so already. */
export function advertisementStatus(
  object: L2Advertisement & KubeObject,
  advertisement: L2Announcement,
  now: string,
): L2Advertisement['status'] | undefined {
  const before = object.status?.conditions;
  const { conditions, changed } = ready(advertisement, before, 'in use as written', now);
  return changed ? { conditions } : undefined;
}

/** What to tell people about a new status: a problem, or the end of one. That a new object is well is no news. */
export function readyNews(
  before: { conditions?: unknown } | undefined,
  after: { conditions?: unknown },
): Announcement | undefined {
  const [old, next] = [before, after].map((status) =>
    ((status?.conditions ?? []) as Condition[]).find(({ type }) => type === conditionTypes.ready),
  );
  if (!next || (old?.reason === next.reason && old.message === next.message)) return undefined;
  const isWell = next.status === 'True';
  if (isWell && old?.status !== 'False') return undefined;
  return { type: isWell ? 'Normal' : 'Warning', reason: next.reason, note: next.message };
}

/** `judged`: what the generation in it was found to be; the object at hand may be of a later one by now. */
function ready(
  judged: { generation: number | undefined; problems: readonly Problem<string>[] },
  before: readonly unknown[] | undefined,
  fine: string,
  now: string,
): { conditions: Condition[]; changed: boolean } {
  const { generation, problems } = judged;
  const [first] = problems;
  const shown = problems.slice(0, 10).map(({ message }) => message);
  const more = problems.length > shown.length ? [`and ${problems.length - shown.length} more`] : [];
  const desired: DesiredCondition = {
    type: conditionTypes.ready,
    status: first ? 'False' : 'True',
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    reason: first?.reason ?? 'Valid',
    message: first ? [...shown, ...more].join('; ') : fine,
  };
  return ensureCondition(before as Condition[] | undefined, desired, now);
}

/** JSON numbers are exact up to here; an IPv6 pool has more. */
function asCount(count: bigint): number {
  return count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count);
}
