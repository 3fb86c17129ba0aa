import type { NorthboundView, Operation, RealisedRow } from '../../src/ovn/index.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A northbound database reduced to what transactions of the writer do to it, weak references included. */
export function applyOperations(view: NorthboundView, operations: readonly Operation[]): NorthboundView {
  const loadBalancers = new Map(view.loadBalancers);
  const groups = new Map(view.groups);
  const switches = new Map(view.switches);
  const routers = new Map(view.routers);
  for (const operation of operations) {
    const { op, table, uuid } = operation;
    if (op === 'insert') {
      if (table === 'Load_Balancer') {
        if (loadBalancers.has(uuid)) throw new Error(`duplicate uuid ${uuid}`);
        loadBalancers.set(uuid, fromColumns(uuid, operation.row));
      } else {
        if ([...groups.values()].some(({ name }) => name === operation.row.name)) throw new Error('index violation');
        groups.set(uuid, { uuid, name: operation.row.name as string, loadBalancers: [] });
      }
    } else if (op === 'update') {
      const row = loadBalancers.get(uuid);
      if (row) loadBalancers.set(uuid, fromColumns(uuid, operation.row, row));
    } else if (op === 'delete') {
      if (table === 'Load_Balancer') loadBalancers.delete(uuid);
      else {
        if ([...switches.values(), ...routers.values()].some((row) => row.groups.includes(uuid))) {
          throw new Error('referential integrity violation');
        }
        groups.delete(uuid);
      }
    } else {
      const change = (old: readonly string[]) =>
        operation.mutator === 'insert'
          ? [...new Set([...old, ...operation.uuids])]
          : old.filter((one) => !operation.uuids.includes(one));
      if (table === 'Load_Balancer_Group') {
        const group = groups.get(uuid);
        if (group) groups.set(uuid, { ...group, loadBalancers: change(group.loadBalancers) });
      } else {
        const rows = (table === 'Logical_Switch' ? switches : routers) as Map<string, { groups: readonly string[] }>;
        const row = rows.get(uuid);
        if (row) rows.set(uuid, { ...row, groups: change(row.groups) });
      }
    }
  }
  for (const [uuid, group] of groups) {
    const alive = group.loadBalancers.filter((member) => loadBalancers.has(member));
    if (alive.length !== group.loadBalancers.length) groups.set(uuid, { ...group, loadBalancers: alive });
  }
  return { ...view, loadBalancers, groups, switches, routers };
}

function fromColumns(uuid: string, columns: Readonly<Record<string, unknown>>, old?: RealisedRow): RealisedRow {
  const row: Mutable<RealisedRow> = old
    ? { ...old }
    : {
        uuid,
        name: '',
        protocol: undefined,
        vips: new Map(),
        selectionFields: [],
        options: new Map(),
        externalIds: new Map(),
      };
  const names = { name: 'name', protocol: 'protocol', vips: 'vips', selection_fields: 'selectionFields' } as const;
  for (const [column, value] of Object.entries(columns)) {
    const key = { ...names, options: 'options', external_ids: 'externalIds' }[column];
    if (key === undefined) throw new Error(`unknown column ${column}`);
    Object.assign(row, { [key]: value });
  }
  return row;
}

/** The switches and router that Kube-OVN makes at its start. */
export function kubeOvnView(): NorthboundView {
  const vendor = new Map([['vendor', 'kube-ovn']]);
  const bare = { loadBalancers: [], groups: [] };
  const routerPort = (name: string, peer: string) => {
    return { uuid: `port-${name}`, name, type: 'router', options: new Map([['router-port', peer]]) };
  };
  return {
    switches: new Map([
      ['s-join', { uuid: 's-join', name: 'join', externalIds: vendor, ports: ['port-join-ovn-cluster'], ...bare }],
      [
        's-pods',
        { uuid: 's-pods', name: 'ovn-default', externalIds: vendor, ports: ['port-ovn-default-ovn-cluster'], ...bare },
      ],
    ]),
    routers: new Map([
      [
        'r',
        {
          uuid: 'r',
          name: 'ovn-cluster',
          externalIds: vendor,
          options: new Map(),
          ports: ['lrp-join', 'lrp-pods'],
          ...bare,
        },
      ],
    ]),
    routerPorts: new Map([
      ['lrp-join', { uuid: 'lrp-join', name: 'ovn-cluster-join', gateway: false }],
      ['lrp-pods', { uuid: 'lrp-pods', name: 'ovn-cluster-ovn-default', gateway: false }],
    ]),
    switchPorts: new Map(
      [
        routerPort('join-ovn-cluster', 'ovn-cluster-join'),
        routerPort('ovn-default-ovn-cluster', 'ovn-cluster-ovn-default'),
      ].map((port) => [port.uuid, port]),
    ),
    groups: new Map(),
    loadBalancers: new Map(),
  };
}
