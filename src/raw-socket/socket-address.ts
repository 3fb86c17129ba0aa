import { isIPv4, isIPv6 } from 'node:net';
import { RawSocketError } from './errors.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;

/**
 * The structure sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes) of an address in text form and a port (0-65535).
 * `scopeId` is the interface index that a link-local IPv6 address needs.
 * @throws RawSocketError `BadArgument`
 */
export function encodeSocketAddress(address: string, port: number, scopeId = 0): Uint8Array {
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RawSocketError('BadArgument', `a port is 0-65535, not ${port}`);
  }
  const bytes = addressBytes(address);
  if (bytes.length === 4) {
    const result = new Uint8Array(16);
    const view = new DataView(result.buffer);
    view.setUint16(0, AF_INET, true);
    view.setUint16(2, port);
    result.set(bytes, 4);
    return result;
  }
  const result = new Uint8Array(28);
  const view = new DataView(result.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  result.set(bytes, 8);
  view.setUint32(24, scopeId, true);
  return result;
}

/** 4 or 16 bytes for an address in text form, without zone. @throws RawSocketError `BadArgument` */
export function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number);
  if (!isIPv6(address) || address.includes('%')) {
    throw new RawSocketError('BadArgument', `"${address}" is not an IPv4 or IPv6 address (without zone)`);
  }
  const [head = '', tail] = address.split('::');
  const left = groupsOf(head);
  const right = groupsOf(tail ?? '');
  const groups = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
