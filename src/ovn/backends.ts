import { Address } from '../net/index.ts';
import type { OvnEndpoint } from './service-input.ts';

/** A text or address as a canonical address, or undefined when it is not one. */
export function asAddress(value: Address | string): Address | undefined {
  return typeof value === 'string' ? Address.tryParse(value) : value;
}

/** True for a whole number from 1 to 65535. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}

/** A key or backend of Load_Balancer.vips: "192.0.2.1:80" or "[2001:db8::1]:80". */
export function socketText(address: Address, port: number): string {
  return address.family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

/** Why no packet could ever be delivered to this address, or undefined. */
function undeliverable(address: Address): string | undefined {
  const { family, value } = address;
  if (family === 4) {
    const first = value >> 24n;
    if (first === 0n) return 'unspecified';
    if (first === 127n) return 'loopback';
    return first >= 224n ? 'multicast or reserved' : undefined;
  }
  if (value === 0n) return 'unspecified';
  if (value === 1n) return 'loopback';
  if (value >> 118n === 0x3fan) return 'link-local';
  return value >> 120n === 0xffn ? 'multicast' : undefined;
}

/** The same rule for addresses that are to become a VIP; the answer is a word for the problem text. */
export function unusableVip(address: Address): string | undefined {
  return undeliverable(address);
}

/** A backend that stood every check. */
export interface Backend {
  address: Address;
  port: number;
  nodeName: string | undefined;
  /** As it stands in the row. */
  text: string;
}

/**
 * Sorts, deduplicates and checks backends. OVN drops a whole VIP for one malformed backend, with a line in northd's log
 * only, so each bad one is left out here and reported.
 */
export function usableBackends(endpoints: readonly OvnEndpoint[]): { backends: Backend[]; rejected: string[] } {
  const byText = new Map<string, Backend>();
  const rejected: string[] = [];
  for (const { address: given, port, nodeName } of endpoints) {
    const address = asAddress(given);
    if (!address) {
      rejected.push(`${JSON.stringify(given)} is not an address`);
      continue;
    }
    const why = undeliverable(address);
    if (why !== undefined) {
      rejected.push(`${address} is a ${why} address`);
    } else if (!isPort(port)) {
      rejected.push(`${address} has port ${port}, outside 1 to 65535`);
    } else {
      const text = socketText(address, port);
      if (!byText.has(text)) byText.set(text, { address, port, nodeName, text });
    }
  }
  const backends = [...byText.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
  return { backends, rejected };
}
