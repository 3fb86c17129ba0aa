import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/index.ts';
import type { Lab } from '../lab.ts';
import { run, tryRun } from '../processes.ts';
import {
  ensureOperations,
  joinPortGroups,
  lookUp,
  names,
  northboundOptions,
  type PodPort,
  podRows,
  southboundRows,
  topologyRows,
  type WantedRow,
} from './northbound-topology.ts';
import {
  type OvsdbOperation,
  OvsdbRefused,
  type OvsdbResult,
  parseTransactReply,
  transactCommand,
  uuidText,
} from './ovsdb.ts';

type LabRoot = Pick<Lab, 'root'>;

/** Which of OVN's two databases. */
export type OvnDatabase = 'northbound' | 'southbound';

const databases = {
  northbound: { name: 'OVN_Northbound', file: 'nb' },
  southbound: { name: 'OVN_Southbound', file: 'sb' },
} as const;

/** The directory of OVN's databases and their sockets, made when it is missing. */
export function ovnDirectory(lab: LabRoot): string {
  const path = join(lab.root, 'control', 'ovn');
  mkdirSync(path, { recursive: true });
  return path;
}

/** Where a database listens on this machine (no network namespace matters for it): `unix:/.../nb.sock`. */
export function databaseSocket(lab: LabRoot, database: OvnDatabase): string {
  return `unix:${join(ovnDirectory(lab), `${databases[database].file}.sock`)}`;
}

/** The file of a database. */
export function databaseFile(lab: LabRoot, database: OvnDatabase): string {
  return join(ovnDirectory(lab), `${databases[database].file}.db`);
}

/**
 * One transaction on a database of the lab.
 * @throws OvsdbRefused when an operation failed; LabError when the server does not answer within 10 s.
 */
export async function transact(
  lab: LabRoot,
  database: OvnDatabase,
  operations: readonly OvsdbOperation[],
): Promise<OvsdbResult[]> {
  const server = databaseSocket(lab, database);
  const { stdout } = await run(lab, transactCommand(server, databases[database].name, operations, 10));
  return parseTransactReply(stdout, operations);
}

/** True when the server answers and has its database. */
export async function answers(lab: LabRoot, database: OvnDatabase): Promise<boolean> {
  const listed = await tryRun(lab, {
    command: 'ovsdb-client',
    args: ['--timeout=2', 'list-dbs', databaseSocket(lab, database)],
  });
  return listed.code === 0 && listed.stdout.split('\n').includes(databases[database].name);
}

/**
 * Makes the topology true, and the ports of the given pods, in one transaction; rows of others stay as they are. It is
 * done again when somebody else wrote in between.
 */
export async function ensureTopology(lab: Pick<Lab, 'root' | 'nodes'>, pods: readonly PodPort[]): Promise<void> {
  const known = await podPortUuids(lab);
  const missing = pods.filter((pod) => !known.has(pod.name));
  await ensureRows(lab, 'northbound', [...topologyRows(lab), ...podRows(missing)], [northboundOptions]);
  if (pods.length > 0) await transact(lab, 'northbound', joinPortGroups(pods, await podPortUuids(lab)));
}

/** Opens the southbound database to the network. */
export async function ensureSouthbound(lab: LabRoot): Promise<void> {
  await ensureRows(lab, 'southbound', southboundRows(), []);
}

async function ensureRows(
  lab: LabRoot,
  database: OvnDatabase,
  wanted: readonly WantedRow[],
  more: readonly OvsdbOperation[],
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const found = await transact(lab, database, wanted.map(lookUp));
    const present = wanted.map((_, at) => (found[at]?.rows?.length ?? 0) > 0);
    try {
      await transact(lab, database, [...ensureOperations(wanted, present), ...more]);
      return;
    } catch (thrown) {
      // ovn-northd makes the one row of the global table too when it is missing.
      if (!(thrown instanceof OvsdbRefused) || attempt === 5) throw thrown;
      await systemClock.sleep(50 * attempt);
    }
  }
}

async function podPortUuids(lab: LabRoot): Promise<Map<string, string>> {
  const [found] = await transact(lab, 'northbound', [
    {
      op: 'select',
      table: 'Logical_Switch_Port',
      where: [['external_ids', 'includes', ['map', [['ls', names.podSwitch]]]]],
      columns: ['_uuid', 'name'],
    },
  ]);
  return new Map((found?.rows ?? []).map((row) => [String(row.name), uuidText(row._uuid)]));
}
