/** Child process: prints how much of its own program's code is resident, in kB, before and after the release. */
import { readFileSync } from 'node:fs';
import { releaseFilePages } from '../../src/raw-socket/index.ts';

function residentCode(): number {
  let isCode = false;
  let sum = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const [, permissions] = /^[0-9a-f]+-[0-9a-f]+ (\S+)/.exec(line) ?? [];
    if (permissions !== undefined) isCode = permissions === 'r-xp' && line.endsWith(process.execPath);
    else if (isCode && line.startsWith('Rss:')) sum += Number.parseInt(line.slice('Rss:'.length), 10);
  }
  return sum;
}

const before = residentCode();
releaseFilePages();
console.log(before, residentCode());
