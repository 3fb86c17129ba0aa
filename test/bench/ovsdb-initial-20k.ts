/** Reading 20,000 load balancers into the cache, against `ovsdb-client dump`, `ovn-nbctl list` and python's IDL. */
import { type Bench, summarize } from './bench.ts';
import { monitoredColumns } from './ovsdb/rows.ts';
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

const ROWS = 20_000;

export const run: Bench = async ({ samples = 7, progress }) => {
  const versions = await requirePeers();
  return withBundle((bundle) =>
    withServer(ROWS, async ({ endpoint }) => {
      const ours: Figures[] = [];
      const python: Figures[] = [];
      const dump: number[] = [];
      const nbctl: number[] = [];
      for (let i = 0; i < samples; i++) {
        ours.push(await runSide({ kind: 'ours', bundle }, 'initial', endpoint, ROWS));
        dump.push(
          await timed('ovsdb-client', [
            '-f',
            'json',
            'dump',
            endpoint,
            'OVN_Northbound',
            'Load_Balancer',
            ...monitoredColumns,
          ]),
        );
        python.push(await runSide({ kind: 'python' }, 'initial', endpoint, ROWS));
        nbctl.push(
          await timed('ovn-nbctl', [
            `--db=${endpoint}`,
            '-f',
            'json',
            `--columns=${monitoredColumns.join()}`,
            'list',
            'Load_Balancer',
          ]),
        );
        progress(
          `sample ${i + 1} of ${samples}: ours ${rounded(ours.at(-1)?.ms ?? 0)} ms, ovsdb-client ${rounded(dump.at(-1) ?? 0)} ms`,
        );
      }
      const result = summarize(
        'ovsdb-initial-20k',
        'ms',
        ours.map(({ ms }) => ms),
        { rows: ROWS, backends: 5, remote: 'unix', clock },
      );
      const peers = {
        'ovsdb-client dump': median(dump),
        'ovn-nbctl list': median(nbctl),
        'python ovs.db.idl': median(python.map(({ ms }) => ms)),
      };
      const [name = '', fastest = 0] = Object.entries(peers).sort(([, a], [, b]) => a - b)[0] ?? [];
      return {
        ...result,
        peer: { name, version: versions.ovs, median: rounded(fastest) },
        ratio: rounded(result.median / fastest),
        details: {
          'ovsdb-client dump, ms': rounded(peers['ovsdb-client dump']),
          'ovn-nbctl list, ms': rounded(peers['ovn-nbctl list']),
          'python ovs.db.idl, ms': rounded(peers['python ovs.db.idl']),
          'ratio to python': rounded(result.median / peers['python ovs.db.idl']),
          'longest event-loop stall, ms': rounded(Math.max(...ours.map(({ stallMs = 0 }) => stallMs))),
          'of it our own CPU time, ms': rounded(Math.max(...ours.map(({ busyMs = 0 }) => busyMs))),
        },
      };
    }),
  );
};
