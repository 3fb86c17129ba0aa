import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { countBuggy, FreeAddresses, isBuggy } from '../../src/ipam/free-addresses.ts';
import { Address, AddressRange } from '../../src/net/index.ts';

const at = (last: number) => Address.of(4, 0xc0000200n + BigInt(last));
const range = (first: number, last: number) => AddressRange.of(at(first), at(last));

test('against a plain list: lowest fresh first, then returned ones in order, the memory for those bounded', () => {
  const step = fc.oneof(
    fc.constant({ kind: 'next' as const }),
    fc.record({ kind: fc.constant('take' as const), index: fc.nat(40) }),
    fc.record({ kind: fc.constant('give' as const), index: fc.nat(40) }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120 }),
      fc.integer({ min: 1, max: 5 }),
      fc.boolean(),
      (steps, memory, avoid) => {
        // 192.0.2.250 to 192.0.3.4 without a gap, and 192.0.3.10 to 192.0.3.20.
        const ranges = [range(250, 253), range(254, 260), range(266, 276)];
        const excluded = (address: Address) => avoid && isBuggy(address.value);
        const free = new FreeAddresses(4, ranges, avoid ? isBuggy : () => false, memory);
        let fresh = Array.from({ length: 300 }, (_, i) => at(i)).filter(
          (address) => ranges.some((candidate) => candidate.contains(address)) && !excluded(address),
        );
        const all = [...fresh];
        let returned: Address[] = [];
        const remove = (address: Address) => {
          fresh = fresh.filter((other) => !other.equals(address));
          returned = returned.filter((other) => !other.equals(address));
        };
        for (const action of steps) {
          const expected = fresh[0] ?? returned[0];
          expect(String(free.peek())).toBe(String(expected));
          const address = action.kind === 'next' ? expected : all[action.index];
          if (!address) continue;
          const isFree = [...fresh, ...returned].some((other) => other.equals(address));
          if (action.kind === 'give') {
            if (isFree) continue;
            free.giveBack(address);
            returned.push(address);
            const oldest = returned.length > memory ? returned.shift() : undefined;
            if (oldest) fresh = [...fresh, oldest].sort((a, b) => (a.value < b.value ? -1 : 1));
          } else {
            free.take(address);
            remove(address);
          }
          expect([...free.returned()].map(String)).toEqual(returned.map(String));
        }
        // Drain: everything that is free comes, once.
        const drained: string[] = [];
        for (let next = free.peek(); next; next = free.peek()) {
          drained.push(String(next));
          free.take(next);
        }
        expect(drained).toEqual([...fresh, ...returned].map(String));
      },
    ),
    { numRuns: 300 },
  );
});

test('addresses ending in .0 and .255 are counted without looking at each', () => {
  fc.assert(
    fc.property(fc.nat(3000), fc.nat(3000), (first, more) => {
      const counted = range(first, first + more);
      let naive = 0n;
      for (let value = counted.first.value; value <= counted.last.value; value++) if (isBuggy(value)) naive++;
      expect(countBuggy(counted)).toBe(naive);
    }),
    { numRuns: 100 },
  );
  expect(countBuggy(AddressRange.parse('0.0.0.0/0'))).toBe(1n << 25n);
});
