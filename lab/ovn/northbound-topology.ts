import { addressing, type Lab, type NodeSpec } from '../lab.ts';
import { mapValue, type OvsdbOperation, type OvsdbRow, type OvsdbValue } from './ovsdb.ts';

/** A pod's port on the pod switch, as the CNI plugin makes it. */
export interface PodPort {
  /** `<pod>.<namespace>`, also the interface's `iface-id`. */
  readonly name: string;
  readonly mac: string;
  readonly address: string;
  /** Its node's port group. */
  readonly portGroup: string;
  /** The sandbox (container id) that the port was made for. */
  readonly sandbox: string;
}

/** The names that Kube-OVN gives its default network. */
export const names = { router: 'ovn-cluster', joinSwitch: 'join', podSwitch: 'ovn-default' } as const;

const vendor = mapValue({ vendor: 'kube-ovn' });

/** A row that has to be there: found by `key`, held by `parent`. */
export interface WantedRow {
  readonly table: string;
  /** Columns that tell it from the other rows of its table. */
  readonly key: OvsdbRow;
  /** The other columns; set again on a row that exists. */
  readonly columns: OvsdbRow;
  /** The set column that holds it, by the parent's table and key. */
  readonly parent?: { readonly table: string; readonly key?: OvsdbRow; readonly column: string };
}

/** MAC of a port, made of its IPv4 address: locally administered, and readable in a capture. */
export function macOfIpv4(address: string): string {
  const bytes = address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return ['02', '0c', ...bytes].join(':');
}

/** The port group of a node's pods; northd derives the address set `<name>_ip4` from it, which the policies use. */
export function portGroupOf(nodeName: string): string {
  return `${names.podSwitch}.${nodeName}`.replaceAll('-', '.');
}

/** The port of a node's `ovn0` on the join switch. */
export function nodePortOf(nodeName: string): string {
  return `node-${nodeName}`;
}

/** The columns of a pod's Logical_Switch_Port besides its name. */
export function podPortColumns(pod: Omit<PodPort, 'name' | 'portGroup'>, podName: string): OvsdbRow {
  return {
    addresses: `${pod.mac} ${pod.address}`,
    external_ids: mapValue({ vendor: 'kube-ovn', ls: names.podSwitch, pod: podName, sandbox: pod.sandbox }),
  };
}

/** Everything of Kube-OVN's default network that exists before pods do; no load balancers, those are Ovenbird's. */
export function topologyRows(lab: Pick<Lab, 'nodes'>): WantedRow[] {
  const { join, pods } = addressing;
  return [
    { table: 'NB_Global', key: {}, columns: {} },
    connection('NB_Global', addressing.ovnNorthbound),
    { table: 'Logical_Router', key: { name: names.router }, columns: { external_ids: vendor } },
    { table: 'Logical_Switch', key: { name: names.joinSwitch }, columns: { external_ids: vendor } },
    { table: 'Logical_Switch', key: { name: names.podSwitch }, columns: { external_ids: vendor } },
    ...attachment(names.joinSwitch, join.gateway, join.cidr),
    ...attachment(names.podSwitch, pods.gateway, pods.cidr),
    {
      table: 'Logical_Router_Static_Route',
      key: { ip_prefix: '0.0.0.0/0' },
      columns: { nexthop: join.gateway, external_ids: vendor },
      parent: { table: 'Logical_Router', key: { name: names.router }, column: 'static_routes' },
    },
    policy(31_000, `ip4.dst == ${pods.cidr}`),
    policy(31_000, `ip4.dst == ${join.cidr}`),
    ...lab.nodes.flatMap(nodeRows),
  ];
}

/** The southbound database's listening socket. */
export function southboundRows(): WantedRow[] {
  return [{ table: 'SB_Global', key: {}, columns: {} }, connection('SB_Global', addressing.ovnSouthbound)];
}

/** Kube-OVN's choice: packets of an asymmetric path, which conntrack calls invalid, are not dropped. */
export const northboundOptions: OvsdbOperation = {
  op: 'mutate',
  table: 'NB_Global',
  where: [],
  mutations: [
    ['options', 'delete', ['set', ['use_ct_inv_match']]],
    ['options', 'insert', mapValue({ use_ct_inv_match: 'false' })],
  ],
};

/** A wanted pod port, to be put back after the database was lost. */
export function podRows(pods: readonly PodPort[]): WantedRow[] {
  return pods.map((pod) => ({
    table: 'Logical_Switch_Port',
    key: { name: pod.name },
    columns: podPortColumns(pod, podNameOf(pod.name)),
    parent: { table: 'Logical_Switch', key: { name: names.podSwitch }, column: 'ports' },
  }));
}

/** `namespace/pod` of a port named `pod.namespace`; namespaces have no dot, pods may. */
export function podNameOf(portName: string): string {
  const at = portName.lastIndexOf('.');
  return `${portName.slice(at + 1)}/${portName.slice(0, at)}`;
}

