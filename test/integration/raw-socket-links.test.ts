import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

// A scenario is a process of its own; on a machine full of other tests it takes seconds to start.
jest.setTimeout(60_000);
const reason = whyNoNamespaces();
const suite = reason === undefined ? describe : describe.skip;

suite(`watchLinks in a network namespace${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Namespace;
  beforeEach(() => {
    buildAddon();
    namespace = new Namespace();
  });
  afterEach(() => namespace.remove());

  test('addresses, carrier, bridge ports, names and ends, as ip makes them', async () => {
    expect(await namespace.run('linkEvents')).toEqual({
      start: [
        'address 00000000000000000000000000000001/128 host',
        'address 127.0.0.1/8 host',
        'link lo up, carrier',
        'link va up, carrier',
        'link vb up, carrier',
      ],
      steps: {
        address: ['address 192.0.2.1/24 global'],
        carrier: expect.arrayContaining(['link vb down, no carrier', 'link va up, no carrier']),
        back: expect.arrayContaining(['link vb up, carrier', 'link va up, carrier']),
        bridge: expect.arrayContaining(['link br0 down, no carrier', 'link va up, carrier, enslaved']),
        // Nothing is "gone" here although the bridge reports the end of its port.
        'leaves the bridge': expect.not.arrayContaining([expect.stringMatching(/gone/)]),
        renamed: ['link br1 down, no carrier'],
        removed: expect.arrayContaining(['address-gone 192.0.2.1/24 global', 'gone va', 'gone vb']),
      },
      names: ['lo -', 'br1 bridge'],
      addresses: ['127.0.0.1', '00000000000000000000000000000001'],
      errors: [],
    });
  });

  test('events lost in an overrun are made up for', async () => {
    expect(await namespace.run('overrun')).toEqual({ afterAdding: 400, come: 400, gone: 399, errors: ['Overrun'] });
  });
});
