import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { FailureMemory } from '../../../src/bgp-speaker/speaker/failure-memory.ts';

test('remembers for a while', async () => {
  const clock = new ManualClock();
  const memory = new FailureMemory(clock);
  memory.note('a', 3, 1000);
  memory.note('b', 2, 1000);
  memory.note('b', 0, 1000);
  expect([memory.failuresOf('a'), memory.failuresOf('b'), memory.failuresOf('c')]).toEqual([3, 0, 0]);
  await clock.advance(999);
  expect(memory.failuresOf('a')).toBe(3);
  await clock.advance(1);
  expect(memory.failuresOf('a')).toBe(0);
});

test('forgets who was noted longest ago when there are too many', () => {
  const memory = new FailureMemory(new ManualClock());
  for (let index = 0; index < 4096; index++) memory.note(`${index}`, 1, 1000);
  memory.note('0', 2, 1000);
  memory.note('one more', 1, 1000);
  expect(['0', '1', '2', 'one more'].map((who) => memory.failuresOf(who))).toEqual([2, 0, 1, 1]);
});
