/**
 * Following 100,000 row changes of a table of 20,000 rows (five transactions that change every row), against
 * `ovsdb-client monitor` and python's IDL: rows a second, and the longest time that the event loop stood still.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { type Bench, summarize } from './bench.ts';
import { lastRound, monitoredColumns } from './ovsdb/rows.ts';
import { type Figures, median, requirePeers, rounded, runSide, withBundle, withServer } from './ovsdb/setting.ts';

const ROWS = 20_000;
const rounds = ['first', 'r2', 'r3', 'r4', 'r5', lastRound];
/** The clock starts when the first round has been seen. */
const CHANGES = ROWS * (rounds.length - 1);

export const run: Bench = async ({ samples = 5, progress }) => {
  const versions = await requirePeers();
  return withBundle(async (bundle) => {
    const ours: Figures[] = [];
    const python: number[] = [];
    const command: number[] = [];
    for (let i = 0; i < samples; i++) {
      ours.push(
        await withServer(ROWS, (server) =>
          runSide({ kind: 'ours', bundle }, 'stream', server.endpoint, ROWS, () => write(server.socket)),
        ),
      );
      command.push(await withServer(ROWS, (server) => byCommand(server.endpoint, server.socket)));
      python.push(
        (
          await withServer(ROWS, (server) =>
            runSide({ kind: 'python' }, 'stream', server.endpoint, ROWS, () => write(server.socket)),
          )
        ).ms,
      );
      progress(
        `sample ${i + 1} of ${samples}: ours ${rounded(ours.at(-1)?.ms ?? 0)} ms, ovsdb-client ${rounded(command.at(-1) ?? 0)} ms, stall ${rounded(ours.at(-1)?.stallMs ?? 0)} ms`,
      );
    }
    const perSecond = (ms: number) => Math.round((CHANGES * 1000) / ms);
    const result = summarize(
      'ovsdb-update-stream',
      'ms',
      ours.map(({ ms }) => ms),
      { rows: ROWS, changes: CHANGES, rowsPerTransaction: ROWS, remote: 'unix' },
    );
    const peers = { 'ovsdb-client monitor': median(command), 'python ovs.db.idl': median(python) };
    const [name = '', fastest = 0] = Object.entries(peers).sort(([, a], [, b]) => a - b)[0] ?? [];
    return {
      ...result,
      peer: { name, version: versions.ovs, median: rounded(fastest) },
      ratio: rounded(result.median / fastest),
      details: {
        'rows/s': perSecond(result.median),
        'ovsdb-client monitor, rows/s': perSecond(peers['ovsdb-client monitor']),
        'python ovs.db.idl, rows/s': perSecond(peers['python ovs.db.idl']),
        'longest event-loop stall, ms': rounded(Math.max(...ours.map(({ stallMs = 0 }) => stallMs))),
        'of it our own CPU time, ms': rounded(Math.max(...ours.map(({ busyMs = 0 }) => busyMs))),
      },
    };
  });
};

/** Changes every row, once a round, as fast as the server goes. */
async function write(socketPath: string): Promise<void> {
  const socket = connectSocket({ path: socketPath });
  let replies = 0;
  socket.on('data', (data: Buffer) => {
    replies += String(data).split('"count"').length - 1;
  });
  for (const [id, round] of rounds.entries()) {
    const row = {
      external_ids: [
        'map',
        [
          ['owner', 'bench'],
          ['round', round],
        ],
      ],
    };
    socket.write(
      JSON.stringify({
        id,
        method: 'transact',
        params: ['OVN_Northbound', { op: 'update', table: 'Load_Balancer', where: [], row }],
      }),
    );
  }
  while (replies < rounds.length) await once(socket, 'data');
  socket.destroy();
}

async function byCommand(endpoint: string, socketPath: string): Promise<number> {
  const monitor = spawn(
    'ovsdb-client',
    ['-f', 'csv', 'monitor', endpoint, 'OVN_Northbound', 'Load_Balancer', monitoredColumns.join()],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const seen = { initial: 0, first: Number.NaN, last: 0 };
  let written: Promise<void> | undefined;
  let cut = '';
  for await (const chunk of monitor.stdout) {
    // Whole lines only: a word may be cut by the end of a chunk.
    const text = cut + String(chunk);
    const end = text.lastIndexOf('\n') + 1;
    cut = text.slice(end);
    const lines = text.slice(0, end);
    seen.initial += occurrences(lines, ',initial,');
    if (seen.initial >= ROWS && written === undefined) written = write(socketPath);
    if (Number.isNaN(seen.first) && lines.includes('round=first')) seen.first = performance.now();
    seen.last += occurrences(lines, `round=${lastRound}`);
    if (seen.last >= ROWS) break;
  }
  const ms = performance.now() - seen.first;
  monitor.kill('SIGKILL');
  await written;
  return ms;
}

function occurrences(text: string, word: string): number {
  let count = 0;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) count += 1;
  return count;
}
