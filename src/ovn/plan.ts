import { type LoadBalancerRow, ownerOf, type Reach } from './load-balancer-rows.ts';
import { foreignRows, type GroupRow, membersOf, type NorthboundView, type RealisedRow } from './northbound-view.ts';
import type { Operation } from './operations.ts';
import type { Attachment } from './topology.ts';
import { uuidV5 } from './uuid-v5.ts';

/** Operations of one transaction, roughly: the server does nothing else meanwhile. */
const BATCH_OPERATIONS = 500;

export interface PlanInput {
  clusterId: string;
  rows: readonly LoadBalancerRow[];
  view: NorthboundView;
  /** Where the groups belong. Nothing is ever detached from elsewhere. */
  attachments: readonly Attachment[];
  /** Remembers comparisons; hand in the same one each time. */
  comparison?: RowComparison;
  /** Rows not to be written (by uuid), because the server refused them. */
  refused?: ReadonlySet<string>;
  /** Operations of one transaction, roughly; with 1, each Service is a transaction of its own. Default 500. */
  batchOperations?: number;
  /** Which of the orphaned rows may be deleted now. */
  mayDelete(orphans: readonly RealisedRow[]): ReadonlySet<string>;
}

export interface Plan {
  /** Transactions to send one after the other. Empty when there is nothing to do. */
  batches: Operation[][];
  inserted: number;
  updated: number;
  deleted: number;
  /** Rows of ours that nobody wants any more and that were not allowed to go yet. */
  withheld: RealisedRow[];
  /** Names of load balancers in our groups that are not ours. */
  strangers: string[];
}

/** The name of a group; unique in the database, which makes it the only owner mark a group can carry. */
export function groupName(clusterId: string, reach: Reach): string {
  return reach === 'every' ? `ovenbird-${clusterId}` : `ovenbird-${clusterId}-hosts`;
}

/** Knows which desired row was last found equal to which realised row. */
export class RowComparison {
  readonly #equal = new WeakMap<LoadBalancerRow, RealisedRow>();

