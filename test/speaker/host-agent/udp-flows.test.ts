import { describe, expect, test } from '@jest/globals';
import {
  deletions,
  desiredHostState,
  type HostService,
  parseFlows,
  staleFlows,
} from '../../../src/speaker/host-agent/index.ts';
import { udpExpectations } from '../../../src/speaker/host-agent/udp-flows.ts';
import { endpoint, hostInputs, hostService, overlay, port } from './host-fixtures.ts';

const listed = `
udp      17 25 src=192.0.2.9 dst=10.77.0.100 sport=40000 dport=53 src=10.16.0.2 dst=192.0.2.9 sport=5353 dport=40000 [ASSURED] mark=0 use=1
udp      17 9 src=192.0.2.9 dst=10.77.0.100 sport=40001 dport=53 [UNREPLIED] src=10.77.0.100 dst=192.0.2.9 sport=53 dport=40001 mark=0 use=1
udp      17 9 src=fd00::9 dst=fd77::1 sport=40001 dport=53 src=fd00::2 dst=fd00::9 sport=53 dport=40001 mark=0 use=1
conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.
`;

describe('the connection table', () => {
  test('is read line by line', () => {
    expect(parseFlows(listed)).toEqual([
      {
        family: 4,
        source: '192.0.2.9',
        destination: '10.77.0.100',
        destinationPort: 53,
        replySource: '10.16.0.2',
        replyDestination: '192.0.2.9',
      },
      {
        family: 4,
        source: '192.0.2.9',
        destination: '10.77.0.100',
        destinationPort: 53,
        replySource: '10.77.0.100',
        replyDestination: '192.0.2.9',
      },
      {
        family: 6,
        source: 'fd00::9',
        destination: 'fd77::1',
        destinationPort: 53,
        replySource: 'fd00::2',
        replyDestination: 'fd00::9',
      },
    ]);
  });
});

describe('stale flows', () => {
  const udp = (over: Partial<HostService> = {}) =>
    hostService({
      ports: [
        port({
          protocol: 'UDP',
          port: 53,
          nodePort: 30053,
          endpoints: [endpoint('10.16.0.2', 5353), endpoint('10.16.0.3', 5353)],
          localEndpoints: [endpoint('10.16.0.2', 5353)],
        }),
      ],
      ...over,
    });
  const expected = (service?: HostService) =>
    udpExpectations(desiredHostState(hostInputs(service ? [service] : []), overlay).treatments);
  const host = new Set(['172.31.40.21', '100.64.0.2']);
  const isPod = (text: string) => text.startsWith('10.16.');
  const flow = (
    source: string,
    destination: string,
    replySource: string,
    replyDestination = '100.64.0.2',
    destinationPort = 53,
  ) => {
    return { family: 4 as const, source, destination, destinationPort, replySource, replyDestination };
  };
  const isStale = (one: ReturnType<typeof flow>, now?: HostService, before?: HostService) =>
    staleFlows([one], expected(now), expected(before), host, isPod).length === 1;

  const cluster = udp();
  const local = udp({ externalTrafficPolicy: 'Local' });
  test.each([
    ['Cluster by way of the overlay', flow('192.0.2.9', '10.77.0.100', '10.77.0.100'), cluster, false],
    ['Cluster, not masqueraded', flow('192.0.2.9', '10.77.0.100', '10.77.0.100', '192.0.2.9'), cluster, true],
    ['Cluster, but sent to an endpoint', flow('192.0.2.9', '10.77.0.100', '10.16.0.2'), cluster, true],
    ['Local at an endpoint here', flow('192.0.2.9', '10.77.0.100', '10.16.0.2', '192.0.2.9'), local, false],
    ['Local at an endpoint that is gone', flow('192.0.2.9', '10.77.0.100', '10.16.0.9', '192.0.2.9'), local, true],
    ['Local, but by way of the overlay', flow('192.0.2.9', '10.77.0.100', '10.77.0.100'), local, true],
    ['the host itself with Local', flow('100.64.0.2', '10.77.0.100', '10.77.0.100'), local, false],
    [
      'a node port by way of the ClusterIP',
      flow('192.0.2.9', '172.31.40.21', '10.96.0.10', '100.64.0.2', 30053),
      cluster,
      false,
    ],
    [
      'a node port at an endpoint that is gone',
      flow('192.0.2.9', '172.31.40.21', '10.16.0.9', '192.0.2.9', 30053),
      local,
      true,
    ],
    [
      'a node port nobody answered before',
      flow('192.0.2.9', '172.31.40.21', '172.31.40.21', '192.0.2.9', 30053),
      cluster,
      true,
    ],
    ['something of no Service', flow('192.0.2.9', '192.0.2.53', '192.0.2.53', '192.0.2.9'), cluster, false],
    [
      'the node port number on a machine elsewhere',
      flow('192.0.2.9', '192.0.2.53', '192.0.2.53', '192.0.2.9', 30053),
      cluster,
      false,
    ],
  ])('%s', (_, one, service, stale) => {
    expect(isStale(one, service)).toBe(stale);
  });

  test('a Service that is gone leaves no flow', () => {
    expect(isStale(flow('192.0.2.9', '10.77.0.100', '10.16.0.2'), undefined, local)).toBe(true);
    expect(isStale(flow('192.0.2.9', '10.77.0.100', '10.16.0.2'), undefined, undefined)).toBe(false);
  });

  test('one deletion for all clients of the same endpoint', () => {
    const gone = [flow('192.0.2.9', '10.77.0.100', '10.16.0.9'), flow('192.0.2.10', '10.77.0.100', '10.16.0.9')];
    expect(deletions(gone)).toEqual([
      [
        '-D',
        '-f',
        'ipv4',
        '-p',
        'udp',
        '--orig-dst',
        '10.77.0.100',
        '--orig-port-dst',
        '53',
        '--reply-src',
        '10.16.0.9',
      ],
    ]);
  });
});
