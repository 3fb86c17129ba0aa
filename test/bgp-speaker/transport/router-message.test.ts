import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeRouterMessage,
  encodeAdvertisement,
  encodeSolicitation,
} from '../../../src/bgp-speaker/transport/router-message.ts';
import { Address, Mac } from '../../../src/net/index.ts';

const self = Address.parse('fe80::a');
const mac = Mac.parse('02:00:00:00:00:0a');
const hex = (text: string) =>
  Uint8Array.from(text.replace(/\s/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** Built by another way than the encoder's: 16-bit words summed from text. */
function frame(payload: string, change: { source?: string; hopLimit?: number; next?: number; checksum?: number } = {}) {
  const body = hex(payload);
  const source = Address.parse(change.source ?? 'fe80::1').toBytes();
  const destination = Address.parse('ff02::1').toBytes();
  const words = Buffer.concat([source, destination, Uint8Array.of(0, 0, 0, body.length, 0, 0, 0, 58), body]);
  let sum = 0;
  for (let at = 0; at < words.length; at++) sum += at % 2 === 0 ? (words[at] ?? 0) * 256 : (words[at] ?? 0);
  const checksum = change.checksum ?? 0xffff - (sum % 0xffff);
  new DataView(body.buffer).setUint16(2, checksum);
  return Uint8Array.from([
    ...hex('333300000001 020000000001 86dd'),
    ...hex('60000000'),
    0,
    body.length,
    change.next ?? 58,
    change.hopLimit ?? 255,
    ...source,
    ...destination,
    ...body,
  ]);
}
/** FRR's: hop limit 64, lifetime 1800, MTU and source link-layer address options. */
const frr = '86 00 0000 40 00 0708 00000000 00000000 0501 0000 000005dc 0101 020000000001';
const bare = '86 00 0000 00 00 0000 00000000 00000000';
const solicitation = '85 00 0000 00000000';

describe('router messages received', () => {
  test.each([
    ['an advertisement as FRR sends it', frame(frr), { type: 'advertisement', lifetimeSeconds: 1800 }],
    ['one without options: the MAC is the frame’s', frame(bare), { type: 'advertisement', lifetimeSeconds: 0 }],
    ['unknown options', frame(`${bare} fd02 ${'00'.repeat(14)}`), { type: 'advertisement', lifetimeSeconds: 0 }],
    [
      'padding behind the packet',
      Uint8Array.from([...frame(frr), 1, 2, 3]),
      { type: 'advertisement', lifetimeSeconds: 1800 },
    ],
  ])('%s', (_, bytes, expected) => {
    expect(decodeRouterMessage(bytes)).toMatchObject({ ...expected, source: Address.parse('fe80::1') });
    expect(decodeRouterMessage(bytes)).toMatchObject({ mac: Mac.parse('02:00:00:00:00:01') });
  });

  test('the source option names the MAC, not the frame', () => {
    const message = decodeRouterMessage(frame(`${bare} 0101 0200000000ff`));
    expect(message).toMatchObject({ mac: Mac.parse('02:00:00:00:00:ff') });
  });

  test('solicitations, also of a host that has no address yet', () => {
    for (const source of ['fe80::2', '2001:db8::1', '::']) {
      expect(decodeRouterMessage(frame(solicitation, { source }))).toEqual({
        type: 'solicitation',
        source: Address.parse(source),
      });
    }
  });

  test.each([
    ['a hop limit of 254: it came through a router', frame(frr, { hopLimit: 254 }), 'hop-limit'],
    ['a wrong checksum', frame(frr, { checksum: 0x1234 }), 'checksum'],
    ['another code', frame(frr.replace('86 00', '86 01')), 'code'],
    ['a source that is not link-local', frame(frr, { source: '2001:db8::1' }), 'source'],
    ['no source', frame(frr, { source: '::' }), 'source'],
    ['an option of length 0', frame(`${bare} 0100 020000000001`), 'option'],
    ['an option beyond the end', frame(`${bare} 0102 020000000001`), 'option'],
    ['half an option', frame(`${bare} 01`), 'option'],
    ['an advertisement shorter than its fields', frame('86 00 0000 00 00 0000 00000000'), 'truncated'],
    [
      'a solicitation from nowhere with a source option',
      frame(`${solicitation} 0101 020000000001`, { source: '::' }),
      'source-option',
    ],
    ['a solicitation from a group', frame(solicitation, { source: 'ff02::1' }), 'source'],
    ['a neighbour solicitation', frame(`87 00 0000 00000000 ${'00'.repeat(16)}`), 'not-router-discovery'],
    ['an extension header in front', frame(frr, { next: 0 }), 'not-router-discovery'],
    ['an empty frame', Uint8Array.of(), 'truncated'],
  ])('refuses %s', (_, bytes, fault) => expect(decodeRouterMessage(bytes)).toEqual({ fault }));

  test('every truncation and every bit that flips in the message is noticed', () => {
    const whole = frame(frr);
    for (let length = 0; length < whole.length; length++) {
      expect(decodeRouterMessage(whole.subarray(0, length))).toEqual({ fault: 'truncated' });
    }
    for (let bit = (14 + 8) * 8; bit < whole.length * 8; bit++) {
      const bytes = Uint8Array.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeRouterMessage(bytes)).toHaveProperty('fault');
    }
  });

  test('a declared length that is shorter cuts options off, a longer one is refused', () => {
    for (let declared = 0; declared < 256; declared++) {
      const bytes = frame(frr);
      bytes[19] = declared;
      expect(decodeRouterMessage(bytes)).toEqual(
        declared === 32 ? expect.objectContaining({ type: 'advertisement' }) : { fault: expect.any(String) },
      );
    }
  });

  test('no bytes make it throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void decodeRouterMessage(bytes)));
    fc.assert(
      fc.property(fc.nat(90), fc.nat(255), (at, value) => {
        const bytes = frame(frr);
        bytes[at] = value;
        decodeRouterMessage(bytes);
      }),
    );
  });
});

describe('router messages sent', () => {
  test('an advertisement makes nobody a default router and fills no cache but with our MAC', () => {
    expect(encodeAdvertisement(self, mac)).toEqual(
      hex(`333300000001 02000000000a 86dd 6c000000 0018 3a ff fe80000000000000000000000000000a
           ff020000000000000000000000000001 8600 7913 00 00 0000 00000000 00000000 0101 02000000000a`),
    );
    expect(decodeRouterMessage(encodeAdvertisement(self, mac))).toEqual({
      type: 'advertisement',
      source: self,
      mac,
      lifetimeSeconds: 0,
    });
  });

  test('a solicitation goes to all routers', () => {
    const bytes = encodeSolicitation(self, mac);
    expect(bytes.subarray(0, 6)).toEqual(hex('333300000002'));
    expect(Address.fromBytes(bytes.subarray(38, 54))).toEqual(Address.parse('ff02::2'));
    expect(decodeRouterMessage(bytes)).toEqual({ type: 'solicitation', source: self });
  });
});
