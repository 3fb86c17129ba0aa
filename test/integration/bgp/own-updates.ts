/** Every kind of UPDATE that the library encodes, with what a decoder must read in it. */
import {
  encodeEndOfRib,
  type PathAttributes,
  type UpdateContext,
  UpdatePacker,
} from '../../../src/bgp-speaker/index.ts';
import { Address, Cidr } from '../../../src/net/index.ts';

/** Names of fields of tshark without "bgp." in front, and their values, in order and with commas between. */
type Fields = Readonly<Record<string, string>>;

export interface OwnMessage {
  name: string;
  bytes: Uint8Array;
  /** Bytes of AS numbers in AS_PATH. */
  asBytes: 2 | 4;
  fields: Fields;
  /** What tshark 4.0 says, which does not know the RFC yet. */
  unknownAs?: RegExp;
}

export const one = (name: string, bytes: Uint8Array, fields: Fields): OwnMessage => ({
  name,
  bytes,
  asBytes: 4,
  fields,
});
const list = (values: readonly unknown[]) => values.join(',');

const modern: UpdateContext = { fourOctetAs: true, ipv4NextHopOverIpv6: true, maximumLength: 4096 };
const hop4 = Address.parse('192.0.2.1');
const hop6 = Address.parse('2001:db8::1');
const linkLocal = Address.parse('fe80::1');

/** Every length of a prefix, the address as long as it can be. */
const every = (family: 4 | 6): Cidr[] =>
  Array.from({ length: family === 4 ? 33 : 129 }, (_, length) => {
    const width = BigInt(family === 4 ? 32 : 128);
    const ones = ((1n << BigInt(length)) - 1n) << (width - BigInt(length));
    return Cidr.of(
      Address.of(family, ones & (family === 4 ? 0xdfff_ffffn : (0x3fffn << 112n) | ((1n << 112n) - 1n))),
      length,
    );
  });
const hosts = (count: number) =>
  Array.from({ length: count }, (_, index) => Cidr.of(Address.of(4, BigInt(0x0a00_0000 + index)), 32));

function packed(
  attributes: PathAttributes | 'withdraw',
  prefixes: readonly Cidr[],
  context: UpdateContext = modern,
): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const packer = new UpdatePacker(context, (bytes) => messages.push(bytes));
  const family = prefixes[0]?.family === 6 ? 'ipv6-unicast' : 'ipv4-unicast';
  if (attributes === 'withdraw') packer.withdraw(family);
  else packer.announce(family, attributes);
  for (const prefix of prefixes) packer.addCidr(prefix);
  packer.finish();
  return messages;
}

const addressesOf = (prefixes: readonly Cidr[]) => list(prefixes.map(({ address }) => address));
const path = 'update.path_attribute';

