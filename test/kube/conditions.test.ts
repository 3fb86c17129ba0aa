import { expect, test } from '@jest/globals';
import { type Condition, ensureCondition, kubeMicroTime, kubeTime } from '../../src/kube/index.ts';

const ready: Condition = {
  type: 'Ready',
  status: 'True',
  reason: 'AllGood',
  message: '',
  observedGeneration: 1,
  lastTransitionTime: '2026-01-01T00:00:00Z',
};
const { lastTransitionTime: _, ...wanted } = ready;
const now = '2026-02-02T00:00:00Z';

test('the time of transition changes with the status alone', () => {
  const same = ensureCondition([ready], { ...wanted, reason: 'StillGood', observedGeneration: 2 }, now);
  expect(same).toEqual({
    conditions: [{ ...ready, reason: 'StillGood', observedGeneration: 2 }],
    changed: true,
  });
  const other = ensureCondition([ready], { ...wanted, status: 'False' }, now);
  expect(other.conditions[0]).toEqual({ ...ready, status: 'False', lastTransitionTime: now });
});

test('nothing to write when nothing differs', () => {
  expect(ensureCondition([ready], wanted, now)).toEqual({ conditions: [ready], changed: false });
});

test('a new condition is put in order of type, and the given array stays as it is', () => {
  const given = [ready];
  const { conditions, changed } = ensureCondition(given, { ...wanted, type: 'Announced' }, now);
  expect(changed).toBe(true);
  expect(conditions.map(({ type }) => type)).toEqual(['Announced', 'Ready']);
  expect(given).toEqual([ready]);
  expect(ensureCondition(undefined, wanted, now).conditions).toEqual([{ ...ready, lastTransitionTime: now }]);
});

test('times are printed as the API prints them', () => {
  const wallMs = Date.UTC(2026, 10, 23, 7, 4, 5, 678);
  expect(kubeTime(wallMs)).toBe('2026-11-23T07:04:05Z');
  expect(kubeMicroTime(wallMs)).toBe('2026-11-23T07:04:05.678000Z');
});

test('a message that is too long is cut, and is then the same every time', () => {
  const long = { ...wanted, message: 'm'.repeat(200_000) };
  const { conditions } = ensureCondition([ready], long, now);
  expect(conditions[0]?.message).toMatch(/^m{32765}\.\.\.$/);
  expect(ensureCondition(conditions, long, now)).toEqual({ conditions, changed: false });
});
