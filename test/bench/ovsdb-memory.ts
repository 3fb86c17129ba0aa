/** Resident memory of 20,000 cached load balancers, per 10,000 rows, against python's IDL. */
import { type Bench, summarize } from './bench.ts';
import { type Figures, median, requirePeers, rounded, runSide, withBundle, withServer } from './ovsdb/setting.ts';

const ROWS = 20_000;

export const run: Bench = async ({ samples = 5, progress }) => {
  const versions = await requirePeers();
  return withBundle((bundle) =>
    withServer(ROWS, async ({ endpoint }) => {
      const ours: Figures[] = [];
      const python: Figures[] = [];
      for (let i = 0; i < samples; i++) {
        ours.push(await runSide({ kind: 'ours', bundle }, 'initial', endpoint, ROWS));
        python.push(await runSide({ kind: 'python' }, 'initial', endpoint, ROWS));
        progress(
          `sample ${i + 1} of ${samples}: ours ${rounded(ours.at(-1)?.rssMb ?? 0)} MB, python ${rounded(python.at(-1)?.rssMb ?? 0)} MB`,
        );
      }
      const growth = ({ rssMb = 0, baseMb = 0 }: Figures) => ((rssMb - baseMb) * 10_000) / ROWS;
      const whole = (figures: readonly Figures[]) => median(figures.map(({ rssMb = 0 }) => rssMb));
      const result = summarize('ovsdb-memory', 'MB', ours.map(growth), { rows: ROWS, backends: 5, per: '10,000 rows' });
      const peer = median(python.map(growth));
      return {
        ...result,
        peer: { name: 'python ovs.db.idl', version: versions.python, median: rounded(peer) },
        ratio: rounded(result.median / peer),
        details: {
          'whole process, MB': rounded(whole(ours)),
          'whole process of python, MB': rounded(whole(python)),
          'ratio of whole processes': rounded(whole(ours) / whole(python)),
          'peak, MB': rounded(median(ours.map(({ peakMb = 0 }) => peakMb))),
        },
      };
    }),
  );
};
