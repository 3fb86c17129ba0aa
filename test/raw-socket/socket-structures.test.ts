import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addressBytes, encodeSocketAddress } from '../../src/raw-socket/socket-address.ts';
import { encodeAoDelete, encodeAoKey, encodeMd5Key } from '../../src/raw-socket/tcp-authentication.ts';

const badArgument = expect.objectContaining({ code: 'BadArgument' });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const zeros = (count: number) => '00'.repeat(count);

describe('addresses', () => {
  test('every way of writing the same IPv6 address', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.nat(8),
        fc.nat(8),
        fc.boolean(),
        (bytes, a, b, dotted) => {
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          const value = Uint8Array.from(bytes, (byte, i) => (i >= 2 * from && i < 2 * to ? 0 : byte));
          const group = (i: number) => (((value[2 * i] ?? 0) << 8) | (value[2 * i + 1] ?? 0)).toString(16);
          const groups = Array.from({ length: 8 }, (_, i) => group(i));
          const tail = dotted && to <= 6 ? [...groups.slice(to, 6), value.slice(12).join('.')] : groups.slice(to);
          const written =
            from === to
              ? [...groups.slice(0, from), ...tail].join(':')
              : `${groups.slice(0, from).join(':')}::${tail.join(':')}`;
          expect(hex(addressBytes(written))).toBe(hex(value));
        },
      ),
    );
  });

  test.each(['', '1.2.3', '1.2.3.256', 'fe80::1%eth0', '::g', 'a.b.c.d'])('%j is refused', (text) => {
    expect(() => addressBytes(text)).toThrow(badArgument);
  });

  test('sockaddr_in and sockaddr_in6', () => {
    expect(hex(encodeSocketAddress('192.0.2.1', 179))).toBe(`020000b3c0000201${zeros(8)}`);
    expect(hex(encodeSocketAddress('fe80::1', 3784, 5))).toBe(`0a000ec8${zeros(4)}fe80${zeros(13)}0105000000`);
    expect(() => encodeSocketAddress('192.0.2.1', 65536)).toThrow(badArgument);
  });
});

describe('struct tcp_md5sig', () => {
  test('one peer', () => {
    const bytes = encodeMd5Key({ address: '192.0.2.1', key: 'secret' });
    expect(hex(bytes)).toBe(`02000000c0000201${zeros(120)}00000600000000007365637265740000${zeros(72)}`);
    expect(bytes).toHaveLength(216);
  });

  test('a prefix on an interface', () => {
    const bytes = encodeMd5Key({ address: '2001:db8::', prefixLength: 32, interfaceIndex: 7, key: Uint8Array.of(1) });
    expect(hex(bytes.subarray(0, 12))).toBe('0a0000000000000020010db8');
    expect(hex(bytes.subarray(128, 138))).toBe('03200100070000000100');
  });

  test('keys of up to 80 bytes, prefixes that fit', () => {
    expect(encodeMd5Key({ address: '1.2.3.4', key: 'x'.repeat(80) })[215]).toBe(120);
    expect(() => encodeMd5Key({ address: '1.2.3.4', key: 'x'.repeat(81) })).toThrow(badArgument);
    expect(() => encodeMd5Key({ address: '1.2.3.4', key: 'é'.repeat(41) })).toThrow(badArgument);
    expect(() => encodeMd5Key({ address: '1.2.3.4', prefixLength: 33, key: 'x' })).toThrow(badArgument);
  });
});

describe('struct tcp_ao_add and tcp_ao_del', () => {
  test('the layout of linux/tcp.h', () => {
    const bytes = encodeAoKey({
      address: '192.0.2.0',
      prefixLength: 24,
      interfaceIndex: 3,
      key: 'k',
      sendId: 100,
      receiveId: 101,
      setNext: true,
      excludeOptions: true,
    });
    expect(bytes).toHaveLength(288);
    expect(hex(bytes.subarray(0, 8))).toBe('02000000c0000200');
    expect(Buffer.from(bytes.subarray(128, 139)).toString('latin1')).toBe('hmac(sha1)\0');
    expect(hex(bytes.subarray(192, 210))).toBe(`0300000002000000000018646500${'0301'}6b00`);
    const gone = encodeAoDelete({ address: '2001:db8::1', sendId: 1, receiveId: 2 });
    expect(hex(gone.subarray(128))).toBe('00000000000000000000800102000000');
  });

  test.each([{ key: '' }, { key: 'x'.repeat(81) }, { sendId: 256 }, { receiveId: -1 }, { prefixLength: 33 }])(
    '%j is refused',
    (wrong) => {
      expect(() => encodeAoKey({ address: '1.2.3.4', key: 'k', sendId: 1, receiveId: 1, ...wrong })).toThrow(
        badArgument,
      );
    },
  );
});
