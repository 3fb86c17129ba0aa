import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import { Namespace, whyNoNamespaces, whyNoVlans } from './raw-socket/namespace.ts';

// A scenario is a process of its own; on a machine full of other tests it takes seconds to start.
jest.setTimeout(60_000);
const reason = whyNoNamespaces();
const suite = reason === undefined ? describe : describe.skip;

suite(`packet sockets on a veth pair${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Namespace;
  beforeAll(() => {
    buildAddon();
    namespace = new Namespace();
  });
  afterAll(() => namespace.remove());

  test('the ready filters let through exactly what they say', async () => {
    expect(await namespace.run('filters')).toEqual({
      arp: ['request', 'unicast request', 'reply'],
      neighbourDiscovery: ['solicitation', 'advertisement'],
      ipv4Udp: ['plain', 'with IP options', 'do not fragment'],
      ipv6Udp: ['plain'],
      dropAll: [],
    });
  });

  test('without a filter, frames for other hosts and VLANs are dropped by the addon', async () => {
    const ours = ['to us', 'broadcast'];
    expect(await namespace.run('foreignFrames')).toEqual({ all: ours, arp: ours });
  });

  test('packet types; outgoing frames only when asked for', async () => {
    const seen = ['host', 'broadcast', 'multicast', 'outgoing'];
    expect(await namespace.run('packetTypes')).toEqual({ seen, deaf: 0 });
  });

  test('floods arrive complete and in order; what the kernel drops is counted', async () => {
    expect(await namespace.run('floods')).toMatchObject({
      sentAll: true,
      ordered: { inOrder: true, received: 5000, dropped: 0 },
      lossAccounted: true,
    });
  });

  test('no frame gets past the filter while the socket is being opened', async () => {
    expect(await namespace.run('unfilteredWindow')).toEqual({ opened: 60, wrong: 0 });
  });

  test('frames beyond the limit are counted, not delivered; a filter may cut', async () => {
    expect(await namespace.run('truncation')).toMatchObject({
      received: 100,
      statistics: { received: 1, truncated: 1 },
      lengths: [20, 20],
    });
  });

  test('group addresses are programmed, counted, and gone with the socket', async () => {
    const [solicited, other] = ['33:33:ff:00:00:01', '01:00:5e:00:00:12'];
    expect(await namespace.run('memberships')).toEqual({
      opened: [solicited],
      joined: [other, solicited],
      left: [solicited],
      closed: [],
    });
  });

  test('misuse ends in typed errors, exceptions of callbacks reach the program, and the socket goes on', async () => {
    expect(await namespace.run('misuse')).toMatchObject({
      short: 'BadArgument',
      long: 'SystemCall',
      badFilter: 'SystemCall',
      endlessFilter: 'SystemCall',
      noSlot: 'BadArgument',
      badGroup: 'BadArgument',
      badIndex: 'NoSuchInterface',
      stolen: ['EFAULT'],
      callsUntilClosed: 3,
      afterClose: ['Closed', 'Closed', 'Closed'],
      fromDrain: 'Error: rude',
      fromLoop: 'Error: rude',
      goesOn: 1,
    });
  });

  test('the addon itself survives any argument, and what is dropped is closed by the collector', async () => {
    expect(await namespace.run('strangeArguments')).toMatchObject({ thrown: true });
    expect(await namespace.run('forgotten')).toEqual({ most: 100, left: 0 });
  });

  test('workers ended in the middle of a flood leave no descriptor behind', async () => {
    expect(await namespace.run('workers')).toEqual({ leaked: 0, sockets: 0 });
  });

  test('without NET_RAW the error names the interface and the capability', async () => {
    expect(await namespace.run('unprivileged')).toMatch(/open a packet socket on va: .*EPERM.*NET_RAW/);
  });
});

suite('packet sockets whose interface fails', () => {
  let namespace: Namespace;
  beforeAll(() => {
    buildAddon();
    namespace = new Namespace();
  });
  afterAll(() => namespace.remove());

  test('down, up again, a new MAC, gone', async () => {
    expect(await namespace.run('linkFaults')).toEqual({
      words: ['LinkDown', 'LinkDown', 'NoSuchInterface'],
      whileDown: [false, false],
      gone: [false, false],
      unsent: expect.any(Number),
      newAddress: '020000000077',
      lastAddress: '020000000077',
      sentDown: false,
      sentGone: [false, false],
    });
  });
});

const noVlans = whyNoVlans();
(noVlans === undefined ? describe : describe.skip)(
  `a VLAN interface above the socket’s own${noVlans === undefined ? '' : ` (skipped: ${noVlans})`}`,
  () => {
    test('keeps its frames to itself', async () => {
      buildAddon();
      const namespace = new Namespace();
      try {
        expect(await namespace.run('vlanAbove')).toEqual({ all: ['untagged'], arp: ['untagged'] });
      } finally {
        namespace.remove();
      }
    });
  },
);
