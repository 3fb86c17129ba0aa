import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Cidr } from '../../../src/net/index.ts';
import {
  desiredHostState,
  type HostService,
  readOverlay,
  readSourceRanges,
  renderChange,
  renderTable,
  routeChanges,
  ruleChanges,
} from '../../../src/speaker/host-agent/index.ts';
import { address, endpoint, hostInputs, hostService, overlay, port } from './host-fixtures.ts';

function state(...services: HostService[]) {
  return desiredHostState(hostInputs(services), overlay);
}

/** Non-empty sets, and rules of the chains that packets are sent to. */
function picture(...services: HostService[]) {
  const { nft } = state(...services);
  const names = new Map<string, string>();
  for (const { name } of nft.chains) names.set(name, name.replace(/_[0-9a-f]{16}$/, ''));
  const readable = (text: string) => text.replace(/\w+_[0-9a-f]{16}/, (name) => names.get(name) ?? name);
  const sets: Record<string, string[]> = {};
  for (const { name, elements } of nft.sets) {
    if (elements.size === 0) continue;
    sets[name] = [...elements].map(([key, value]) => (value === undefined ? key : readable(`${key} -> ${value}`)));
  }
  const chains: Record<string, string[]> = {};
  for (const { name, hook, rules } of nft.chains) {
    if (hook === undefined && name !== 'refuse') chains[readable(name)] = rules.map(readable);
  }
  return { sets, chains };
}

const http = 'tcp . 80';

