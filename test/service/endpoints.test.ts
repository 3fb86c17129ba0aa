import { describe, expect, test } from '@jest/globals';
import type { EndpointSlice, SliceEndpoint } from '../../src/kube/objects.ts';
import { selectEndpoints } from '../../src/service/index.ts';

type Conditions = NonNullable<SliceEndpoint['conditions']>;
const slice = (
  endpoints: [string, (Conditions | undefined)?, string?][],
  extra: Partial<EndpointSlice> = {},
): EndpointSlice => ({
  metadata: { name: 's' },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: endpoints.map(([address, conditions, nodeName]) => ({
    addresses: [address],
    ...(conditions === undefined ? {} : { conditions }),
    ...(nodeName === undefined ? {} : { nodeName }),
  })),
  ...extra,
});
const chosen = (slices: EndpointSlice[], onlyNode?: string) =>
  selectEndpoints(slices, onlyNode).flatMap(({ endpoints }) => endpoints.map(({ address }) => String(address)));

const ready: Conditions = { ready: true, serving: true, terminating: false };
const draining: Conditions = { ready: false, serving: true, terminating: true };
const failing: Conditions = { ready: false, serving: false, terminating: false };

describe('which endpoints take traffic', () => {
  test.each([
    ['ready ones', [ready, draining, failing], ['10.0.0.0']],
    ['no conditions mean ready', [undefined, draining], ['10.0.0.0']],
    ['conditions without ready mean ready', [{}, failing], ['10.0.0.0']],
    ['the draining ones when none is ready', [draining, failing], ['10.0.0.0']],
    ['draining without "serving" serves', [{ ready: false, terminating: true }], ['10.0.0.0']],
    ['draining that does not serve does not', [{ ready: false, serving: false, terminating: true }], []],
    ['not ready and not terminating does not', [{ ready: false }], []],
  ])('%s', (_, conditions, expected) => {
    expect(chosen([slice(conditions.map((condition, index) => [`10.0.0.${index}`, condition]))])).toEqual(expected);
  });

  test('readiness is judged for each family by itself', () => {
    const slices = [
      slice([
        ['10.0.0.1', ready],
        ['10.0.0.2', draining],
      ]),
      slice([['2001:db8::2', draining]], { addressType: 'IPv6' }),
    ];
    expect(chosen(slices)).toEqual(['10.0.0.1', '2001:db8::2']);
  });

  test('readiness is judged within the node asked for', () => {
    const slices = [
      slice([
        ['10.0.0.1', ready, 'n1'],
        ['10.0.0.2', draining, 'n2'],
        ['10.0.0.3', ready],
      ]),
    ];
    expect(chosen(slices)).toEqual(['10.0.0.1', '10.0.0.3']);
    expect(chosen(slices, 'n2')).toEqual(['10.0.0.2']);
    expect(chosen(slices, 'n3')).toEqual([]);
  });

  test('slices are joined, duplicates count once and as the better of both', () => {
    expect(
      chosen([
        slice([
          ['10.0.0.2', draining],
          ['10.0.0.1', ready],
        ]),
        slice([['10.0.0.2', ready]]),
      ]),
    ).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  test('ports apart, sorted; names and protocols tell them apart; slices without a port or of names are left out', () => {
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' as const },
      { name: 'dns', port: 53, protocol: 'TCP' as const },
      { name: 'any' },
    ];
    const selected = selectEndpoints([
      slice([['10.0.0.1']], { ports }),
      slice([['example.org']], { addressType: 'FQDN' }),
      slice([], { endpoints: null, ports: null }),
    ]);
    expect(selected.map(({ protocol, portName, endpoints }) => `${protocol} ${portName} ${endpoints.length}`)).toEqual([
      'TCP dns 1',
      'UDP dns 1',
    ]);
  });
});
