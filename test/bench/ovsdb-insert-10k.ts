/** Inserting 10,000 load balancers, 100 a transaction, against `ovsdb-client transact` and python's IDL. */

import { type Bench, summarize } from './bench.ts';
import { balancer } from './ovsdb/rows.ts';
import {
  clock,
  type Figures,
  median,
  requirePeers,
  rounded,
  runSide,
  timed,
  withBundle,
  withServer,
} from './ovsdb/setting.ts';

const ROWS = 10_000;
// As much as one argument of a command may hold (128 KiB): its best case.
const ROWS_PER_COMMAND = 250;

export const run: Bench = async ({ samples = 5, progress }) => {
  const versions = await requirePeers();
  return withBundle(async (bundle) => {
    const figures: Figures[] = [];
    const python: number[] = [];
    const command: number[] = [];
    for (let i = 0; i < samples; i++) {
      figures.push(await withServer(0, ({ endpoint }) => runSide({ kind: 'ours', bundle }, 'insert', endpoint, ROWS)));
      command.push(await withServer(0, ({ endpoint }) => byCommand(endpoint)));
      python.push((await withServer(0, ({ endpoint }) => runSide({ kind: 'python' }, 'insert', endpoint, ROWS))).ms);
      progress(
        `sample ${i + 1} of ${samples}: ours ${rounded(figures.at(-1)?.ms ?? 0)} ms, ovsdb-client ${rounded(command.at(-1) ?? 0)} ms`,
      );
    }
    const ours = figures.map(({ ms }) => ms);
    const result = summarize('ovsdb-insert-10k', 'ms', ours, {
      rows: ROWS,
      clock,
      rowsPerTransaction: 100,
      backends: 5,
      remote: 'unix',
    });
    const peers = { 'ovsdb-client transact': median(command), 'python ovs.db.idl': median(python) };
    const [name = '', fastest = 0] = Object.entries(peers).sort(([, a], [, b]) => a - b)[0] ?? [];
    return {
      ...result,
      peer: { name, version: versions.ovs, median: rounded(fastest) },
      ratio: rounded(result.median / fastest),
      details: {
        'rows/s': Math.round((ROWS * 1000) / result.median),
        [`ovsdb-client transact (${ROWS_PER_COMMAND} rows a command), ms`]: rounded(peers['ovsdb-client transact']),
        'python ovs.db.idl (100 rows a transaction), ms': rounded(peers['python ovs.db.idl']),
        'ratio to python': rounded(result.median / peers['python ovs.db.idl']),
        'longest event-loop stall, ms': rounded(Math.max(...figures.map(({ stallMs = 0 }) => stallMs))),
        'of it our own CPU time, ms': rounded(Math.max(...figures.map(({ busyMs = 0 }) => busyMs))),
      },
    };
  });
};

async function byCommand(endpoint: string): Promise<number> {
  let total = 0;
  for (let from = 0; from < ROWS; from += ROWS_PER_COMMAND) {
    const operations = Array.from({ length: ROWS_PER_COMMAND }, (_, i) => {
      const { vips, options, external_ids, ...row } = balancer(from + i);
      const map = (value: object) => ['map', Object.entries(value)];
      return {
        op: 'insert',
        table: 'Load_Balancer',
        row: { ...row, vips: map(vips), options: map(options), external_ids: map(external_ids) },
      };
    });
    total += await timed('ovsdb-client', ['transact', endpoint, JSON.stringify(['OVN_Northbound', ...operations])]);
  }
  return total;
}
