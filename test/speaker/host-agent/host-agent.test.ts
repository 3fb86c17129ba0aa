import { getEventListeners, once } from 'node:events';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { ManualClock, silentLogger } from '../../../src/base/index.ts';
import {
  HealthCheckServer,
  HostAgent,
  HostCommandError,
  type HostCommands,
  systemCommands,
} from '../../../src/speaker/host-agent/index.ts';
import { address, endpoint, hostInputs, hostService, port } from './host-fixtures.ts';

/** A host that remembers what it was told, answers listings from memory, and can be made to fail. */
class FakeHost implements HostCommands {
  readonly programs: string[] = [];
  readonly commands: string[] = [];
  readonly batches: string[] = [];
  link = '[{"ifname":"ovn0","flags":["UP"]}]';
  listing = 'table inet ovenbird {}';
  failRoutes: string | undefined;
  conntrack = true;
  ipv6 = true;
  failNft: ((program: string) => string | undefined) | undefined;
  /** What `ip monitor` prints. */
  tell: (line: string) => void = () => {};

  async run(argv: readonly string[], options: { stdin?: string } = {}): Promise<string> {
    const line = argv.join(' ');
    this.commands.push(line);
    if (line.includes('-batch') && this.failRoutes !== undefined)
      throw new HostCommandError('CommandFailed', this.failRoutes);
    if (line.includes('-batch')) this.batches.push(options.stdin ?? '');
    if (line === 'nft -f -') {
      const failure = this.failNft?.(options.stdin ?? '');
      if (failure !== undefined) throw new HostCommandError('CommandFailed', failure);
      this.programs.push(options.stdin ?? '');
      return '';
    }
    if (line.startsWith('nft -s')) return this.listing;
    if (line.includes('link show')) return this.link;
    if (line.includes('-4 route show dev')) return '[{"dst":"10.16.0.0/16","gateway":"100.64.0.1"}]';
    if (line.startsWith('cat')) return '1\n';
    // What `ip` says of any family whose rules the kernel does not have; it lists no routes of such a family.
    if (line.includes('-6 rule show') && !this.ipv6)
      throw new HostCommandError(
        'CommandFailed',
        `${line} ended with 255: RTNETLINK answers: Address family not supported by protocol / Dump terminated`,
      );
    if (argv[0] === 'conntrack' && !this.conntrack)
      throw new HostCommandError('CommandMissing', 'conntrack is not installed');
    return '';
  }

  follow(argv: readonly string[], onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
    if (argv[0] === 'ip') this.tell = onLine;
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }
}

/** @param work gets in `carried` what the status said after each pass */
async function withAgent(
  work: (agent: HostAgent, host: FakeHost, clock: ManualClock, carried: boolean[]) => Promise<void>,
): Promise<void> {
  const clock = new ManualClock();
  const host = new FakeHost();
  const carried: boolean[] = [];
  const onPass = () => carried.push(agent.status().carries);
  const agent = new HostAgent({ clock, logger: silentLogger, commands: host, onPass });
  const stop = new AbortController();
  const running = agent.run(stop.signal);
  try {
    await work(agent, host, clock, carried);
  } finally {
    stop.abort();
    await clock.advance(60_000);
    await running;
    expect(clock.pendingTimers).toBe(0);
  }
}

async function settle(clock: ManualClock, ms = 50): Promise<void> {
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(ms / 10);
  }
}

const local = (at: string) =>
  hostService({ externalTrafficPolicy: 'Local', ports: [port({ localEndpoints: [endpoint(at)] })] });