export function ownUpdates(): OwnMessage[] {
  const rich: PathAttributes = {
    origin: 'incomplete',
    asPath: [65_001, 4_200_000_001, 1],
    nextHop: hop4,
    multiExitDiscriminator: 0xffff_ffff,
    localPreference: 0,
    communities: [0xffff_0000, 0xffff_ff01, 0xfde9_0001],
    extendedCommunities: [0x0002_fde9_0000_0007n, 0x0202_fa56_ea01_0001n],
    largeCommunities: [[4_200_000_001, 1, 0xffff_ffff]],
  };
  const values: Fields = {
    [`${path}.origin`]: '2',
    [`${path}.as_path_segment.as4`]: '65001,4200000001,1',
    [`${path}.multi_exit_disc`]: '4294967295',
    [`${path}.local_pref`]: '0',
    [`${path}.community_wellknown`]: '0xffff0000,0xffffff01',
    [`${path}.community_as`]: '65001',
    [`${path}.community_value`]: '1',
    'ext_com.value_as2': '65001',
    'ext_com.value_as4': '4200000001',
    'large_communities.ga': '4200000001',
    'large_communities.ldp2': '4294967295',
  };
  const four = every(4);
  const six = every(6);
  const [global = ''] = [String(hop6)];
  const hops: Fields = {
    [`${path}.mp_reach_nlri.next_hop.ipv6`]: global,
    [`${path}.mp_reach_nlri.next_hop.ipv6.link_local`]: String(linkLocal),
  };
  const many: PathAttributes = {
    asPath: Array.from({ length: 600 }, (_, index) => index + 1),
    nextHop: hop4,
    communities: Array.from({ length: 64 }, (_, index) => index),
    extendedCommunities: Array.from({ length: 32 }, (_, index) => 0x0002_fde9_0000_0000n + BigInt(index)),
    largeCommunities: Array.from({ length: 22 }, (_, index) => [65_001, index, 0] as const),
  };
  const extended = { ...modern, maximumLength: 65_535 };
  const group = (name: string, messages: readonly Uint8Array[], fields: (index: number) => Fields) =>
    messages.map((bytes, index) => one(`${name}, message ${index + 1}`, bytes, fields(index)));
  const plain: PathAttributes = { asPath: [65_001], nextHop: hop4 };
  return [
    ...group('IPv4 with every attribute and length', packed(rich, four), () => ({
      ...values,
      [`${path}.next_hop`]: '192.0.2.1',
      nlri_prefix: addressesOf(four),
      prefix_length: list(four.map(({ prefixLength }) => prefixLength)),
      [`${path}.type_code`]: '1,2,3,4,5,8,16,32',
      [`${path}.flags.optional`]: '0,0,0,1,0,1,1,1',
      [`${path}.flags.transitive`]: '1,1,1,0,1,1,1,1',
    })),
    ...group(
      'IPv6 with every attribute and length',
      packed({ ...rich, nextHop: hop6, linkLocalNextHop: linkLocal }, six),
      () => ({
        ...values,
        ...hops,
        mp_reach_nlri_ipv6_prefix: addressesOf(six),
        [`${path}.type_code`]: '14,1,2,4,5,8,16,32',
        [`${path}.flags.optional`]: '1,0,0,1,0,1,1,1',
        [`${path}.flags.transitive`]: '0,1,1,0,1,1,1,1',
      }),
    ),
    ...group(
      'IPv4 over IPv6, two next hops',
      packed({ ...rich, nextHop: hop6, linkLocalNextHop: linkLocal }, four),
      () => ({
        ...hops,
        mp_reach_nlri_ipv4_prefix: addressesOf(four),
      }),
    ),
    ...group('IPv4 over IPv6, one next hop', packed({ ...plain, nextHop: hop6 }, four), () => ({
      [`${path}.mp_reach_nlri.next_hop.ipv6`]: global,
      mp_reach_nlri_ipv4_prefix: addressesOf(four),
    })),
    ...group('IPv4 withdrawn', packed('withdraw', four), () => ({ withdrawn_prefix: addressesOf(four) })),
    ...group('IPv6 withdrawn', packed('withdraw', six), () => ({
      mp_unreach_nlri_ipv6_prefix: addressesOf(six),
      [`${path}.flags.optional`]: '1',
      [`${path}.flags.transitive`]: '0',
    })),
    ...group('attributes of more than 255 bytes', packed(many, hosts(1)), () => ({
      [`${path}.flags.extended_length`]: '0,1,0,1,1,1',
      [`${path}.as_path_segment.length`]: '255,255,90',
      [`${path}.as_path_segment.as4`]: list(many.asPath),
      'large_communities.ldp1': list(Array.from({ length: 22 }, (_, index) => index)),
      nlri_prefix: '10.0.0.0',
    })),
    ...group('full messages', packed(plain, hosts(1620)), (index) => ({
      length: '4093',
      nlri_prefix: addressesOf(hosts(1620).slice(810 * index, 810 * (index + 1))),
    })),
    ...[
      ...group('an extended message of prefixes (RFC 8654)', packed(plain, hosts(11_000), extended), () => ({
        length: String(43 + 5 * 11_000),
        nlri_prefix: addressesOf(hosts(11_000)),
      })),
      ...group(
        'an extended message of attributes',
        packed({ ...plain, communities: Array.from({ length: 10_000 }, (_, index) => index) }, hosts(2), extended),
        () => ({ nlri_prefix: '10.0.0.0,10.0.0.1' }),
      ),
    ].map((message) => ({ ...message, unknownAs: /Length is invalid/ })),
    one('End-of-RIB of IPv4', encodeEndOfRib('ipv4-unicast'), { length: '23', nlri_prefix: '' }),
    one('End-of-RIB of IPv6', encodeEndOfRib('ipv6-unicast'), {
      length: '29',
      [`${path}.mp_unreach_nlri.afi`]: '2',
      mp_unreach_nlri_ipv6_prefix: '',
    }),
    one(
      'a route of our own to an internal peer',
      packed({ ...plain, asPath: [], localPreference: 100 }, hosts(1))[0] ?? new Uint8Array(0),
      {
        [`${path}.as_path_segment.as4`]: '',
        [`${path}.local_pref`]: '100',
      },
    ),
  ];
}

/** To peers without four-byte AS numbers (RFC 6793). */
export function oldUpdates(): OwnMessage[] {
  const context = { ...modern, fourOctetAs: false };
  const make = (asPath: readonly number[]) =>
    packed({ asPath, nextHop: hop4 }, hosts(1), context)[0] ?? new Uint8Array(0);
  return [
    {
      ...one('AS_TRANS and AS4_PATH', make([65_001, 4_200_000_001, 2]), {
        [`${path}.as_path_segment.as2`]: '65001,23456,2',
        [`${path}.as_path_segment.as4`]: '65001,4200000001,2',
        [`${path}.type_code`]: '1,2,3,17',
        [`${path}.flags.optional`]: '0,0,0,1',
        [`${path}.flags.transitive`]: '1,1,1,1',
      }),
      asBytes: 2,
    },
    {
      ...one('two-byte AS numbers alone', make([65_001, 2]), {
        [`${path}.as_path_segment.as2`]: '65001,2',
        [`${path}.type_code`]: '1,2,3',
      }),
      asBytes: 2,
    },
  ];
}