  /** Names of columns that differ. */
  differing(row: LoadBalancerRow, realised: RealisedRow): string[] {
    if (this.#equal.get(row) === realised) return [];
    const columns: string[] = [];
    if (row.name !== realised.name) columns.push('name');
    if (row.protocol !== realised.protocol) columns.push('protocol');
    if (!sameMap(row.vips, realised.vips)) columns.push('vips');
    if (!sameSet(row.selectionFields, realised.selectionFields)) columns.push('selection_fields');
    if (!sameMap(row.options, realised.options)) columns.push('options');
    if (!sameMap(row.externalIds, realised.externalIds)) columns.push('external_ids');
    if (columns.length === 0) this.#equal.set(row, realised);
    return columns;
  }
}

/** What must be written so that the database holds the desired rows, in groups attached where they belong. Pure. */
export function plan(input: PlanInput): Plan {
  const { view, clusterId, rows } = input;
  const owner = ownerOf(clusterId);
  const groups = findGroups(view, clusterId);
  const foreign = foreignRows(view, owner);
  const comparison = input.comparison ?? new RowComparison();

  const steps = new Steps();
  wireGroups(input, groups, steps);

  let inserted = 0;
  let updated = 0;
  let realisedRows = 0;
  for (const row of rows) {
    if (view.loadBalancers.has(row.uuid) && !foreign.has(row.uuid)) realisedRows += 1;
    if (input.refused?.has(row.uuid)) continue;
    const realised = view.loadBalancers.get(row.uuid);
    if (!realised) {
      steps.of(row.service).push({ op: 'insert', table: 'Load_Balancer', uuid: row.uuid, row: columnsOf(row) });
      inserted += 1;
    } else {
      const differing = comparison.differing(row, realised);
      if (differing.length > 0) {
        const all = columnsOf(row);
        const changed = Object.fromEntries(Object.entries(all).filter(([column]) => differing.includes(column)));
        steps.of(row.service).push({ op: 'update', table: 'Load_Balancer', uuid: row.uuid, row: changed });
        updated += 1;
      }
    }
    for (const { reach, uuid, members } of groups) {
      if (row.reach === reach && !members.has(row.uuid)) steps.join(row.service, uuid, row.uuid);
      if (row.reach !== reach && members.has(row.uuid)) steps.leave(row.service, uuid, row.uuid);
    }
  }

  const allThere = view.loadBalancers.size - foreign.size === realisedRows;
  const unwanted = allThere ? [] : unwantedRows(view, foreign, rows);
  const { superseded, orphans } = sortOut(unwanted, rows);
  const allowed = orphans.length === 0 ? new Set<string>() : input.mayDelete(orphans);
  const withheld = orphans.filter(({ uuid }) => !allowed.has(uuid));
  const gone = [...superseded, ...orphans.filter(({ uuid }) => allowed.has(uuid))];
  for (const { uuid, externalIds } of gone) {
    steps.of(externalIds.get('service') ?? '').push({ op: 'delete', table: 'Load_Balancer', uuid });
  }

  const strangers: string[] = [];
  for (const [uuid, { name }] of foreign) {
    if (groups.some(({ members }) => members.has(uuid)) && !rows.some((row) => row.uuid === uuid)) {
      strangers.push(name || uuid);
    }
  }
  return {
    batches: steps.batches(input.batchOperations),
    inserted,
    updated,
    deleted: gone.length,
    withheld,
    strangers: strangers.sort(),
  };
}

/** Rows of ours that are not among the desired ones. */
function unwantedRows(
  view: NorthboundView,
  foreign: ReadonlyMap<string, RealisedRow>,
  rows: readonly LoadBalancerRow[],
): RealisedRow[] {
  const desired = new Set(rows.map(({ uuid }) => uuid));
  return [...view.loadBalancers.values()].filter(({ uuid }) => !foreign.has(uuid) && !desired.has(uuid));
}

/** What must be written so that nothing of this cluster is left: rows, attachments and groups. */
export function planRemoval(input: { clusterId: string; view: NorthboundView }): Operation[][] {
  const { view, clusterId } = input;
  const owner = ownerOf(clusterId);
  const steps = new Steps();
  const ours = new Set<string>();
  for (const { uuid, externalIds } of view.loadBalancers.values()) {
    if (externalIds.get('owner') !== owner) continue;
    ours.add(uuid);
    steps.of(externalIds.get('service') ?? '').push({ op: 'delete', table: 'Load_Balancer', uuid });
  }
  for (const { uuid, exists, members } of findGroups(view, clusterId)) {
    if (!exists) continue;
    // A group that others use is left to them, attached as it is.
    if ([...members].some((member) => view.loadBalancers.has(member) && !ours.has(member))) continue;
    for (const [table, rows] of [
      ['Logical_Switch', view.switches],
      ['Logical_Router', view.routers],
    ] as const) {
      for (const row of rows.values()) {
        if (!row.groups.includes(uuid)) continue;
        const column = 'load_balancer_group';
        steps.last.push({ op: 'mutate', table, uuid: row.uuid, column, mutator: 'delete', uuids: [uuid] });
      }
    }
    steps.last.push({ op: 'delete', table: 'Load_Balancer_Group', uuid });
  }
  return steps.batches();
}

interface Group {
  reach: Reach;
  name: string;
  uuid: string;
  exists: boolean;
  members: ReadonlySet<string>;
}

/** Our groups as they stand, or as they would be made. */
function findGroups(view: NorthboundView, clusterId: string): Group[] {
  return (['every', 'hosts'] as const).map((reach) => {
    const name = groupName(clusterId, reach);
    let found: GroupRow | undefined;
    for (const group of view.groups.values()) if (group.name === name) found = group;
    return {
      reach,
      name,
      uuid: found?.uuid ?? uuidV5(`load-balancer-group/${clusterId}/${reach}`),
      exists: found !== undefined,
      members: found ? membersOf(found) : new Set(),
    };
  });
}

function wireGroups({ attachments, view }: PlanInput, groups: Group[], steps: Steps): void {
  for (const { reach, name, uuid, exists } of groups) {
    if (!exists) steps.first.push({ op: 'insert', table: 'Load_Balancer_Group', uuid, row: { name } });
    for (const { table, uuid: target, side } of attachments) {
      if (reach === 'hosts' && side !== 'hosts') continue;
      const row = (table === 'Logical_Switch' ? view.switches : view.routers).get(target);
      if (!row || row.groups.includes(uuid)) continue;
      const column = 'load_balancer_group';
      steps.first.push({ op: 'mutate', table, uuid: target, column, mutator: 'insert', uuids: [uuid] });
    }
  }
}

/**
 * Rows nobody wants: superseded ones have a successor of the same name, or one that takes over a VIP of theirs, and
 * must go in any case, since two rows with one VIP give an undefined result; the others are orphans.
 */
function sortOut(
  unwanted: readonly RealisedRow[],
  rows: readonly LoadBalancerRow[],
): { superseded: RealisedRow[]; orphans: RealisedRow[] } {
  if (unwanted.length === 0) return { superseded: [], orphans: [] };
  const names = new Set(rows.map(({ name }) => name));
  const vips = new Set(rows.flatMap((row) => [...row.vips.keys()].map((vip) => `${row.protocol} ${vip}`)));
  const superseded: RealisedRow[] = [];
  const orphans: RealisedRow[] = [];
  for (const row of unwanted) {
    const replaced =
      names.has(row.name) || [...row.vips.keys()].some((vip) => vips.has(`${row.protocol ?? 'tcp'} ${vip}`));
    (replaced ? superseded : orphans).push(row);
  }
  return { superseded, orphans };
}

function columnsOf(row: LoadBalancerRow) {
  return {
    name: row.name,
    protocol: row.protocol,
    vips: row.vips,
    selection_fields: row.selectionFields,
    options: row.options,
    external_ids: row.externalIds,
  };
}

/** Collects steps so that those of one Service stay in one transaction. */
class Steps {
  readonly first: Operation[] = [];
  readonly last: Operation[] = [];
  readonly #byService = new Map<string, { operations: Operation[]; joins: Membership[]; leaves: Membership[] }>();