describe('HostAgent', () => {
  test('leaves what a predecessor did alone until its inputs are complete', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([], { complete: false }));
      await settle(clock);
      expect(host.programs).toEqual([]);
      expect(agent.status()).toMatchObject({ state: 'waiting', desiredGeneration: 1, appliedGeneration: 0 });
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      expect(host.programs).toHaveLength(1);
      expect(agent.status()).toMatchObject({
        state: 'applied',
        appliedGeneration: 2,
        services: 1,
        routes: 2,
        notes: [],
      });
    });
  });

  test('sends only differences, and nothing when nothing changed', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([local('10.16.0.2')]));
      await settle(clock);
      agent.setDesired(hostInputs([local('10.16.0.2')]));
      await settle(clock);
      expect(host.programs).toHaveLength(1);
      agent.setDesired(hostInputs([local('10.16.0.9')]));
      await settle(clock);
      expect(host.programs[1]).toMatch(/^flush chain/);
    });
  });

  test('a difference that does not fit is followed by the whole table', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([local('10.16.0.2')]));
      await settle(clock);
      host.failNft = (program) => (program.startsWith('flush chain') ? 'No such file or directory' : undefined);
      agent.setDesired(hostInputs([local('10.16.0.9')]));
      await settle(clock);
      expect(host.programs[1]).toMatch(/^table inet ovenbird\ndelete table/);
      expect(agent.status()).toMatchObject({ state: 'applied', lastError: undefined });
    });
  });

  test('after a failure nothing is taken for granted: the whole table is put', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([local('10.16.0.2')]));
      await settle(clock);
      host.failNft = () => 'nft: Cannot allocate memory';
      agent.setDesired(hostInputs([local('10.16.0.9')]));
      await settle(clock);
      expect(agent.status().state).toBe('failing');
      host.failNft = undefined;
      await settle(clock, 2_000);
      expect(host.programs[1]).toMatch(/^table inet ovenbird\ndelete table/);
    });
  });

  test('a failure is shown and repeated with growing pauses, and then the whole table is put', async () => {
    await withAgent(async (agent, host, clock) => {
      host.failNft = () => 'nft: Operation not permitted';
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'failing', lastError: expect.stringContaining('not permitted') });
      await settle(clock, 20_000);
      const attempts = host.commands.filter((line) => line === 'nft -f -').length;
      expect(attempts).toBeGreaterThan(2);
      expect(attempts).toBeLessThan(12);
      host.failNft = undefined;
      await settle(clock, 20_000);
      expect(agent.status()).toMatchObject({ state: 'applied', lastError: undefined });
    });
  });

  test('a table that was changed by somebody is put again at the next comparison', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      await settle(clock, 2_000);
      host.listing = 'table inet ovenbird { chain odd {} }';
      await settle(clock, 40_000);
      expect(host.programs).toHaveLength(2);
      expect(agent.status().repairs).toBeGreaterThan(0);
    });
  });

  test('the comparison comes however often something else changes', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      await settle(clock, 2_000);
      host.listing = 'table inet ovenbird { chain odd {} }';
      host.commands.length = 0;
      for (let i = 0; i < 70; i++) {
        agent.setDesired(hostInputs([hostService()]));
        await settle(clock, 500);
      }
      expect(host.programs).toHaveLength(2);
      expect(agent.status().repairs).toBeGreaterThan(0);
      expect(host.commands).toContain('cat /proc/sys/net/ipv4/ip_forward');
      expect(host.commands.filter((line) => line.includes('route show table 7472'))).toHaveLength(2);
    });
  });

  // Between two changes somebody may have altered the table before it was looked at: that look would not show it.
  test.each([500, 5_000])('a table that changes every %s ms is put as a whole every 30 s', async (pauseMs) => {
    await withAgent(async (agent, host, clock) => {
      const whole = () => host.programs.filter((program) => program.startsWith('table inet')).length;
      agent.setDesired(hostInputs([local('10.16.0.2')]));
      await settle(clock);
      for (let i = 0; i < 95_000 / pauseMs; i++) {
        agent.setDesired(hostInputs([local(`10.16.0.${3 + (i % 2)}`)]));
        await settle(clock, pauseMs);
      }
      expect(host.programs.length).toBeGreaterThan(18);
      expect(whole()).toBe(4);
    });
  });

  test('a change runs two programs; the kernel telling of it runs none', async () => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      host.commands.length = 0;
      agent.setDesired(hostInputs([hostService({ externalAddresses: [address('10.77.0.101')] })]));
      await settle(clock);
      expect(host.commands).toEqual(['nft -f -', 'ip -4 -force -batch -']);
      expect(host.batches.at(-1)).toBe(
        'route del 10.77.0.100 table 7472\nroute replace 10.77.0.101 via 100.64.0.1 dev ovn0 table 7472\n',
      );
      host.commands.length = 0;
      host.tell('Deleted 10.77.0.100 via 100.64.0.1 dev ovn0 table 7472 ');
      host.tell('10.77.0.101 via 100.64.0.1 dev ovn0 table 7472 ');
      host.tell('7472:\tfrom all lookup 7472 ');
      await settle(clock);
      expect(host.commands).toEqual([]);
    });
  });

  test.each([
    ['a route of ours taken away', 'Deleted 10.77.0.100 via 100.64.0.1 dev ovn0 table 7472 '],
    ['a route of ours that leads elsewhere', '10.77.0.100 via 100.64.0.9 dev ovn0 table 7472 '],
    ['a route of somebody else in our table', '10.9.9.9 via 100.64.0.1 dev ovn0 table 7472 '],
    ['our rule taken away', 'Deleted 7472:\tfrom all lookup 7472 '],
    ['a second rule for our table', '99:\tfrom all lookup 7472 '],
    ['the interface changing', '5: ovn0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc noqueue state UP '],
  ])('%s makes it look at the kernel and put everything right', async (_what, line) => {
    await withAgent(async (agent, host, clock) => {
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      host.commands.length = 0;
      host.batches.length = 0;
      host.tell(line);
      await settle(clock);
      expect(host.commands).toContain('ip -json -4 route show table 7472');
      expect(host.batches).toEqual([expect.stringContaining('route replace 10.77.0.100 via 100.64.0.1 dev ovn0')]);
      expect(agent.status().repairs).toBe(1);
    });
  });

  test('without the overlay there are no routes, and it says so', async () => {
    await withAgent(async (agent, host, clock) => {
      host.link = '[{"ifname":"ovn0","flags":["BROADCAST"]}]';
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      expect(host.commands.some((line) => line.includes('-batch'))).toBe(false);
      expect(agent.status().notes).toEqual([expect.stringContaining('ovn0 is down')]);
      host.link = '';
      await settle(clock, 40_000);
      expect(agent.status().notes).toEqual([expect.stringContaining('ovn0 does not exist')]);
    });
  });

  test('a kernel that was started without IPv6 has nothing of it to list, and IPv4 is served', async () => {
    await withAgent(async (agent, host, clock) => {
      host.ipv6 = false;
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'applied', lastError: undefined });
      expect(host.batches).toEqual([expect.stringContaining('rule add from all priority 7472 table 7472')]);
      await agent.cleanup();
    });
  });

  test('a host carries while the overlay is there and all is applied', async () => {
    await withAgent(async (agent, host, clock, carried) => {
      const link = host.link;
      host.link = '';
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'applied', carries: false });
      host.failRoutes = 'Error: Nexthop has invalid gateway.';
      host.link = link;
      host.tell('5: ovn0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc noqueue state UP ');
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'failing', carries: false });
      host.failRoutes = undefined;
      await settle(clock, 2_000);
      expect(agent.status()).toMatchObject({ state: 'applied', carries: true });
      host.failNft = () => 'nft: Cannot allocate memory';
      agent.setDesired(hostInputs([local('10.16.0.9')]));
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'failing', carries: true });
      host.link = '[{"ifname":"ovn0","flags":["BROADCAST"]}]';
      host.tell('Deleted 5: ovn0: <BROADCAST,MULTICAST> mtu 1400 qdisc noqueue state DOWN ');
      await settle(clock, 20_000);
      expect(agent.status()).toMatchObject({ state: 'failing', carries: false });
      expect(carried.filter((value, i) => value !== carried[i - 1])).toEqual([false, true, false]);
    });
  });

  test('routes that the kernel refuses keep neither health checks nor forwarding from being seen to', async () => {
    await withAgent(async (agent, host, clock) => {
      host.failRoutes = 'Error: IPv6 is disabled on nexthop device.';
      const taken = createServer().listen(0);
      await once(taken, 'listening');
      const at = taken.address();
      const healthCheckNodePort = typeof at === 'object' && at ? at.port : 0;
      agent.setDesired(hostInputs([hostService({ externalTrafficPolicy: 'Local', healthCheckNodePort })]));
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'failing', lastError: expect.stringContaining('nexthop') });
      expect(host.commands).toContain('cat /proc/sys/net/ipv4/ip_forward');
      expect(agent.status().notes).toEqual([expect.stringContaining('EADDRINUSE')]);
      taken.close();
      await once(taken, 'close');
    });
  });

  test('without conntrack everything else works', async () => {
    await withAgent(async (agent, host, clock) => {
      host.conntrack = false;
      agent.setDesired(hostInputs([hostService({ ports: [port({ protocol: 'UDP' })] })]));
      await settle(clock);
      expect(agent.status()).toMatchObject({ state: 'applied', notes: [expect.stringContaining('install conntrack')] });
    });
  });

  test('leaves nothing behind with each change', async () => {
    const clock = new ManualClock();
    const agent = new HostAgent({ clock, logger: silentLogger, commands: new FakeHost() });
    const stop = new AbortController();
    const running = agent.run(stop.signal);
    const listeners: number[] = [];
    for (let i = 0; i < 20; i++) {
      agent.setDesired(hostInputs([hostService()]));
      await settle(clock);
      listeners.push(getEventListeners(stop.signal, 'abort').length);
    }
    expect(listeners.at(-1)).toBe(listeners[1]);
    stop.abort();
    await clock.advance(60_000);
    await running;
  });

  test('changes that come fast are applied together', async () => {
    await withAgent(async (agent, host, clock) => {
      for (let i = 2; i < 200; i++) agent.setDesired(hostInputs([local(`10.16.0.${i}`)]));
      await settle(clock);
      expect(host.programs.length).toBeLessThanOrEqual(2);
      expect(host.programs.at(-1)).toContain('10.16.0.199');
    });
  });
});

