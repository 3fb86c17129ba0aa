import { describe, expect, test } from '@jest/globals';
import { type OutboundPeer, outboundAttributes } from '../../../src/bgp-speaker/speaker/outbound-policy.ts';
import { Address } from '../../../src/net/index.ts';

function peer({ internal = false, address = '192.0.2.2' } = {}): OutboundPeer {
  return {
    view: {
      name: 'router',
      address: Address.parse(address),
      asNumber: 65002,
      identifier: Address.parse('10.0.0.2'),
      internal,
      families: ['ipv4-unicast', 'ipv6-unicast'],
    },
    ownPath: [65001],
    nextHops: { ipv4: Address.parse('192.0.2.1'), ipv6: Address.parse('2001:db8::1') },
    ipv4NextHopOverIpv6: true,
    exportRoute: undefined,
  };
}
const hop = (text: string) => ({ nextHop: Address.parse(text) });

describe('RFC 4271 section 5.1.3: the address of a peer is no next hop for it', () => {
  test.each([
    ['192.0.2.2', hop('192.0.2.2'), 'ipv4-unicast'],
    ['2001:db8::2', hop('2001:db8::2'), 'ipv6-unicast'],
    ['2001:db8::2', hop('2001:db8::2'), 'ipv4-unicast'],
    ['fe80::2', { ...hop('2001:db8::9'), linkLocalNextHop: Address.parse('fe80::2') }, 'ipv6-unicast'],
  ] as const)('%s', (address, attributes, family) => {
    expect(() => outboundAttributes(attributes, family, peer({ address }), 'normal')).toThrow(
      `nextHop: ${address} is the peer itself`,
    );
    expect(outboundAttributes(attributes, family, peer({ address: '192.0.2.3' }), 'normal')).toMatchObject(attributes);
  });
});

describe('RFC 8326: what is about to leave', () => {
  test.each([
    ['an internal peer', { internal: true }, {}, 0],
    ['an internal peer, with a preference given', { internal: true }, { localPreference: 300 }, 0],
    ['an external peer', {}, { localPreference: 300 }, undefined],
  ] as const)('%s', (_, kind, attributes, preference) => {
    const of = (mode: 'normal' | 'graceful-shutdown') =>
      outboundAttributes({ ...attributes, communities: [1] }, 'ipv4-unicast', peer(kind), mode);
    expect([of('graceful-shutdown').localPreference, of('graceful-shutdown').communities]).toEqual([
      preference,
      [1, 0xffff_0000],
    ]);
    expect([of('normal').communities, of('normal').localPreference === preference]).toEqual([
      [1],
      preference === undefined,
    ]);
  });
});
