import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock } from '../../src/base/index.ts';
import { HostAgent, type HostInputs, type HostService, systemCommands } from '../../src/speaker/host-agent/index.ts';
import { eventually } from '../eventually.ts';
import { address, endpoint, hostInputs, hostService, port } from '../speaker/host-agent/host-fixtures.ts';
import { Namespaces, namespacesUnavailable, type Peer } from './namespaces.ts';

/**
 * client --fabric-- node --ovn0-- ovn --- near (a pod of this node)
 *                    |             \----- far  (a pod of another node: answers to strangers leave by that node)
 *                   api (a machine beside the cluster)
 *
 * `ovn` stands for the overlay with its load balancers: packets from the node to a ClusterIP or external address are
 * spread over both pods.
 */
// Many processes, on machines that do other things too.
jest.setTimeout(60_000);

const unavailable = namespacesUnavailable();
if (unavailable) process.stderr.write(`skipped: host agent with real packets: ${unavailable}\n`);

const near = endpoint('10.16.1.2');
const far = endpoint('10.16.2.2');
const near6 = endpoint('fd00:16:1::2');
const far6 = endpoint('fd00:16:2::2');
const nodePort = 30080;

const web = (over: Partial<HostService> = {}) =>
  hostService({
    clusterIPs: [address('10.96.0.10'), address('fd00:96::10')],
    externalAddresses: [address('10.77.0.100'), address('fd77::100')],
    ports: [
      port({ nodePort, endpoints: [near, far, near6, far6], localEndpoints: [near, near6] }),
      port({
        name: 'u',
        protocol: 'UDP',
        nodePort,
        endpoints: [near, far, near6, far6],
        localEndpoints: [near, near6],
      }),
    ],
    ...over,
  });

