import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Lab } from '../../lab/lab.ts';
import { databaseSocket, transact } from '../../lab/ovn/northbound.ts';
import { mapEntries, type OvsdbValue } from '../../lab/ovn/ovsdb.ts';
import { waitFor } from '../../lab/processes.ts';

/** A load balancer in the northbound database, read with Open vSwitch's own client. */
export interface BalancerRow {
  readonly name: string;
  /** `tcp`, `udp` or `sctp`. */
  readonly protocol: string;
  /** `cluster-ip`, `node-port` or `external`. */
  readonly scope: string;
  /** "address:port" to "address:port,..." */
  readonly vips: Readonly<Record<string, string>>;
}

/** The rows of one Service ("namespace/name"), sorted by name. */
export async function rowsOf(lab: Lab, service: string): Promise<BalancerRow[]> {
  const [found] = await transact(lab, 'northbound', [
    {
      op: 'select',
      table: 'Load_Balancer',
      where: [['external_ids', 'includes', ['map', [['service', service]]]]],
      columns: ['name', 'protocol', 'vips', 'external_ids'],
    },
  ]);
  return (found?.rows ?? [])
    .map((row) => ({
      name: String(row.name),
      protocol: String(row.protocol),
      scope: mapEntries(row.external_ids).scope ?? '',
      vips: mapEntries(row.vips),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** All rows that say they are Ovenbird's, by name, with what they carry; sorted. */
export async function ownRows(lab: Lab): Promise<Record<string, Record<string, string>>> {
  const [found] = await transact(lab, 'northbound', [
    { op: 'select', table: 'Load_Balancer', where: [], columns: ['name', 'vips', 'external_ids'] },
  ]);
  const rows = (found?.rows ?? []).filter((row) => mapEntries(row.external_ids).service !== undefined);
  const entries = rows.map((row): [string, Record<string, string>] => [String(row.name), mapEntries(row.vips)]);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A change of a row, as the database told it. */
export interface RowChange {
  /** CLOCK_MONOTONIC, ms: when it was heard here. */
  readonly atMs: number;
  readonly name: string;
  /** What the row carries now; undefined when it is gone. */
  readonly vips: Readonly<Record<string, string>> | undefined;
}

/** `ovsdb-client monitor` on the load balancers: every change, with its time. */
export class RowWatch {
  readonly changes: RowChange[] = [];
  readonly #end: () => void;

  private constructor(end: () => void) {
    this.#end = end;
  }

  static async start(lab: Lab): Promise<RowWatch> {
    const server = databaseSocket(lab, 'northbound');
    const columns = 'name,vips';
    const args = ['--format=json', 'monitor', server, 'OVN_Northbound', 'Load_Balancer', columns];
    const child = spawn('ovsdb-client', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const watch = new RowWatch(() => child.kill());
    const first = Promise.withResolvers<void>();
    child.once('error', first.reject);
    child.once('exit', (code) => first.reject(new Error(`ovsdb-client monitor ended with code ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      watch.#take(line);
      first.resolve();
    });
    await first.promise;
    return watch;
  }

  /** The first change after so many others that leaves the row with these backends. */
  async carries(name: string, vips: Readonly<Record<string, string>>, after: number): Promise<RowChange> {
    const wanted = JSON.stringify(vips);
    let found: RowChange | undefined;
    await waitFor(`row ${name}: ${wanted}`, 30_000, async () => {
      found = this.changes
        .slice(after)
        .find((change) => change.name === name && JSON.stringify(change.vips) === wanted);
      return found !== undefined;
    });
    return found as RowChange;
  }

  #take(line: string): void {
    const atMs = Number(process.hrtime.bigint()) / 1e6;
    const { data } = JSON.parse(line) as { data: [unknown, string, OvsdbValue, OvsdbValue][] };
    for (const [, action, name, vips] of data) {
      if (action === 'old') continue;
      this.changes.push({ atMs, name: String(name), vips: action === 'delete' ? undefined : mapEntries(vips) });
    }
  }

  close(): void {
    this.#end();
  }
}
