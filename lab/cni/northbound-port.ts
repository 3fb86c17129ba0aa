import { macOfIpv4, podPortColumns } from '../ovn/northbound-topology.ts';
import {
  type OvsdbOperation,
  OvsdbRefused,
  type OvsdbResult,
  parseTransactReply,
  setMembers,
  transactCommand,
  uuidText,
} from '../ovn/ovsdb.ts';
import { execute } from './execute.ts';
import { chooseAddress } from './pod-address.ts';
import { type Attachment, CniError, type PluginSettings, portNameOf } from './request.ts';

/** The addresses that a pod got. */
export interface PodAddress {
  readonly address: string;
  readonly mac: string;
}

/**
 * Makes the pod's port in the northbound database with an address nobody has, in one transaction that fails when
 * somebody took the address meanwhile; then another is tried. A port of that name left by an earlier container goes.
 * @throws CniError `tryAgainLater` when the database or the pod switch is not there.
 */
export async function createPort(settings: PluginSettings, attachment: Attachment): Promise<PodAddress> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const present = await readPorts(settings);
    const own = present.find((port) => port.name === portNameOf(attachment));
    const taken = new Set([settings.gateway, ...present.flatMap((port) => port.addresses)]);
    const address = chooseAddress(settings.cidr, taken, `${attachment.containerId}/${attempt}`);
    const pod = { address, mac: macOfIpv4(address), sandbox: attachment.containerId };
    const operations = creation(settings, attachment, pod, own?.uuid);
    try {
      await transact(settings, operations);
      return pod;
    } catch (thrown) {
      if (!(thrown instanceof OvsdbRefused)) throw thrown;
      if (thrown.reason === 'timed out' && thrown.at < 2) {
        const what = thrown.at === 0 ? `switch ${settings.logicalSwitch}` : `port group ${settings.portGroup}`;
        throw new CniError('tryAgainLater', `${what}: not in the northbound database (yet)`, { cause: thrown });
      }
    }
  }
  throw new CniError('tryAgainLater', `${portNameOf(attachment)}: no pod address could be taken in 10 tries`);
}

/** Removes the ports that were made for a container; none is fine. */
export async function deletePort(settings: PluginSettings, containerId: string): Promise<void> {
  const [found] = await transact(settings, [
    { op: 'select', table: 'Logical_Switch_Port', where: madeFor(containerId), columns: ['_uuid'] },
  ]);
  const ports = (found?.rows ?? []).map((row) => ['uuid', uuidText(row._uuid)]);
  if (ports.length === 0) return;
  await transact(settings, [
    {
      op: 'mutate',
      table: 'Logical_Switch',
      where: named(settings.logicalSwitch),
      mutations: [['ports', 'delete', ['set', ports]]],
    },
  ]);
}

/** True when the container's port is there. */
export async function portExists(settings: PluginSettings, containerId: string): Promise<boolean> {
  const [found] = await transact(settings, [
    { op: 'select', table: 'Logical_Switch_Port', where: madeFor(containerId), columns: ['name'] },
  ]);
  return (found?.rows ?? []).length === 1;
}

function creation(
  settings: PluginSettings,
  attachment: Attachment,
  pod: PodAddress & { sandbox: string },
  stale: string | undefined,
): OvsdbOperation[] {
  const row = podPortColumns(pod, `${attachment.namespace}/${attachment.pod}`);
  const holds = (table: string, name: string): OvsdbOperation => ({
    op: 'wait',
    table,
    where: named(name),
    columns: ['name'],
    until: '==',
    rows: [{ name }],
    timeout: 0,
  });
  const join = (table: string, name: string): OvsdbOperation => ({
    op: 'mutate',
    table,
    where: named(name),
    mutations: [
      ...(stale === undefined ? [] : [['ports', 'delete', ['uuid', stale]]]),
      ['ports', 'insert', ['named-uuid', 'port']],
    ],
  });
  return [
    holds('Logical_Switch', settings.logicalSwitch),
    holds('Port_Group', settings.portGroup),
    {
      op: 'wait',
      table: 'Logical_Switch_Port',
      where: [['addresses', 'includes', row.addresses]],
      columns: ['name'],
      until: '==',
      rows: [],
      timeout: 0,
    },
    {
      op: 'insert',
      table: 'Logical_Switch_Port',
      row: { name: portNameOf(attachment), ...row },
      'uuid-name': 'port',
    },
    join('Logical_Switch', settings.logicalSwitch),
    join('Port_Group', settings.portGroup),
  ];
}

async function readPorts(settings: PluginSettings): Promise<{ uuid: string; name: string; addresses: string[] }[]> {
  const [found] = await transact(settings, [
    { op: 'select', table: 'Logical_Switch_Port', where: [], columns: ['_uuid', 'name', 'addresses'] },
  ]);
  return (found?.rows ?? []).map((row) => ({
    uuid: uuidText(row._uuid),
    name: String(row.name),
    // Each is "MAC ADDRESS..." or a word such as `router`.
    addresses: setMembers(row.addresses).flatMap((text) => String(text).split(' ').slice(1)),
  }));
}

async function transact(settings: PluginSettings, operations: readonly OvsdbOperation[]): Promise<OvsdbResult[]> {
  const { command, args } = transactCommand(settings.northbound, 'OVN_Northbound', operations, 20);
  let stdout: string;
  try {
    stdout = await execute(command, args);
  } catch (cause) {
    throw new CniError('tryAgainLater', `northbound database ${settings.northbound} does not answer`, { cause });
  }
  return parseTransactReply(stdout, operations);
}

function named(name: string): [string, '==', string][] {
  return [['name', '==', name]];
}

function madeFor(containerId: string): unknown[] {
  return [['external_ids', 'includes', ['map', [['sandbox', containerId]]]]];
}
