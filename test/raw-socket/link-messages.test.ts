import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RawSocketError } from '../../src/raw-socket/index.ts';
import { decodeRouteMessages, encodeDumpRequest } from '../../src/raw-socket/link-messages.ts';
import {
  address,
  attribute,
  done,
  ipv4,
  link,
  message,
  NLMSG_ERROR,
  named,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  text,
  u32,
} from './netlink-bytes.ts';

const decode = (...parts: number[][]) => decodeRouteMessages(Uint8Array.from(parts.flat()));
const envelope = { sequence: 0, interrupted: false };

describe('links', () => {
  test('every field of an Ethernet link in a bridge', () => {
    const bytes = link({
      index: 7,
      flags: 0x1 | 0x2 | 0x40 | 0x1000 | 0x10000,
      attributes: [
        attribute(3, text('eth0')),
        attribute(1, [2, 0, 0x5e, 0, 0x53, 1]),
        attribute(4, u32(9000)),
        attribute(5, u32(12)),
        attribute(10, u32(3)),
        attribute(16, [6]),
        attribute(18 | 0x8000, [...attribute(1, text('veth')), ...attribute(2, [1, 2, 3])]),
        attribute(49999 & 0x3fff, [1]),
      ],
    });
    expect(decode(message(RTM_NEWLINK, bytes, { sequence: 9, flags: 2 }))).toEqual([
      {
        type: 'link',
        sequence: 9,
        interrupted: false,
        link: {
          index: 7,
          name: 'eth0',
          kind: 'veth',
          flags: {
            up: true,
            running: true,
            broadcast: true,
            loopback: false,
            pointToPoint: false,
            noArp: false,
            multicast: true,
          },
          carrier: true,
          operationalState: 'up',
          mac: Uint8Array.of(2, 0, 0x5e, 0, 0x53, 1),
          ethernet: true,
          mtu: 9000,
          masterIndex: 3,
          lowerIndex: 12,
        },
      },
    ]);
  });

  test('flags of a tunnel without ARP and with an unknown state', () => {
    const [decoded] = decode(
      message(
        RTM_NEWLINK,
        link({
          index: 2,
          hardware: 776,
          flags: 0x10 | 0x80,
          attributes: [attribute(3, text('sit0')), attribute(16, [99])],
        }),
      ),
    );
    expect(decoded).toMatchObject({
      link: {
        name: 'sit0',
        ethernet: false,
        carrier: false,
        operationalState: 'unknown',
        mac: new Uint8Array(0),
        flags: { up: false, pointToPoint: true, noArp: true },
      },
    });
  });

  test('what a bridge says of a port leaving it is not the end of the interface', () => {
    const port = link({ family: 7, index: 7, attributes: [attribute(3, text('eth0'))] });
    expect(decode(message(RTM_DELLINK, port), message(RTM_NEWLINK, port))).toEqual([]);
    expect(decode(message(RTM_DELLINK, link({ index: 7 })))).toEqual([{ ...envelope, type: 'link-gone', index: 7 }]);
  });

  test('a name fills its attribute without a final zero', () => {
    const [decoded] = decode(
      message(RTM_NEWLINK, link({ index: 1, attributes: [attribute(3, [...Buffer.from('lan')])] })),
    );
    expect(decoded).toMatchObject({ link: { name: 'lan' } });
  });
});

describe('addresses', () => {
  test('IPv4: the local address wins over that of the peer', () => {
    const bytes = address(2, 32, 0, 5, [attribute(1, [10, 0, 0, 2]), attribute(2, [10, 0, 0, 1])]);
    expect(decode(message(RTM_NEWADDR, bytes))).toEqual([
      {
        ...envelope,
        type: 'address',
        address: { index: 5, address: Uint8Array.of(10, 0, 0, 1), prefixLength: 32, scope: 'global', tentative: false },
      },
    ]);
  });

  test.each([
    [0x40, true],
    [0x08, true],
    [0x80, false],
  ])('IPv6 with flags %i: tentative %s', (flags, tentative) => {
    const bytes = [0xfe, 0x80, ...new Array<number>(13).fill(0), 1];
    const body = address(10, 64, 253, 5, [attribute(1, bytes), attribute(8, u32(flags))]);
    expect(decode(message(RTM_DELADDR, body))).toEqual([
      {
        ...envelope,
        type: 'address-gone',
        address: { index: 5, address: Uint8Array.from(bytes), prefixLength: 64, scope: 'link', tentative },
      },
    ]);
  });

  test('other families are none of ours', () => {
    expect(decode(message(RTM_NEWADDR, address(28, 8, 0, 1, [])))).toEqual([]);
  });
});

