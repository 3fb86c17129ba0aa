import { BgpMessageError } from '../errors.ts';
import {
  type AddressFamily,
  addressFamilies,
  afiOf,
  capabilityCode,
  errorCode,
  familyOf,
  openError,
} from './assigned-numbers.ts';
import { OctetWriter, readUint16, readUint32 } from './octets.ts';

/** Graceful restart, RFC 4724 and RFC 8538 (the N bit). */
export interface GracefulRestart {
  /** R bit: the sender has restarted and waits for nothing before it sends its routes again. */
  restarted: boolean;
  /** N bit: graceful restart also after NOTIFICATION and hold timer expiry. */
  notification: boolean;
  /** How long the peer should keep the routes, 0-4095 s. */
  restartTimeSeconds: number;
  /** Families kept; `forwarding` is the F bit: forwarding really went on during the restart. */
  families: readonly { family: AddressFamily; forwarding: boolean }[];
}

/** Long-lived graceful restart of one family (RFC 9494). */
export interface LongLivedFamily {
  family: AddressFamily;
  forwarding: boolean;
  /** 0-16777215 s. */
  staleTimeSeconds: number;
}

/** What a speaker says in its OPEN that it can do. */
export interface Capabilities {
  /** RFC 4760. Empty means: none announced, so IPv4 unicast only. Sorted, without duplicates. */
  families: readonly AddressFamily[];
  /** Families announced that this library does not speak; never sent. With them alone, IPv4 unicast is not meant. */
  otherFamilies?: boolean;
  /** RFC 2918. */
  routeRefresh: boolean;
  /** RFC 7313. */
  enhancedRouteRefresh: boolean;
  /** RFC 8654. */
  extendedMessages: boolean;
  /** RFC 8950 for IPv4 unicast: its next hop may be an IPv6 address. */
  ipv4NextHopOverIpv6: boolean;
  /** RFC 6793: the AS number, 1-4294967295. */
  fourOctetAs?: number;
  gracefulRestart?: GracefulRestart;
  /** RFC 9494; of no meaning without `gracefulRestart`. */
  longLivedGracefulRestart?: readonly LongLivedFamily[];
}

/** Nothing announced. */
export const noCapabilities: Capabilities = {
  families: [],
  routeRefresh: false,
  enhancedRouteRefresh: false,
  extendedMessages: false,
  ipv4NextHopOverIpv6: false,
};

/**
 * Capabilities one after the other (RFC 5492 section 4), sorted by code.
 *
 *     capability: code (1)  length (1)  value
 *       1  afi (2) reserved (1) safi (1)                                        RFC 4760 section 8
 *       2, 6, 70, 128  no value                                                 RFC 2918, 8654, 7313
 *       5  { afi (2) safi (2) next hop afi (2) } ...                            RFC 8950 section 4
 *      64  flags R,N,0,0 and time (12 bits) { afi (2) safi (1) F (1) } ...      RFC 4724 section 3
 *      65  as (4)                                                               RFC 6793 section 3
 *      71  { afi (2) safi (1) F (1) stale time (3) } ...                        RFC 9494 section 3
 */
export function encodeCapabilities(capabilities: Capabilities): Uint8Array {
  const writer = new OctetWriter();
  const put = (code: number, value: OctetWriter) => writer.uint8(code).uint8(value.length).bytes(value.toBytes());
  for (const family of sorted(capabilities.families)) {
    put(capabilityCode.multiprotocol, new OctetWriter().uint16(afiOf(family)).uint8(0).uint8(1));
  }
  if (capabilities.routeRefresh) put(capabilityCode.routeRefresh, new OctetWriter());
  if (capabilities.ipv4NextHopOverIpv6) {
    put(capabilityCode.extendedNextHop, new OctetWriter().uint16(1).uint16(1).uint16(2));
  }
  if (capabilities.extendedMessages) put(capabilityCode.extendedMessage, new OctetWriter());
  const { gracefulRestart: restart, longLivedGracefulRestart: longLived } = capabilities;
  if (restart) {
    const flags = (restart.restarted ? 0x8000 : 0) | (restart.notification ? 0x4000 : 0);
    const value = new OctetWriter().uint16(flags | Math.min(restart.restartTimeSeconds, 0xfff));
    for (const { family, forwarding } of restart.families) {
      value
        .uint16(afiOf(family))
        .uint8(1)
        .uint8(forwarding ? 0x80 : 0);
    }
    put(capabilityCode.gracefulRestart, value);
  }
  if (capabilities.fourOctetAs !== undefined) {
    put(capabilityCode.fourOctetAs, new OctetWriter().uint32(capabilities.fourOctetAs));
  }
  if (capabilities.enhancedRouteRefresh) put(capabilityCode.enhancedRouteRefresh, new OctetWriter());
  if (longLived) {
    const value = new OctetWriter();
    for (const { family, forwarding, staleTimeSeconds } of longLived) {
      value
        .uint16(afiOf(family))
        .uint8(1)
        .uint8(forwarding ? 0x80 : 0)
        .uint24(Math.min(staleTimeSeconds, 0xffffff));
    }
    put(capabilityCode.longLivedGracefulRestart, value);
  }
  return writer.toBytes();
}

