import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

// A scenario is a process of its own; on a machine full of other tests it takes seconds to start.
jest.setTimeout(60_000);
const reason = whyNoNamespaces();
const suite = reason === undefined ? describe : describe.skip;

suite(`socket options${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Namespace;
  beforeAll(() => {
    buildAddon();
    namespace = new Namespace();
  });
  afterAll(() => namespace.remove());

  test('TCP MD5: connections only with the right key; keys change while the server listens', async () => {
    expect(await namespace.run('md5')).toEqual({
      right: 'hello 127.0.0.2',
      wrong: 'silence',
      none: 'silence',
      stranger: 'hello 127.0.0.3',
      later: 'hello 127.0.0.4',
      prefix: 'hello 127.1.2.3',
      changed: 'hello 127.0.0.2',
      old: 'silence',
      removed: 'hello 127.0.0.2',
      ipv6: 'hello ::1',
    });
  });

  test('TCP: a peer with too low a TTL or hop limit meets silence', async () => {
    expect(await namespace.run('minimumTtl')).toEqual({
      IPv4: ['hello 127.0.0.1', 'silence'],
      IPv6: ['hello ::1', 'silence'],
    });
  });

  test('UDP: the filter on received TTL and hop limit, one hop and several', async () => {
    expect(await namespace.run('udpTtl')).toEqual({
      'IPv4 least 255': ['255'],
      'IPv6 least 255': ['255'],
      'IPv4 least 250': ['250', '254', '255'],
      'IPv6 least 250': ['250', '254', '255'],
    });
  });

  test('the kernel has every option as it was set', async () => {
    expect(await namespace.run('options')).toEqual({
      ipv4: {
        ttl: 200,
        minimum: 100,
        trafficClass: 0xc0,
        mark: 0x1234,
        priority: 6,
        userTimeout: 9000,
        buffer: 131072,
        device: true,
      },
      ipv6: { ttl: 255, multicast: 254, trafficClass: 0xc0, only: 1 },
    });
  });

  test('errors are typed', async () => {
    expect(await namespace.run('errors')).toEqual({
      device: 'NoSuchInterface ENODEV',
      address: 'AddressNotAvailable EADDRNOTAVAIL',
      freely: 'nothing thrown',
      text: 'BadArgument -',
      ttl: 'BadArgument -',
      removed: 'SystemCall ENOENT',
      md5OnUdp: 'Unsupported ENOPROTOOPT',
      descriptor: 'Closed EBADF',
      priority: 'BadArgument -',
      denied: ['NotPermitted EPERM', 'NotPermitted EPERM'],
    });
  });

  test('TCP-AO: a handshake where the kernel has it, else a typed error', async () => {
    const result = await namespace.run('tcpAo');
    if ((result as { right?: string }).right === undefined) {
      expect(result).toEqual({ add: 'Unsupported ENOPROTOOPT', remove: 'Unsupported ENOPROTOOPT' });
    } else {
      expect(result).toMatchObject({ add: 'nothing thrown', right: 'hello 127.0.0.2', wrong: 'silence' });
    }
  });

  test('real-time priority is for one thread and not inherited', async () => {
    expect(await namespace.run('realtime')).toEqual({ during: ['1/7'], child: '0', after: [] });
  });
});
