/** The TCP transport between hosts: `a` and `b` on one network, and `a` - `r` - `b` through a router. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { addTcpAoKey, closeFd, createSocket } from '../../src/raw-socket/index.ts';
import { eventually } from '../eventually.ts';
import { HostProcess } from './bgp/host-process.ts';
import type { HostRequest, PlainOptions } from './bgp/transport-host.ts';
import { Namespaces, namespacesUnavailable } from './namespaces.ts';

jest.setTimeout(60_000);
const reason = namespacesUnavailable();
const suite = reason === undefined ? describe : describe.skip;

/** The kernel's reason, or undefined. */
function whyNoTcpAo(): string | undefined {
  buildAddon();
  const fd = createSocket({ family: 4, type: 'tcp' });
  try {
    addTcpAoKey(fd, { address: '192.0.2.1', key: 'secret', sendId: 1, receiveId: 1 });
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } finally {
    closeFd(fd);
  }
}

/** The kernel's reason, or undefined. */
function whyNoVrf(): string | undefined {
  const name = `ovbtest-vrf-${process.pid}`;
  spawnSync('ip', ['netns', 'add', name]);
  const { status, stderr } = spawnSync('ip', ['-n', name, 'link', 'add', 'red', 'type', 'vrf', 'table', '77']);
  spawnSync('ip', ['netns', 'del', name]);
  return status === 0 ? undefined : String(stderr).trim();
}

const aoReason = reason ?? whyNoTcpAo();
const vrfReason = reason ?? whyNoVrf();
const skipped = (why: string | undefined) => (why === undefined ? '' : ` (skipped: ${why})`);

/** Long enough for what comes at all; what is dropped does not come. */
const brief = 400;

