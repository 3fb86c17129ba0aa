import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type DiscoveryEffect,
  type DiscoveryEvent,
  type DiscoveryState,
  discoveryDueMs,
  discoveryStart,
  neighbourOf,
  stepDiscovery,
} from '../../../src/bgp-speaker/transport/neighbour-machine.ts';
import { Address } from '../../../src/net/index.ts';

const leaf = Address.parse('fe80::1');
const spare = Address.parse('fe80::2');
const heard = (source: Address, lifetimeSeconds = 30): DiscoveryEvent => ({
  type: 'advertisement',
  source,
  lifetimeSeconds,
});

/** Drives the machine through time; the log has what it did and when. */
class Run {
  state: DiscoveryState = discoveryStart;
  nowMs = 0;
  log: string[] = [];
  readonly #random: () => number;

  constructor(random = () => 0) {
    this.#random = random;
  }

  event(event: DiscoveryEvent): readonly DiscoveryEffect[] {
    const { state, effects } = stepDiscovery(this.state, event, this.nowMs, this.#random);
    this.state = state;
    for (const effect of effects) {
      const words = 'address' in effect ? ` ${effect.address}` : '';
      const previous = effect.type === 'neighbour' && effect.previous ? ` not ${effect.previous}` : '';
      this.log.push(`${this.nowMs} ${effect.type}${words}${previous}`);
    }
    return effects;
  }

  advanceTo(endMs: number): void {
    for (;;) {
      const due = discoveryDueMs(this.state);
      if (due === undefined || due > endMs) break;
      expect(due).toBeGreaterThanOrEqual(this.nowMs);
      this.nowMs = due;
      this.event({ type: 'timer' });
      // A timer that is due again at once would spin.
      expect(discoveryDueMs(this.state) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(this.nowMs);
    }
    this.nowMs = endMs;
  }

  take(): string[] {
    return this.log.splice(0);
  }
}

const up = (random?: () => number) => {
  const run = new Run(random);
  run.event({ type: 'up' });
  return run;
};

describe('looking for the router of a link', () => {
  test('speaks at once, solicits ever more slowly, advertises three times quickly and then every 10 s', () => {
    const run = up(() => 0.5);
    run.advanceTo(200_000);
    const times = (what: string) =>
      run.log.filter((line) => line.endsWith(what)).map((line) => Number(line.split(' ')[0]));
    expect(times('solicit')).toEqual([500, 4500, 12_500, 28_500, 60_500, 120_500, 180_500]);
    expect(times('advertise').slice(0, 4)).toEqual([250, 3250, 6250, 15_000]);
    expect(discoveryDueMs(discoveryStart)).toBeUndefined();
  });

  test('the first router that is heard is the neighbour; soliciting ends', () => {
    const run = up();
    run.advanceTo(1000);
    run.take();
    expect(run.event(heard(leaf))).toEqual([{ type: 'neighbour', address: leaf }]);
    expect(run.event(heard(leaf))).toEqual([]);
    expect(run.event(heard(spare))).toEqual([]);
    expect(neighbourOf(run.state)).toEqual(leaf);
    run.advanceTo(29_000);
    expect(run.take().filter((line) => line.includes('solicit'))).toEqual([]);
  });

  test('a router that appears is told of us without being asked', () => {
    const run = up(() => 0.5);
    run.advanceTo(17_000);
    run.take();
    run.event(heard(leaf));
    run.advanceTo(18_100);
    expect(run.take()).toEqual(['17000 neighbour fe80::1', '18000 advertise']);
  });

  test('a solicitation is answered soon, but never more often than every 3 s', () => {
    const run = up(() => 0.5);
    run.event(heard(leaf, 0));
    run.advanceTo(20_000);
    run.take();
    for (let i = 0; i < 100; i++) {
      run.event({ type: 'solicitation' });
      run.advanceTo(20_000 + i * 60);
    }
    expect(run.take()).toEqual(['20250 advertise', '23250 advertise']);
  });

  test('silence for its lifetime: gone, and solicited at once', () => {
    const run = up();
    run.event(heard(leaf, 30));
    run.advanceTo(20_000);
    run.event(heard(leaf, 30));
    run.take();
    run.advanceTo(49_999);
    expect(run.take().filter((line) => !line.endsWith('advertise'))).toEqual([]);
    run.advanceTo(50_000);
    expect(run.take()).toEqual(expect.arrayContaining(['50000 solicit', '50000 gone fe80::1']));
  });

  test('when the neighbour is silent, another that was heard meanwhile takes its place', () => {
    const run = up();
    run.event(heard(leaf, 30));
    run.advanceTo(20_000);
    run.event(heard(spare, 30));
    run.advanceTo(30_000);
    expect(run.take().filter((line) => line.includes('fe80'))).toEqual([
      '0 neighbour fe80::1',
      '30000 neighbour fe80::2 not fe80::1',
    ]);
  });

  test('a default router that stops being one says farewell, even if it says so three times', () => {
    const run = up();
    run.event(heard(leaf, 30));
    expect(run.event(heard(leaf, 0)).filter(({ type }) => type === 'gone')).toHaveLength(1);
    expect(neighbourOf(run.state)).toBeUndefined();
    run.event(heard(leaf, 0));
    run.advanceTo(59_999);
    run.event(heard(leaf, 0));
    expect(neighbourOf(run.state)).toBeUndefined();
    run.advanceTo(60_000);
    run.event(heard(leaf, 0));
    expect(neighbourOf(run.state)).toEqual(leaf);
  });

  test('a router that is back from its farewell as a default router counts at once', () => {
    const run = up();
    run.event(heard(leaf, 30));
    run.event(heard(leaf, 0));
    run.event(heard(leaf, 30));
    expect(neighbourOf(run.state)).toEqual(leaf);
  });

  test('a neighbour that never was a default router is believed for half an hour', () => {
    const run = up();
    run.event(heard(leaf, 0));
    run.event(heard(leaf, 0));
    run.advanceTo(1_799_999);
    expect(neighbourOf(run.state)).toEqual(leaf);
    run.advanceTo(1_800_000);
    expect(neighbourOf(run.state)).toBeUndefined();
  });

  test('a link that goes takes the neighbour with it; nothing is heard or said while it is away', () => {
    const run = up();
    run.event(heard(leaf));
    run.take();
    expect(run.event({ type: 'down' })).toEqual([{ type: 'gone', address: leaf }]);
    for (const event of [heard(leaf), { type: 'solicitation' }, { type: 'timer' }, { type: 'down' }] as const) {
      expect(run.event(event)).toEqual([]);
    }
    expect(discoveryDueMs(run.state)).toBeUndefined();
    run.event({ type: 'up' });
    expect(run.event(heard(spare))).toEqual([{ type: 'neighbour', address: spare }]);
  });

  test('a timer that fires late catches up with one message, not many', () => {
    const run = up();
    run.advanceTo(1000);
    run.take();
    run.nowMs = 3_600_000;
    run.event({ type: 'timer' });
    expect(run.take()).toEqual(['3600000 advertise', '3600000 solicit']);
  });

  test('a flood of routers takes neither memory nor the place of the neighbour', () => {
    const run = up();
    run.event(heard(leaf, 9000));
    for (let i = 0n; i < 1000n; i++) run.event(heard(Address.of(6, leaf.value + i + 1n), 9000));
    expect(neighbourOf(run.state)).toEqual(leaf);
    expect(run.state.kind === 'up' && run.state.heard.length).toBe(8);
    expect(run.take().filter((line) => line.endsWith('advertise'))).toHaveLength(1);
  });

  test('whatever comes, the told neighbour is the known one, and we never speak too often', () => {
    const anyEvent: fc.Arbitrary<DiscoveryEvent> = fc.oneof(
      fc.record({
        type: fc.constant('advertisement' as const),
        source: fc.constantFrom(leaf, spare, Address.parse('fe80::3')),
        lifetimeSeconds: fc.constantFrom(0, 0, 1, 30, 65_535),
      }),
      fc.constantFrom<DiscoveryEvent>({ type: 'up' }, { type: 'down' }, { type: 'solicitation' }, { type: 'timer' }),
    );
    const anySteps = fc.array(fc.record({ event: anyEvent, waitMs: fc.nat(40_000) }), { maxLength: 30 });
    fc.assert(
      fc.property(anySteps, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (steps, chance) => {
        const run = new Run(() => chance);
        let told: string | undefined;
        let advertisedAtMs = Number.NEGATIVE_INFINITY;
        for (const { event, waitMs } of steps) {
          // A link that comes up again starts anew.
          if (event.type === 'up') advertisedAtMs = Number.NEGATIVE_INFINITY;
          run.event(event);
          run.advanceTo(run.nowMs + waitMs);
          for (const line of run.take()) {
            const [time, what, address] = line.split(' ');
            if (what === 'neighbour') told = address;
            if (what === 'gone') {
              expect(address).toBe(told);
              told = undefined;
            }
            if (what !== 'advertise') continue;
            expect(Number(time)).toBeGreaterThanOrEqual(advertisedAtMs + 3000);
            advertisedAtMs = Number(time);
          }
          expect(neighbourOf(run.state)?.toString()).toBe(told);
        }
      }),
      // A first word that is due after the step of its link, and is sent by another event.
      {
        examples: [
          [
            [
              { event: { type: 'up' }, waitMs: 1 },
              { event: { type: 'up' }, waitMs: 0 },
              { event: heard(leaf, 0), waitMs: 1 },
            ],
            2e-19,
          ],
        ],
      },
    );
  });
});
