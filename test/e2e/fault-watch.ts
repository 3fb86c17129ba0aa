import { release } from '../../lab/chart.ts';
import { ClientProbe } from '../../lab/demo/client-probe.ts';
import type { ProbeResult } from '../../lab/demo/outage.ts';
import { apiRead } from '../../lab/kubectl.ts';
import type { Lab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/processes.ts';
import { conditionTypes } from '../../src/api/index.ts';
import { ResourceCache, resources, type Service } from '../../src/kube/index.ts';
import { type ArpWatch, monotonicMs } from '../bench/lab/arp-watch.ts';
import { nodeOfMac, type Reign, reigns, watchArp } from './arp-history.ts';
import { rowsOf } from './northbound-rows.ts';
import { addressIn, conditionOf, type Stage } from './stage.ts';
import type { Backend } from './workload.ts';

/** A restarted container may be held back this long by its kubelet. */
const healingMs = 150_000;
/** What has been so for this long is how it is, ms. */
const steadyMs = 1_500;

/**
 * Looks at Services from the client all the time, while things break: who answers ARP for their addresses, whether HTTP
 * requests to the first of them are answered, and every address that any Service of the stage ever had.
 */
export class FaultWatch {
  /** Address by name of Service. */
  readonly addresses: ReadonlyMap<string, string>;
  readonly arp: ArpWatch;
  readonly #stage: Stage;
  readonly #probe: ClientProbe;
  readonly #histories = new Map<string, string[]>();
  readonly #stop = new AbortController();

  private constructor(stage: Stage, addresses: ReadonlyMap<string, string>, arp: ArpWatch, probe: ClientProbe) {
    this.#stage = stage;
    this.addresses = addresses;
    this.arp = arp;
    this.#probe = probe;
  }

  /** @param names Services that have their addresses; the first is asked by HTTP */
  static async start(stage: Stage, names: readonly string[]): Promise<FaultWatch> {
    const addresses = new Map<string, string>();
    for (const name of names) addresses.set(name, await stage.addressOf(name));
    const arp = await watchArp();
    for (const address of addresses.values()) arp.probe(address, 20);
    const probe = new ClientProbe({
      address: addresses.get(names[0] ?? '') ?? '',
      port: 80,
      everyMs: 50,
      timeoutMs: 4_000,
    });
    const watch = new FaultWatch(stage, addresses, arp, probe);
    await watch.#follow();
    return watch;
  }

  close(): void {
    this.#stop.abort();
    this.#probe.stop();
    this.arp.close();
  }

  /** Every address a Service had, in order; '' for a time without one after it had one. */
  historyOf(name: string): readonly string[] {
    return this.#histories.get(name) ?? [];
  }

  /** Names of the Services that ever had an address. */
  get addressed(): string[] {
    return [...this.#histories.keys()].sort();
  }

  /** Who claimed the address of a Service since a moment (CLOCK_MONOTONIC, ms), in order. */
  reigns(name: string, sinceMs: number): Reign[] {
    return reigns(this.arp.sightings, this.addresses.get(name) ?? '', sinceMs);
  }

  /** The node that answers for a Service now. @throws Error when nobody does within half a minute */
  async ownerOf(name: string): Promise<string> {
    const address = this.addresses.get(name) ?? '';
    const { mac } = await this.arp.next(`${address}: an ARP answer`, 30_000, (seen) => seen.address === address);
    return nodeOfMac(this.#stage.lab, mac);
  }

  /** The first frame by which another node than this claims the address of a Service. Ask before the fault. */
  async takeover(name: string, from: string): Promise<{ node: string; atMs: number }> {
    const { lab } = this.#stage;
    const address = this.addresses.get(name) ?? '';
    const isOther = (seen: { address: string; mac: string }) =>
      seen.address === address && nodeOfMac(lab, seen.mac) !== from;
    const { mac, atMs } = await this.arp.next(`${address}: claimed by another node than ${from}`, 60_000, isOther);
    return { node: nodeOfMac(lab, mac), atMs };
  }

  /** Requests that were sent since a moment and have failed. */
  failures(sinceMs: number): ProbeResult[] {
    return this.#probe.results.filter(({ ok, startMs }) => !ok && startMs >= sinceMs);
  }

  /** The longest time without an answer to any request, from the last answer before a moment on; ms. */
  longestSilence(sinceMs: number): number {
    const good = this.#probe.results
      .filter(({ ok }) => ok)
      .map(({ endMs }) => endMs)
      .sort((a, b) => a - b);
    let last = good.findLast((endMs) => endMs <= sinceMs) ?? sinceMs;
    let longest = 0;
    for (const endMs of [...good.filter((end) => end > sinceMs), monotonicMs()]) {
      longest = Math.max(longest, endMs - last);
      last = endMs;
    }
    return longest;
  }

  /** Waits until so many requests, sent from now on, have been answered. */
  async answered(count: number): Promise<void> {
    const fromMs = monotonicMs();
    const enough = (results: readonly ProbeResult[]) =>
      results.filter(({ ok, startMs }) => ok && startMs >= fromMs).length >= count;
    await this.#probe.until(`${count} answers to the client`, 60_000, enough);
  }

  /**
   * Waits until all is well again: Ovenbird's pods ready, each address answered for by exactly one node, its rows
   * with these pods in the database, the client's requests answered, the conditions true.
   */
  async healed(pods: readonly Backend[]): Promise<void> {
    const { lab } = this.#stage;
    await waitFor('Ovenbird: every pod ready', healingMs, () => everyPodReady(lab));
    for (const [name, address] of this.addresses) {
      const backends = pods
        .map((pod) => `${pod.address}:8080`)
        .sort()
        .join(',');
      await waitFor(`${name}: ${backends} in OVN`, healingMs, async () => {
        const rows = await rowsOf(lab, `${this.#stage.name}/${name}`);
        return rows.find(({ scope }) => scope === 'external')?.vips[`${address}:80`] === backends;
      });
      await this.#stage.until(name, 'all is well', (service) => isWell(service, address));
    }
    await waitFor('one node answers for each address, and every request is answered', healingMs, async () => {
      const sinceMs = monotonicMs() - steadyMs;
      const alone = [...this.addresses.keys()].every((name) => {
        const [reign, ...others] = this.reigns(name, sinceMs);
        return reign !== undefined && reign.frames > 10 && others.length === 0;
      });
      const recent = this.#probe.results.filter(({ startMs }) => startMs >= sinceMs);
      return alone && recent.length > 10 && recent.every(({ ok }) => ok);
    });
  }

  async #follow(): Promise<void> {
    const { client, name: namespace } = this.#stage;
    const cache = new ResourceCache<Service>({ client, resource: resources.services, selection: { namespace } });
    cache.subscribe((change) => {
      if (change.type === 'deleted') return;
      const { name, deletionTimestamp } = change.object.metadata;
      const history = this.#histories.get(name) ?? [];
      const address = addressIn(change.object);
      if (deletionTimestamp !== undefined || history.at(-1) === address || (history.length === 0 && address === ''))
        return;
      this.#histories.set(name, [...history, address]);
    });
    void cache.run(this.#stop.signal);
    await cache.synced();
  }
}

function isWell({ metadata, status, spec }: Service, address: string): boolean {
  const conditions = [conditionTypes.ipAllocated, conditionTypes.programmed].map((type) => conditionOf(status, type));
  const shown = addressIn({ metadata, spec, ...(status ? { status } : {}) });
  return shown === address && conditions.every((condition) => condition?.status === 'True');
}

/** True when two controllers and a speaker a node are ready. */
async function everyPodReady(lab: Lab): Promise<boolean> {
  const { items } = await apiRead<{
    items: { metadata: { deletionTimestamp?: string }; status: { conditions?: { type: string; status: string }[] } }[];
  }>(lab, `/api/v1/namespaces/${release.namespace}/pods`);
  const controllers = 2;
  return (
    items.length === lab.nodes.length + controllers &&
    items.every(
      ({ metadata, status }) =>
        metadata.deletionTimestamp === undefined &&
        status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    )
  );
}
