import { killSpeaker, linkDown, linkUp } from '../../../lab/faults.ts';
import type { Lab } from '../../../lab/lab.ts';
import { hostsOf } from '../../../lab/lab.ts';
import { waitFor } from '../../../lab/processes.ts';
import { resources } from '../../../src/kube/index.ts';
import { type Bench, type BenchResult, summarize } from '../bench.ts';
import { type ArpSighting, type ArpWatch, monotonicMs } from './arp-watch.ts';
import { handMadeSlice, openBenchLab, pools, service, watchFromClient } from './bench-lab.ts';

const pollMs = 5;
const address = '10.77.0.201';
/** Time during which a second answer after the link is back would be seen, ms. */
const watchAfterHealMs = 8_000;

/** Name of the node with this MAC on the fabric. */
function nodeOf(lab: Lab, mac: string): string {
  const host = hostsOf(lab).find(({ nics }) => nics.some((nic) => nic.segment === 'fabric' && nic.mac === mac));
  if (!host) throw new Error(`${mac} answers for ${address} and is no node of the lab`);
  return host.name;
}

async function currentOwner(lab: Lab, watch: ArpWatch): Promise<{ node: string; mac: string }> {
  const { mac } = await watch.next(`an ARP answer for ${address}`, 20_000, (sighting) => sighting.address === address);
  return { node: nodeOf(lab, mac), mac };
}

/** Milliseconds during which answers of two owners were interleaved. */
function doubleAnswerMs(sightings: readonly ArpSighting[]): number {
  let longest = 0;
  let firstSwitchMs: number | undefined;
  for (const [index, sighting] of sightings.entries()) {
    const before = sightings[index - 1];
    if (!before || before.mac === sighting.mac) continue;
    firstSwitchMs ??= sighting.atMs;
    longest = Math.max(longest, sighting.atMs - firstSwitchMs);
  }
  return longest;
}

/**
 * The owner's fabric link is pulled, or its speaker is killed with SIGKILL: fault until the client sees the first ARP
 * frame of another node. After each healed fault the client watches for answers of two nodes.
 */
function failover(kind: 'link-down' | 'sigkill'): Bench {
  return async ({ samples = 10, progress }): Promise<BenchResult> => {
    const { lab, client, close } = await openBenchLab(progress);
    const watch = await watchFromClient();
    const times: number[] = [];
    let doubleMs = 0;
    let movedBack = 0;
    try {
      await client.create(resources.endpointSlices, handMadeSlice('failover', 'node-1', true));
      watch.probe(address, pollMs);
      await client.create(
        resources.services,
        service('failover', { 'ovenbird.dev/loadBalancerIPs': address, 'ovenbird.dev/address-pool': pools.fabric }),
      );
      for (let index = 0; index < samples; index++) {
        const owner = await currentOwner(lab, watch);
        const isOther = (sighting: ArpSighting) => sighting.address === address && sighting.mac !== owner.mac;
        const taken = watch.next(`another node answering for ${address}`, 20_000, isOther);
        const faultMs = monotonicMs();
        if (kind === 'link-down') await linkDown(lab, owner.node, 'fabric');
        else await killSpeaker(lab, owner.node, 'SIGKILL');
        const next = await taken;
        times.push(next.atMs - faultMs);
        progress(
          `${kind} ${index + 1}/${samples}: ${(next.atMs - faultMs).toFixed(0)} ms, now ${nodeOf(lab, next.mac)}`,
        );
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        const healMs = monotonicMs();
        if (kind === 'link-down') await linkUp(lab, owner.node, 'fabric');
        await new Promise((resolve) => setTimeout(resolve, watchAfterHealMs));
        const after = watch.sightings.filter((sighting) => sighting.address === address && sighting.atMs > healMs);
        doubleMs = Math.max(doubleMs, doubleAnswerMs(after));
        if (after.at(-1)?.mac === owner.mac) movedBack += 1;
        if (kind === 'sigkill') await speakerBack(lab, owner.node);
      }
    } finally {
      watch.close();
      await close();
    }
    const result = summarize(`l2-failover-${kind}`, 'ms', times, { nodes: lab.nodes.length, pollMs, fault: kind });
    return { ...result, details: { 'double answer after heal, longest ms': doubleMs, 'moved back': movedBack } };
  };
}

async function speakerBack(lab: Lab, node: string): Promise<void> {
  const { apiRead } = await import('../../../lab/kubectl.ts');
  await waitFor(`the speaker of ${node}: ready again`, 120_000, async () => {
    const pods = await apiRead<{
      items: { spec: { nodeName?: string }; status: { conditions?: { type: string; status: string }[] } }[];
    }>(lab, '/api/v1/namespaces/ovenbird-system/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Dspeaker');
    const pod = pods.items.find(({ spec }) => spec.nodeName === node);
    return pod?.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  });
}

export const l2FailoverLinkDown = failover('link-down');
export const l2FailoverSigkill = failover('sigkill');

/** Both faults; the figures are those of both together, each one's are in the details. */
export const l2Failover: Bench = async (options) => {
  const link = await l2FailoverLinkDown(options);
  const kill = await l2FailoverSigkill(options);
  const both = summarize('l2-failover', 'ms', [...(link.raw ?? []), ...(kill.raw ?? [])], link.conditions);
  return {
    ...both,
    conditions: { ...both.conditions, fault: 'link-down and sigkill' },
    details: {
      'link-down median': link.median,
      'link-down max': link.max,
      'sigkill median': kill.median,
      'sigkill max': kill.max,
      'double answer after heal, longest ms': Math.max(
        Number(link.details?.['double answer after heal, longest ms'] ?? 0),
        Number(kill.details?.['double answer after heal, longest ms'] ?? 0),
      ),
      'moved back': Number(link.details?.['moved back'] ?? 0) + Number(kill.details?.['moved back'] ?? 0),
    },
  };
};
