import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { type Lab, netnsOf } from '../../../lab/lab.ts';
import { type KubeClient, type KubeObject, ResourceCache, resources, type Service } from '../../../src/kube/index.ts';
import { eventually } from '../../eventually.ts';
import { type Bench, type BenchResult, summarize } from '../bench.ts';
import { monotonicMs } from './arp-watch.ts';
import { benchNamespace, handMadeSlice, openBenchLab, pools, service } from './bench-lab.ts';

/** Creates Services `<prefix>-0..n-1` with `parallel` requests at a time. */
async function createServices(client: KubeClient, prefix: string, count: number, parallel: number): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      const name = `${prefix}-${index}`;
      await client.create(resources.services, service(name, { 'ovenbird.dev/address-pool': pools.many }));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

/** Writes the API server has answered so far, by resource, for everything the project may write. */
async function apiWrites(client: KubeClient): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const wanted = new Set(['services', 'events', 'ipaddresspools', 'l2advertisements', 'secrets']);
  for (const line of (await client.text('/metrics', { timeoutMs: 30_000 })).split('\n')) {
    if (!line.startsWith('apiserver_request_total{')) continue;
    const label = (name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';
    if (!wanted.has(label('resource')) || !['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE'].includes(label('verb')))
      continue;
    const key = `${label('verb')} ${label('resource')}${label('subresource') === '' ? '' : `/${label('subresource')}`}`;
    counts.set(key, (counts.get(key) ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1)));
  }
  return counts;
}

/** The writes, once nothing has been written for two seconds: Events and the pools' status follow the addresses. */
async function settledWrites(client: KubeClient): Promise<Map<string, number>> {
  let last = await apiWrites(client);
  return eventually(
    'no more API writes',
    async () => {
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const now = await apiWrites(client);
      const isSame = JSON.stringify([...now]) === JSON.stringify([...last]);
      last = now;
      return isSame ? now : undefined;
    },
    { timeoutMs: 60_000 },
  );
}

/** 1,000 Services created flat out: from the first POST until the last has its address. */
export const allocate1000: Bench = async ({ samples = 3, progress }): Promise<BenchResult> => {
  const count = 1_000;
  const parallel = 20;
  const { lab, client, close } = await openBenchLab(progress);
  const times: number[] = [];
  const creating: number[] = [];
  let writes = new Map<string, number>();
  try {
    for (let sample = 0; sample < samples; sample++) {
      const before = await apiWrites(client);
      const { createdMs, addressedMs } = await allocate(client, `many-${sample}`, count, parallel);
      times.push(addressedMs);
      creating.push(createdMs);
      progress(`${count} created in ${createdMs.toFixed(0)} ms, all addressed after ${addressedMs.toFixed(0)} ms`);
      const after = await settledWrites(client);
      writes = new Map([...after].map(([key, value]) => [key, value - (before.get(key) ?? 0)]));
      await deleteServices(client, parallel);
    }
  } finally {
    await close();
  }
  const ours = [...writes].reduce((sum, [key, value]) => (key === 'POST services' ? sum : sum + value), 0);
  const details = {
    'until all are created': summarize('', 'ms', creating, {}).median,
    ...Object.fromEntries([...writes].filter(([, value]) => value > 0)),
    'API writes a Service': Math.round((100 * ours) / count) / 100,
  };
  return {
    ...summarize('allocate-1000', 'ms', times, { nodes: lab.nodes.length, services: count, parallel }),
    details,
  };
};

/** Creates Services and waits until a watch has shown an address on each. */
async function allocate(
  client: KubeClient,
  prefix: string,
  count: number,
  parallel: number,
): Promise<{ createdMs: number; addressedMs: number }> {
  const addressed = new Set<string>();
  const all = Promise.withResolvers<void>();
  const abort = new AbortController();
  const cache = new ResourceCache<Service & KubeObject>({
    client,
    resource: resources.services,
    selection: { namespace: benchNamespace },
  });
  cache.subscribe((change) => {
    if (change.type === 'deleted' || !change.key.includes(`/${prefix}-`)) return;
    if (change.object.status?.loadBalancer?.ingress?.[0]?.ip !== undefined) addressed.add(change.key);
    if (addressed.size === count) all.resolve();
  });
  const running = cache.run(abort.signal);
  const timeout = setTimeout(
    () => all.reject(new Error(`${addressed.size} of ${count} Services have an address after 180 s`)),
    180_000,
  );
  try {
    await cache.synced();
    const started = monotonicMs();
    await createServices(client, prefix, count, parallel);
    const createdMs = monotonicMs() - started;
    await all.promise;
    return { createdMs, addressedMs: monotonicMs() - started };
  } finally {
    clearTimeout(timeout);
    abort.abort();
    await running;
  }
}

/** Deletes every Service of the benchmark and waits until all are gone and their addresses free. */
async function deleteServices(client: KubeClient, parallel: number): Promise<void> {
  const selection = { namespace: benchNamespace };
  for (let waited = 0; waited < 180_000; waited += 500) {
    const { items } = await client.list(resources.services, selection);
    if (items.length === 0) return;
    const left = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const remove = async () => {
      for (let next = left.pop(); next; next = left.pop()) {
        await client.delete(resources.services, { namespace: benchNamespace, name: next.metadata.name });
      }
    };
    await Promise.all(Array.from({ length: parallel }, remove));
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error('the Services of the benchmark are not gone after 180 s');
}

/**
 * Resident memory in MB of every process on the lab's nodes whose command line names this sub-command of the program.
 * Controllers count only where they are on the host network, as in OVN mode full.
 */
function residentMb(lab: Lab, subCommand: string): number[] {
  const sizes: number[] = [];
  const networks = new Set(lab.nodes.map(({ name }) => `net:[${statSync(`/run/netns/${netnsOf(name)}`).ino}]`));
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!networks.has(readlinkSync(`/proc/${pid}/ns/net`))) continue;
      if (!words.some((word) => word.endsWith('/ovenbird.mjs')) || !words.includes(subCommand)) continue;
      const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
      if (match) sizes.push((Number(match[1]) * 1024) / 1e6);
    } catch {
      // The process ended while we looked.
    }
  }
  return sizes;
}

/** Resident memory of the largest controller and speaker, idle and with 100 Services, 20 s after the last change. */
export const residentMemory: Bench = async ({ progress }): Promise<BenchResult> => {
  const settleMs = 20_000;
  const { lab, client, close } = await openBenchLab(progress);
  const details: Record<string, number> = {};
  let speakers: number[] = [];
  const measure = async (label: string) => {
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    speakers = residentMb(lab, 'speaker');
    const controllers = residentMb(lab, 'controller');
    if (speakers.length === 0 || controllers.length === 0) throw new Error('no speaker or controller runs in the lab');
    details[`speaker, ${label}`] = Math.round(Math.max(...speakers) * 10) / 10;
    details[`controller, ${label}`] = Math.round(Math.max(...controllers) * 10) / 10;
    progress(`${label}: speaker ${details[`speaker, ${label}`]} MB, controller ${details[`controller, ${label}`]} MB`);
  };
  try {
    await measure('idle');
    await createServices(client, 'memory', 100, 10);
    for (let index = 0; index < 100; index++) {
      await client.create(resources.endpointSlices, handMadeSlice(`memory-${index}`, 'node-1', true));
    }
    await measure('100 Services');
  } finally {
    await close();
  }
  return { ...summarize('rss', 'MB', speakers, { nodes: lab.nodes.length, settleMs }), details };
};
