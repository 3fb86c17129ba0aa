import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../../src/base/index.ts';
import { discoverNeighbours, type NeighbourEvent } from '../../../src/bgp-speaker/transport/neighbour-discovery.ts';
import {
  decodeRouterMessage,
  encodeAdvertisement,
  encodeSolicitation,
} from '../../../src/bgp-speaker/transport/router-message.ts';
import { Address, Mac } from '../../../src/net/index.ts';
import {
  type InterfaceAddress,
  type Link,
  type LinkWatcherOptions,
  type PacketSocketOptions,
  RawSocketError,
} from '../../../src/raw-socket/index.ts';

const leaf = Address.parse('fe80::1');
const leafMac = Mac.parse('02:00:00:00:00:01');
const flags = {
  up: true,
  running: true,
  broadcast: true,
  loopback: false,
  pointToPoint: false,
  noArp: false,
  multicast: true,
};
const eth0: Link = {
  index: 7,
  name: 'eth0',
  flags,
  carrier: true,
  operationalState: 'up',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 10),
  ethernet: true,
  mtu: 1500,
};
const ours = (text: string, more: Partial<InterfaceAddress> = {}): InterfaceAddress => ({
  index: 7,
  address: Address.parse(text).toBytes(),
  prefixLength: 64,
  scope: 'link',
  tentative: false,
  ...more,
});

/** A host whose links and wire the test moves. */
function host() {
  const clock = new ManualClock();
  const events: string[] = [];
  const sockets: { options: PacketSocketOptions; sent: Uint8Array[]; isClosed: boolean }[] = [];
  let watcher: LinkWatcherOptions | undefined;
  const state = {
    links: [] as Link[],
    addresses: [] as InterfaceAddress[],
    failure: undefined as Error | undefined,
    refuse: false,
    isClosed: false,
  };
  const discovery = discoverNeighbours({
    clock,
    random: () => 0,
    onEvent: (event: NeighbourEvent) =>
      events.push(
        Object.values({ ...event, error: undefined })
          .filter(Boolean)
          .join(' '),
      ),
    watchLinks(options) {
      watcher = options;
      return {
        ...{
          close: () => {
            state.isClosed = true;
          },
        },
        get links() {
          return state.links;
        },
        get addresses() {
          return state.addresses;
        },
      };
    },
    openPacketSocket(options) {
      if (state.failure) throw state.failure;
      const socket = { options, sent: [] as Uint8Array[], isClosed: false };
      sockets.push(socket);
      return {
        send(frame) {
          if (state.refuse) throw new RawSocketError('SystemCall', 'no');
          socket.sent.push(frame);
          return true;
        },
        close: () => {
          socket.isClosed = true;
        },
      };
    },
  });
  return {
    discovery,
    clock,
    events,
    sockets,
    state,
    synced: () => watcher?.onSynced?.(),
    links(links: Link[], addresses: InterfaceAddress[]) {
      state.links = links;
      state.addresses = addresses;
      watcher?.onEvent({ type: 'link', link: links[0] ?? eth0 });
    },
    hears: (frame: Uint8Array) => sockets.at(-1)?.options.onFrame(frame, { packetType: 'multicast' }),
    sent: () =>
      sockets.flatMap(({ sent }) =>
        sent.map((frame) => {
          const message = decodeRouterMessage(frame);
          return 'type' in message ? `${message.type} ${message.source}` : message.fault;
        }),
      ),
  };
}

