import { describe, expect, test } from '@jest/globals';
import { readCommandLine } from '../../src/bgp-speaker/cli/arguments.ts';
import { readConfig } from '../../src/bgp-speaker/cli/config-file.ts';
import { screenLines } from '../../src/bgp-speaker/cli/print.ts';
import { readRoutes } from '../../src/bgp-speaker/cli/routes-file.ts';

const noDefaults = { nextHops: [], communities: [] };

describe('readCommandLine', () => {
  const peer = (text: string) => readCommandLine(['--as', '65001', '--id', '192.0.2.1', '--peer', text])?.peers[0];

  test('a peer that may have one of several AS numbers', () => {
    expect(peer('192.0.2.2,as=65002')).toMatchObject({ address: '192.0.2.2', peerAs: 65002 });
    expect(peer('192.0.2.2,as=65002/4200000000')).toMatchObject({ peerAs: [65002, 4_200_000_000] });
    expect(() => peer('192.0.2.2,as=65002/')).toThrow('--peer 192.0.2.2,as=65002/: "" is not a whole number');
    const file = { localAs: 1, identifier: '192.0.2.1', peers: [{ address: '192.0.2.2', peerAs: [1, 2] }] };
    expect(readConfig(JSON.stringify(file), 'x.json')).toEqual(file);
  });

  test('how long to drain, at the start and not only at the end', () => {
    for (const drainSeconds of [-1, 3_601, 1e300]) {
      const text = JSON.stringify({ localAs: 1, identifier: '192.0.2.1', drainSeconds });
      expect(() => readConfig(text, 'x.json')).toThrow(`x.json.drainSeconds: ${drainSeconds}: give 0 to 3600`);
    }
  });
});

describe('screenLines', () => {
  const lines = (count: number, word: string) => Array.from({ length: count }, (_, index) => `${word} ${index}`);
  const shown = (sessions: number, events: number, rows: number) =>
    screenLines(['PEER', ...lines(sessions, 's')], lines(events, 'event'), { columns: 7, rows });

  test('everything where it fits, lines cut to the width', () => {
    expect(shown(2, 2, 24)).toEqual(['PEER', 's 0', 's 1', '', 'event 0', 'event 1']);
    expect(shown(0, 0, 24)).toEqual(['PEER', '']);
    expect(shown(1, 11, 24).at(-1)).toBe('event 1');
  });

  test('old events go first, then sessions', () => {
    expect(shown(3, 9, 11)).toEqual(['PEER', 's 0', 's 1', 's 2', '', ...lines(9, 'event').slice(-5)]);
    expect(shown(9, 9, 11)).toEqual(['PEER', ...lines(4, 's'), 'and 5 more', '', ...lines(9, 'event').slice(-3)]);
  });

  test('never more than fit', () => {
    for (const rows of [1, 2, 3, 4, 5, 6, 10]) {
      for (const sessions of [0, 1, 5, 100]) {
        for (const events of [0, 1, 10]) expect(shown(sessions, events, rows).length).toBeLessThan(Math.max(2, rows));
      }
    }
  });
});

describe('readRoutes', () => {
  test.each([
    ['as-path 65001,0', 'asPath: 0 is not a whole number from 1 to 4294967295'],
    ['next-hop 127.0.0.1', 'nextHop: 127.0.0.1 is not the address of a router'],
  ])('names the line of a route with %s', (words, text) => {
    const file = `# ours\n198.51.100.1/32\n198.51.100.2/32 ${words}\n`;
    expect(() => readRoutes(file, 'routes.txt', noDefaults)).toThrow(`routes.txt line 3: ${text}`);
  });
});
