import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Admission,
  Admissions,
  coverWithout,
  type KeyRow,
  rowName,
} from '../../../src/bgp-speaker/transport/admissions.ts';
import { type KeyTable, ListenerKeys } from '../../../src/bgp-speaker/transport/listener-keys.ts';
import type { ConnectionOptions } from '../../../src/bgp-speaker/transport/transport.ts';
import { Address, Cidr } from '../../../src/net/index.ts';

const cidr = (text: string) => Cidr.parse(text);
const address = (text: string) => Address.parse(text);
const admitting = (...entries: [string, ConnectionOptions][]) =>
  entries.reduce((all, [peers, options]) => all.with({ peers: cidr(peers), options }), new Admissions());
const shown = (rows: readonly KeyRow[]) =>
  rows.map((row) => `${rowName(row)} ${row.kind === 'md5' ? String(row.key) : String(row.key.key)}`);

/** 16 addresses, so that overlaps are the rule. */
const base = address('10.0.0.0').value;
const everyAddress = Array.from({ length: 16 }, (_, i) => Address.of(4, base + BigInt(i)));
const anyPrefix = fc
  .record({ host: fc.nat(15), length: fc.integer({ min: 28, max: 32 }) })
  .map(({ host, length }) => Cidr.containing(Address.of(4, base + BigInt(host)), length));
const anyOptions: fc.Arbitrary<ConnectionOptions> = fc.oneof(
  fc.constant({}),
  fc.record({ password: fc.constantFrom('a', 'b') }),
  fc
    .uniqueArray(fc.record({ key: fc.constantFrom('c', 'd'), sendId: fc.nat(2), receiveId: fc.nat(2) }), {
      minLength: 1,
      maxLength: 2,
      comparator: (a, b) => a.sendId === b.sendId || a.receiveId === b.receiveId,
    })
    .map((authenticationKeys) => ({ authenticationKeys })),
);
const anyAdmission: fc.Arbitrary<Admission> = fc.record({ peers: anyPrefix, options: anyOptions });
const anyAdmissions = fc
  .array(anyAdmission, { maxLength: 8 })
  .map((list) => list.reduce((all, each) => all.with(each), new Admissions()));

/** What the kernel asks of a peer: the key of the longest MD5 prefix, and every TCP-AO key whose prefix holds it. */
function askedOf(rows: readonly KeyRow[], peer: Address): { md5: unknown; ao: unknown[] } {
  const holding = rows.filter((row) => row.peers.contains(peer));
  const md5 = holding.filter((row) => row.kind === 'md5').sort((a, b) => b.peers.prefixLength - a.peers.prefixLength);
  return { md5: md5[0]?.key, ao: holding.filter((row) => row.kind === 'ao').map((row) => row.key) };
}

/** As the kernel: refuses overlaps of the kinds and of TCP-AO keys, replaces MD5 keys. */
class Kernel implements KeyTable {
  readonly rows = new Map<string, KeyRow>();
  failures: boolean[] = [];
  onStep = () => {};

  add(row: KeyRow): void {
    if (this.failures.shift()) throw Object.assign(new Error('no memory'), { code: 'ENOMEM' });
    for (const other of this.rows.values()) {
      const overlap = other.peers.contains(row.peers.address) || row.peers.contains(other.peers.address);
      if (!overlap || (row.kind === 'md5' && other.kind === 'md5')) continue;
      if (row.kind !== other.kind) throw new Error(`EKEYREJECTED: ${rowName(row)} with ${rowName(other)}`);
      if (row.kind === 'ao' && other.kind === 'ao') {
        if (row.key.sendId === other.key.sendId || row.key.receiveId === other.key.receiveId) {
          throw new Error(`EEXIST: ${rowName(row)} with ${rowName(other)}`);
        }
      }
    }
    this.rows.set(rowName(row), row);
    this.onStep();
  }

  remove(row: KeyRow): void {
    if (!this.rows.delete(rowName(row))) throw Object.assign(new Error('not there'), { code: 'ENOENT' });
    this.onStep();
  }
}

describe('whom a listener admits', () => {
  test('the longest prefix that holds the address counts', () => {
    const all = admitting(['10.0.0.0/8', { multihop: 1 }], ['10.1.0.0/16', { multihop: 2 }], ['10.1.2.3/32', {}]);
    expect(all.match(address('10.1.2.3'))?.options).toEqual({});
    expect(all.match(address('10.1.2.4'))?.options).toEqual({ multihop: 2 });
    expect(all.match(address('10.2.0.0'))?.options).toEqual({ multihop: 1 });
    expect(all.match(address('11.0.0.0'))).toBeUndefined();
    expect(all.match(address('::a01:203'))).toBeUndefined();
  });

  test('link-local peers are told apart by interface, and still fall under a wider prefix', () => {
    const all = admitting(
      ['fe80::1/128', { interface: 'eth0', multihop: 1 }],
      ['fe80::1/128', { interface: 'eth1', multihop: 2 }],
      ['fe80::/64', { interface: 'eth2', multihop: 3 }],
      ['::/0', { multihop: 4 }],
    );
    const match = (text: string, name: string) => all.match(address(text), name)?.options.multihop;
    expect([match('fe80::1', 'eth0'), match('fe80::1', 'eth1'), match('fe80::1', 'eth2')]).toEqual([1, 2, 3]);
    expect([match('fe80::1', 'eth3'), match('2001:db8::1', 'eth0')]).toEqual([4, 4]);
    const less = all.without(cidr('fe80::1/128'), 'eth1');
    expect([less.match(address('fe80::1'), 'eth0')?.options.multihop, less.match(address('fe80::1'), 'eth1')]).toEqual([
      1,
      { peers: cidr('::/0'), options: { multihop: 4 } },
    ]);
  });
});

