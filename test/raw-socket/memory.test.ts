import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

test('a program that was written to the disk a moment ago is released as well', () => {
  const directory = mkdtempSync(join(tmpdir(), 'memory-test-'));
  try {
    // Its pages are dirty until the kernel has written them, as those of an image that was just pulled. Node's own copying
    // waits until they are written.
    const program = join(directory, 'node');
    execFileSync('cp', [process.execPath, program]);
    const child = join(import.meta.dirname, 'release-child.ts');
    const said = execFileSync(program, ['--no-warnings', child], { encoding: 'utf8', timeout: 30_000 });
    const [before = 0, after = 0] = said.split(' ').map(Number);
    expect(before).toBeGreaterThan(8_000);
    expect(after).toBeLessThan(before / 2);
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 60_000);
