/** What nobody could be told about a route; said to the caller before it is taken. */
import { Address } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import type { RouteAttributes } from './path-attributes.ts';

/** By their number on the wire (RFC 4271 section 4.3). */
export const origins = ['igp', 'egp', 'incomplete'] as const;

/** @throws BgpArgumentError naming the first field that is wrong */
export function checkAttributes(attributes: RouteAttributes): void {
  const { nextHop, linkLocalNextHop } = attributes;
  if (nextHop !== undefined) checkNextHop('nextHop', nextHop);
  if (linkLocalNextHop !== undefined) checkLinkLocal(linkLocalNextHop);
  checkValues(attributes);
}

/** Everything but the next hops. @throws BgpArgumentError naming the first field that is wrong */
export function checkValues(attributes: RouteAttributes): void {
  const { origin, asPath, multiExitDiscriminator, localPreference } = attributes;
  if (origin !== undefined && !origins.includes(origin)) {
    throw new BgpArgumentError(`origin: "${origin}" is none of ${origins.join(', ')}`);
  }
  for (const asNumber of list('asPath', asPath)) checkUint32('asPath', asNumber, 1);
  if (multiExitDiscriminator !== undefined) checkUint32('multiExitDiscriminator', multiExitDiscriminator, 0);
  if (localPreference !== undefined) checkUint32('localPreference', localPreference, 0);
  for (const value of list('communities', attributes.communities)) checkUint32('communities', value, 0);
  for (const value of list('extendedCommunities', attributes.extendedCommunities)) {
    if (typeof value === 'bigint' && value >= 0n && value >> 64n === 0n) continue;
    throw new BgpArgumentError(`extendedCommunities: ${String(value)} is not a bigint of eight bytes`);
  }
  for (const value of list('largeCommunities', attributes.largeCommunities)) {
    if (!Array.isArray(value) || value.length !== 3) {
      throw new BgpArgumentError(`largeCommunities: ${String(value)} is not three numbers`);
    }
    for (const part of value) checkUint32('largeCommunities', part, 0);
  }
}

function checkNextHop(field: string, nextHop: Address): void {
  if (nextHop instanceof Address && isRouterAddress(nextHop)) return;
  throw new BgpArgumentError(`${field}: ${String(nextHop)} is not the address of a router`);
}

/**
 * Not of 0/8, 127/8, 224/3 (RFC 4271 section 6.3), nor `::`, `::1` or multicast: routes with such a next hop are treated
 * as withdrawn by those who receive them (RFC 7606 section 7.3).
 */
export function isRouterAddress({ family, value }: Address): boolean {
  return family === 4 ? isUsableNextHop(Number(value >> 24n)) : value > 1n && value >> 120n !== 0xffn;
}

/** RFC 7606 section 7.3 with RFC 4271 section 6.3: 0/8, 127/8 and 224/3 are no next hops. */
export function isUsableNextHop(firstOctet: number): boolean {
  return firstOctet !== 0 && firstOctet !== 127 && firstOctet < 224;
}

/** @throws BgpArgumentError */
export function checkLinkLocal(address: Address): void {
  if (address instanceof Address && address.family === 6 && address.value >> 118n === 0x3fan) return;
  throw new BgpArgumentError(`linkLocalNextHop ${String(address)}: give an address of fe80::/10`);
}

function list<T>(field: string, values: readonly T[] | undefined): readonly T[] {
  if (values === undefined || Array.isArray(values)) return values ?? [];
  throw new BgpArgumentError(`${field}: ${String(values)} is not an array`);
}

function checkUint32(field: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least && value <= 0xffff_ffff) return;
  throw new BgpArgumentError(`${field}: ${String(value)} is not a whole number from ${least} to 4294967295`);
}