describe('the keys of a listener', () => {
  test('a peer without a key gets a hole in the keyed prefix around it', () => {
    const all = admitting(['10.0.0.0/30', { password: 'a' }], ['10.0.0.1/32', {}]);
    expect(shown(all.keys())).toEqual(['10.0.0.0/32 md5 a', '10.0.0.2/31 md5 a']);
  });

  test('a peer with another password needs no hole: the longest prefix counts', () => {
    const all = admitting(['10.0.0.0/30', { password: 'a' }], ['10.0.0.1/32', { password: 'b' }]);
    expect(shown(all.keys())).toEqual(['10.0.0.0/30 md5 a', '10.0.0.1/32 md5 b']);
  });

  test('one link-local address with two keys is refused, with one key not', () => {
    const one: [string, ConnectionOptions] = ['fe80::1/128', { interface: 'eth0', password: 'a' }];
    expect(() => admitting(one, ['fe80::1/128', { interface: 'eth1', password: 'b' }]).keys()).toThrow(
      /different keys; the kernel needs a listener for each interface/,
    );
    expect(() => admitting(one, ['fe80::1/128', { interface: 'eth1' }]).keys()).toThrow(/different keys/);
    expect(shown(admitting(one, ['fe80::1/128', { interface: 'eth1', password: 'a' }]).keys())).toEqual([
      'fe80::1/128 md5 a',
    ]);
  });

  test('a hole in an IPv6 prefix costs one prefix a bit', () => {
    const parts = coverWithout(cidr('2001:db8::/32'), [cidr('2001:db8::5/128'), cidr('2001:db8::5/128')]);
    expect(parts).toHaveLength(96);
    expect(parts.some((part) => part.contains(address('2001:db8::5')))).toBe(false);
    expect(coverWithout(cidr('10.0.0.0/8'), [cidr('0.0.0.0/0')])).toEqual([]);
  });

  test('the kernel asks each peer for exactly the key of its admission', () => {
    fc.assert(
      fc.property(anyAdmissions, (all) => {
        const rows = all.keys();
        for (const peer of everyAddress) {
          const options = all.match(peer)?.options ?? {};
          const asked = askedOf(rows, peer);
          expect(asked.md5).toBe(options.password);
          expect(new Set(asked.ao)).toEqual(new Set(options.authenticationKeys ?? []));
        }
      }),
    );
  });

  test('whatever follows whatever, the kernel takes every step, and a peer that keeps a password is never without', () => {
    fc.assert(
      fc.property(fc.array(anyAdmissions, { minLength: 2, maxLength: 5 }), (stages) => {
        const kernel = new Kernel();
        const keys = new ListenerKeys(kernel);
        let before = new Admissions();
        for (const after of stages) {
          const keeps = everyAddress.filter(
            (peer) =>
              before.match(peer)?.options.password !== undefined && after.match(peer)?.options.password !== undefined,
          );
          const bare = new Set<string>();
          kernel.onStep = () => {
            const rows = [...kernel.rows.values()];
            for (const peer of keeps) if (askedOf(rows, peer).md5 === undefined) bare.add(String(peer));
          };
          keys.apply(after.keys());
          expect(bare).toEqual(new Set());
          expect([...kernel.rows.values()].map(rowName).sort()).toEqual(after.keys().map(rowName).sort());
          for (const row of after.keys()) expect(kernel.rows.get(rowName(row))?.secret).toBe(row.secret);
          before = after;
        }
      }),
    );
  });

  test('a kernel without memory gives a typed error, and the next attempt goes on from there', () => {
    fc.assert(
      fc.property(anyAdmissions, anyAdmissions, fc.array(fc.boolean(), { maxLength: 6 }), (first, second, failures) => {
        const kernel = new Kernel();
        const keys = new ListenerKeys(kernel);
        keys.apply(first.keys());
        kernel.failures = [...failures];
        for (let i = 0; i <= failures.length; i++) {
          try {
            keys.apply(second.keys());
            break;
          } catch (thrown) {
            expect(thrown).toMatchObject({ code: 'Listen', errno: 'ENOMEM' });
            expect(String(thrown)).toContain('net.core.optmem_max');
          }
        }
        expect([...kernel.rows.keys()].sort()).toEqual(second.keys().map(rowName).sort());
      }),
    );
  });

  test('an unchanged set makes no call', () => {
    const kernel = new Kernel();
    const keys = new ListenerKeys(kernel);
    const all = admitting(['10.0.0.0/30', { password: Uint8Array.of(1, 2) }], ['10.0.0.1/32', {}]);
    keys.apply(all.keys());
    kernel.onStep = () => {
      throw new Error('called');
    };
    keys.apply(admitting(['10.0.0.1/32', {}], ['10.0.0.0/30', { password: '\u0001\u0002' }]).keys());
  });
});
