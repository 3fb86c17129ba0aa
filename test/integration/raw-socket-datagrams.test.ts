import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces } from './raw-socket/namespace.ts';

jest.setTimeout(60_000);
const reason = whyNoNamespaces();
const suite = reason === undefined ? describe : describe.skip;

suite(`UDP sockets${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Namespace;
  beforeAll(() => {
    buildAddon();
    namespace = new Namespace();
  });
  afterAll(() => namespace.remove());

  test('tell TTL, interface and both addresses; are filtered, drained and counted', async () => {
    const expected = (address: string) => ({
      heard: [
        { text: 'first', length: 5, truncated: false, ttl: 255 },
        { text: 'longer t', length: 8, truncated: true, ttl: 250 },
      ].map((one) => ({ ...one, onLoopback: true, port: 50_000, source: address, destination: address })),
      errors: [undefined, undefined, undefined].map(() => null),
      drained: 2,
      again: 0,
      dropped: 2,
      closed: 'Closed EBADF',
    });
    expect(await namespace.run('datagrams')).toEqual({
      IPv4: expected('127.0.0.1'),
      IPv6: expected('0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1'),
    });
  });

  test('a queue is drained in order, by hand or by the event loop', async () => {
    expect(await namespace.run('manyDatagrams')).toEqual({ drained: 150, first: true, second: true, inside: 0 });
  });

  test('a port is shared only while its owner allows; errors are typed', async () => {
    expect(await namespace.run('datagramErrors')).toEqual({
      stranger: 'AddressInUse EADDRINUSE',
      shared: 'nothing thrown',
      strangerAgain: 'AddressInUse EADDRINUSE',
      unreachable: 'SystemCall ENETUNREACH',
      device: 'NoSuchInterface ENODEV',
      address: 'AddressNotAvailable EADDRNOTAVAIL',
    });
  });

  test('a terminated worker leaves no descriptor', async () => {
    expect(await namespace.run('datagramWorkers')).toEqual({ left: 0 });
  });
});