/** The operation that reads what `ensureOperations` needs to know of a wanted row. */
export function lookUp(wanted: WantedRow): OvsdbOperation {
  return { op: 'select', table: wanted.table, where: equals(wanted.key), columns: ['_uuid'] };
}

/**
 * The operations that make the wanted rows true, given for each whether it exists (`present[i]`): a missing row is
 * inserted and put into its parent, an existing one only gets its columns. Parents come before their children in
 * `wanted`, so a parent inserted here can be found by its key.
 */
export function ensureOperations(wanted: readonly WantedRow[], present: readonly boolean[]): OvsdbOperation[] {
  return wanted.flatMap((row, at): OvsdbOperation[] => {
    if (present[at]) {
      return Object.keys(row.columns).length === 0
        ? []
        : [{ op: 'update', table: row.table, where: equals(row.key), row: row.columns }];
    }
    const handle = `row${at}`;
    const insert = { op: 'insert', table: row.table, row: { ...row.key, ...row.columns }, 'uuid-name': handle };
    return row.parent ? [insert, intoParent(row.parent, handle)] : [insert];
  });
}

/** Puts each pod's port into the port group of its node. */
export function joinPortGroups(pods: readonly PodPort[], uuidOf: ReadonlyMap<string, string>): OvsdbOperation[] {
  return pods.flatMap((pod) => {
    const uuid = uuidOf.get(pod.name);
    if (uuid === undefined) return [];
    return [
      {
        op: 'mutate',
        table: 'Port_Group',
        where: equals({ name: pod.portGroup }),
        mutations: [['ports', 'insert', ['uuid', uuid]]],
      },
    ];
  });
}

function nodeRows(node: NodeSpec): WantedRow[] {
  const portGroup = portGroupOf(node.name);
  return [
    {
      table: 'Logical_Switch_Port',
      key: { name: nodePortOf(node.name) },
      columns: { addresses: `${macOfIpv4(node.joinAddress)} ${node.joinAddress}`, external_ids: vendor },
      parent: { table: 'Logical_Switch', key: { name: names.joinSwitch }, column: 'ports' },
    },
    {
      table: 'Port_Group',
      key: { name: portGroup },
      columns: { external_ids: mapValue({ vendor: 'kube-ovn', subnet: names.podSwitch, node: node.name }) },
    },
    policy(30_000, `ip4.dst == ${node.mgmtAddress}`, node.joinAddress),
    policy(29_000, `ip4.src == $${portGroup}_ip4`, node.joinAddress),
  ];
}

/** The socket of `remote` (tcp:ADDRESS:PORT), with a probe so slow that a busy machine loses no session. */
function connection(globalTable: string, remote: string): WantedRow {
  const [, address = '', port = ''] = remote.split(':');
  return {
    table: 'Connection',
    key: { target: `ptcp:${port}:${address}` },
    columns: { inactivity_probe: 180_000 },
    parent: { table: globalTable, column: 'connections' },
  };
}

/** A router port, and the switch port on the other side of it. */
function attachment(switchName: string, gateway: string, cidr: string): WantedRow[] {
  const routerPort = `${names.router}-${switchName}`;
  return [
    {
      table: 'Logical_Router_Port',
      key: { name: routerPort },
      columns: {
        mac: macOfIpv4(gateway),
        networks: `${gateway}/${cidr.split('/')[1] ?? ''}`,
        external_ids: vendor,
      },
      parent: { table: 'Logical_Router', key: { name: names.router }, column: 'ports' },
    },
    {
      table: 'Logical_Switch_Port',
      key: { name: `${switchName}-${names.router}` },
      columns: {
        type: 'router',
        addresses: 'router',
        options: mapValue({ 'router-port': routerPort }),
        external_ids: vendor,
      },
      parent: { table: 'Logical_Switch', key: { name: switchName }, column: 'ports' },
    },
  ];
}

/** A policy of the router: `allow`, or `reroute` when there is a next hop. */
function policy(priority: number, match: string, nexthop?: string): WantedRow {
  return {
    table: 'Logical_Router_Policy',
    key: { priority, match },
    columns:
      nexthop === undefined
        ? { action: 'allow', external_ids: vendor }
        : { action: 'reroute', nexthops: nexthop, external_ids: vendor },
    parent: { table: 'Logical_Router', key: { name: names.router }, column: 'policies' },
  };
}

function intoParent(parent: NonNullable<WantedRow['parent']>, handle: string): OvsdbOperation {
  return {
    op: 'mutate',
    table: parent.table,
    where: equals(parent.key ?? {}),
    mutations: [[parent.column, 'insert', ['named-uuid', handle]]],
  };
}

function equals(key: OvsdbRow): [string, '==', OvsdbValue][] {
  return Object.entries(key).map(([column, value]) => [column, '==', value]);
}
