import { describe, expect, test } from '@jest/globals';
import { readCommandLine } from '../../src/bgp-speaker/cli/arguments.ts';
import { readConfig } from '../../src/bgp-speaker/cli/config-file.ts';
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