/**
 * Adds what one capabilities parameter says. Unknown codes and families are skipped. A capability that comes again
 * adds its families (1, 5) or replaces what the one before said (64, 65, 71), as RFC 5492 section 4 leaves it to each.
 * @throws BgpMessageError 2/0 when a length does not fit (RFC 4271 section 6.2)
 */
export function decodeCapabilities(bytes: Uint8Array, before: Capabilities = noCapabilities): Capabilities {
  const result: Mutable<Capabilities> = { ...before };
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at] ?? 0;
    const end = at + 2 + (bytes[at + 1] ?? 0);
    if (at + 2 > bytes.length || end > bytes.length) {
      throw malformed(`capability ${code} is longer than the parameter around it`);
    }
    // A view of this capability alone: no field can be read from the next one.
    decodeCapability(code, bytes.subarray(at + 2, end), result);
    at = end;
  }
  return result;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function decodeCapability(code: number, value: Uint8Array, result: Mutable<Capabilities>): void {
  switch (code) {
    case capabilityCode.multiprotocol: {
      check(code, value.length === 4);
      const family = familyOf(readUint16(value, 0), value[3] ?? 0);
      if (family) result.families = sorted([...result.families, family]);
      else result.otherFamilies = true;
      break;
    }
    case capabilityCode.routeRefresh:
    case capabilityCode.routeRefreshLegacy:
      check(code, value.length === 0);
      result.routeRefresh = true;
      break;
    case capabilityCode.extendedNextHop:
      check(code, value.length % 6 === 0);
      for (let at = 0; at < value.length; at += 6) {
        if (readUint32(value, at) === 0x0001_0001 && readUint16(value, at + 4) === 2) result.ipv4NextHopOverIpv6 = true;
      }
      break;
    case capabilityCode.extendedMessage:
      check(code, value.length === 0);
      result.extendedMessages = true;
      break;
    case capabilityCode.gracefulRestart:
      check(code, value.length % 4 === 2);
      result.gracefulRestart = decodeGracefulRestart(value);
      break;
    case capabilityCode.fourOctetAs:
      check(code, value.length === 4);
      result.fourOctetAs = readUint32(value, 0);
      break;
    case capabilityCode.enhancedRouteRefresh:
      check(code, value.length === 0);
      result.enhancedRouteRefresh = true;
      break;
    case capabilityCode.longLivedGracefulRestart:
      check(code, value.length % 7 === 0);
      result.longLivedGracefulRestart = decodeLongLived(value);
      break;
    default:
  }
}

function decodeGracefulRestart(value: Uint8Array): GracefulRestart {
  const first = readUint16(value, 0);
  const families: Mutable<GracefulRestart>['families'][number][] = [];
  for (let at = 2; at < value.length; at += 4) {
    const family = familyOf(readUint16(value, at), value[at + 2] ?? 0);
    if (family) replace(families, { family, forwarding: ((value[at + 3] ?? 0) & 0x80) !== 0 });
  }
  return {
    restarted: (first & 0x8000) !== 0,
    notification: (first & 0x4000) !== 0,
    restartTimeSeconds: first & 0xfff,
    families,
  };
}

function decodeLongLived(value: Uint8Array): LongLivedFamily[] {
  const families: LongLivedFamily[] = [];
  for (let at = 0; at < value.length; at += 7) {
    const family = familyOf(readUint16(value, at), value[at + 2] ?? 0);
    const staleTimeSeconds = readUint32(value, at + 3) & 0xffffff;
    if (family) replace(families, { family, forwarding: ((value[at + 3] ?? 0) & 0x80) !== 0, staleTimeSeconds });
  }
  return families;
}

/** Keeps one entry a family, so that a long list of repetitions holds no memory. */
function replace<T extends { family: AddressFamily }>(list: T[], entry: T): void {
  const index = list.findIndex(({ family }) => family === entry.family);
  if (index < 0) list.push(entry);
  else list[index] = entry;
}

function sorted(families: readonly AddressFamily[]): AddressFamily[] {
  return addressFamilies.filter((family) => families.includes(family));
}

function check(code: number, fits: boolean): void {
  if (!fits) throw malformed(`capability ${code} has a length that it cannot have`);
}

function malformed(text: string): BgpMessageError {
  return new BgpMessageError(`OPEN: ${text}`, errorCode.open, openError.unspecific);
}
