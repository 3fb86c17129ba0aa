/**
 * The scenarios once more with the addon built for AddressSanitizer and UndefinedBehaviorSanitizer. Fails on every
 * report that concerns our code; Node's and OpenSSL's own leaks at exit do not.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

jest.setTimeout(120_000);

/** Path of the runtime that must be loaded before Node, undefined when the compiler has none. */
function sanitizerRuntime(): string | undefined {
  if (spawnSync('gcc', ['--version']).status !== 0) return undefined;
  const path = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  return existsSync(path) ? path : undefined;
}

/** The reports in a sanitizer's log that are ours. */
function findings(log: string): string[] {
  return log.split('\n\n').filter((report) => {
    if (/runtime error:|ERROR: AddressSanitizer/.test(report)) return true;
    if (!/(Direct|Indirect) leak of/.test(report) || !report.includes('raw-socket/native')) return false;
    // Node frees its wrapper around an external when it collects it, which it does not at exit; what the wrapper
    // points to is finalised, and that is the part that is ours.
    const allocator = report.split('\n').find((line) => /^\s*#1 /.test(line)) ?? '';
    return !allocator.includes('napi_create_external');
  });
}

const runtime = sanitizerRuntime();
const reason = whyNoNamespaces() ?? (runtime === undefined ? 'gcc has no libasan' : undefined);

(reason === undefined ? describe : describe.skip)(
  `the addon under sanitizers${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    let addon: string;
    let logs: string;
    beforeAll(() => {
      addon = buildAddon({ sanitize: true });
      logs = mkdtempSync(join(tmpdir(), 'raw-socket-sanitize-'));
      chmodSync(logs, 0o777);
    });
    afterAll(() => rmSync(logs, { recursive: true }));

    test.each([
      'strangeArguments',
      'forgotten',
      'filters',
      'floods',
      'misuse',
      'linkFaults',
      'memberships',
      'workers',
      'linkEvents',
      'overrun',
      'datagrams',
      'manyDatagrams',
      'datagramErrors',
      'datagramWorkers',
      'md5',
      'options',
      'errors',
    ])('%s', async (scenario) => {
      const namespace = new Namespace();
      const log = join(logs, scenario);
      try {
        await namespace.run(scenario, {
          OVENBIRD_RAW_SOCKET: addon,
          LD_PRELOAD: runtime ?? '',
          ASAN_OPTIONS: `detect_leaks=1:log_path=${log}:exitcode=66`,
          LSAN_OPTIONS: 'exitcode=0',
          UBSAN_OPTIONS: 'print_stacktrace=1',
        });
      } finally {
        namespace.remove();
      }
      const files = readdirSync(logs).filter((name) => name.startsWith(`${scenario}.`));
      expect(files.flatMap((name) => findings(readFileSync(join(logs, name), 'utf8')))).toEqual([]);
    });
  },
);

describe('what counts as a finding', () => {
  const leak = (...frames: string[]) =>
    [
      'Direct leak of 40 byte(s) in 1 object(s) allocated from:',
      ...frames.map((frame, i) => `    #${i} 0x1 in ${frame}`),
    ].join('\n');

  test('our memory and our errors, not those of Node', () => {
    const ours = leak('calloc asan.cpp:1', 'packet_open /x/src/raw-socket/native/packet.c:9');
    const reference = leak(
      'operator new',
      'napi_create_reference node',
      'watched_start /x/src/raw-socket/native/watched.c:9',
    );
    const wrapper = leak(
      'operator new',
      'napi_create_external node',
      'watched_wrap /x/src/raw-socket/native/watched.c:9',
    );
    const theirs = leak('malloc asan.cpp:1', 'CRYPTO_malloc node');
    const overflow = '==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1';
    const undefinedBehaviour = 'x.c:1:1: runtime error: null pointer passed';
    expect(findings([ours, theirs, wrapper, reference, overflow, undefinedBehaviour].join('\n\n'))).toEqual([
      ours,
      reference,
      overflow,
      undefinedBehaviour,
    ]);
  });
});