test('several messages, ends, acknowledgements, errors and strangers in one datagram', () => {
  const messages = decode(
    message(24, [1, 2, 3]),
    message(RTM_NEWLINK, named(1, 'lo'), { sequence: 4, flags: 0x12 }),
    message(RTM_NEWADDR, ipv4(1, 127, 0, 0, 1)),
    done(4, 0x10),
    message(NLMSG_ERROR, [...u32(-16 >>> 0), ...new Array<number>(16).fill(0)], { sequence: 5 }),
    message(NLMSG_ERROR, u32(0), { sequence: 6 }),
    message(3, u32(-4 >>> 0), { sequence: 7 }),
  );
  expect(messages.map(({ type, sequence, interrupted }) => [type, sequence, interrupted])).toEqual([
    ['link', 4, true],
    ['address', 0, false],
    ['done', 4, true],
    ['error', 5, false],
    ['error', 6, false],
    ['error', 7, false],
  ]);
  expect(messages.flatMap((m) => (m.type === 'error' ? [m.errno] : []))).toEqual([16, -0, 4]);
});

describe('malformed input', () => {
  test.each<[string, number[]]>([
    ['a message longer than the datagram', [...u32(99), ...new Array<number>(12).fill(0)]],
    ['a message shorter than its header', [...u32(15), ...new Array<number>(12).fill(0)]],
    ['a link message without body', message(RTM_NEWLINK, [0, 0])],
    ['a link without a name', message(RTM_NEWLINK, link({ index: 1 }))],
    ['an attribute shorter than its header', message(RTM_NEWLINK, [...link({ index: 1 }), ...[3, 0, 3, 0]])],
    ['an attribute longer than the message', message(RTM_NEWLINK, [...link({ index: 1 }), ...[40, 0, 3, 0]])],
    [
      'a short number',
      message(RTM_NEWLINK, link({ index: 1, attributes: [attribute(3, text('a')), attribute(4, [1, 2])] })),
    ],
    ['an address message without body', message(RTM_NEWADDR, [2, 24])],
    ['an address message without address', message(RTM_NEWADDR, address(2, 24, 0, 1, []))],
    [
      'an IPv4 address of 16 bytes',
      message(RTM_NEWADDR, address(2, 24, 0, 1, [attribute(1, new Array<number>(16).fill(0))])),
    ],
    ['a prefix of 33 bits', message(RTM_NEWADDR, address(2, 33, 0, 1, [attribute(1, [1, 2, 3, 4])]))],
    ['an error without its number', message(NLMSG_ERROR, [1])],
  ])('%s', (_, bytes) => {
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: 'Malformed' }));
  });

  const valid = [
    ...message(
      RTM_NEWLINK,
      link({ index: 3, attributes: [attribute(3, text('eth0')), attribute(18, attribute(1, text('vlan')))] }),
    ),
    ...message(RTM_NEWADDR, ipv4(3, 192, 0, 2, 1)),
    ...done(1),
  ];

  test('truncated anywhere, and with any byte changed, it is Malformed or readable, never anything else', () => {
    for (let length = 0; length < valid.length; length++) expectOrderly(valid.slice(0, length));
    const change = fc.record({ at: fc.nat(valid.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = [...valid];
        for (const { at, byte } of changes) bytes[at] = byte;
        expectOrderly(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  test('noise is Malformed or readable, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => expectOrderly([...bytes])),
      { numRuns: 1000 },
    );
  });

  function expectOrderly(bytes: number[]): void {
    try {
      decode(bytes);
    } catch (thrown) {
      if (!(thrown instanceof RawSocketError) || thrown.code !== 'Malformed') throw thrown;
    }
  }
});

test('requests are those that iproute2 sends', () => {
  expect([...encodeDumpRequest(22, 7)]).toEqual(
    message(22, link({ index: 0, hardware: 0, flags: 0 }), { sequence: 7, flags: 0x301 }),
  );
  expect([...encodeDumpRequest(18, 8)]).toEqual(
    message(18, link({ index: 0, hardware: 0, flags: 0, attributes: [attribute(29, u32(8))] }), {
      sequence: 8,
      flags: 0x301,
    }),
  );
});
