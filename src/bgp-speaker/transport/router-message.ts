/**
 * Router Solicitations and Advertisements (RFC 4861 sections 4.1, 4.2) as Ethernet frames.
 *
 *   frame         = destination MAC, source MAC, u16 0x86dd, IPv6, padding
 *   IPv6          = u4 6, u8 class, u20 label, u16 payload length, u8 next header 58, u8 hop limit 255,
 *                   source, destination, payload
 *   solicitation  = u8 133, u8 0, u16 checksum, u32 reserved, options
 *   advertisement = u8 134, u8 0, u16 checksum, u8 hop limit, u8 flags, u16 router lifetime in seconds,
 *                   u32 reachable time, u32 retransmission time, options
 *   option        = u8 type, u8 length in units of 8 bytes, value
 *
 * A decoder that meets anything else says why and never throws: these come from whoever is on the wire.
 */
import { Address, Mac } from '../../net/index.ts';
import { isLinkLocal } from './connection-options.ts';

export type RouterMessage =
  | { readonly type: 'solicitation'; readonly source: Address }
  | { readonly type: 'advertisement'; readonly source: Address; readonly mac: Mac; readonly lifetimeSeconds: number };

/** Why a frame is no valid router message (RFC 4861 sections 6.1.1 and 6.1.2). */
export type RouterMessageFault =
  | 'not-router-discovery'
  | 'truncated'
  | 'hop-limit'
  | 'checksum'
  | 'code'
  | 'option'
  | 'source'
  | 'source-option';

const ipv6At = 14;
const icmpAt = ipv6At + 40;
const solicitation = 133;
const advertisement = 134;
const sourceLinkLayerAddress = 1;
const allNodes = Address.parse('ff02::1');
const allRouters = Address.parse('ff02::2');
const unspecified = Address.parse('::');

/** The group MAC addresses to which both kinds are sent. */
export const routerDiscoveryGroups: readonly Uint8Array[] = [groupMac(allNodes), groupMac(allRouters)];

/** The frame may have padding behind it, and is not kept. */
export function decodeRouterMessage(frame: Uint8Array): RouterMessage | { readonly fault: RouterMessageFault } {
  if (frame.length < icmpAt + 8) return { fault: 'truncated' };
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const isIcmp = view.getUint16(12) === 0x86dd && view.getUint8(ipv6At) >> 4 === 6 && view.getUint8(ipv6At + 6) === 58;
  const type = view.getUint8(icmpAt);
  if (!isIcmp || (type !== solicitation && type !== advertisement)) return { fault: 'not-router-discovery' };
  const length = view.getUint16(ipv6At + 4);
  const end = icmpAt + length;
  const optionsAt = icmpAt + (type === solicitation ? 8 : 16);
  if (end > frame.length || end < optionsAt) return { fault: 'truncated' };
  if (view.getUint8(ipv6At + 7) !== 255) return { fault: 'hop-limit' };
  if (checksumOf(frame, length) !== 0) return { fault: 'checksum' };
  if (view.getUint8(icmpAt + 1) !== 0) return { fault: 'code' };
  const options = readOptions(frame, optionsAt, end);
  if (options === undefined) return { fault: 'option' };
  const source = Address.fromBytes(frame.subarray(ipv6At + 8, ipv6At + 24));
  if (type === solicitation) {
    if (source.equals(unspecified) && options.hasSource) return { fault: 'source-option' };
    return isGroup(source) ? { fault: 'source' } : { type: 'solicitation', source };
  }
  if (!isLinkLocal(source)) return { fault: 'source' };
  const mac = options.source ?? Mac.fromBytes(frame.subarray(6, 12));
  return { type: 'advertisement', source, mac, lifetimeSeconds: view.getUint16(icmpAt + 6) };
}

/** Undefined when an option has no length or reaches beyond the end. */
function readOptions(frame: Uint8Array, from: number, end: number): { hasSource: boolean; source?: Mac } | undefined {
  let found: { hasSource: boolean; source?: Mac } = { hasSource: false };
  for (let at = from; at < end; ) {
    const length = (frame[at + 1] ?? 0) * 8;
    if (at + 2 > end || length === 0 || at + length > end) return undefined;
    if (frame[at] === sourceLinkLayerAddress && !found.hasSource) {
      found =
        length === 8 ? { hasSource: true, source: Mac.fromBytes(frame.subarray(at + 2, at + 8)) } : { hasSource: true };
    }
    at += length;
  }
  return found;
}

/**
 * "I am here, but no default router": lifetime 0 and nothing to configure. Hosts on the link change nothing; a router
 * with unnumbered neighbours learns our link-local address.
 */
export function encodeAdvertisement(source: Address, mac: Mac): Uint8Array {
  const frame = newFrame(source, mac, allNodes, 16 + 8);
  frame[icmpAt] = advertisement;
  putSource(frame, icmpAt + 16, mac);
  return withChecksum(frame);
}

/** Asks every router on the link to advertise itself. */
export function encodeSolicitation(source: Address, mac: Mac): Uint8Array {
  const frame = newFrame(source, mac, allRouters, 8 + 8);
  frame[icmpAt] = solicitation;
  putSource(frame, icmpAt + 8, mac);
  return withChecksum(frame);
}

function newFrame(source: Address, mac: Mac, destination: Address, payload: number): Uint8Array {
  const frame = new Uint8Array(icmpAt + payload);
  const view = new DataView(frame.buffer);
  frame.set(groupMac(destination));
  frame.set(mac.toBytes(), 6);
  view.setUint16(12, 0x86dd);
  // Class selector 6, as BGP itself.
  view.setUint32(ipv6At, (6 << 28) | (0xc0 << 20));
  view.setUint16(ipv6At + 4, payload);
  view.setUint8(ipv6At + 6, 58);
  view.setUint8(ipv6At + 7, 255);
  frame.set(source.toBytes(), ipv6At + 8);
  frame.set(destination.toBytes(), ipv6At + 24);
  return frame;
}

function putSource(frame: Uint8Array, at: number, mac: Mac): void {
  frame.set([sourceLinkLayerAddress, 1, ...mac.toBytes()], at);
}

function withChecksum(frame: Uint8Array): Uint8Array {
  new DataView(frame.buffer).setUint16(icmpAt + 2, checksumOf(frame, frame.length - icmpAt));
  return frame;
}

/** RFC 4443 section 2.3, over the pseudo-header of RFC 8200 section 8.1; 0 when a checksum in place is right. */
function checksumOf(frame: Uint8Array, length: number): number {
  let sum = length + 58;
  const add = (from: number, end: number) => {
    for (let at = from; at < end; at += 2) sum += ((frame[at] ?? 0) << 8) | (at + 1 < end ? (frame[at + 1] ?? 0) : 0);
  };
  add(ipv6At + 8, ipv6At + 40);
  add(icmpAt, icmpAt + length);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** RFC 2464 section 7. */
function groupMac(group: Address): Uint8Array {
  return Uint8Array.from([0x33, 0x33, ...group.toBytes().subarray(12)]);
}

function isGroup(address: Address): boolean {
  return address.value >> 120n === 0xffn;
}
