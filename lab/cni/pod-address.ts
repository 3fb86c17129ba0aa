import { createHash } from 'node:crypto';
import { CniError } from './request.ts';

/**
 * A free IPv4 address of `cidr` for a container, without the network's and the broadcast address. The search starts
 * at a place that depends on `seed`, so an address is not reused soon after its pod ended, when others may still
 * remember it, and plugins running at the same time seldom want the same one.
 * @throws CniError `tryAgainLater` when none is free.
 */
export function chooseAddress(cidr: string, taken: ReadonlySet<string>, seed: string): string {
  const [network = '', lengthText = ''] = cidr.split('/');
  const hosts = 2 ** (32 - Number(lengthText)) - 2;
  const start = createHash('sha256').update(seed).digest().readUInt32BE(0) % hosts;
  for (let step = 0; step < hosts; step++) {
    const candidate = toText(toNumber(network) + 1 + ((start + step) % hosts));
    if (!taken.has(candidate)) return candidate;
  }
  throw new CniError('tryAgainLater', `${cidr}: all ${hosts} pod addresses are in use`);
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function toText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}
