import { describe, expect, test } from '@jest/globals';
import { measureOutage, type ProbeResult } from '../../lab/demo/outage.ts';

const result = (startMs: number, endMs: number, ok = true): ProbeResult => ({ startMs, endMs, ok, answer: '' });

describe('measureOutage', () => {
  test('the gap runs from the last good answer before the fault to the next one', () => {
    const results = [result(80, 85), result(90, 95), result(100, 400, false), result(300, 305), result(310, 315)];
    expect(measureOutage(results, 98)).toEqual({ longestGapMs: 210, firstAnswerMs: 207, requests: 3, failed: 1 });
  });
  test('an answer to a request sent before the fault does not count as recovery', () => {
    expect(measureOutage([result(90, 120), result(130, 200, false)], 100)).toBeUndefined();
    expect(measureOutage([result(90, 120), result(150, 160)], 100)?.firstAnswerMs).toBe(60);
  });
  test('a later, longer gap is found', () => {
    const results = [result(95, 99), result(101, 103), result(500, 503), result(510, 512)];
    expect(measureOutage(results, 100)?.longestGapMs).toBe(400);
  });
});