suite(`TCP transport for BGP${skipped(reason)}`, () => {
  const net = new Namespaces('bgptcp');
  const hosts = new Map<string, HostProcess<HostRequest>>();
  const ask = (host: string, request: HostRequest) => hosts.get(host)?.ask(request) ?? Promise.reject(new Error(host));
  let ports = 20_000;

  /** A listener of its own on b for each test. */
  async function listener(where: { address?: string; interface?: string } = {}) {
    ports += 1;
    const as = `listener ${ports}`;
    const { address = '0.0.0.0', ...rest } = where;
    const port = Number(await ask('b', { do: 'listen', as, address, port: ports, ...rest }));
    return {
      port,
      admit: (peers: string, options: PlainOptions = {}) => ask('b', { do: 'admit', as, peers, options }),
      admitLate: (peers: string, options: PlainOptions, blockedMs: number) =>
        ask('b', { do: 'admit', as, peers, options, blockedMs }),
      dismiss: (peers: string, options: PlainOptions = {}) => ask('b', { do: 'dismiss', as, peers, options }),
      report: async () => JSON.parse(await ask('b', { do: 'report', as })) as string[],
      close: () => ask('b', { do: 'unlisten', as }),
    };
  }

  const dial = (to: string, port: number, options: PlainOptions = {}, more: { as?: string; withinMs?: number } = {}) =>
    ask('a', { do: 'dial', to, port, options, withinMs: brief, ...more });

  beforeAll(() => {
    for (const host of ['a', 'b', 'r']) net.add(host);
    net.cable('a', 'eth0', 'b', 'eth0');
    net.cable('a', 'eth1', 'r', 'eth0');
    net.cable('r', 'eth1', 'b', 'eth1');
    net.ip(
      'a',
      ...['192.0.2.1/24', '192.0.2.11/24', '192.0.2.129/24', '192.0.2.130/24'].map(
        (text) => `addr add ${text} dev eth0`,
      ),
      'addr add 2001:db8::1/64 dev eth0 nodad',
      'addr add fe80::a/64 dev eth0 nodad',
      'addr add fe80::a/64 dev eth1 nodad',
      'addr add 198.51.100.1/24 dev eth1',
      'route add 203.0.113.0/24 via 198.51.100.254',
    );
    net.ip(
      'b',
      'addr add 192.0.2.2/24 dev eth0',
      'addr add 2001:db8::2/64 dev eth0 nodad',
      'addr add fe80::b/64 dev eth0 nodad',
      'addr add 203.0.113.2/24 dev eth1',
      'route add 198.51.100.0/24 via 203.0.113.254',
    );
    net.ip('r', 'addr add 198.51.100.254/24 dev eth0', 'addr add 203.0.113.254/24 dev eth1');
    net.sysctl('r', { 'net/ipv4/ip_forward': '1' });
    for (const host of ['a', 'b']) {
      hosts.set(host, new HostProcess(net.prefix(host), new URL('./bgp/transport-host.ts', import.meta.url), host));
    }
  });
  afterAll(async () => {
    await Promise.all([...hosts.values()].map((host) => host.close()));
    await net.close();
  });

  test('only admitted peers are given out; others are reset and counted', async () => {
    const b = await listener();
    await b.admit('192.0.2.1/32');
    expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' })).toBe('b hears 192.0.2.1');
    expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.11' })).toMatch(/^(closed|Connect ECONNRESET)/);
    expect(await b.report()).toEqual(['192.0.2.11 not-admitted']);
    await b.dismiss('192.0.2.1/32');
    expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' })).toMatch(/^(closed|Connect ECONNRESET)/);
    expect(await b.report()).toEqual(['192.0.2.1 not-admitted']);
  });

  test.each([
    ['IPv4', '0.0.0.0', '192.0.2.2', '192.0.2.1', 32],
    ['IPv6', '::', '2001:db8::2', '2001:db8::1', 128],
  ])('MD5 over %s: the right key, a wrong one, none, one where none is wanted', async (_, address, to, from, bits) => {
    const b = await listener({ address });
    await b.admit(`${from}/${bits}`, { password: 'right' });
    const [right, wrong, none] = [
      await dial(to, b.port, { localAddress: from, password: 'right' }),
      await dial(to, b.port, { localAddress: from, password: 'wrong' }),
      await dial(to, b.port, { localAddress: from }),
    ];
    expect([right, wrong, none]).toEqual([`b hears ${from}`, 'silence', 'silence']);
    await b.admit(`${from}/${bits}`);
    expect(await dial(to, b.port, { localAddress: from, password: 'right' })).toBe('silence');
    expect(await dial(to, b.port, { localAddress: from })).toBe(`b hears ${from}`);
    expect(await b.report()).toEqual([]);
  });

  test('MD5: a key that changes while the listener listens; what is connected stays', async () => {
    const b = await listener();
    await b.admit('192.0.2.1/32', { password: 'first' });
    const source = { localAddress: '192.0.2.1' };
    expect(await dial('192.0.2.2', b.port, { ...source, password: 'first' }, { as: 'kept' })).toBe('b hears 192.0.2.1');
    await b.admit('192.0.2.1/32', { password: 'second' });
    expect(await dial('192.0.2.2', b.port, { ...source, password: 'first' })).toBe('silence');
    expect(await dial('192.0.2.2', b.port, { ...source, password: 'second' })).toBe('b hears 192.0.2.1');
    expect(await ask('a', { do: 'say', as: 'kept', withinMs: 2000 })).toBe('b hears 192.0.2.1');
    await b.dismiss('192.0.2.1/32');
    expect(await ask('a', { do: 'say', as: 'kept', withinMs: 2000 })).toBe('b hears 192.0.2.1');
  });

  test('MD5: a key of a prefix, with a peer in it that has none and one that has another', async () => {
    const b = await listener();
    await b.admit('192.0.2.128/25', { password: 'prefix' });
    await b.admit('192.0.2.1/32', {});
    const by = (localAddress: string, password?: string) =>
      dial('192.0.2.2', b.port, { localAddress, ...(password === undefined ? {} : { password }) });
    expect(await by('192.0.2.129', 'prefix')).toBe('b hears 192.0.2.129');
    expect(await by('192.0.2.129')).toBe('silence');
    // From outside the prefix: the kernel asks no key, so the peer has to be matched.
    expect(await by('192.0.2.11')).toMatch(/^(closed|Connect ECONNRESET)/);
    expect(await by('192.0.2.1')).toBe('b hears 192.0.2.1');
    await b.admit('192.0.2.129/32', {});
    await b.admit('192.0.2.130/32', { password: 'own' });
    expect(await by('192.0.2.129')).toBe('b hears 192.0.2.129');
    expect(await by('192.0.2.130', 'own')).toBe('b hears 192.0.2.130');
    expect(await by('192.0.2.130', 'prefix')).toBe('silence');
    await b.dismiss('192.0.2.130/32');
    expect(await by('192.0.2.130', 'prefix')).toBe('b hears 192.0.2.130');
    expect(await b.report()).toEqual(['192.0.2.11 not-admitted']);
  });

  test('a connection that was opened unsigned before its peer got a key is not given out', async () => {
    const b = await listener();
    await b.admit('192.0.2.1/32', {});
    const late = b.admitLate('192.0.2.1/32', { password: 'key' }, 800);
    const stranger = await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' }, { withinMs: 2000 });
    expect(await late).toBe('admitted');
    expect(stranger).toBe('closed');
    expect(await b.report()).toEqual(['192.0.2.1 unsigned']);
  });

  test.each([
    ['IPv4', '0.0.0.0', '192.0.2.2', '192.0.2.1', 32],
    ['IPv6', '::', '2001:db8::2', '2001:db8::1', 128],
  ])('TTL security over %s: 255 passes, 64 does not, in either direction', async (_, address, to, from, bits) => {
    const b = await listener({ address });
    const near = { localAddress: from, ttlSecurityHops: 1 };
    await b.admit(`${from}/${bits}`, { ttlSecurityHops: 1 });
    expect(await dial(to, b.port, near)).toBe(`b hears ${from}`);
    expect(await dial(to, b.port, { localAddress: from, multihop: 64 })).toBe('silence');
    // A listener that has peers without TTL security answers, and then looks at the SYN.
    await b.admit(bits === 32 ? '198.51.100.0/24' : '2001:db8:ffff::/64', {});
    expect(await dial(to, b.port, near)).toBe(`b hears ${from}`);
    expect(await dial(to, b.port, { localAddress: from, multihop: 64 })).toMatch(/^(closed|Connect ECONNRESET)/);
    expect(await b.report()).toEqual([`${from} too-far`]);
    ports += 1;
    await ask('b', { do: 'plain', address: to, port: ports });
    expect(await dial(to, ports, { localAddress: from })).toBe('b is plain');
    expect(await dial(to, ports, near)).toBe('silence');
  });

  test('TTL security through a router: two hops pass where two are allowed', async () => {
    const b = await listener();
    const far = { localAddress: '198.51.100.1' };
    await b.admit('198.51.100.1/32', { ttlSecurityHops: 2 });
    expect(await dial('203.0.113.2', b.port, { ...far, ttlSecurityHops: 2 })).toBe('b hears 198.51.100.1');
    expect(await dial('203.0.113.2', b.port, { ...far, ttlSecurityHops: 1 })).toBe('silence');
    await b.admit('198.51.100.1/32', { ttlSecurityHops: 1 });
    expect(await dial('203.0.113.2', b.port, { ...far, ttlSecurityHops: 2 })).toBe('silence');
  });

  test('TTL 1 does not pass a router, from neither end; TTL 2 does', async () => {
    const b = await listener();
    const far = { localAddress: '198.51.100.1' };
    await b.admit('198.51.100.1/32', { multihop: 2 });
    expect(await dial('203.0.113.2', b.port, { ...far, multihop: 1 })).toMatch(/^Connect EHOSTUNREACH: .*TTL/);
    expect(await dial('203.0.113.2', b.port, { ...far, multihop: 2 })).toBe('b hears 198.51.100.1');
    await b.admit('198.51.100.1/32', { multihop: 1 });
    expect(await dial('203.0.113.2', b.port, { ...far, multihop: 2 })).toBe('mute');
    await b.admit('192.0.2.1/32', { multihop: 1 });
    expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1', multihop: 1 })).toBe('b hears 192.0.2.1');
  });

  test('a source address that this host does not have', async () => {
    expect(await dial('192.0.2.2', 1, { localAddress: '192.0.2.77' })).toMatch(
      /^Connect EADDRNOTAVAIL: .*the source address is not on this host/,
    );
  });

  test('an interface: of a connection made, of one taken, of a listener', async () => {
    const b = await listener();
    await b.admit('0.0.0.0/0', {});
    expect(await dial('203.0.113.2', b.port, { interface: 'eth1' })).toBe('b hears 198.51.100.1');
    // Past the route: b answers for all of its addresses on all of its networks.
    expect(await dial('203.0.113.2', b.port, { interface: 'eth0' })).toBe('b hears 192.0.2.1');
    expect(await dial('203.0.113.2', b.port, { interface: 'eth9' })).toMatch(/^Connect ENODEV: .*eth9/);
    await b.admit('192.0.2.1/32', { interface: 'eth0' });
    expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' })).toBe('b hears 192.0.2.1');
    await b.admit('192.0.2.1/32', { interface: 'eth1' });
    expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' })).toMatch(/^(closed|Connect ECONNRESET)/);
    expect(await b.report()).toEqual(['192.0.2.1 interface']);
    const bound = await listener({ interface: 'eth1' });
    await bound.admit('0.0.0.0/0', { interface: 'eth1' });
    expect(await dial('192.0.2.2', bound.port, {})).toMatch(/^Connect ECONNREFUSED/);
    expect(await dial('203.0.113.2', bound.port, {})).toBe('b hears 198.51.100.1');
  });

  test('an interface that goes takes its listener with it, and says so', async () => {
    net.ip('b', 'link add lost0 type veth peer name lost1', 'link set lost0 up');
    const b = await listener({ interface: 'lost0' });
    net.ip('b', 'link del lost0');
    const told = await eventually('the other side tells', b.report, (lines) => lines.length > 0);
    expect(told).toEqual(['Listen ENODEV: the interface lost0 is gone']);
    expect(await b.admit('192.0.2.1/32')).toMatch(/^Listen EBADF: .*closed/);
  });

  test('link-local IPv6 with its interface', async () => {
    const b = await listener({ address: '::' });
    expect(await b.admit('fe80::a/128', {})).toMatch(/^BadOptions .*interface/);
    await b.admit('fe80::a/128', { interface: 'eth0' });
    const source = { localAddress: 'fe80::a', interface: 'eth0' };
    expect(await dial('fe80::b', b.port, source)).toBe('b hears fe80::a%eth0');
    expect(await dial('fe80::b', b.port, { ...source, interface: 'eth1' })).toMatch(/^(silence|Connect E)/);
    expect(await dial('fe80::b', b.port, {})).toMatch(/^BadOptions .*interface/);
    await b.dismiss('fe80::a/128', { interface: 'eth0' });
    await b.admit('fe80::a/128', { interface: 'eth1', password: 'other' });
    expect(await dial('fe80::b', b.port, { ...source, password: 'other' })).toMatch(/^(closed|Connect ECONNRESET)/);
    expect(await b.report()).toEqual(['fe80::a%eth0 not-admitted']);
    await b.dismiss('fe80::a/128', { interface: 'eth1' });
    await b.admit('fe80::/64', { interface: 'eth0', password: 'all', ttlSecurityHops: 1 });
    expect(await dial('fe80::b', b.port, { ...source, password: 'all', ttlSecurityHops: 1 })).toBe(
      'b hears fe80::a%eth0',
    );
  });

  test('link-local IPv6 through an interface that is not the first with such an address', async () => {
    for (const name of ['late0', 'bond_1']) {
      net.cable('a', name, 'b', name);
      net.ip(
        'a',
        `link set ${name} addrgenmode none`,
        `addr flush dev ${name}`,
        `addr add fe80::1a/64 dev ${name} nodad`,
      );
      net.ip(
        'b',
        `link set ${name} addrgenmode none`,
        `addr flush dev ${name}`,
        `addr add fe80::1b/64 dev ${name} nodad`,
      );
    }
    const b = await listener({ address: '::' });
    await b.admit('fe80::/10', { interface: 'late0' });
    expect(await dial('fe80::1b', b.port, { interface: 'late0' })).toBe('b hears fe80::1a%late0');
    expect(await dial('fe80::1b', b.port, { interface: 'bond_1' })).toMatch(/^Connect undefined: .*"bond_1".*rename/);
  });

  test('dial: refused, given up by the caller, given up by the kernel', async () => {
    expect(await dial('192.0.2.2', 9)).toMatch(/^Connect ECONNREFUSED: cannot connect to 192.0.2.2 port 9: /);
    net.sysctl('r', { 'net/ipv4/ip_forward': '0' });
    try {
      expect(await dial('203.0.113.2', 9)).toBe('silence');
      expect(await ask('a', { do: 'count', state: '02' })).toBe('0');
      expect(await dial('203.0.113.2', 9, { userTimeoutMs: 500 }, { withinMs: 20_000 })).toMatch(
        /^Connect ETIMEDOUT: /,
      );
    } finally {
      net.sysctl('r', { 'net/ipv4/ip_forward': '1' });
    }
  });

  test('the user timeout ends a connection whose peer is cut off', async () => {
    const b = await listener();
    await b.admit('198.51.100.1/32', {});
    expect(await dial('203.0.113.2', b.port, { userTimeoutMs: 1000 }, { as: 'cut' })).toBe('b hears 198.51.100.1');
    net.sysctl('r', { 'net/ipv4/ip_forward': '0' });
    try {
      expect(await ask('a', { do: 'say', as: 'cut', withinMs: 20_000 })).toBe('closed');
      expect(await ask('a', { do: 'outcome', as: 'cut' })).toMatch(/^ETIMEDOUT /);
    } finally {
      net.sysctl('r', { 'net/ipv4/ip_forward': '1' });
    }
  });

  test('a closed listener frees its port at once and keeps what it gave out', async () => {
    const b = await listener();
    await b.admit('192.0.2.0/24', {});
    expect(await dial('192.0.2.2', b.port, {}, { as: 'older' })).toBe('b hears 192.0.2.1');
    const again = { do: 'listen', as: 'again', address: '0.0.0.0', port: b.port } as const;
    expect(await ask('b', again)).toMatch(/^Listen EADDRINUSE: .*another BGP speaker/);
    await b.close();
    expect(await ask('b', again)).toBe(String(b.port));
    expect(await ask('a', { do: 'say', as: 'older', withinMs: 2000 })).toBe('b hears 192.0.2.1');
  });

  (aoReason === undefined ? test : test.skip)(
    `TCP-AO: right key, wrong key, rollover${skipped(aoReason)}`,
    async () => {
      const b = await listener();
      const key = (text: string, id = 1) => ({ key: text, sendId: id, receiveId: id });
      const by = (...authenticationKeys: ReturnType<typeof key>[]) =>
        dial('192.0.2.2', b.port, { localAddress: '192.0.2.1', authenticationKeys });
      await b.admit('192.0.2.1/32', { authenticationKeys: [key('right'), key('next', 2)] });
      expect(await by(key('right'))).toBe('b hears 192.0.2.1');
      expect(await by(key('next', 2))).toBe('b hears 192.0.2.1');
      expect(await by(key('wrong'))).toBe('silence');
      expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' })).toBe('silence');
      await b.admit('192.0.2.1/32', { authenticationKeys: [key('changed')] });
      expect(await by(key('right'))).toBe('silence');
      expect(await by(key('changed'))).toBe('b hears 192.0.2.1');
      await b.admit('192.0.2.1/32', { password: 'md5' });
      expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1', password: 'md5' })).toBe('b hears 192.0.2.1');
    },
  );

  (aoReason === undefined ? test.skip : test)(
    'TCP-AO on a kernel without it: the reason, and nothing is admitted',
    async () => {
      const b = await listener();
      const authenticationKeys = [{ key: 'secret', sendId: 1, receiveId: 1 }];
      expect(await b.admit('192.0.2.1/32', { authenticationKeys })).toMatch(/^Listen ENOPROTOOPT: .*192.0.2.1/);
      expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1', authenticationKeys })).toMatch(
        /^Connect ENOPROTOOPT: .*TCP-AO/,
      );
      expect(await dial('192.0.2.2', b.port, { localAddress: '192.0.2.1' })).toMatch(/^(closed|Connect ECONNRESET)/);
      expect(await b.report()).toEqual(['192.0.2.1 not-admitted']);
    },
  );

  (vrfReason === undefined ? test : test.skip)(
    `a VRF: both ends bound to it, with MD5${skipped(vrfReason)}`,
    async () => {
      for (const [host, text] of [
        ['a', '100.64.0.1/24'],
        ['b', '100.64.0.2/24'],
      ] as const) {
        net.ip(host, 'link add red type vrf table 77', 'link set red up');
        if (host === 'b') net.cable('a', 'red0', 'b', 'red0');
        if (host === 'b') for (const each of ['a', 'b']) net.ip(each, 'link set red0 master red');
        if (host === 'b') net.ip('a', 'addr add 100.64.0.1/24 dev red0');
        if (host === 'b') net.ip('b', `addr add ${text} dev red0`);
      }
      const b = await listener({ interface: 'red' });
      await b.admit('100.64.0.1/32', { interface: 'red', password: 'key' });
      expect(await dial('100.64.0.2', b.port, { interface: 'red', password: 'key' })).toBe('b hears 100.64.0.1');
      expect(await dial('100.64.0.2', b.port, { interface: 'red', password: 'wrong' })).toBe('silence');
      expect(await dial('100.64.0.2', b.port, { password: 'key' })).toMatch(/^(silence|Connect E)/);
    },
  );
});
