import { resources } from '../../../src/kube/index.ts';
import { type Bench, summarize } from '../bench.ts';
import { monotonicMs } from './arp-watch.ts';
import { benchNamespace, handMadeSlice, openBenchLab, pools, service, watchFromClient } from './bench-lab.ts';

const pollMs = 5;
/** Before each sample: long enough for the address of the sample before to be quiet. */
const pauseMs = 300;

/** Service created (POST sent) until the client sees the first ARP frame for its address; its endpoint is ready before. */
export const serviceToAnswer: Bench = async ({ samples = 30, progress }) => {
  const { lab, client, close } = await openBenchLab(progress);
  const watch = await watchFromClient();
  const times: number[] = [];
  try {
    for (let index = 0; index < samples; index++) {
      const name = `answer-${index}`;
      const address = `10.77.0.${200 + (index % 50)}`;
      await client.create(resources.endpointSlices, handMadeSlice(name, 'node-1', true));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      watch.probe(address, pollMs);
      const seen = watch.next(`an ARP frame for ${address}`, 10_000, (sighting) => sighting.address === address);
      const sentMs = monotonicMs();
      await client.create(
        resources.services,
        service(name, { 'ovenbird.dev/loadBalancerIPs': address, 'ovenbird.dev/address-pool': pools.fabric }),
      );
      times.push((await seen).atMs - sentMs);
      watch.stop(address);
      await client.delete(resources.services, { namespace: benchNamespace, name });
    }
  } finally {
    watch.close();
    await close();
  }
  return summarize('service-to-answer', 'ms', times, { nodes: lab.nodes.length, pollMs });
};

/** The last endpoint made not ready (PATCH sent) until the last ARP answer; 0 when the last answer came before. */
export const endpointLossToSilence: Bench = async ({ samples = 30, progress }) => {
  const { lab, client, close } = await openBenchLab(progress);
  const watch = await watchFromClient();
  const times: number[] = [];
  const name = 'silence';
  const address = '10.77.0.200';
  try {
    await client.create(resources.endpointSlices, handMadeSlice(name, 'node-1', true));
    watch.probe(address, pollMs);
    const first = watch.next(`an ARP answer for ${address}`, 10_000, (sighting) => sighting.address === address);
    await client.create(
      resources.services,
      service(name, { 'ovenbird.dev/loadBalancerIPs': address, 'ovenbird.dev/address-pool': pools.fabric }),
    );
    await first;
    for (let index = 0; index < samples; index++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const sentMs = monotonicMs();
      await client.apply(resources.endpointSlices, handMadeSlice(name, 'node-1', false));
      await new Promise((resolve) => setTimeout(resolve, 500));
      const last = watch.sightings.findLast((sighting) => sighting.address === address && sighting.kind === 'reply');
      const quietMs = monotonicMs() - (last?.atMs ?? 0);
      if (quietMs < 300) throw new Error(`${address} still answers 0.5 s after its last endpoint was lost`);
      times.push(Math.max(0, (last?.atMs ?? sentMs) - sentMs));
      const back = watch.next(`an ARP answer for ${address}`, 10_000, (sighting) => sighting.address === address);
      await client.apply(resources.endpointSlices, handMadeSlice(name, 'node-1', true));
      await back;
    }
  } finally {
    watch.close();
    await close();
  }
  return summarize('endpoint-loss-to-silence', 'ms', times, { nodes: lab.nodes.length, pollMs });
};
