/** What cases of UPDATEs are made of: one from an external peer with four-byte AS numbers, both families, without RFC 8950. */
import { asPath, attribute, nextHop, origin, prefix4, update } from './wire-bytes.ts';

/** "reset 3/1": end the session with this NOTIFICATION. */
export type Outcome = 'accept' | 'discard' | 'withdraw' | `reset 3/${number}`;

export interface MalformedUpdate {
  name: string;
  /** The section that decides. */
  section: string;
  outcome: Outcome;
  body: Uint8Array;
}

export type Octets = readonly number[];

export const nlri = [prefix4('198.51.100.0/24')];
export const octets = (...parts: (number | Octets)[]): number[] => parts.flat() as number[];
export const path = (...values: (number | Octets)[]) => attribute(0x40, 2, octets(...values));
export const as4 = (...numbers: number[]) =>
  numbers.flatMap((n) => [n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
export const zeros = (count: number) => new Array<number>(count).fill(0);

/** An IPv4 announcement with one attribute changed or added. */
export function announcing(...changes: Octets[]): Uint8Array {
  const base = [origin, asPath, nextHop].map((one) => changes.find((change) => change[1] === one[1]) ?? one);
  return update({ attributes: [...base, ...changes.filter((change) => !base.includes(change as number[]))], nlri });
}

export const row = (section: string, outcome: Outcome, ...bodies: [string, Uint8Array][]): MalformedUpdate[] =>
  bodies.map(([name, body]) => ({ name, section, outcome, body }));

export const mp14 = (...value: (number | Octets)[]) => attribute(0x80, 14, octets(...value));
export const mp15 = (...value: (number | Octets)[]) => attribute(0x80, 15, octets(...value));
