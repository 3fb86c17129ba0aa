import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SimulatedLan, type WireQuality } from './simulated-lan.ts';

const names = ['a', 'b', 'c', 'd'] as const;
const addresses = ['192.0.2.100', '192.0.2.101', '192.0.2.102'] as const;
type Name = (typeof names)[number];

type Action =
  | { kind: 'kill' | 'start' | 'pause' | 'resume' | 'link-down' | 'link-up' | 'resign'; node: Name }
  | { kind: 'partition'; left: Name[] }
  | { kind: 'heal' | 'noise' }
  | { kind: 'eligible'; address: string; nodes: Name[]; only: Name[] }
  | { kind: 'wait'; ms: number };

const node = fc.constantFrom(...names);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('kill', 'start', 'pause', 'resume', 'link-down', 'link-up', 'resign'),
      node,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('partition' as const), left: fc.subarray([...names]) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('heal', 'noise') }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('eligible' as const),
      address: fc.constantFrom(...addresses),
      nodes: fc.subarray([...names]),
      only: fc.subarray([...names], { minLength: 3 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 900 }) }) },
);

function leftOut(left: readonly Name[]): Name[] {
  return names.filter((name) => !left.includes(name));
}

function apply(lan: SimulatedLan, step: Action): void {
  if (step.kind === 'kill') lan.kill(step.node);
  else if (step.kind === 'start') lan.start(step.node);
  else if (step.kind === 'pause') lan.pause(step.node);
  else if (step.kind === 'resume') lan.resume(step.node);
  else if (step.kind === 'link-down') lan.setLink(step.node, false);
  else if (step.kind === 'link-up') lan.setLink(step.node, true);
  else if (step.kind === 'resign') lan.resign(step.node);
  else if (step.kind === 'heal') lan.heal();
  else if (step.kind === 'noise') lan.noise();
  else if (step.kind === 'wait') lan.run(step.ms);
  else if (step.kind === 'eligible') lan.desire(step.address, step.nodes, step.only);
  else if (step.kind === 'partition') lan.partition(step.left, leftOut(step.left));
}

/** Ends every fault, gives every node the same wishes, and lets the speakers find to each other. */
function settle(lan: SimulatedLan): void {
  lan.quality = { delayMs: [0.1, 0.5], loss: 0, duplicate: 0, reorder: 0 };
  lan.heal();
  for (const name of names) {
    lan.resume(name);
    lan.setLink(name, true);
    if (lan.node(name).resigning) lan.kill(name);
    lan.start(name);
  }
  for (const address of addresses) lan.desire(address, names);
  lan.run(3_000);
}

function begin(seed: number, quality?: WireQuality): SimulatedLan {
  const lan = new SimulatedLan(names, { seed });
  for (const address of addresses) lan.desire(address, names);
  if (quality) lan.quality = quality;
  lan.startAll();
  lan.run(1_500);
  return lan;
}

const runs = 20;
const seeds = fc.integer({ min: 1, max: 2 ** 31 });

describe('whatever happens', () => {
  test('two nodes that hear each other never both answer for more than a heartbeat, and all ends with one owner', () => {
    fc.assert(
      fc.property(seeds, fc.array(action, { maxLength: 40 }), (seed, actions) => {
        const lan = begin(seed);
        for (const step of actions) apply(lan, step);
        settle(lan);
        expect(lan.longestOverlapMs).toBeLessThanOrEqual(lan.timing.heartbeatMs + 10);
        for (const address of addresses) {
          const owners = lan.answerers(address);
          expect(owners).toHaveLength(1);
          for (const name of names) expect(lan.ownership(name, address)?.owner).toBe(owners[0]);
        }
        const changes = lan.ownerChanges.length;
        lan.run(5_000);
        expect(lan.ownerChanges).toHaveLength(changes);
      }),
      { numRuns: runs },
    );
  });

  test('on a bad wire two answer no longer than a hold time, and all ends with one owner', () => {
    const quality = fc.record({
      delayMs: fc.constant<[number, number]>([0.1, 3]),
      loss: fc.double({ min: 0, max: 0.2, noNaN: true }),
      duplicate: fc.double({ min: 0, max: 0.3, noNaN: true }),
      reorder: fc.double({ min: 0, max: 0.3, noNaN: true }),
    });
    fc.assert(
      fc.property(seeds, quality, fc.array(action, { maxLength: 40 }), (seed, wire, actions) => {
        const lan = begin(seed, wire);
        for (const step of actions) apply(lan, step);
        settle(lan);
        expect(lan.longestOverlapMs).toBeLessThanOrEqual(lan.timing.holdMs);
        for (const address of addresses) expect(lan.answerers(address)).toHaveLength(1);
        const changes = lan.ownerChanges.length;
        lan.run(5_000);
        expect(lan.ownerChanges).toHaveLength(changes);
      }),
      { numRuns: runs },
    );
  });

  test('while an eligible node works, no address stays unanswered for long', () => {
    // Faults hit one node at a time, and the others are well for long enough in between.
    const fault = fc.constantFrom('kill', 'pause', 'link-down', 'resign');
    fc.assert(
      fc.property(
        seeds,
        fc.array(fc.tuple(fault, node, fc.integer({ min: 0, max: 1_500 })), { maxLength: 12 }),
        (seed, faults) => {
          const lan = begin(seed);
          lan.resetGaps();
          for (const [kind, name, lastsMs] of faults) {
            apply(lan, { kind, node: name });
            lan.run(lastsMs);
            lan.resume(name);
            lan.setLink(name, true);
            if (kind === 'resign') lan.kill(name);
            lan.start(name);
            lan.run(1_500);
          }
          const { holdMs, rankDelayMs, heartbeatMs } = lan.timing;
          for (const address of addresses) {
            expect(lan.longestGapMs(address)).toBeLessThanOrEqual(holdMs + rankDelayMs + heartbeatMs);
          }
        },
      ),
      { numRuns: runs },
    );
  });

  test('nobody takes an address from an owner that is well', () => {
    fc.assert(
      fc.property(seeds, fc.array(action, { maxLength: 40 }), (seed, actions) => {
        const lan = begin(seed);
        const [lucky] = lan.answerers(addresses[0]);
        const ofAddress = () => lan.ownerChanges.filter(({ address }) => address === addresses[0]);
        const before = ofAddress();
        for (const step of actions) {
          const concernsOwner =
            ('node' in step && step.node === lucky) ||
            step.kind === 'partition' ||
            (step.kind === 'eligible' && step.address === addresses[0]);
          if (!concernsOwner) apply(lan, step);
        }
        lan.run(2_000);
        expect(ofAddress()).toEqual(before);
        expect(lan.answerers(addresses[0])).toEqual([lucky]);
      }),
      { numRuns: runs },
    );
  });
});
