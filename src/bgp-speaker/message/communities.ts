import { BgpArgumentError } from '../errors.ts';

/** Well-known communities (RFC 1997, 3765, 7999, 8326, 9494). */
export const wellKnownCommunity = {
  gracefulShutdown: 0xffff_0000,
  llgrStale: 0xffff_0006,
  noLlgr: 0xffff_0007,
  blackhole: 0xffff_029a,
  noExport: 0xffff_ff01,
  noAdvertise: 0xffff_ff02,
  noExportSubconfed: 0xffff_ff03,
  noPeer: 0xffff_ff04,
} as const;

const wellKnownNames: Readonly<Record<string, number>> = {
  'graceful-shutdown': wellKnownCommunity.gracefulShutdown,
  'llgr-stale': wellKnownCommunity.llgrStale,
  'no-llgr': wellKnownCommunity.noLlgr,
  blackhole: wellKnownCommunity.blackhole,
  'no-export': wellKnownCommunity.noExport,
  'no-advertise': wellKnownCommunity.noAdvertise,
  'no-export-subconfed': wellKnownCommunity.noExportSubconfed,
  'no-peer': wellKnownCommunity.noPeer,
};

/** RFC 8092: global administrator, local data 1 and 2, each 0-4294967295. */
export type LargeCommunity = readonly [number, number, number];

/** A community of one of the three kinds: the number, the triple, or the eight bytes as a number. */
export type Community =
  | { kind: 'standard'; value: number }
  | { kind: 'large'; value: LargeCommunity }
  | { kind: 'extended'; value: bigint };

/**
 * Parses "65000:1" or a well-known name (RFC 1997), "large:65000:1:2" or "65000:1:2" (RFC 8092), and "rt:65000:1",
 * "ro:65000:1" (route target and origin, RFC 4360; an AS number above 65535 or written as an IPv4 address takes two
 * bytes for the rest) or "0x" and 16 hexadecimal digits for any other extended community.
 * @throws BgpArgumentError
 */
export function parseCommunity(text: string): Community {
  const named = Object.hasOwn(wellKnownNames, text) ? wellKnownNames[text] : undefined;
  if (named !== undefined) return { kind: 'standard', value: named };
  if (/^0x[0-9a-f]{16}$/i.test(text)) return { kind: 'extended', value: BigInt(text) };
  const parts = text.split(':');
  const head = parts[0] ?? '';
  if ((head === 'rt' || head === 'ro') && parts.length === 3) {
    return { kind: 'extended', value: extended(text, head === 'rt' ? 2 : 3, parts[1] ?? '', parts[2] ?? '') };
  }
  const [a = Number.NaN, b = Number.NaN, c] = (head === 'large' ? parts.slice(1) : parts).map((part) => {
    return field(text, part, parts.length === 2 ? 0xffff : 0xffff_ffff);
  });
  if (parts.length === 2 && head !== 'large') return { kind: 'standard', value: a * 0x1_0000 + b };
  if (c !== undefined && parts.length === (head === 'large' ? 4 : 3)) return { kind: 'large', value: [a, b, c] };
  throw refused(text);
}

function extended(text: string, subtype: number, administrator: string, local: string): bigint {
  const isAddress = /^\d{1,3}(\.\d{1,3}){3}$/.test(administrator);
  const number = isAddress
    ? administrator.split('.').reduce((sum, part) => sum * 256 + field(text, part, 255), 0)
    : field(text, administrator, 0xffff_ffff);
  const isShort = !isAddress && number <= 0xffff;
  const type = isShort ? 0x00 : isAddress ? 0x01 : 0x02;
  const head = (BigInt(type) << 56n) | (BigInt(subtype) << 48n);
  const rest = BigInt(field(text, local, isShort ? 0xffff_ffff : 0xffff));
  return head | (BigInt(number) << (isShort ? 32n : 16n)) | rest;
}

function field(text: string, part: string, maximum: number): number {
  const value = Number(part);
  if (!/^(0|[1-9][0-9]{0,9})$/.test(part) || value > maximum) throw refused(text);
  return value;
}

function refused(text: string): BgpArgumentError {
  const names = Object.keys(wellKnownNames).sort().join(', ');
  return new BgpArgumentError(
    `community "${text}": write 65000:1 (each at most 65535), 65000:1:2, rt:65000:1, ro:65000:1, 0x and 16 digits, or one of ${names}`,
  );
}

/** Communities of a route, by kind, as the path attributes hold them; kinds without any are left out. */
export interface CommunityLists {
  communities?: readonly number[];
  largeCommunities?: readonly LargeCommunity[];
  extendedCommunities?: readonly bigint[];
}

/** Texts that `parseCommunity` reads, sorted into the lists of the path attributes. @throws BgpArgumentError */
export function parseCommunities(texts: Iterable<string>): CommunityLists {
  const communities: number[] = [];
  const largeCommunities: LargeCommunity[] = [];
  const extendedCommunities: bigint[] = [];
  for (const text of texts) {
    const community = parseCommunity(text);
    if (community.kind === 'standard') communities.push(community.value);
    else if (community.kind === 'large') largeCommunities.push(community.value);
    else extendedCommunities.push(community.value);
  }
  return {
    ...(communities.length > 0 ? { communities } : {}),
    ...(largeCommunities.length > 0 ? { largeCommunities } : {}),
    ...(extendedCommunities.length > 0 ? { extendedCommunities } : {}),
  };
}

/** Text that `parseCommunity` reads back. */
export function formatCommunity(community: Community): string {
  switch (community.kind) {
    case 'standard': {
      const named = Object.entries(wellKnownNames).find(([, value]) => value === community.value);
      return named?.[0] ?? `${Math.floor(community.value / 0x1_0000)}:${community.value % 0x1_0000}`;
    }
    case 'large':
      return community.value.join(':');
    case 'extended':
      return `0x${community.value.toString(16).padStart(16, '0')}`;
  }
}
