import { describe, expect, test } from '@jest/globals';
import { LookPacing } from '../../src/ovn/look-pacing.ts';

describe('the pause between two looks at the database', () => {
  test('a single change waits for nothing, a burst gathers, and is forgotten a second later', () => {
    const pacing = new LookPacing(50);
    const pauses = Array.from({ length: 10 }, (_, index) => pacing.pauseMs(0, index * 10));
    expect(pauses).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 50, 50]);
    expect(pacing.pauseMs(0, 1_200)).toBe(0);
  });

  test('a long look is followed by as long a pause, at most a second', () => {
    const pacing = new LookPacing(50);
    expect(pacing.pauseMs(300, 0)).toBe(300);
    expect(pacing.pauseMs(7_000, 10_000)).toBe(1_000);
  });

  test('against somebody who goes on taking rows away it grows up to five seconds, and ends with the quarrel', () => {
    const pacing = new LookPacing(50);
    const pauses: number[] = [];
    let nowMs = 0;
    for (let time = 0; time < 12; time++) {
      nowMs += 2_000;
      pacing.contested(nowMs);
      pauses.push(pacing.pauseMs(0, nowMs));
    }
    expect(pauses).toEqual([0, 0, 0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    expect(pacing.pauseMs(0, nowMs + 10_001)).toBe(0);
    pacing.contested(nowMs + 20_000);
    expect(pacing.pauseMs(0, nowMs + 20_000)).toBe(0);
  });
});
