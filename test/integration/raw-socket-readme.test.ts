import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

jest.setTimeout(60_000);
const root = join(import.meta.dirname, '../..');
const reason = whyNoNamespaces();
const suite = reason === undefined ? describe : describe.skip;

suite(`the ARP ping of the README${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Namespace;
  beforeAll(() => {
    buildAddon();
    namespace = new Namespace();
    namespace.ip('addr add 10.0.0.2/24 dev vb');
  });
  afterAll(() => namespace.remove());

  /** Runs the first example of the README as it stands. */
  function ping(address: string): string {
    const [, example = ''] =
      /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'src/raw-socket/README.md'), 'utf8')) ?? [];
    const inside = [`--net=/run/netns/${namespace.name}`, process.execPath, '--no-warnings'];
    const words = [...inside, '--input-type=module-typescript', '-', 'va', address];
    const { stdout, stderr } = spawnSync('nsenter', words, {
      cwd: root,
      input: example,
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    return stdout + stderr;
  }

  test('finds who answers', () => {
    expect(ping('10.0.0.2')).toMatch(/^10\.0\.0\.2 is at 02:00:00:00:00:0b \([0-9.]+ ms\)\n$/);
  });

  test('and says when nobody does', () => {
    expect(ping('10.0.0.3')).toBe('10.0.0.3 does not answer\n');
  });
});
