import { expect, test } from '@jest/globals';
import { KubeError, type KubeErrorCode } from '../../src/kube/index.ts';
import { errorFromStatus } from '../../src/kube/kube-error.ts';
import { afterEnding, reasonOf } from '../../src/kube/watch-ending.ts';

const fresh = { failures: 0, suspects: 0, expiries: 0 };
const failed = (error: unknown, durationMs = 10) => ({ kind: 'failed' as const, durationMs, error });
const tooLarge = errorFromStatus('watch', 504, {
  kind: 'Status',
  reason: 'Timeout',
  details: { causes: [{ reason: 'ResourceVersionTooLarge' }] },
});

test('a watch that ended in good order goes on at once, unless it was very short', () => {
  expect(afterEnding({ kind: 'closed', durationMs: 300_000 }, fresh)).toMatchObject({
    next: 'resume',
    backoff: false,
    healthy: true,
  });
  expect(afterEnding({ kind: 'closed', durationMs: 1_500 }, fresh)).toMatchObject({ backoff: false, healthy: false });
  expect(afterEnding({ kind: 'closed', durationMs: 900 }, fresh)).toMatchObject({ next: 'resume', backoff: true });
});

test('silence resumes at once', () => {
  expect(afterEnding({ kind: 'silent', durationMs: 150_000 }, fresh)).toMatchObject({
    next: 'resume',
    backoff: false,
    reason: 'Silent',
  });
});

test('a lost history is listed at once the first time, and after a pause when that did not help', () => {
  const gone = new KubeError('Gone', 'too old');
  expect(afterEnding(failed(gone), fresh)).toMatchObject({ next: 'list', backoff: false });
  expect(afterEnding(failed(gone), { failures: 9, suspects: 0, expiries: 0 })).toMatchObject({
    next: 'list',
    backoff: false,
  });
  expect(afterEnding(failed(gone), { failures: 9, suspects: 0, expiries: 1 })).toMatchObject({
    next: 'list',
    backoff: true,
  });
});

test.each([
  ['garbage', new KubeError('BadResponse', 'not JSON')],
  ['a version that the server has not reached', tooLarge],
  ['an error of our own', new TypeError('x is undefined')],
])('%s resumes once and then lists', (_, error) => {
  expect(afterEnding(failed(error), { failures: 5, suspects: 0, expiries: 0 })).toMatchObject({
    next: 'resume',
    suspect: true,
  });
  expect(afterEnding(failed(error), { failures: 1, suspects: 1, expiries: 0 })).toMatchObject({
    next: 'list',
    backoff: true,
  });
});

test('waits at least as long as the server asks', () => {
  const error = new KubeError('TooManyRequests', 'later', { retryAfterMs: 7_000 });
  expect(afterEnding(failed(error), fresh)).toMatchObject({ next: 'resume', atLeastMs: 7_000, reason: 'Throttled' });
});

test.each<[KubeErrorCode, string]>([
  ['Network', 'Disconnected'],
  ['BadConfig', 'Disconnected'],
  ['Timeout', 'NoAnswer'],
  ['Unavailable', 'Throttled'],
  ['Forbidden', 'Forbidden'],
  ['Unauthorized', 'Unauthorized'],
  ['NotFound', 'NotServed'],
  ['Internal', 'ServerError'],
  ['Invalid', 'ServerError'],
])('%s is shown as %s and never costs a list', (code, reason) => {
  expect(reasonOf(new KubeError(code, ''))).toBe(reason);
  for (const failures of [0, 1, 50]) {
    const step = afterEnding(failed(new KubeError(code, '')), { failures, suspects: 0, expiries: 0 });
    expect(step).toMatchObject({ next: 'resume', backoff: true, suspect: false });
  }
});