describe('commands', () => {
  const { run } = systemCommands();

  test('words of a program that failed are kept', async () => {
    await expect(run(['sh', '-c', 'echo "no such thing" >&2; exit 3'])).rejects.toMatchObject({
      code: 'CommandFailed',
      message: expect.stringContaining('no such thing'),
    });
  });

  test('a program that is missing, hangs, or is not wanted any more', async () => {
    await expect(run(['no-such-program-here'])).rejects.toMatchObject({ code: 'CommandMissing' });
    await expect(run(['sleep', '10'], { timeoutMs: 50 })).rejects.toMatchObject({ code: 'CommandTimedOut' });
    await expect(run(['sleep', '10'], { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });

  test('what is handed in is read, also when the program does not care', async () => {
    expect(await run(['cat'], { stdin: 'text' })).toBe('text');
    expect(await run(['true'], { stdin: 'x'.repeat(1_000_000) })).toBe('');
  });
});

describe('health check ports', () => {
  const free = 0;
  const answer = (over = {}) => ({ port: free, namespace: 'default', name: 'web', readyEndpoints: 2, ...over });

  async function probe(portNumber: number) {
    return await new Promise<{ status: number | undefined; weight: unknown; body: unknown }>((resolve, reject) => {
      get({ host: '127.0.0.1', port: portNumber, path: '/healthz' }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          const weight = response.headers['x-load-balancing-endpoint-weight'];
          resolve({ status: response.statusCode, weight, body: JSON.parse(text) });
        });
      }).on('error', reject);
    });
  }

  async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    return typeof address === 'object' && address ? address.port : 0;
  }

  test('answer as load balancers expect it, follow changes, and close', async () => {
    const server = new HealthCheckServer(silentLogger, '127.0.0.1');
    const at = await freePort();
    await server.setDesired([answer({ port: at })], true);
    expect(await probe(at)).toEqual({
      status: 200,
      weight: '2',
      body: { service: { namespace: 'default', name: 'web' }, localEndpoints: 2, serviceProxyHealthy: true },
    });
    await server.setDesired([answer({ port: at, readyEndpoints: 0 })], true);
    expect(await probe(at)).toMatchObject({ status: 503, weight: '0' });
    await server.setDesired([answer({ port: at })], false);
    expect(await probe(at)).toMatchObject({ status: 503, body: { serviceProxyHealthy: false } });
    await server.setDesired([], true);
    await expect(probe(at)).rejects.toThrow('ECONNREFUSED');
    await server.close();
  });

  test('a port that is taken is reported, and opened once it is free', async () => {
    const [first, second] = [
      new HealthCheckServer(silentLogger, '127.0.0.1'),
      new HealthCheckServer(silentLogger, '127.0.0.1'),
    ];
    const at = await freePort();
    await first.setDesired([answer({ port: at })], true);
    await second.setDesired([answer({ port: at })], true);
    expect([...second.failures.values()]).toEqual([expect.stringMatching(/default\/web cannot be opened.*EADDRINUSE/)]);
    await first.close();
    await second.setDesired([answer({ port: at })], true);
    expect(second.failures.size).toBe(0);
    await second.close();
  });
});
