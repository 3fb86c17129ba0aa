import { isIP } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Address, AddressRange, Cidr, compareAddresses, Mac } from '../../src/net/index.ts';

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6().filter((text) => !/^::ffff:(\d+\.|[0-9a-f]+:[0-9a-f]+$)/i.test(text));

describe('Address', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::', '::'],
    ['1::', '1::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s prints as %s (RFC 5952)', (text, canonical) => {
    expect(Address.parse(text).toString()).toBe(canonical);
  });

  test.each(['010.0.0.1', '1.2.3', '0x7f.1', '256.1.1.1', 'fe80::1%eth0', '1:2:3', '', ' 1.2.3.4', 'host'])(
    'refuses %j',
    (text) => {
      expect(() => Address.parse(text)).toThrow(/address/);
      expect(Address.tryParse(text)).toBeUndefined();
    },
  );

  test('an IPv4-mapped IPv6 address is refused with a hint', () => {
    expect(() => Address.parse('::ffff:192.0.2.1')).toThrow(/write the IPv4 address/);
  });

  test('text, bytes and value round-trip, and the text is what Node accepts', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (text) => {
        const address = Address.parse(text);
        expect(isIP(address.toString())).toBe(address.family);
        expect(Address.parse(address.toString()).equals(address)).toBe(true);
        expect(Address.fromBytes(address.toBytes()).equals(address)).toBe(true);
        expect(Address.of(address.family, address.value).toString()).toBe(address.toString());
      }),
    );
  });

  test('values outside the family are refused', () => {
    expect(() => Address.of(4, 1n << 32n)).toThrow(RangeError);
    expect(() => Address.of(6, -1n)).toThrow(RangeError);
    expect(() => Address.fromBytes(new Uint8Array(5))).toThrow(/4 or 16/);
  });

  test('sorts IPv4 before IPv6, then by value', () => {
    const sorted = ['2001:db8::1', '10.0.0.9', '10.0.0.10'].map((t) => Address.parse(t)).sort(compareAddresses);
    expect(sorted.map(String)).toEqual(['10.0.0.9', '10.0.0.10', '2001:db8::1']);
  });
});

describe('Cidr', () => {
  test('host bits are refused and the network is named', () => {
    expect(() => Cidr.parse('192.0.2.5/24')).toThrow(/did you mean "192.0.2.0\/24"/);
  });
  test.each(['192.0.2.0/33', '192.0.2.0', '192.0.2.0/', '192.0.2.0/-1', '192.0.2.0/024', '/24'])(
    'refuses %j',
    (text) => {
      expect(() => Cidr.parse(text)).toThrow();
    },
  );
  test('contains what its range contains', () => {
    fc.assert(
      fc.property(ipv4, fc.integer({ min: 0, max: 32 }), ipv4, (text, length, other) => {
        const cidr = Cidr.containing(Address.parse(text), length);
        expect(cidr.contains(Address.parse(text))).toBe(true);
        expect(cidr.contains(Address.parse(other))).toBe(AddressRange.ofCidr(cidr).contains(Address.parse(other)));
        expect(AddressRange.ofCidr(cidr).size).toBe(1n << BigInt(32 - length));
      }),
    );
  });
});

describe('AddressRange', () => {
  test.each([
    ['192.0.2.10-192.0.2.20', 11n],
    ['192.0.2.10 - 192.0.2.10', 1n],
    ['192.0.2.0/30', 4n],
    ['192.0.2.7', 1n],
    ['2001:db8::/64', 1n << 64n],
  ])('%s holds %s addresses', (text, size) => {
    expect(AddressRange.parse(text).size).toBe(size);
  });
  test('a reversed range is refused with the right order', () => {
    expect(() => AddressRange.parse('192.0.2.20-192.0.2.10')).toThrow(/write it as "192.0.2.10-192.0.2.20"/);
  });
  test('mixed families are refused', () => {
    expect(() => AddressRange.parse('192.0.2.20-2001:db8::1')).toThrow(/one family/);
  });
  test('prefixes cover a range exactly, in order and without overlap', () => {
    fc.assert(
      fc.property(ipv4, ipv4, (a, b) => {
        const [first, last] = [Address.parse(a), Address.parse(b)].sort(compareAddresses) as [Address, Address];
        const range = AddressRange.of(first, last);
        let next = first.value;
        for (const cidr of range.toCidrs()) {
          expect(cidr.address.value).toBe(next);
          next += AddressRange.ofCidr(cidr).size;
        }
        expect(next).toBe(last.value + 1n);
      }),
    );
  });
});

describe('Mac', () => {
  test('parses both separators, prints with colons', () => {
    expect(Mac.parse('02-00-5E-00-53-01').toString()).toBe('02:00:5e:00:53:01');
    expect(Mac.fromBytes(Mac.parse('02:00:5e:00:53:01').toBytes()).equals(Mac.parse('02:00:5e:00:53:01'))).toBe(true);
    expect(Mac.broadcast.isGroup).toBe(true);
    expect(Mac.zero.isGroup).toBe(false);
  });
  test.each(['02:00:5e:00:53', '02:00:5e:00:53:0g', '02005e005301'])('refuses %j', (text) => {
    expect(() => Mac.parse(text)).toThrow(/MAC/);
  });
});
