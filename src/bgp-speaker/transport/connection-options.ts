/** What a peer's options mean for a socket. */
import { type Address, Cidr } from '../../net/index.ts';
import {
  bindToDevice,
  interfaceIndex,
  setMinimumTtl,
  setPriority,
  setTrafficClass,
  setTtl,
  setUserTimeout,
} from '../../raw-socket/index.ts';
import { BgpOptionsError } from '../errors.ts';
import type { ConnectionOptions } from './transport.ts';

/** Class selector 6, network control (RFC 4594), as a traffic class byte. */
const networkControl = 0xc0;
/** The highest that needs no capability. */
const priority = 6;
const linkLocalPrefix = Cidr.parse('fe80::/10');

export function isLinkLocal(address: Address): boolean {
  return linkLocalPrefix.contains(address);
}

/** @throws BgpOptionsError that names every field that is wrong */
export function checkConnectionOptions(peers: Cidr, options: ConnectionOptions): void {
  const problems: { field: string; text: string }[] = [];
  const is = (field: keyof ConnectionOptions, fits: boolean, text: string) => {
    if (!fits) problems.push({ field, text });
  };
  const whole = (field: keyof ConnectionOptions, value: number | undefined, least: number, most: number) =>
    is(
      field,
      value === undefined || within(value, least, most),
      `${value} is not a whole number from ${least} to ${most}`,
    );
  const { localAddress, password, authenticationKeys: keys, ttlSecurityHops, multihop } = options;
  whole('ttlSecurityHops', ttlSecurityHops, 1, 254);
  whole('multihop', multihop, 1, 255);
  whole('userTimeoutMs', options.userTimeoutMs, 0, 0x7fff_ffff);
  is('multihop', multihop === undefined || ttlSecurityHops === undefined, 'give it or ttlSecurityHops, not both');
  const sameFamily = localAddress === undefined || localAddress.family === peers.family;
  is('localAddress', sameFamily, `${localAddress} is not IPv${peers.family} as the peer ${peers.address} is`);
  const scoped = peers.prefixLength >= 10 && isLinkLocal(peers.address);
  is('interface', !scoped || options.interface !== undefined, `name the one on which ${peers.address} is`);
  is('interface', options.interface !== '', 'a name has at least one character');
  is('password', password === undefined || isKey(password), 'give 1-80 bytes');
  is('password', password === undefined || keys === undefined, 'give it or authenticationKeys, not both');
  if (keys !== undefined) {
    is('authenticationKeys', keys.length > 0, 'give at least one');
    is(
      'authenticationKeys',
      keys.every(({ key }) => isKey(key)),
      'a key has 1-80 bytes',
    );
    const identifiers = keys.flatMap(({ sendId, receiveId }) => [sendId, receiveId]);
    is(
      'authenticationKeys',
      identifiers.every((id) => within(id, 0, 255)),
      'sendId and receiveId are 0-255',
    );
    for (const end of ['sendId', 'receiveId'] as const) {
      is('authenticationKeys', new Set(keys.map((key) => key[end])).size === keys.length, `two have the same ${end}`);
    }
  }
  if (problems.length > 0) throw new BgpOptionsError(problems);
}

function within(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function isKey(key: string | Uint8Array): boolean {
  return within(typeof key === 'string' ? Buffer.byteLength(key) : (key?.length ?? 0), 1, 80);
}

/** RFC 5082: the lowest TTL that a peer this near can arrive with; 1 when any may. */
export function leastTtl({ ttlSecurityHops }: ConnectionOptions): number {
  return ttlSecurityHops === undefined ? 1 : 256 - ttlSecurityHops;
}

/** Traffic class and priority of what keeps a network together. */
export function setNetworkControl(fd: number, family: 4 | 6): void {
  setTrafficClass(fd, family, networkControl);
  setPriority(fd, priority);
}

/** Everything but addresses and keys, on a socket that dials or was accepted. @throws RawSocketError */
export function applyConnectionOptions(fd: number, family: 4 | 6, options: ConnectionOptions): void {
  if (options.interface !== undefined) bindToDevice(fd, options.interface);
  setTtl(fd, family, options.ttlSecurityHops === undefined ? (options.multihop ?? 255) : 255);
  const least = leastTtl(options);
  if (least > 1) setMinimumTtl(fd, family, least);
  if (options.userTimeoutMs !== undefined) setUserTimeout(fd, options.userTimeoutMs);
  setNetworkControl(fd, family);
}

/** The scope that a link-local address needs beside it, 0 for others. @throws RawSocketError `NoSuchInterface` */
export function scopeOf(address: Address, options: ConnectionOptions): number {
  return options.interface !== undefined && isLinkLocal(address) ? interfaceIndex(options.interface) : 0;
}