describe('what a node does', () => {
  test('Cluster: everything goes to the overlay as it is; node ports become the ClusterIP', () => {
    expect(picture(hostService({ ports: [port({ nodePort: 30080 })] }))).toEqual({
      sets: {
        service_addresses4: ['10.96.0.10', '10.77.0.100'],
        service_ports4: [`10.96.0.10 . ${http}`, `10.77.0.100 . ${http}`],
        node_ports4: ['tcp . 30080 -> 10.96.0.10 . 80'],
      },
      chains: {},
    });
  });

  test('Local: clients get endpoints of this node and keep their address', () => {
    const { sets, chains } = picture(
      hostService({ externalTrafficPolicy: 'Local', ports: [port({ nodePort: 30080 })] }),
    );
    expect(sets).toMatchObject({
      dispatch4: [`10.77.0.100 . ${http} -> jump local4`],
      node_port_dispatch4: ['tcp . 30080 -> jump local4'],
      node_ports4: ['tcp . 30080 -> 10.96.0.10 . 80'],
    });
    expect(chains).toEqual({
      local4: [
        'iifname "ovn0" return',
        'ip saddr @peers4 meta mark set meta mark | 0x4000',
        'meta l4proto tcp dnat ip to 10.16.0.2:8080',
      ],
    });
  });

  test('Local without an endpoint here: clients are refused, nothing is sent to another node', () => {
    const lonely = hostService({
      externalTrafficPolicy: 'Local',
      ports: [port({ nodePort: 30080, localEndpoints: [] })],
    });
    expect(picture(lonely)).toMatchObject({
      sets: { refused4: [`10.77.0.100 . ${http}`], refused_node_ports4: ['tcp . 30080'] },
      chains: {},
    });
  });

  test('session affinity: the host chooses by client, since OVN sees all of them as this host', () => {
    const { sets, chains } = picture(hostService({ sessionAffinity: 'ClientIP' }));
    expect(sets).toMatchObject({
      dispatch4: [`10.96.0.10 . ${http} -> jump all4`, `10.77.0.100 . ${http} -> jump all4`],
    });
    expect(sets).not.toHaveProperty('dispatch_output4');
    expect(chains).toEqual({
      all4: [
        'meta mark set meta mark | 0x4000',
        'meta l4proto tcp dnat ip to jhash ip saddr mod 2 seed 0x6f76656e map { 0 : 10.16.0.2 . 8080, 1 : 10.16.0.3 . 8080 }',
      ],
    });
  });

  test('endpoints outside the overlay (the API server): the host chooses for everyone', () => {
    const api = hostService({
      name: 'kubernetes',
      externalAddresses: [],
      ports: [port({ port: 443, endpoints: [endpoint('172.31.40.1', 6443)], localEndpoints: [] })],
    });
    const { sets, chains } = picture(api);
    expect(sets).toMatchObject({
      dispatch4: ['10.96.0.10 . tcp . 443 -> jump all4'],
      dispatch_output4: ['10.96.0.10 . tcp . 443 -> jump all4'],
    });
    expect(chains).toEqual({
      all4: ['meta mark set meta mark | 0x4000', 'meta l4proto tcp dnat ip to 172.31.40.1:6443'],
    });
  });

  test('internalTrafficPolicy Local: the host keeps to its own endpoints or refuses', () => {
    const near = hostService({ internalTrafficPolicy: 'Local', externalAddresses: [] });
    expect(picture(near)).toMatchObject({
      sets: { dispatch_output4: [`10.96.0.10 . ${http} -> jump internal4`] },
      chains: { internal4: ['meta l4proto tcp dnat ip to 10.16.0.2:8080'] },
    });
    expect(picture({ ...near, ports: [port({ localEndpoints: [] })] })).toMatchObject({
      sets: { refused_output4: [`10.96.0.10 . ${http}`] },
    });
  });

  test('source ranges: blanks and host bits forgiven, nested prefixes dropped, each family shut unless named', () => {
    const dual = hostService({
      externalAddresses: [address('10.77.0.100'), address('fd77::1')],
      sourceRanges: [' 192.0.2.7/24 ', '192.0.2.128/25', '203.0.113.0/24'],
    });
    expect(picture(dual).sets).toMatchObject({
      restricted4: [`10.77.0.100 . ${http}`],
      admitted4: [`10.77.0.100 . ${http} . 192.0.2.0/24`, `10.77.0.100 . ${http} . 203.0.113.0/24`],
      restricted6: [`fd77::1 . ${http}`],
    });
    expect(picture(dual).sets).not.toHaveProperty('admitted6');
  });

  test.each([
    [[], 'everyone'],
    [['0.0.0.0/0', '::/0'], 'everyone'],
    [['0.0.0.0/0'], 'only'],
    [['nonsense'], 'only'],
  ])('ranges %j admit %s', (ranges, kind) => {
    expect(readSourceRanges(ranges).kind).toBe(kind);
  });

  test('an unreadable range admits nobody and is reported', () => {
    const { problems } = state(hostService({ sourceRanges: ['10.0.0.0/33'] }));
    expect(problems).toEqual([{ service: 'default/web', message: expect.stringContaining('"10.0.0.0/33"') }]);
  });

  test('an address and port that two Services claim goes to the first, and both are named', () => {
    const second = hostService({ name: 'zeta', clusterIPs: [address('10.96.0.11')], sessionAffinity: 'ClientIP' });
    const { problems, nft } = state(second, hostService());
    expect(problems).toEqual([
      { service: 'default/zeta', message: expect.stringMatching(/10\.77\.0\.100.*default\/web.*default\/zeta/) },
    ]);
    expect([...(nft.sets.find(({ name }) => name === 'dispatch4')?.elements.keys() ?? [])]).toEqual([
      `10.96.0.11 . ${http}`,
    ]);
  });

  test('routes: external addresses and ClusterIPs, or their range as a whole, in families with a gateway', () => {
    const dual = hostService({ externalAddresses: [address('10.77.0.100'), address('fd77::1')] });
    const routes = (serviceCidrs: Cidr[]) =>
      desiredHostState(hostInputs([dual], { serviceCidrs }), overlay).routes.map(({ destination }) =>
        destination.toString(),
      );
    expect(routes([])).toEqual(['10.77.0.100', '10.96.0.10']);
    expect(routes([Cidr.parse('10.96.0.0/12')])).toEqual(['10.77.0.100', '10.96.0.0/12']);
  });

  test('health check ports: only with Local, one Service each', () => {
    const one = hostService({ externalTrafficPolicy: 'Local', healthCheckNodePort: 32000, localReadyEndpoints: 2 });
    const cluster = hostService({ name: 'b', clusterIPs: [], externalAddresses: [], healthCheckNodePort: 32001 });
    expect(state(one, cluster).healthPorts).toEqual([
      { port: 32000, namespace: 'default', name: 'web', readyEndpoints: 2 },
    ]);
    const { healthPorts, problems } = state(one, { ...one, name: 'web2', clusterIPs: [], externalAddresses: [] });
    expect(healthPorts).toHaveLength(1);
    expect(problems).toHaveLength(1);
  });
});

describe('overlay', () => {
  const routes = {
    4: [
      { dst: '10.16.0.0/16', gateway: '100.64.0.1' },
      { dst: '100.64.0.0/16' },
      { dst: 'default', gateway: '100.64.0.9' },
    ],
    6: [{ dst: 'fd00:10:16::/64', gateway: 'fd00:64::1' }],
  };

  test('gateways and pod ranges are read from the routes of the network plugin', () => {
    expect(readOverlay('ovn0', [], routes)).toEqual({
      device: 'ovn0',
      gateways: { 4: address('100.64.0.1'), 6: address('fd00:64::1') },
      podCidrs: [Cidr.parse('10.16.0.0/16'), Cidr.parse('fd00:10:16::/64')],
    });
  });

  test('what the node is annotated with wins', () => {
    expect(readOverlay('ovn0', [address('100.64.0.254')], routes).gateways[4]).toEqual(address('100.64.0.254'));
  });
});