(unavailable ? describe.skip : describe)('host agent with real packets', () => {
  const hosts = new Namespaces('host');
  let client: Peer;
  let node: Peer;
  let nearPod: Peer;
  let agent: HostAgent;
  let stop: AbortController;
  let running: Promise<void>;

  function startAgent(): HostAgent {
    stop = new AbortController();
    agent = new HostAgent({ clock: systemClock, logger: silentLogger, commands: systemCommands(hosts.prefix('node')) });
    running = agent.run(stop.signal);
    return agent;
  }

  async function stopAgent(): Promise<void> {
    stop.abort();
    await running;
  }

  async function serve(services: HostService[], over: Partial<HostInputs> = {}): Promise<void> {
    agent.setDesired(hostInputs(services, { nodeAddresses: [address('10.77.0.21')], ...over }));
    await applied();
  }

  async function applied(): Promise<void> {
    const done = () => agent.status();
    await eventually(
      'the agent has applied it',
      done,
      ({ appliedGeneration, desiredGeneration }) => appliedGeneration === desiredGeneration,
      { timeoutMs: 5000 },
    );
    expect(agent.status()).toMatchObject({ state: 'applied', lastError: undefined });
  }

  async function answers(peer: Peer, host: string, portNumber: number, times = 12): Promise<string[]> {
    const seen = new Set<string>();
    for (let i = 0; i < times; i++) seen.add(await peer.tcp(host, portNumber));
    return [...seen].sort();
  }

  beforeAll(async () => {
    for (const host of ['client', 'node', 'ovn', 'near', 'far', 'api', 'switch']) hosts.add(host);
    hosts.ip('switch', 'link add fabric type bridge', 'link set fabric up');
    for (const [host, last] of [
      ['client', 10],
      ['node', 21],
      ['api', 1],
    ] as const) {
      hosts.cable(host, 'fabric0', 'switch', host);
      hosts.ip('switch', `link set ${host} master fabric`);
      hosts.ip(host, `addr add 10.77.0.${last}/24 dev fabric0`, `addr add fd77::${last}/64 dev fabric0 nodad`);
    }
    hosts.cable('node', 'ovn0', 'ovn', 'join');
    hosts.ip('node', 'addr add 100.64.0.2/16 dev ovn0', 'addr add fd00:64::2/64 dev ovn0 nodad');
    hosts.ip('ovn', 'addr add 100.64.0.1/16 dev join', 'addr add fd00:64::1/64 dev join nodad');
    hosts.ip(
      'node',
      'route add 10.16.0.0/16 via 100.64.0.1 dev ovn0',
      'route add fd00:16::/32 via fd00:64::1 dev ovn0',
    );
    hosts.ip('ovn', 'route add default via 100.64.0.2', 'route add default via fd00:64::2');
    for (const [pod, number] of [
      ['near', 1],
      ['far', 2],
    ] as const) {
      hosts.cable(pod, 'eth0', 'ovn', pod);
      hosts.ip(pod, `addr add 10.16.${number}.2/24 dev eth0`, `addr add fd00:16:${number}::2/64 dev eth0 nodad`);
      hosts.ip('ovn', `addr add 10.16.${number}.1/24 dev ${pod}`, `addr add fd00:16:${number}::1/64 dev ${pod} nodad`);
      hosts.ip(pod, `route add default via 10.16.${number}.1`, `route add default via fd00:16:${number}::1`);
    }
    hosts.ip('client', 'route add 10.77.0.100/32 via 10.77.0.21', 'route add fd77::100/128 via fd77::21');
    // Forwarding is the agent's business; strict reverse path checks must do no harm.
    hosts.sysctl('node', {
      'net/ipv4/ip_forward': '0',
      'net/ipv4/conf/all/rp_filter': '1',
      'net/ipv6/conf/all/forwarding': '1',
    });
    hosts.sysctl('ovn', { 'net/ipv4/ip_forward': '1', 'net/ipv6/conf/all/forwarding': '1' });
    hosts.run(
      'ovn',
      ['nft', '-f', '-'],
      `table inet ovn {
        chain balance { type nat hook prerouting priority dstnat; policy accept
          iifname join ip daddr { 10.96.0.10, 10.77.0.100 } meta l4proto { tcp, udp } th dport 80 dnat ip to numgen inc mod 2 map { 0 : 10.16.1.2 . 8080, 1 : 10.16.2.2 . 8080 }
          iifname join ip6 daddr { fd00:96::10, fd77::100 } meta l4proto { tcp, udp } th dport 80 dnat ip6 to numgen inc mod 2 map { 0 : fd00:16:1::2 . 8080, 1 : fd00:16:2::2 . 8080 }
        }
        chain elsewhere { type filter hook forward priority 10; policy accept
          iifname far oifname join ip daddr != 100.64.0.0/16 drop
          iifname far oifname join ip6 daddr != fd00:64::/64 drop
        }
      }
      `,
    );
    client = hosts.peer('client');
    node = hosts.peer('node');
    nearPod = hosts.peer('near');
    await Promise.all([
      nearPod.listen('near', 8080),
      hosts.peer('far').listen('far', 8080),
      hosts.peer('api').listen('api', 6443),
      node.listen('node', 9090),
    ]);
  }, 30_000);

  afterAll(async () => {
    await hosts.close();
  });

  beforeEach(() => {
    startAgent();
  });

  afterEach(async () => {
    await stopAgent();
    await agent.cleanup();
  });

  test('Cluster: external address, node port, and the host itself reach every pod', async () => {
    await serve([web()]);
    const masqueraded = ['far 100.64.0.2', 'near 100.64.0.2'];
    expect(await answers(client, '10.77.0.100', 80)).toEqual(masqueraded);
    expect(await answers(client, '10.77.0.21', nodePort)).toEqual(masqueraded);
    expect(await answers(node, '10.96.0.10', 80)).toEqual(masqueraded);
    expect(await answers(node, '10.77.0.21', nodePort)).toEqual(masqueraded);
    expect(await answers(node, '10.77.0.100', 80)).toEqual(masqueraded);
  });

  test('the same with IPv6', async () => {
    await serve([web()]);
    const masqueraded = ['far fd00:64::2', 'near fd00:64::2'];
    expect(await answers(client, 'fd77::100', 80)).toEqual(masqueraded);
    expect(await answers(client, 'fd77::21', nodePort)).toEqual(masqueraded);
    expect(await answers(node, 'fd00:96::10', 80)).toEqual(masqueraded);
  });

  test('Local: only the pod of this node, which sees the client', async () => {
    await serve([web({ externalTrafficPolicy: 'Local' })]);
    expect(await answers(client, '10.77.0.100', 80)).toEqual(['near 10.77.0.10']);
    expect(await answers(client, '10.77.0.21', nodePort)).toEqual(['near 10.77.0.10']);
    expect(await answers(client, 'fd77::100', 80)).toEqual(['near fd77::10']);
    expect(await answers(client, 'fd77::21', nodePort)).toEqual(['near fd77::10']);
    // The host keeps what Cluster gives.
    expect(await answers(node, '10.77.0.100', 80)).toEqual(['far 100.64.0.2', 'near 100.64.0.2']);
    expect(await answers(node, '10.77.0.21', nodePort)).toEqual(['far 100.64.0.2', 'near 100.64.0.2']);
  });

  test('Local for another node: answered, though the overlay would answer it by another way', async () => {
    const services = [web({ externalTrafficPolicy: 'Local' })];
    await serve(services, { peerAddresses: [address('10.77.0.10'), address('fd77::10')] });
    expect(await client.tcp('10.77.0.21', nodePort)).toBe('near 100.64.0.2');
    expect(await client.tcp('fd77::21', nodePort)).toBe('near fd00:64::2');
    await serve(services);
    expect(await client.tcp('10.77.0.21', nodePort)).toBe('near 10.77.0.10');
  });

  test('Local without a pod here is refused at once; UDP too', async () => {
    const ports = [
      port({ nodePort, endpoints: [far], localEndpoints: [] }),
      port({ name: 'u', protocol: 'UDP', endpoints: [far], localEndpoints: [] }),
    ];
    await serve([web({ externalTrafficPolicy: 'Local', ports })]);
    expect(await client.tcp('10.77.0.100', 80)).toBe('ECONNREFUSED');
    expect(await client.tcp('10.77.0.21', nodePort)).toBe('ECONNREFUSED');
    expect(await client.udp('10.77.0.100', 80, 40_001, 300)).toBe('ETIMEDOUT');
  });

  test('a port the Service does not have is refused', async () => {
    await serve([web()]);
    expect(await client.tcp('10.77.0.100', 81)).toBe('ECONNREFUSED');
    expect(await client.tcp('fd77::100', 81)).toBe('ECONNREFUSED');
    expect(await node.tcp('10.96.0.10', 81)).toBe('ECONNREFUSED');
  });

  test('session affinity: one client, one pod, also through a node port', async () => {
    await serve([web({ sessionAffinity: 'ClientIP' })]);
    expect(await answers(client, '10.77.0.100', 80)).toHaveLength(1);
    expect(await answers(client, '10.77.0.21', nodePort)).toEqual(await answers(client, '10.77.0.100', 80));
  });

  test('source ranges follow the Service, before addresses are translated', async () => {
    await serve([web({ sourceRanges: ['192.0.2.0/24'] })]);
    expect(await client.tcp('10.77.0.100', 80, 300)).toBe('ETIMEDOUT');
    expect(await client.tcp('fd77::100', 80, 300)).toBe('ETIMEDOUT');
    expect(await client.tcp('10.77.0.21', nodePort)).toMatch(/^(near|far)/);
    await serve([web({ sourceRanges: ['192.0.2.0/24', '10.77.0.10/32'], externalTrafficPolicy: 'Local' })]);
    expect(await client.tcp('10.77.0.100', 80)).toBe('near 10.77.0.10');
    expect(await nearPod.tcp('10.77.0.100', 80, 300)).toBe('ETIMEDOUT');
    await serve([web({ sourceRanges: ['10.16.0.0/16'] })]);
    expect(await nearPod.tcp('10.77.0.100', 80)).toMatch(/^(near|far) 100\.64\.0\.2$/);
    expect(await client.tcp('10.77.0.100', 80, 300)).toBe('ETIMEDOUT');
    await serve([web()]);
    expect(await client.tcp('10.77.0.100', 80)).toMatch(/^(near|far) 100\.64\.0\.2$/);
  });

  test('endpoints outside the overlay: a machine beside the cluster, and this very host', async () => {
    const api = (endpoints: ReturnType<typeof endpoint>[]) =>
      web({ ports: [port({ nodePort, endpoints, localEndpoints: [] })] });
    await serve([api([endpoint('10.77.0.1', 6443)])]);
    expect(await node.tcp('10.96.0.10', 80)).toBe('api 10.77.0.21');
    expect(await node.tcp('10.77.0.21', nodePort)).toBe('api 10.77.0.21');
    expect(await client.tcp('10.77.0.100', 80)).toBe('api 10.77.0.21');
    await serve([api([endpoint('10.77.0.21', 9090)])]);
    expect(await node.tcp('10.96.0.10', 80)).toMatch(/^node /);
    expect(await client.tcp('10.77.0.100', 80)).toBe('node 10.77.0.10');
    expect(await client.tcp('10.77.0.21', nodePort)).toBe('node 10.77.0.10');
  });

  test('internalTrafficPolicy Local: the host keeps to its own pods', async () => {
    await serve([web({ internalTrafficPolicy: 'Local' })]);
    expect(await answers(node, '10.96.0.10', 80)).toEqual(['near 100.64.0.2']);
    await serve([web({ internalTrafficPolicy: 'Local', ports: [port({ endpoints: [far], localEndpoints: [] })] })]);
    expect(await node.tcp('10.96.0.10', 80)).toBe('ECONNREFUSED');
  });

  test('a UDP client that never pauses leaves an endpoint that is gone, and a policy that changed', async () => {
    const local = (endpoints: ReturnType<typeof endpoint>[]) =>
      web({
        externalTrafficPolicy: 'Local',
        ports: [port({ protocol: 'UDP', nodePort, endpoints: [near, far], localEndpoints: endpoints })],
      });
    await serve([local([near])]);
    expect(await client.udp('10.77.0.100', 80, 40_010)).toBe('near 10.77.0.10');
    expect(await client.udp('10.77.0.21', nodePort, 40_011)).toBe('near 10.77.0.10');
    await serve([local([endpoint('10.77.0.21', 9090)])]);
    expect(await client.udp('10.77.0.100', 80, 40_010)).toBe('node 10.77.0.10');
    expect(await client.udp('10.77.0.21', nodePort, 40_011)).toBe('node 10.77.0.10');
    await serve([web()]);
    expect(await client.udp('10.77.0.100', 80, 40_010)).toMatch(/^(near|far) 100\.64\.0\.2$/);
    await serve([]);
    expect(await client.udp('10.77.0.100', 80, 40_010, 300)).toBe('ETIMEDOUT');
    await serve([local([near])]);
    expect(await client.udp('10.77.0.100', 80, 40_010)).toBe('near 10.77.0.10');
  });

  test('what somebody else takes away is put back', async () => {
    await serve([web()]);
    const reachable = () => client.tcp('10.77.0.100', 80, 200);
    const back = async () =>
      await eventually('the address answers', reachable, (answer) => answer.includes('100.64.0.2'));
    for (const command of [
      'nft flush ruleset',
      'nft delete table inet ovenbird',
      'ip route flush table 7472',
      'ip rule del priority 7472',
      'ip -6 rule del priority 7472',
    ]) {
      hosts.run('node', command.split(' '));
      await back();
      expect(
        await eventually(
          'the IPv6 address answers',
          () => client.tcp('fd77::100', 80, 200),
          (answer) => answer.includes('fd00:64::2'),
        ),
      ).toBeDefined();
      expect(
        await eventually(
          'the node port answers',
          () => client.tcp('10.77.0.21', nodePort, 200),
          (answer) => answer.includes('100.64.0.2'),
        ),
      ).toBeDefined();
    }
    hosts.ip('node', 'link set ovn0 down');
    await eventually(
      'a note about ovn0',
      () => agent.status().notes,
      (notes) => notes.some((note) => note.includes('ovn0 is down')),
    );
    hosts.ip('node', 'link set ovn0 up', 'route add 10.16.0.0/16 via 100.64.0.1 dev ovn0');
    await back();
    expect(agent.status().repairs).toBeGreaterThanOrEqual(3);
  });

  test('a change inside our table is found by the periodic comparison', async () => {
    await stopAgent();
    stop = new AbortController();
    const dependencies = {
      clock: systemClock,
      logger: silentLogger,
      commands: systemCommands(hosts.prefix('node')),
      reconcileMs: 100,
    };
    agent = new HostAgent(dependencies);
    running = agent.run(stop.signal);
    await serve([web()]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    hosts.run('node', ['nft', 'flush', 'chain', 'inet', 'ovenbird', 'nat-prerouting']);
    await eventually(
      'the node port answers',
      () => client.tcp('10.77.0.21', nodePort, 200),
      (answer) => answer.includes('100.64.0.2'),
    );
  });

  test('a killed agent leaves everything in force; its successor takes over without touching connections', async () => {
    const services = [
      web({ externalTrafficPolicy: 'Local' }),
      web({ name: 'x', clusterIPs: [address('10.96.0.11')], externalAddresses: [] }),
    ];
    await serve(services);
    expect(await client.open('long', '10.77.0.100', 80)).toBe('near 10.77.0.10');
    await stopAgent();
    expect(await client.tcp('10.77.0.100', 80)).toBe('near 10.77.0.10');
    const ruleset = hosts.run('node', ['nft', '-s', 'list', 'ruleset']);
    startAgent();
    agent.setDesired(hostInputs([], { complete: false }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(hosts.run('node', ['nft', '-s', 'list', 'ruleset'])).toBe(ruleset);
    await serve(services);
    expect(hosts.run('node', ['nft', '-s', 'list', 'ruleset'])).toBe(ruleset);
    expect(await client.say('long')).toBe('near 10.77.0.10');
    await serve([]);
    expect(await client.say('long')).toBe('near 10.77.0.10');
  });

  test('differences lead to the same table as the whole', async () => {
    const steps: HostService[][] = [
      [web()],
      [web({ externalTrafficPolicy: 'Local', sourceRanges: ['10.0.0.0/8'] })],
      [web({ sessionAffinity: 'ClientIP', internalTrafficPolicy: 'Local' })],
      [
        web({
          ports: [port({ nodePort: 30081, endpoints: [near], localEndpoints: [] })],
          externalTrafficPolicy: 'Local',
        }),
      ],
      [],
    ];
    for (const services of steps) {
      await serve(services);
      const byDifference = hosts.run('node', ['nft', '-s', 'list', 'ruleset']);
      hosts.run('node', ['nft', 'flush', 'ruleset']);
      await eventually(
        'a ruleset',
        () => hosts.run('node', ['nft', '-s', 'list', 'ruleset']),
        (text) => text !== '',
      );
      expect(sortedLines(hosts.run('node', ['nft', '-s', 'list', 'ruleset']))).toEqual(sortedLines(byDifference));
    }
  });

  test('cleaning up leaves what is not ours, and nothing else', async () => {
    hosts.run('node', ['nft', 'add', 'table', 'inet', 'somebody']);
    hosts.ip('node', 'rule add priority 100 lookup 99', 'route add 192.0.2.0/24 via 10.77.0.1 table 99');
    await serve([web()]);
    await stopAgent();
    await agent.cleanup();
    await agent.cleanup();
    expect(hosts.run('node', ['nft', 'list', 'tables']).trim()).toBe('table inet somebody');
    expect(hosts.run('node', ['ip', 'rule'])).not.toContain('7472');
    expect(hosts.run('node', ['ip', 'rule'])).toContain('lookup 99');
    expect(hosts.run('node', ['ip', 'route', 'show', 'table', '99'])).toContain('192.0.2.0/24');
    expect(hosts.run('node', ['sh', '-c', 'ip route show table 7472; ip -6 route show table 7472; true']).trim()).toBe(
      '',
    );
    hosts.run('node', ['nft', 'delete', 'table', 'inet', 'somebody']);
    hosts.ip('node', 'rule del priority 100', 'route flush table 99');
  });
});

/** Chains may stand in another order. */
function sortedLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .sort();
}
