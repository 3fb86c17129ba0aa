/**
 * What was read from the northbound database, in neutral form: the rows that matter here, with the columns that matter.
 * Row objects stay the same object until the row changes.
 */
export interface NorthboundView {
  /** By uuid. */
  switches: ReadonlyMap<string, SwitchRow>;
  routers: ReadonlyMap<string, RouterRow>;
  routerPorts: ReadonlyMap<string, RouterPortRow>;
  /** Only ports of type "router" and "localnet". */
  switchPorts: ReadonlyMap<string, SwitchPortRow>;
  groups: ReadonlyMap<string, GroupRow>;
  /** All of them: ours, and those we must not collide with. */
  loadBalancers: ReadonlyMap<string, RealisedRow>;
}

export interface SwitchRow {
  uuid: string;
  name: string;
  externalIds: ReadonlyMap<string, string>;
  ports: readonly string[];
  loadBalancers: readonly string[];
  groups: readonly string[];
}

export interface RouterRow {
  uuid: string;
  name: string;
  externalIds: ReadonlyMap<string, string>;
  options: ReadonlyMap<string, string>;
  ports: readonly string[];
  loadBalancers: readonly string[];
  groups: readonly string[];
}

export interface RouterPortRow {
  uuid: string;
  name: string;
  /** True when the port is bound to gateway chassis: a distributed gateway port. */
  gateway: boolean;
}

export interface SwitchPortRow {
  uuid: string;
  name: string;
  type: string;
  options: ReadonlyMap<string, string>;
}

export interface GroupRow {
  uuid: string;
  name: string;
  loadBalancers: readonly string[];
}

/** A row of Load_Balancer as it stands in the database. */
export interface RealisedRow {
  uuid: string;
  name: string;
  /** Undefined reads as tcp. */
  protocol: string | undefined;
  vips: ReadonlyMap<string, string>;
  selectionFields: readonly string[];
  options: ReadonlyMap<string, string>;
  externalIds: ReadonlyMap<string, string>;
}

const memberSets = new WeakMap<GroupRow, ReadonlySet<string>>();

/** The members of a group as a set; the same one again for the same row. */
export function membersOf(group: GroupRow): ReadonlySet<string> {
  let members = memberSets.get(group);
  if (!members) {
    members = new Set(group.loadBalancers);
    memberSets.set(group, members);
  }
  return members;
}

/** The load balancers of others, by uuid. */
export function foreignRows(view: NorthboundView, owner: string): Map<string, RealisedRow> {
  const foreign = new Map<string, RealisedRow>();
  for (const [uuid, row] of view.loadBalancers) {
    if (row.externalIds.get('owner') !== owner) foreign.set(uuid, row);
  }
  return foreign;
}

/** A database with nothing in it. */
export const emptyView: NorthboundView = {
  switches: new Map(),
  routers: new Map(),
  routerPorts: new Map(),
  switchPorts: new Map(),
  groups: new Map(),
  loadBalancers: new Map(),
};