describe('routes', () => {
  const wanted = state(hostService()).routes;

  test('an empty table is filled, a full one left alone', () => {
    expect(routeChanges(7472, [], wanted, 4)).toEqual([
      'route replace 10.77.0.100 via 100.64.0.1 dev ovn0 table 7472',
      'route replace 10.96.0.10 via 100.64.0.1 dev ovn0 table 7472',
    ]);
    const listed = wanted.map(({ destination }) => ({ dst: `${destination}`, gateway: '100.64.0.1', dev: 'ovn0' }));
    expect(routeChanges(7472, listed, wanted, 4)).toEqual([]);
    expect(routeChanges(7472, listed, [], 6)).toHaveLength(2);
  });

  test('strange routes go, wrong ones are replaced', () => {
    const listed = [
      { dst: 'default', gateway: '192.0.2.1', dev: 'eth0' },
      { dst: '10.77.0.100', gateway: '100.64.0.9', dev: 'ovn0' },
      { dst: '10.96.0.10', gateway: '100.64.0.1', dev: 'ovn0' },
    ];
    expect(routeChanges(7472, listed, wanted, 4)).toEqual([
      'route del default table 7472',
      'route replace 10.77.0.100 via 100.64.0.1 dev ovn0 table 7472',
    ]);
  });

  test.each([
    [[], true, ['rule add from all priority 7472 table 7472']],
    [[{ priority: 7472, src: 'all', table: '7472' }], true, []],
    [[{ priority: 7472, src: 'all', table: '7472' }], false, ['rule del priority 7472 table 7472']],
    [
      [
        { priority: 5, src: '10.0.0.0', table: '7472' },
        { priority: 7472, src: 'all', table: '7472' },
        { priority: 7472, src: 'all', table: '7472' },
        { priority: 32766, src: 'all', table: 'main' },
      ],
      true,
      ['rule del priority 5 table 7472', 'rule del priority 7472 table 7472'],
    ],
  ])('rules %j (wanted: %s)', (listed, wantedRule, lines) => {
    expect(ruleChanges(7472, listed, wantedRule)).toEqual(lines);
  });
});

describe('changes of the table', () => {
  test('nothing differs: nothing is sent', () => {
    expect(renderChange(state(hostService()).nft, state(hostService()).nft)).toBe('');
  });

  test('an endpoint that moved is one chain', () => {
    const local = (at: string) =>
      state(hostService({ externalTrafficPolicy: 'Local', ports: [port({ localEndpoints: [endpoint(at)] })] })).nft;
    const lines = (renderChange(local('10.16.0.2'), local('10.16.0.7')) ?? '').trim().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^flush chain inet ovenbird local4_/),
      expect.stringContaining('iifname "ovn0" return'),
      expect.stringContaining('@peers4'),
      expect.stringContaining('dnat ip to 10.16.0.7:8080'),
    ]);
  });

  test('a map element with another value is taken out and put in', () => {
    const at = (clusterIP: string) =>
      state(
        hostService({ clusterIPs: [address(clusterIP)], externalAddresses: [], ports: [port({ nodePort: 30080 })] }),
      ).nft;
    const lines = (renderChange(at('10.96.0.10'), at('10.96.0.11')) ?? '').trim().split('\n');
    expect(lines).toContain('delete element inet ovenbird node_ports4 { tcp . 30080 : 10.96.0.10 . 80 }');
    expect(lines).toContain('add element inet ovenbird node_ports4 { tcp . 30080 : 10.96.0.11 . 80 }');
  });

  test('another device takes the whole table', () => {
    const renamed = desiredHostState(hostInputs([]), { ...overlay, device: 'tun0' }).nft;
    expect(renderChange(state().nft, renamed)).toContain('tun0');
    expect(renderChange(state().nft, { ...renamed, name: 'other' })).toBeUndefined();
    expect(renderTable(renamed)).toMatch(/^table inet ovenbird\ndelete table inet ovenbird\ntable inet ovenbird \{\n/);
  });

  test('the order of Services does not matter', () => {
    const services = fc.uniqueArray(
      fc.record({ name: fc.constantFrom('a', 'b', 'c'), last: fc.integer({ min: 1, max: 3 }), local: fc.boolean() }),
      { selector: ({ name }) => name },
    );
    fc.assert(
      fc.property(services, (given) => {
        const built = given.map(({ name, last, local }) =>
          hostService({
            name,
            clusterIPs: [address(`10.96.0.${last}`)],
            externalTrafficPolicy: local ? 'Local' : 'Cluster',
          }),
        );
        expect(renderTable(state(...built).nft)).toBe(renderTable(state(...built.toReversed()).nft));
      }),
      { numRuns: 50 },
    );
  });
});
