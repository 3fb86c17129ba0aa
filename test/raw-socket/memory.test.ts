import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { releaseFilePages } from '../../src/raw-socket/index.ts';

function residentFileBytes(): number {
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

test('unmaps code that is not in use, and the process goes on', () => {
  // Touch relocated data and code of all kinds before and after.
  const work = () => JSON.parse(JSON.stringify({ a: [1.5, 'ü', new Date(0).toISOString(), /x(y)/.exec('xy')?.[1]] }));
  const before = work();
  const resident = residentFileBytes();
  const released = releaseFilePages();
  expect(released).toBeGreaterThan(8_000_000);
  expect(residentFileBytes()).toBeLessThan(resident - 8_000_000);
  expect(work()).toEqual(before);
  expect(releaseFilePages()).toBeLessThan(released);
});
