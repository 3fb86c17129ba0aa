import { describe, expect, test } from '@jest/globals';
import { checkConnectionOptions, leastTtl } from '../../../src/bgp-speaker/transport/connection-options.ts';
import type { ConnectionOptions } from '../../../src/bgp-speaker/transport/transport.ts';
import { Address, Cidr } from '../../../src/net/index.ts';

const problems = (peers: string, options: ConnectionOptions): unknown => {
  try {
    checkConnectionOptions(Cidr.parse(peers), options);
    return [];
  } catch (thrown) {
    return (thrown as { problems?: { field: string }[] }).problems?.map(({ field }) => field) ?? thrown;
  }
};
const key = { key: 'secret', sendId: 1, receiveId: 1 };

describe('the options of a connection', () => {
  test.each<[string, string, ConnectionOptions]>([
    ['none', '192.0.2.1/32', {}],
    ['a source address and all limits', '2001:db8::/64', { localAddress: Address.parse('::1'), userTimeoutMs: 1 }],
    ['the longest password', '192.0.2.1/32', { password: 'x'.repeat(80), multihop: 255 }],
    ['two keys', '192.0.2.1/32', { authenticationKeys: [key, { ...key, sendId: 2, receiveId: 2 }] }],
    ['a link-local peer with its interface', 'fe80::1/128', { interface: 'eth0', ttlSecurityHops: 1 }],
    ['every IPv6 address, link-local ones among them', '::/0', {}],
  ])('%s', (_, peers, options) => expect(problems(peers, options)).toEqual([]));

  test.each<[string, string, ConnectionOptions, string[]]>([
    ['a link-local peer without interface', 'fe80::1/128', {}, ['interface']],
    ['an empty interface', '192.0.2.1/32', { interface: '' }, ['interface']],
    ['no hops', '192.0.2.1/32', { ttlSecurityHops: 0 }, ['ttlSecurityHops']],
    ['255 hops', '192.0.2.1/32', { ttlSecurityHops: 255 }, ['ttlSecurityHops']],
    ['both TTLs', '192.0.2.1/32', { ttlSecurityHops: 1, multihop: 2 }, ['multihop']],
    ['TTL 0', '192.0.2.1/32', { multihop: 0 }, ['multihop']],
    ['half a millisecond', '192.0.2.1/32', { userTimeoutMs: 0.5 }, ['userTimeoutMs']],
    ['a source of the other family', '192.0.2.1/32', { localAddress: Address.parse('::1') }, ['localAddress']],
    ['an empty password', '192.0.2.1/32', { password: '' }, ['password']],
    ['a password of 81 bytes', '192.0.2.1/32', { password: `${'x'.repeat(79)}é` }, ['password']],
    ['password and keys', '192.0.2.1/32', { password: 'a', authenticationKeys: [key] }, ['password']],
    ['no keys', '192.0.2.1/32', { authenticationKeys: [] }, ['authenticationKeys']],
    ['an identifier of 256', '192.0.2.1/32', { authenticationKeys: [{ ...key, sendId: 256 }] }, ['authenticationKeys']],
    [
      'keys with one identifier',
      '192.0.2.1/32',
      { authenticationKeys: [key, { ...key, receiveId: 2 }] },
      ['authenticationKeys'],
    ],
    ['several at once', 'fe80::/64', { multihop: 0, password: '' }, ['multihop', 'interface', 'password']],
  ])('refuses %s', (_, peers, options, fields) => expect(problems(peers, options)).toEqual(fields));

  test('RFC 5082: a peer n hops away arrives with at least 256 - n', () => {
    expect([1, 2, 254].map((ttlSecurityHops) => leastTtl({ ttlSecurityHops }))).toEqual([255, 254, 2]);
    expect(leastTtl({ multihop: 5 })).toBe(1);
  });
});
