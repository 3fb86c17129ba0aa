import { describe, expect, test } from '@jest/globals';
import { eventually } from '../eventually.ts';

/** Gives one after another, then the last again and again. */
const inTurn = <Value>(...values: (() => Value)[]) => {
  let asked = 0;
  return { next: () => (values[Math.min(asked++, values.length - 1)] as () => Value)(), asked: () => asked };
};
const fail = () => {
  throw new RangeError('nobody is there');
};

describe('eventually', () => {
  test('gives the first answer that is one', async () => {
    for (const nothing of [false, undefined, null]) {
      const { next } = inTurn<unknown>(
        () => nothing,
        () => 0,
      );
      expect(await eventually('a number', next)).toBe(0);
    }
  });

  test('gives the first answer that is wanted', async () => {
    const { next, asked } = inTurn<number | undefined>(
      () => 1,
      fail,
      () => 2,
      () => undefined,
    );
    expect(await eventually('nothing', next, (value) => value === undefined)).toBeUndefined();
    expect(asked()).toBe(4);
  });

  test('names what did not come, and shows the last answer', async () => {
    const waiting = eventually(
      'three rows',
      () => ({ rows: 2n, names: new Set(['a']) }),
      ({ rows }) => rows === 3n,
      {
        timeoutMs: 20,
      },
    );
    await expect(waiting).rejects.toThrow("three rows: not within 20 ms; last: { rows: 2n, names: Set(1) { 'a' } }");
  });

  test('shows the last failure when there is no answer', async () => {
    const waiting = eventually('an answer', fail, { timeoutMs: 0 });
    await expect(waiting).rejects.toMatchObject({
      message: 'an answer: not within 0 ms; last: RangeError: nobody is there',
      cause: expect.any(RangeError),
    });
  });

  test('asks once more when the time is up', async () => {
    const endMs = performance.now() + 30;
    await eventually('its time', () => performance.now() >= endMs, { timeoutMs: 30 });
  });
});