describe('finding neighbours on interfaces', () => {
  test('an interface that is there: solicits, advertises, finds, and answers who waits', async () => {
    const { discovery, links, synced, hears, events, clock, sent } = host();
    links([eth0], [ours('fe80::a')]);
    const found = discovery.discoverPeer('eth0', new AbortController().signal);
    synced();
    await clock.advance(0);
    expect(sent()).toEqual(['advertisement fe80::a', 'solicitation fe80::a']);
    hears(encodeAdvertisement(leaf, leafMac));
    expect(await found).toEqual(leaf);
    expect(await discovery.discoverPeer('eth0', new AbortController().signal)).toEqual(leaf);
    expect(events).toEqual(['neighbour fe80::1 eth0']);
    expect(discovery.counters('eth0')).toMatchObject({
      advertisementsReceived: 1,
      solicitationsSent: 1,
      advertisementsSent: 1,
    });
  });

  test('why an interface is silent is said once for each cause', async () => {
    const { discovery, links, synced, events, clock, sent } = host();
    discovery.watch('eth0');
    synced();
    synced();
    links([{ ...eth0, flags: { ...flags, up: false }, carrier: false }], []);
    links([{ ...eth0, carrier: false }], []);
    links(
      [eth0],
      [ours('fe80::a', { tentative: true }), ours('2001:db8::1', { scope: 'global' }), ours('fe80::a', { index: 8 })],
    );
    await clock.advance(60_000);
    expect(sent()).toEqual([]);
    links([eth0], [ours('fe80::a')]);
    links([{ ...eth0, carrier: false }], [ours('fe80::a')]);
    expect(events).toEqual([
      'silent eth0 no-interface',
      'silent eth0 down',
      'silent eth0 no-link-local-address',
      'silent eth0 down',
    ]);
  });

  test('a link that goes and comes: gone, another socket, found again', async () => {
    const { discovery, links, synced, hears, events, sockets } = host();
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a')]);
    synced();
    hears(encodeAdvertisement(leaf, leafMac));
    links([{ ...eth0, carrier: false }], [ours('fe80::a')]);
    expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true]);
    expect(discovery.neighbour('eth0')).toBeUndefined();
    links([{ ...eth0, index: 9 }], [ours('fe80::a', { index: 9 })]);
    expect(sockets.at(-1)?.options.interface).toBe(9);
    hears(encodeAdvertisement(leaf, leafMac));
    expect(events).toEqual([
      'neighbour fe80::1 eth0',
      'gone fe80::1 eth0',
      'silent eth0 down',
      'neighbour fe80::1 eth0',
    ]);
  });

  test('another MAC, or the loss of the address spoken from, starts anew; an address more does not', () => {
    const { discovery, links, synced, sockets } = host();
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a')]);
    synced();
    links([eth0], [ours('fe80::5'), ours('fe80::a')]);
    expect(sockets).toHaveLength(1);
    links([{ ...eth0, mac: Uint8Array.of(2, 0, 0, 0, 0, 11) }], [ours('fe80::a')]);
    expect(sockets).toHaveLength(2);
    links([{ ...eth0, mac: Uint8Array.of(2, 0, 0, 0, 0, 11) }], [ours('fe80::b')]);
    expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true, true, false]);
  });

  test('our own words that a loop sends back, and nonsense, find nobody', () => {
    const { discovery, links, synced, hears, events } = host();
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a'), ours('fe80::b')]);
    synced();
    hears(encodeAdvertisement(Address.parse('fe80::a'), leafMac));
    hears(encodeAdvertisement(Address.parse('fe80::b'), leafMac));
    hears(encodeAdvertisement(Address.parse('2001:db8::1'), leafMac));
    hears(Uint8Array.of(1, 2, 3));
    expect(events).toEqual([]);
    expect(discovery.counters('eth0')).toMatchObject({
      advertisementsReceived: 0,
      discarded: { source: 1, truncated: 1 },
    });
  });

  test('a router that asks is answered', async () => {
    const { discovery, links, synced, hears, clock, sent } = host();
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a')]);
    synced();
    hears(encodeAdvertisement(leaf, leafMac));
    await clock.advance(12_000);
    const before = sent().length;
    hears(encodeSolicitation(leaf, leafMac));
    await clock.advance(3000);
    expect(sent().slice(before)).toEqual(['advertisement fe80::a']);
  });

  test('a socket that cannot be opened is tried again; a frame that is refused is counted', async () => {
    const { discovery, links, synced, events, clock, state, sockets } = host();
    state.failure = new RawSocketError('NotPermitted', 'no');
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a')]);
    synced();
    await clock.advance(20_000);
    expect(events).toEqual(['silent eth0 failed']);
    state.failure = undefined;
    state.refuse = true;
    await clock.advance(5000);
    expect(sockets).toHaveLength(1);
    expect(discovery.counters('eth0')?.unsent).toBeGreaterThan(0);
  });

  test('who waits is told when it is over: aborted, unwatched, closed', async () => {
    const { discovery, synced, clock, state, links, sockets } = host();
    synced();
    const abort = new AbortController();
    const aborted = discovery.discoverPeer('eth0', abort.signal);
    const unwatched = discovery.discoverPeer('eth0', new AbortController().signal);
    const closed = discovery.discoverPeer('eth1', new AbortController().signal);
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    discovery.unwatch('eth0');
    await expect(unwatched).rejects.toMatchObject({ code: 'Connect' });
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a')]);
    discovery.close();
    discovery.close();
    await expect(closed).rejects.toMatchObject({ code: 'Connect' });
    await expect(discovery.discoverPeer('eth0', new AbortController().signal)).rejects.toMatchObject({
      code: 'Connect',
    });
    await expect(discovery.discoverPeer('eth0', AbortSignal.abort(new Error('late')))).rejects.toThrow('late');
    expect([clock.pendingTimers, state.isClosed, sockets.every(({ isClosed }) => isClosed)]).toEqual([0, true, true]);
  });

  test('a listener that stops watching from within an event leaves nothing behind', () => {
    const { discovery, links, synced, hears, clock, sockets, events } = host();
    discovery.watch('eth0');
    links([eth0], [ours('fe80::a')]);
    synced();
    const push = events.push.bind(events);
    events.push = (...items) => {
      discovery.unwatch('eth0');
      return push(...items);
    };
    hears(encodeAdvertisement(leaf, leafMac));
    expect([clock.pendingTimers, sockets[0]?.isClosed, discovery.neighbour('eth0')]).toEqual([0, true, undefined]);
  });
});
