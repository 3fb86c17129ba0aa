import { describe, expect, test } from '@jest/globals';
import { readRoutes } from '../../src/bgp-speaker/cli/routes-file.ts';

const noDefaults = { nextHops: [], communities: [] };

describe('readRoutes', () => {
  test.each([
    ['as-path 65001,0', 'asPath: 0 is not a whole number from 1 to 4294967295'],
    ['next-hop 127.0.0.1', 'nextHop: 127.0.0.1 is not the address of a router'],
  ])('names the line of a route with %s', (words, text) => {
    const file = `# ours\n198.51.100.1/32\n198.51.100.2/32 ${words}\n`;
    expect(() => readRoutes(file, 'routes.txt', noDefaults)).toThrow(`routes.txt line 3: ${text}`);
  });
});
