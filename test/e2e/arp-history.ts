import { addressing, hostsOf, type Lab, netnsOf } from '../../lab/lab.ts';
import { systemClock } from '../../src/base/index.ts';
import { type ArpSighting, ArpWatch } from '../bench/lab/arp-watch.ts';

/** An ARP watch in the client. */
export function watchArp(): Promise<ArpWatch> {
  return ArpWatch.start({ netns: netnsOf('client'), interface: 'fabric0', source: addressing.client.fabric });
}

/** The node with this MAC on the fabric; the MAC itself when it is none of ours. */
export function nodeOfMac(lab: Lab, mac: string): string {
  const host = hostsOf(lab).find(({ nics }) => nics.some((nic) => nic.segment === 'fabric' && nic.mac === mac));
  return host?.name ?? mac;
}

/** A time in which one MAC alone claimed an address. */
export interface Reign {
  readonly mac: string;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly frames: number;
}

/** Who claimed an address, in order; two who answer in turn make many short reigns. */
export function reigns(sightings: readonly ArpSighting[], address: string, fromMs = 0): Reign[] {
  const result: Reign[] = [];
  for (const { mac, atMs } of sightings.filter((seen) => seen.address === address && seen.atMs >= fromMs)) {
    const last = result.at(-1);
    if (last?.mac === mac) result.splice(-1, 1, { ...last, lastMs: atMs, frames: last.frames + 1 });
    else result.push({ mac, firstMs: atMs, lastMs: atMs, frames: 1 });
  }
  return result;
}

/** The node that answers for an address now. @throws Error when nobody does */
export async function ownerOf(lab: Lab, watch: ArpWatch, address: string, withinMs = 30_000): Promise<string> {
  const isIt = (seen: ArpSighting) => seen.address === address;
  const { mac } = await watch.next(`an ARP answer for ${address}`, withinMs, isIt);
  return nodeOfMac(lab, mac);
}

/** Waits until nobody has answered for `quietMs`. The address must be asked for all the time. */
export async function becomesSilent(watch: ArpWatch, address: string, quietMs: number): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 30_000;
  for (;;) {
    const before = watch.sightings.length;
    await systemClock.sleep(quietMs);
    const seen = watch.sightings.slice(before).filter((sighting) => sighting.address === address);
    if (seen.length === 0) return;
    if (systemClock.monotonicMs() > deadlineMs)
      throw new Error(`${address} is still answered for: ${JSON.stringify(seen[0])}`);
  }
}
