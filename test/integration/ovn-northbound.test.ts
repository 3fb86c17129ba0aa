import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock } from '../../src/base/index.ts';
import {
  connectNorthbound,
  Northbound,
  type NorthboundOptions,
  type OvnInputs,
  type OvnService,
} from '../../src/ovn/index.ts';
import { eventually } from '../eventually.ts';
import { port, service } from '../ovn/service-fixtures.ts';
import { OvnCentral, ovnUnavailable } from './ovn-central.ts';

// Many processes, on machines that do other things too.
jest.setTimeout(60_000);

const unavailable = ovnUnavailable();
if (unavailable) process.stderr.write(`skipped: northbound writer with a real database: ${unavailable}\n`);

const backends = [
  { address: '10.16.0.2', port: 8080, nodeName: 'node-1' },
  { address: '10.16.0.3', port: 8080, nodeName: 'node-1' },
];

function many(count: number): OvnService[] {
  return Array.from({ length: count }, (_, i) =>
    service({
      name: `s${i}`,
      clusterIPs: [],
      externalAddresses: [`10.77.${i >> 8}.${i & 255}`],
      ports: [port({ endpoints: backends })],
    }),
  );
}

(unavailable ? describe.skip : describe)('northbound writer', () => {
  let central: OvnCentral;
  const running: { stop: AbortController; done: Promise<void> }[] = [];

  beforeEach(async () => {
    central = new OvnCentral();
    await central.startNorthbound();
  });

  afterEach(async () => {
    for (const { stop } of running) stop.abort();
    await Promise.all(running.splice(0).map(({ done }) => done));
    await central.close();
  });

  function start(over: Partial<NorthboundOptions> & { remotes?: string } = {}) {
    const { remotes = central.remote, ...rest } = over;
    const northbound = new Northbound({
      connect: connectNorthbound({ remotes, clock: systemClock, logger: silentLogger }),
      clock: systemClock,
      logger: silentLogger,
      clusterId: 'lab',
      mode: 'full',
      ...rest,
    });
    const stop = new AbortController();
    const done = northbound.run(stop.signal);
    running.push({ stop, done });
    const end = async () => {
      stop.abort();
      await done;
    };
    return { northbound, stop: end };
  }

  async function write(northbound: Northbound, services: OvnService[], over: Partial<OvnInputs> = {}): Promise<void> {
    northbound.setDesired({ services, nodes: [], complete: true, ...over });
    await written(northbound);
  }

  async function written(northbound: Northbound, timeoutMs = 20_000): Promise<void> {
    const wanted = northbound.status().desiredGeneration;
    await eventually(
      'the rows are written',
      () => northbound.status(),
      (now) => now.writtenGeneration >= wanted && now.state === 'ready',
      { timeoutMs },
    );
  }

  function groupsOf(name: string): string[] {
    const uuids = central.nbctl('--bare', '--columns=load_balancer_group', 'find', 'logical_switch', `name=${name}`);
    return uuids
      .split(/\s+/)
      .filter((one) => one !== '')
      .map((one) => central.nbctl('get', 'load_balancer_group', one, 'name').replaceAll('"', ''))
      .sort();
  }

  const membersOf = (group: string) => {
    const members = central.nbctl('--bare', '--columns=load_balancer', 'find', 'load_balancer_group', `name=${group}`);
    return members.split(/\s+/).filter((one) => one !== '');
  };

  test('rows reach the group, the group its switches; then there is silence', async () => {
    central.makeKubeOvn();
    const tap = await central.tap();
    const { northbound } = start({ remotes: tap.remote });
    await write(northbound, [service()]);
    expect(central.names('load_balancer')).toEqual([
      'ovenbird/default/web/tcp/cluster-ip',
      'ovenbird/default/web/tcp/external',
    ]);
    expect(membersOf('ovenbird-lab')).toHaveLength(2);
    expect(groupsOf('join')).toEqual(['ovenbird-lab', 'ovenbird-lab-hosts']);
    expect(groupsOf('ovn-default')).toEqual(['ovenbird-lab']);
    expect(northbound.status()).toMatchObject({
      state: 'ready',
      mode: 'full',
      rows: 2,
      attachments: ['join', 'ovn-default'],
      missing: [],
      problems: [],
    });
    expect(northbound.programming('default/web')).toEqual({ kind: 'programmed' });
    expect(northbound.programming('default/other')).toEqual({ kind: 'pending' });

    const after = tap.transactions();
    expect(after).toBe(1);
    await write(northbound, [service()]);
    await write(northbound, [service()]);
    central.nbctl('lsp-add', 'ovn-default', 'pod-c', '--', 'lb-add', 'foreign', '10.99.0.1:80', '10.16.0.2:80');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(tap.transactions()).toBe(after);
  });

  test('a restarted writer writes nothing', async () => {
    central.makeKubeOvn();
    const first = start();
    await write(first.northbound, many(50));
    await first.stop();
    const tap = await central.tap();
    const second = start({ remotes: tap.remote });
    await write(second.northbound, many(50));
    expect(tap.transactions()).toBe(0);
  });

  test('a storm of changes is written in few transactions, the last of them last', async () => {
    central.makeKubeOvn();
    const tap = await central.tap();
    const { northbound } = start({ remotes: tap.remote });
    await write(northbound, [service()]);
    const before = tap.transactions();
    for (let i = 0; i < 200; i++) {
      const moved = service({ ports: [port({ endpoints: [{ address: `10.16.1.${i + 1}`, port: 8080 }] })] });
      northbound.setDesired({ services: [moved], nodes: [], complete: true });
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await written(northbound);
    expect(tap.transactions() - before).toBeLessThanOrEqual(6);
    expect(
      central.nbctl('--bare', '--columns=vips', 'find', 'load_balancer', 'name="ovenbird/default/web/tcp/external"'),
    ).toBe('10.77.0.100:80=10.16.1.200:8080');
  });

  describe('what others do', () => {
    test('all rows deleted at once, as Kube-OVN does at its start: written again', async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, many(300));
      const rows = central.names('load_balancer');
      central.nbctl('--all', 'destroy', 'load_balancer');
      await eventually(
        '300 load balancers',
        () => central.names('load_balancer').length,
        (count) => count === 300,
      );
      expect(central.names('load_balancer')).toEqual(rows);
      expect(membersOf('ovenbird-lab')).toHaveLength(300);
      expect(northbound.status().restored).toBe(300);
    });

    test('one who goes on deleting is not raced at full speed, and loses', async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, [service({ clusterIPs: [] })]);
      const before = northbound.status().transactions;
      for (let i = 0; i < 60; i++) {
        central.nbctl('--all', 'destroy', 'load_balancer');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(northbound.status().transactions - before).toBeLessThan(20);
      await eventually(
        'one load balancer',
        () => central.names('load_balancer').length,
        (count) => count === 1,
      );
    });

    test('group detached, emptied, or gone: wired again', async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, [service()]);
      central.nbctl(
        'clear',
        'logical_switch',
        'join',
        'load_balancer_group',
        '--',
        'clear',
        'logical_switch',
        'ovn-default',
        'load_balancer_group',
        '--',
        '--all',
        'destroy',
        'load_balancer_group',
      );
      await eventually(
        'the group in three places',
        () => groupsOf('join').length + groupsOf('ovn-default').length,
        (count) => count === 3,
      );
      await eventually(
        'two members',
        () => membersOf('ovenbird-lab').length,
        (count) => count === 2,
      );
      central.nbctl(
        'clear',
        'load_balancer_group',
        central.nbctl('--bare', '--columns=_uuid', 'find', 'load_balancer_group', 'name=ovenbird-lab'),
        'load_balancer',
      );
      await eventually(
        'two members',
        () => membersOf('ovenbird-lab').length,
        (count) => count === 2,
      );
    });

    test("a switch that comes later is attached, a renamed one stays, a stranger's is left alone", async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, [service()]);
      central.nbctl('ls-add', 'stranger');
      central.nbctl(
        'ls-add',
        'subnet2',
        '--',
        'set',
        'logical_switch',
        'subnet2',
        'external_ids:vendor=kube-ovn',
        '--',
        'lrp-add',
        'ovn-cluster',
        'ovn-cluster-subnet2',
        '00:00:00:17:00:01',
        '10.17.0.1/16',
        '--',
        'lsp-add',
        'subnet2',
        'subnet2-ovn-cluster',
        '--',
        'lsp-set-type',
        'subnet2-ovn-cluster',
        'router',
        '--',
        'lsp-set-options',
        'subnet2-ovn-cluster',
        'router-port=ovn-cluster-subnet2',
      );
      await eventually(
        'the new switch has the group',
        () => groupsOf('subnet2').join(),
        (groups) => groups === 'ovenbird-lab',
      );
      central.nbctl('set', 'logical_switch', 'subnet2', 'name=renamed');
      await eventually(
        'the renamed switch is known',
        () => northbound.status().attachments,
        (names) => names.includes('renamed'),
      );
      expect(groupsOf('renamed')).toEqual(['ovenbird-lab']);
      expect(groupsOf('stranger')).toEqual([]);
    });

    test('a foreign load balancer with our VIP: step back while it is there', async () => {
      central.makeKubeOvn();
      const { northbound } = start({ mode: 'external' });
      await write(northbound, [service()]);
      central.nbctl(
        'lb-add',
        'theirs',
        '10.77.0.100:80',
        '10.16.0.9:80',
        'tcp',
        '--',
        'ls-lb-add',
        'ovn-default',
        'theirs',
      );
      await eventually(
        'one load balancer for the hosts',
        () => membersOf('ovenbird-lab-hosts').length,
        (count) => count === 1,
      );
      expect(membersOf('ovenbird-lab')).toHaveLength(0);
      central.nbctl('ls-lb-add', 'join', 'theirs');
      await eventually(
        'only theirs is left',
        () => central.names('load_balancer'),
        (names) => names.join() === 'theirs',
      );
      expect(northbound.programming('default/web')).toMatchObject({
        kind: 'problem',
        message: expect.stringContaining('"theirs"'),
      });
      central.nbctl('lb-del', 'theirs');
      await eventually(
        'one member',
        () => membersOf('ovenbird-lab').length,
        (count) => count === 1,
      );
      expect(northbound.programming('default/web')).toEqual({ kind: 'programmed' });
    });

    test('our rows altered: set right', async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, [service({ clusterIPs: [] })]);
      const uuid = central.nbctl('--bare', '--columns=_uuid', 'list', 'load_balancer');
      const content = () =>
        central.nbctl('--columns=name,vips,options,protocol,external_ids', 'list', 'load_balancer', uuid);
      const before = content();
      for (const change of [
        ['clear', 'load_balancer', uuid, 'external_ids'],
        ['clear', 'load_balancer', uuid, 'vips'],
        ['set', 'load_balancer', uuid, 'name=odd', 'options:reject=false', 'protocol=udp'],
      ]) {
        central.nbctl(...change);
        await eventually('the rows are as before', content, (now) => now === before);
      }
    });

    test('a foreign load balancer in our group stays, and is pointed out', async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, [service()]);
      central.nbctl('lb-add', 'theirs', '10.99.0.1:80', '10.16.0.9:80');
      const theirs = central.nbctl('--bare', '--columns=_uuid', 'find', 'load_balancer', 'name=theirs');
      const group = central.nbctl('--bare', '--columns=_uuid', 'find', 'load_balancer_group', 'name=ovenbird-lab');
      central.nbctl('add', 'load_balancer_group', group, 'load_balancer', theirs);
      await eventually(
        'the stranger is reported',
        () => northbound.status().problems.map(({ code }) => code),
        (codes) => codes.includes('StrangerInGroup'),
      );
      await write(northbound, []);
      expect(membersOf('ovenbird-lab')).toEqual([theirs]);
    });

    test('another cluster in the same database is not touched', async () => {
      central.makeKubeOvn();
      const one = start();
      const two = start({ clusterId: 'two' });
      await write(one.northbound, [service()]);
      await write(two.northbound, [service({ clusterIPs: ['10.97.0.1'], externalAddresses: [] })]);
      await write(two.northbound, []);
      expect(central.names('load_balancer')).toHaveLength(2);
    });
  });

  describe('faults', () => {
    test('server killed and started again', async () => {
      central.makeKubeOvn();
      const { northbound } = start();
      await write(northbound, many(20));
      await central.killNorthbound();
      northbound.setDesired({ services: many(25), nodes: [], complete: true });
      await eventually(
        'the database is missed',
        () => northbound.status().state,
        (state) => state === 'waiting',
      );
      expect(northbound.programming('default/s1')).toEqual({ kind: 'pending' });
      await central.startNorthbound();
      await written(northbound);
      expect(central.names('load_balancer')).toHaveLength(25);
    });

    test('server emptied: rows are written again, wired as soon as the switches are back', async () => {
      central.makeKubeOvn();
      const { northbound } = start({ mode: 'auto' });
      await write(northbound, many(100));
      await central.restartEmpty();
      await eventually(
        '100 load balancers',
        () => central.names('load_balancer').length,
        (count) => count === 100,
      );
      expect(northbound.status()).toMatchObject({ mode: 'external', state: 'waiting' });
      expect(northbound.programming('default/s1')).toEqual({ kind: 'pending' });
      central.makeKubeOvn();
      await eventually(
        'the group in three places',
        () => groupsOf('join').length + groupsOf('ovn-default').length,
        (count) => count === 3,
      );
    });

    test('server stopped in the middle: the outcome is unknown, the result is right', async () => {
      central.makeKubeOvn();
      const { northbound } = start({ transactionTimeoutMs: 200 });
      await write(northbound, []);
      central.signalNorthbound('SIGSTOP');
      northbound.setDesired({ services: many(30), nodes: [], complete: true });
      await eventually(
        'an error',
        () => northbound.status().lastError,
        (error) => error !== undefined,
      );
      expect(northbound.status().state).toBe('waiting');
      northbound.setDesired({ services: many(31), nodes: [], complete: true });
      await new Promise((resolve) => setTimeout(resolve, 500));
      central.signalNorthbound('SIGCONT');
      await written(northbound);
      const names = central.names('load_balancer');
      expect(names).toHaveLength(31);
      expect(new Set(names).size).toBe(31);
      expect(membersOf('ovenbird-lab')).toHaveLength(31);
    });

    test('two writers at once, as when a leader is slow to notice', async () => {
      central.makeKubeOvn();
      const old = start();
      const young = start();
      await Promise.all([write(old.northbound, many(60)), write(young.northbound, many(60))]);
      expect(central.names('load_balancer')).toHaveLength(60);
      await write(young.northbound, many(55));
      await old.stop();
      await eventually(
        '55 load balancers',
        () => central.names('load_balancer').length,
        (count) => count === 55,
      );
      await written(young.northbound);
    });

    test('nothing is deleted while the lists are incomplete', async () => {
      central.makeKubeOvn();
      const first = start();
      await write(first.northbound, many(5));
      await first.stop();
      const { northbound } = start();
      await write(northbound, many(2), { complete: false });
      expect(central.names('load_balancer')).toHaveLength(5);
      expect(northbound.status().withheldDeletions).toBe(3);
      await write(northbound, many(2));
      expect(central.names('load_balancer')).toHaveLength(2);
    });

    test('losing most Services at once has to be confirmed', async () => {
      central.makeKubeOvn();
      const { northbound } = start({ confirmDeletionMs: 600 });
      await write(northbound, many(40));
      await write(northbound, []);
      expect(central.names('load_balancer')).toHaveLength(40);
      await write(northbound, many(40));
      await new Promise((resolve) => setTimeout(resolve, 800));
      expect(central.names('load_balancer')).toHaveLength(40);
      await write(northbound, many(3));
      expect(central.names('load_balancer')).toHaveLength(40);
      await eventually(
        'three load balancers',
        () => central.names('load_balancer').length,
        (count) => count === 3,
      );
    });

    test('a row that the database refuses does not keep the others out', async () => {
      await central.close();
      const schema = JSON.parse(readFileSync('/usr/share/ovn/ovn-nb.ovsschema', 'utf8'));
      schema.tables.Load_Balancer.columns.name.type = { key: { type: 'string', maxLength: 45 } };
      central = new OvnCentral(JSON.stringify(schema));
      await central.startNorthbound();
      central.makeKubeOvn();
      const { northbound } = start();
      const long = service({
        name: `a${'-very'.repeat(8)}-long-name`,
        clusterIPs: [],
        externalAddresses: ['10.77.9.9'],
      });
      northbound.setDesired({ services: [long, ...many(3)], nodes: [], complete: true });
      await written(northbound);
      expect(central.names('load_balancer')).toHaveLength(3);
      expect(northbound.programming(`default/${long.name}`)).toMatchObject({
        kind: 'problem',
        message: expect.stringContaining('refuses'),
      });
      expect(northbound.programming('default/s1')).toEqual({ kind: 'programmed' });
    });
  });

  describe('modes', () => {
    test('auto: what Kube-OVN balances is left to it', async () => {
      central.makeKubeOvn();
      central.nbctl(
        'lb-add',
        'cluster-tcp-loadbalancer',
        '10.96.0.10:80',
        '10.16.0.2:8080',
        'tcp',
        '--',
        'ls-lb-add',
        'ovn-default',
        'cluster-tcp-loadbalancer',
      );
      const { northbound } = start({ mode: 'auto' });
      await write(northbound, [service()]);
      expect(northbound.status()).toMatchObject({ mode: 'external', problems: [] });
      expect(central.names('load_balancer')).toEqual(['cluster-tcp-loadbalancer', 'ovenbird/default/web/tcp/external']);
    });

    test("full beside Kube-OVN's own load balancers: hosts only", async () => {
      central.makeKubeOvn();
      central.nbctl(
        'lb-add',
        'cluster-tcp-loadbalancer',
        '10.96.0.10:80',
        '10.16.0.2:8080',
        'tcp',
        '--',
        'ls-lb-add',
        'ovn-default',
        'cluster-tcp-loadbalancer',
      );
      const { northbound } = start({ mode: 'full' });
      await write(northbound, [service()]);
      expect(membersOf('ovenbird-lab-hosts')).toHaveLength(1);
      expect(northbound.status().problems).toEqual([]);
    });

    test('auto waits for a topology; OVN-Kubernetes is never written to', async () => {
      const { northbound } = start({ mode: 'auto' });
      northbound.setDesired({ services: [service()], nodes: [], complete: true });
      await eventually(
        'the missing switch is told',
        () => northbound.status().message,
        (message) => message.includes('no logical switch'),
      );
      central.nbctl('lr-add', 'ovn_cluster_router');
      await eventually(
        'it is off',
        () => northbound.status(),
        ({ state, message }) => state === 'off' && message.includes('OVN-Kubernetes'),
      );
      expect(central.names('load_balancer')).toEqual([]);
      expect(central.names('load_balancer_group')).toEqual([]);
    });

    test('off takes everything of ours away', async () => {
      central.makeKubeOvn();
      const first = start();
      await write(first.northbound, many(30));
      await first.stop();
      const before = central.names('logical_switch');
      const { northbound } = start({ mode: 'off' });
      await eventually(
        'no groups',
        () => central.names('load_balancer_group').length,
        (count) => count === 0,
      );
      expect(central.names('load_balancer')).toEqual([]);
      expect(groupsOf('join')).toEqual([]);
      expect(central.names('logical_switch')).toEqual(before);
      expect(northbound.status().state).toBe('off');
    });
  });

  test('lag is measured on demand', async () => {
    central.makeKubeOvn();
    await central.startNorthd();
    const { northbound } = start({ measureLagEveryMs: 1 });
    await write(northbound, [service()]);
    await eventually(
      'the lag is measured',
      () => northbound.status().lag,
      (lag) => lag !== undefined && lag.northdMs > 0,
    );
  });

  describe('logical flows', () => {
    const fromPod = 'inport=="pod-a" && eth.src==00:00:00:16:00:02 && eth.dst==00:00:00:16:00:01 && ip4.src==10.16.0.2';
    const fromNode =
      'inport=="node-1" && eth.src==00:00:00:64:00:02 && eth.dst==00:00:00:64:00:01 && ip4.src==100.64.0.2';

    const pick = ['--lb-dst', '10.16.0.3:8080'];

    function trace(origin: string, vip: string, destinationPort: number, protocol = 'tcp', choice = pick): string {
      const datapath = origin === fromPod ? 'ovn-default' : 'join';
      const flow = `${origin} && ip4.dst==${vip} && ip.ttl==64 && ${protocol} && ${protocol}.dst==${destinationPort}`;
      return central.trace('--minimal', '--ct=new', '--ct=new', ...choice, datapath, flow);
    }

    test('packets of pods and hosts to every address end at a backend', async () => {
      central.makeKubeOvn();
      await central.startNorthd();
      const { northbound } = start();
      const web = service({
        ports: [
          port({ nodePort: 30080, endpoints: backends }),
          port({ name: 'u', protocol: 'UDP', port: 53, endpoints: backends }),
          port({ name: 'e', port: 81, endpoints: [] }),
        ],
      });
      const shut = service({
        name: 'shut',
        clusterIPs: [],
        externalAddresses: ['10.77.0.101'],
        sourceRestricted: true,
        ports: [port({ endpoints: backends })],
      });
      const nodes = [{ name: 'node-1', addresses: ['172.31.40.21'] }];
      await write(northbound, [web, shut], { nodes });
      central.nbctl('--wait=sb', 'sync');
      const delivered = 'output("pod-b")';
      for (const origin of [fromPod, fromNode]) {
        expect(trace(origin, '10.96.0.10', 80)).toContain(delivered);
        expect(trace(origin, '10.77.0.100', 80)).toContain(delivered);
        expect(trace(origin, '10.77.0.100', 53, 'udp')).toContain(delivered);
        expect(trace(origin, '172.31.40.21', 30080)).toContain(delivered);
        expect(trace(origin, '10.77.0.100', 81, 'tcp', [])).toContain('tcp_reset');
        expect(trace(origin, '10.77.0.100', 82, 'tcp', [])).not.toMatch(/output\("pod/);
      }
      expect(trace(fromNode, '10.77.0.101', 80)).toContain(delivered);
      expect(trace(fromPod, '10.77.0.101', 80, 'tcp', [])).not.toMatch(/output\("pod/);
      const flows = central.sbctl('lflow-list', 'ovn-default');
      expect(flows).toContain('10.77.0.100');
      expect(flows).not.toContain('10.77.0.101');
    });
  });
});
