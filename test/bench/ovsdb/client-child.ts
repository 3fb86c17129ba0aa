/**
 * Our side of the ovsdb benchmarks, in a process of its own: `client-child.mjs WORK ENDPOINT ROWS`. Prints one line of
 * JSON. Bundled before it is run, as the product is.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { connect } from '../../../src/ovsdb-client/index.ts';
import { balancer, lastRound, monitoredColumns } from './rows.ts';

const [work = '', endpoint = '', rowsText = ''] = process.argv.slice(2);
const rows = Number(rowsText);
const delay = monitorEventLoopDelay({ resolution: 1 });

// What this process itself used between two turns of the loop: what a busy machine adds does not count.
let busyMs = 0;
let lastCpu = process.threadCpuUsage();
function watchTurns(): void {
  busyMs = 0;
  lastCpu = process.threadCpuUsage();
  setInterval(() => {
    const cpu = process.threadCpuUsage();
    busyMs = Math.max(busyMs, (cpu.user + cpu.system - lastCpu.user - lastCpu.system) / 1000);
    lastCpu = cpu;
  }, 1).unref();
}

function report(figures: Record<string, number>): void {
  const rssMb = process.memoryUsage.rss() / 1e6;
  // 1 ms is the resolution of the measuring timer itself.
  console.log(
    JSON.stringify({
      ...figures,
      rssMb,
      peakMb: (process.resourceUsage().maxRSS * 1024) / 1e6,
      stallMs: delay.max / 1e6,
      busyMs,
    }),
  );
}

async function main(): Promise<void> {
  if (work === 'insert') {
    const start = performance.now();
    const client = await connect({ endpoints: endpoint, database: 'OVN_Northbound' });
    delay.enable();
    watchTurns();
    const pending: Promise<unknown>[] = [];
    for (let from = 0; from < rows; from += 100) {
      const tx = client.transaction();
      for (let i = from; i < Math.min(rows, from + 100); i++) tx.insert('Load_Balancer', balancer(i));
      pending.push(client.transact(tx));
      if (pending.length >= 8) await pending.shift();
    }
    await Promise.all(pending);
    report({ ms: performance.now() - start });
    await client.close();
    return;
  }
  delay.enable();
  const start = performance.now();
  const client = await connect({ endpoints: endpoint, database: 'OVN_Northbound' });
  const baseMb = process.memoryUsage.rss() / 1e6;
  delay.reset();
  watchTurns();
  const monitor = await client.monitor({ Load_Balancer: { columns: monitoredColumns } });
  const { Load_Balancer: table } = monitor.tables;
  if (work === 'initial') {
    if (table.size !== rows) throw new Error(`${table.size} rows instead of ${rows}`);
    const ms = performance.now() - start;
    await new Promise((resolve) => setTimeout(resolve, 50));
    report({ ms, baseMb });
  } else {
    const byRound = table.index((row) => (row.external_ids as ReadonlyMap<string, string>).get('round'));
    console.log('ready');
    await monitor.until(() => byRound.get('first').length > 0);
    const first = performance.now();
    delay.reset();
    await monitor.until(() => byRound.get(lastRound).length === rows);
    report({ ms: performance.now() - first });
  }
  await client.close();
}

await main();
