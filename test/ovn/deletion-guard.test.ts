import { describe, expect, test } from '@jest/globals';
import { DeletionGuard } from '../../src/ovn/index.ts';

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `row-${from + i}`);

describe('DeletionGuard', () => {
  test.each([
    [19, 19],
    [20, 40],
    [50, 100],
    [0, 0],
  ])('%d of %d rows may go at once', (orphans, total) => {
    expect(new DeletionGuard(10_000).allow(ids(orphans), total, 0).size).toBe(orphans);
  });

  test.each([
    [20, 20],
    [20, 39],
    [51, 100],
  ])('%d of %d rows need a second look', (orphans, total) => {
    const guard = new DeletionGuard(10_000);
    expect(guard.allow(ids(orphans), total, 0).size).toBe(0);
    expect(guard.dueInMs(4_000)).toBe(6_000);
    expect(guard.allow(ids(orphans), total, 9_999).size).toBe(0);
    expect(guard.allow(ids(orphans), total, 10_000).size).toBe(orphans);
    expect(guard.dueInMs(10_000)).toBeUndefined();
  });

  test('only what both looks name goes', () => {
    const guard = new DeletionGuard(10_000);
    guard.allow(ids(30), 30, 0);
    expect([...guard.allow(ids(30, 10), 40, 10_000)]).toEqual(ids(20, 10));
  });

  test('a list that recovered is forgotten', () => {
    const guard = new DeletionGuard(10_000);
    guard.allow(ids(30), 30, 0);
    guard.allow([], 30, 5_000);
    expect(guard.allow(ids(30), 30, 10_000).size).toBe(0);
  });
});