  #entry(service: string) {
    let entry = this.#byService.get(service);
    if (!entry) {
      entry = { operations: [], joins: [], leaves: [] };
      this.#byService.set(service, entry);
    }
    return entry;
  }

  of(service: string): Operation[] {
    return this.#entry(service).operations;
  }

  join(service: string, group: string, row: string): void {
    this.#entry(service).joins.push({ group, row });
  }

  leave(service: string, group: string, row: string): void {
    this.#entry(service).leaves.push({ group, row });
  }

  batches(limit = BATCH_OPERATIONS): Operation[][] {
    const batches: Operation[][] = [];
    let operations = [...this.first];
    let joins: Membership[] = [];
    let leaves: Membership[] = [];
    const flush = () => {
      const batch = [...operations, ...memberships(leaves, 'delete'), ...memberships(joins, 'insert')];
      if (batch.length > 0) batches.push(batch);
      operations = [];
      joins = [];
      leaves = [];
    };
    const size = () => operations.length + joins.length + leaves.length;
    for (const [, entry] of [...this.#byService].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const more = entry.operations.length + entry.joins.length + entry.leaves.length;
      if (size() > 0 && size() + more > 2 * limit) flush();
      operations.push(...entry.operations);
      joins.push(...entry.joins);
      leaves.push(...entry.leaves);
      if (operations.length >= limit) flush();
    }
    if (this.last.length > 0 && operations.length + this.last.length > limit) flush();
    operations.push(...this.last);
    flush();
    return batches;
  }
}

interface Membership {
  group: string;
  row: string;
}

/** One mutation a group, however many members it changes. */
function memberships(changes: readonly Membership[], mutator: 'insert' | 'delete'): Operation[] {
  const byGroup = new Map<string, string[]>();
  for (const { group, row } of changes) {
    const rows = byGroup.get(group);
    if (rows) rows.push(row);
    else byGroup.set(group, [row]);
  }
  return [...byGroup].map(([uuid, uuids]) => {
    return { op: 'mutate', table: 'Load_Balancer_Group', uuid, column: 'load_balancer', mutator, uuids };
  });
}

function sameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((element) => b.includes(element));
}
