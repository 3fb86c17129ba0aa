import { inspect } from 'node:util';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { PeerOptions, RouteAttributes, SpeakerOptions } from '../../../src/bgp-speaker/index.ts';
import { Unnumbered } from '../../../src/bgp-speaker/speaker/unnumbered.ts';
import { Address } from '../../../src/net/index.ts';
import { message } from '../wire-bytes.ts';
import { gracefulRestart, keepalive, open, ScriptedPeer } from './scripted-peer.ts';
import { newWorld, type World } from './world.ts';

let world: World;
async function begin(options: Partial<SpeakerOptions> = {}): Promise<World> {
  world = await newWorld(options);
  return world;
}

afterEach(async () => {
  const closed = Promise.allSettled([world.speaker.close()]);
  await world.settle();
  await world.pass(1000);
  // It rejects where a drain was aborted, and has closed all the same.
  await closed;
  expect(world.clock.pendingTimers).toBe(0);
  expect(world.transport.listeners).toEqual([]);
});

/** The attribute of this type in an UPDATE with routes in the classic field. */
function attributeOf(bytes: Buffer | undefined, type: number): number[] | undefined {
  if (!bytes) return undefined;
  const end = 23 + bytes.readUInt16BE(21);
  for (let at = 23; at < end; ) {
    const length = bytes[at + 2] ?? 0;
    if (bytes[at + 1] === type) return [...bytes.subarray(at + 3, at + 3 + length)];
    at += 3 + length;
  }
  return undefined;
}

const as4 = (...numbers: number[]) => [
  2,
  numbers.length,
  ...numbers.flatMap((number) => [0, 0, number >> 8, number & 255]),
];

describe('routes', () => {
  test('changes within a microtask go out together, packed, in the same turn', async () => {
    const { speaker, establish } = await begin();
    const { peer } = await establish();
    const attributes = { multiExitDiscriminator: 1 };
    for (let index = 0; index < 900; index++) speaker.announce(`10.0.${index >> 8}.${index & 255}/32`, attributes);
    speaker.withdraw('10.0.0.7/32');
    // No turn of the event loop, only microtasks, until the bytes are written.
    await Promise.resolve();
    const written = speaker.sessions[0]?.counters.messagesOut.update;
    await world.settle();
    expect([written, peer.of(2).length, peer.changes.length]).toEqual([2, 2, 899]);
  });

  test('replaceAll sends the difference', async () => {
    const { speaker, establish, settle } = await begin();
    const attributes = { multiExitDiscriminator: 1 };
    speaker.replaceAll([
      ['10.0.0.0/24', attributes],
      ['10.0.1.0/24', attributes],
      ['10.0.2.0/24', attributes],
    ]);
    const { peer } = await establish();
    const before = peer.changes.length;
    speaker.replaceAll([
      ['10.0.1.0/24', { multiExitDiscriminator: 1 }],
      ['10.0.2.0/24', { multiExitDiscriminator: 2 }],
      ['10.0.3.0/24', attributes],
    ]);
    await settle();
    expect(peer.changes.slice(before).sort()).toEqual(['+10.0.2.0/24', '+10.0.3.0/24', '-10.0.0.0/24']);
    expect([...speaker.routes()].map(([prefix]) => String(prefix)).sort()).toEqual([
      '10.0.1.0/24',
      '10.0.2.0/24',
      '10.0.3.0/24',
    ]);
    expect(() => speaker.replaceAll([['10.0.0.1/24', {}]])).toThrow(/host bits/);
    expect(speaker.routeCount).toBe(3);
  });

  const cases: [string, Partial<PeerOptions>, RouteAttributes, Record<number, number[] | undefined>][] = [
    [
      'an external peer: our AS number first, no LOCAL_PREF',
      {},
      { localPreference: 7, asPath: [64500] },
      { 2: as4(65001, 64500), 5: undefined, 3: [192, 0, 2, 1] },
    ],
    ['an internal peer: LOCAL_PREF 100', { peerAs: 65001 }, {}, { 2: [], 5: [0, 0, 0, 100] }],
    ['an internal peer: the LOCAL_PREF given', { peerAs: 65001 }, { localPreference: 7 }, { 5: [0, 0, 0, 7] }],
    ['local-as: it, then ours', { localAs: { asNumber: 64999 } }, {}, { 2: as4(64999, 65001) }],
    ['local-as with replace-as: only it', { localAs: { asNumber: 64999, replaceAs: true } }, {}, { 2: as4(64999) }],
    ['a next hop of the peer options', { nextHopIpv4: '192.0.2.77' }, {}, { 3: [192, 0, 2, 77] }],
    [
      'the next hop of the route',
      { nextHopIpv4: '192.0.2.77' },
      { nextHop: Address.parse('192.0.2.9') },
      { 3: [192, 0, 2, 9] },
    ],
  ];
  test.each(cases)('%s', async (_, options, attributes, expected) => {
    const { speaker, establish } = await begin();
    speaker.announce('10.0.0.0/8', attributes);
    const { peer, session } = await establish(options, open(options.peerAs === 65001 ? 65001 : 65002));
    expect(session.state).toBe('Established');
    for (const [type, value] of Object.entries(expected)) {
      expect([type, attributeOf(peer.of(2)[0], Number(type))]).toEqual([type, value]);
    }
  });

  test('the policy of a peer changes, filters and, asked again, withdraws', async () => {
    const { speaker, establish, settle } = await begin();
    let hidden = '10.0.1.0/24';
    const seen: string[] = [];
    const tagged: RouteAttributes = { multiExitDiscriminator: 9 };
    const { session, peer } = await establish({
      exportRoute: (prefix, _attributes, { name, asNumber, internal }) => {
        seen.push(`${prefix} ${name} ${asNumber} ${internal}`);
        return String(prefix) === hidden ? undefined : tagged;
      },
    });
    speaker.announce('10.0.0.0/24');
    speaker.announce('10.0.1.0/24');
    await settle();
    expect(seen).toEqual(['10.0.0.0/24 192.0.2.2 65002 false', '10.0.1.0/24 192.0.2.2 65002 false']);
    expect(peer.changes).toEqual(['+10.0.0.0/24']);
    expect(attributeOf(peer.of(2)[0], 4)).toEqual([0, 0, 0, 9]);
    // What it never had is not withdrawn.
    speaker.withdraw('10.0.1.0/24');
    await settle();
    expect(peer.changes).toEqual(['+10.0.0.0/24']);
    hidden = '10.0.0.0/24';
    session.resend();
    await settle();
    expect(peer.changes).toEqual(['+10.0.0.0/24', '-10.0.0.0/24']);
    expect(session.counters.prefixesOut).toBe(0);
  });

  test('a policy that throws leaves the peer without the route, and the others as they are', async () => {
    const { speaker, establish, settle, told } = await begin();
    const broken = await establish({
      exportRoute: () => {
        throw new TypeError('oops');
      },
    });
    const well = await establish({ address: '192.0.2.3' }, open(65002, { identifier: [192, 0, 2, 3] }));
    speaker.announce('10.0.0.0/24');
    await settle();
    expect([broken.peer.changes, well.peer.changes]).toEqual([[], ['+10.0.0.0/24']]);
    expect(broken.session.state).toBe('Established');
    expect(told('unsendable')[0]).toMatchObject({
      peer: '192.0.2.2',
      prefixes: 1,
      text: expect.stringContaining('oops'),
    });
  });

  test.each<[unknown, RegExp]>([
    [{ communities: [-1] }, /gave communities: -1/],
    [{ asPath: [0] }, /gave asPath: 0/],
    [{ nextHop: Address.parse('127.0.0.1') }, /gave nextHop: 127\.0\.0\.1/],
    [{ origin: 'IGP' }, /gave origin: "IGP"/],
    ['none', /gave none, which are no attributes/],
  ])('a policy that gives what nobody could take, %j, leaves the peer without the route', async (given, text) => {
    const { speaker, establish, settle, told } = await begin();
    const { peer, session } = await establish({ exportRoute: () => given as RouteAttributes });
    speaker.announce('10.0.0.0/24');
    await settle();
    expect([peer.changes, session.state]).toEqual([[], 'Established']);
    expect(told('unsendable')).toMatchObject([{ prefixes: 1, text: expect.stringMatching(text) }]);
  });

  test('a policy may announce: that goes out next', async () => {
    const { speaker, establish, settle } = await begin();
    const { peer } = await establish({
      exportRoute: (prefix, attributes) => {
        if (prefix.prefixLength === 24) speaker.announce('10.9.0.0/16');
        return attributes;
      },
    });
    speaker.announce('10.0.0.0/24');
    await settle();
    expect(peer.changes).toEqual(['+10.0.0.0/24', '+10.9.0.0/16']);
  });

  test('one object of attributes does for both families', async () => {
    const { speaker, establish, told } = await begin();
    const attributes = {};
    speaker.announce('10.0.0.0/8', attributes);
    speaker.announce('2001:db8::/32', attributes);
    const { session, peer } = await establish({ nextHopIpv6: '2001:db8::1' });
    expect([session.counters.prefixesOut, peer.of(2).length, told('unsendable')]).toEqual([2, 2, []]);
  });

  test('sessions that come and go leave nothing in the table', async () => {
    const { speaker, establish, dialled, pass, settle } = await begin();
    await establish();
    const sizes: number[] = [];
    for (let round = 0; round < 4; round++) {
      for (let index = 0; index < 500; index++) speaker.announce(`10.${round}.${index >> 8}.${index & 255}/32`);
      await settle();
      dialled().socket.reset();
      await settle();
      for (let index = 0; index < 500; index++) speaker.withdraw(`10.${round}.${index >> 8}.${index & 255}/32`);
      await pass(61_000);
      dialled().send(open(), keepalive);
      await settle();
      sizes.push(speaker.routesMemoryBytes);
    }
    expect(new Set(sizes).size).toBe(1);
  });

  test('IPv6 routes without a next hop are told as unsendable on an IPv4 session', async () => {
    const { speaker, establish, told } = await begin();
    speaker.announce('2001:db8::/32');
    const { peer } = await establish();
    expect(peer.of(2)).toEqual([]);
    expect(told('unsendable')[0]?.text).toMatch(/no IPv6 address of ours.*nextHopIpv6/);
  });
});

describe('listeners', () => {
  test('each admits the peers of its family, whichever was there first', async () => {
    const { speaker, transport, settle } = await begin();
    const peer = speaker.addPeer({ address: '192.0.2.2', peerAs: 1 });
    speaker.addPeer({ address: '2001:db8::2', peerAs: 1 });
    speaker.addPeer({ address: 'fe80::2', interface: 'eth0', peerAs: 1 });
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 1 });
    const before = [...transport.admitted].sort();
    expect(before).toEqual(['192.0.2.1 192.0.2.2/32 ', '192.0.2.1 198.51.100.0/24 ']);
    await speaker.listen({ address: '::', port: 1179 });
    await speaker.listen({ address: '127.0.0.1' });
    expect([...transport.admitted].sort()).toEqual([
      '127.0.0.1 192.0.2.2/32 ',
      '127.0.0.1 198.51.100.0/24 ',
      ...before,
      ':: 2001:db8::2/128 ',
      ':: fe80::2/128 eth0',
    ]);
    const removed = speaker.removePeer(peer);
    await settle();
    await removed;
    await speaker.rejectPeers('198.51.100.0/24');
    expect([...transport.admitted].sort()).toEqual([':: 2001:db8::2/128 ', ':: fe80::2/128 eth0']);
  });

  test('a peer that cannot be admitted is not added', async () => {
    const { speaker, transport } = await begin();
    transport.admitFails = true;
    expect(() => speaker.addPeer({ address: '192.0.2.2', peerAs: 1 })).toThrow('no more keys');
    expect(() => speaker.acceptPeers('192.0.2.0/24', { peerAs: 1 })).toThrow('no more keys');
    expect([speaker.sessions, transport.dialled]).toEqual([[], []]);
    transport.admitFails = false;
    await speaker.listen({ address: '127.0.0.1' });
    expect([...transport.admitted]).toEqual([]);
    speaker.addPeer({ address: '192.0.2.2', peerAs: 1 });
  });

  test('two peers at one address share what admits them: the options of the first hold until it is removed', async () => {
    const { speaker, transport, settle } = await begin();
    const admits = () => transport.admittedWith.get('192.0.2.1 192.0.2.2/32 ')?.password;
    const first = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, passive: true, password: 'one' });
    const second = { address: '192.0.2.2', peerAs: 65002, passive: true, name: 'second', password: 'two' } as const;
    await speaker.removePeer(speaker.addPeer(second));
    expect([...transport.admitted, admits()]).toEqual(['192.0.2.1 192.0.2.2/32 ', 'one']);
    speaker.addPeer(second);
    expect(admits()).toBe('one');
    const peer = new ScriptedPeer(transport.connect('192.0.2.2'));
    await settle();
    expect([first.state, peer.types]).toEqual(['OpenSent', [1]]);
    const removed = speaker.removePeer(first);
    await settle();
    await removed;
    expect([...transport.admitted, admits()]).toEqual(['192.0.2.1 192.0.2.2/32 ', 'two']);
    // A range that is one address counts less than the peer.
    speaker.acceptPeers('192.0.2.2/32', { peerAs: 65002, password: 'three' });
    expect(admits()).toBe('two');
    await speaker.removePeer(speaker.sessions[0] ?? first);
    expect(admits()).toBe('three');
  });

  test('a range that cannot be replaced stays as it was', async () => {
    const { speaker, transport } = await begin();
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 1, password: 'old' });
    transport.admitFails = true;
    expect(() => speaker.acceptPeers('198.51.100.0/24', { peerAs: 1, password: 'new' })).toThrow('no more keys');
    expect([...transport.admitted]).toEqual(['192.0.2.1 198.51.100.0/24 ']);
    transport.admitFails = false;
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 1, password: 'new' });
    expect(transport.admittedWith.get('192.0.2.1 198.51.100.0/24 ')).toMatchObject({ password: 'new' });
  });

  test('one that fails is told and leaves the others', async () => {
    const { speaker, transport, told, settle } = await begin();
    await speaker.listen({ address: '127.0.0.1', port: 1179 });
    transport.listeners[0]?.onError(new Error('eth0 is gone'));
    await settle();
    expect(speaker.listening.map(({ port }) => port)).toEqual([1179]);
    expect(told('listener-failed')).toMatchObject([{ error: { message: 'eth0 is gone' } }]);
    transport.listeners.shift();
  });
});

describe('peers', () => {
  test('wrong options are named, all of them, and add nothing', async () => {
    const { speaker } = await begin();
    const wrong = () =>
      speaker.addPeer({
        peerAs: 0,
        holdTimeSeconds: 2,
        port: 0,
        localAddress: 'here',
        multihop: 3,
        ttlSecurityHops: 1,
      });
    expect(wrong).toThrow(/localAddress: .*peerAs: .*holdTimeSeconds: .*address: .*port: .*multihop: /);
    expect(() => speaker.addPeer({ address: 'fe80::1', peerAs: 1 })).toThrow(/interface: name the one/);
    const hops = { nextHopIpv4: '127.0.0.1', nextHopIpv6: 'ff02::1' };
    expect(() => speaker.addPeer({ address: '192.0.2.2', peerAs: 1, ...hops })).toThrow(
      /nextHopIpv4: 127\.0\.0\.1 is not .*nextHopIpv6: ff02::1 is not/,
    );
    expect(() => speaker.addPeer({ address: '192.0.2.2', peerAs: 1, shutdownText: 'é'.repeat(128) })).toThrow(
      /256 bytes/,
    );
    expect(() => speaker.acceptPeers('10.0.0.1/8', { peerAs: 'any' })).toThrow(/prefix: .*host bits/);
    for (const maximumPeers of [0, 1.5, 65_536, Number.NaN]) {
      const accept = () => speaker.acceptPeers('10.0.0.0/8', { peerAs: 'any', maximumPeers });
      expect(accept).toThrow(`maximumPeers: ${maximumPeers} is not a whole number from 1 to 65535`);
    }
    expect(speaker.sessions).toEqual([]);
    speaker.addPeer({ address: '192.0.2.2', peerAs: 1 });
    expect(() => speaker.addPeer({ address: '192.0.2.2', peerAs: 2 })).toThrow(/name: there is a peer/);
  });

  test('strangers that knock on and on are told ten times a second', async () => {
    const { transport, settle, told, pass } = await begin();
    for (let count = 0; count < 25; count++) transport.connect('203.0.113.5');
    await pass(1_000);
    transport.connect('203.0.113.5');
    await settle();
    expect(told('refused').map(({ unreported }) => unreported)).toEqual([...Array.from({ length: 10 }, () => 0), 15]);
  });

  test('a peer that connects and leaves on and on is told ten times a second', async () => {
    const { speaker, transport, settle, told, pass } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, passive: true });
    const knock = async () => {
      new ScriptedPeer(transport.connect('192.0.2.2')).socket.end();
      await settle();
    };
    for (let count = 0; count < 25; count++) await knock();
    expect([told('failed').length, told('state').length]).toEqual([10, 10]);
    await pass(1_000);
    await knock();
    expect(told('failed').at(-1)).toMatchObject({ unreported: 15 });
    expect(session.counters.failures).toBe(26);
    // What happens to a session is told always.
    for (let count = 0; count < 25; count++) await knock();
    const peer = new ScriptedPeer(transport.connect('192.0.2.2'));
    peer.send(open(), keepalive);
    await settle();
    expect(told('state').at(-1)).toMatchObject({ from: 'OpenConfirm', to: 'Established' });
    expect(told('established')).toHaveLength(1);
  });

  test('of strangers from a range that connect and leave, ten a second are told; of peers all are', async () => {
    const { speaker, transport, settle, events, pass } = await begin();
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'any' });
    const knock = async (last: number) => {
      const peer = new ScriptedPeer(transport.connect(`198.51.100.${last}`));
      await settle();
      return peer;
    };
    for (let count = 0; count < 40; count++) (await knock(count)).socket.end();
    await settle();
    const types = () => events.map((event) => event.type);
    const count = (type: string) => types().filter((each) => each === type).length;
    expect([count('peer-added'), count('peer-removed'), count('failed')]).toEqual([10, 10, 10]);
    const before = events.length;
    const peer = await knock(200);
    expect(events.length).toBe(before);
    peer.send(open(65200), keepalive);
    await settle();
    expect(types().slice(before)).toEqual(['peer-added', 'state', 'established']);
    peer.socket.destroy();
    await pass(2_000);
    const rest = events.slice(before + 3).map(({ type }) => type);
    expect([rest.slice(0, 2), rest.at(-1)]).toEqual([['state', 'down'], 'peer-removed']);
    await knock(201);
    expect(events.find((event) => event.type === 'peer-added' && event.peer === '198.51.100.201')).toMatchObject({
      unreported: 31,
    });
  });

  test('keys are not shown with the rest of a session', async () => {
    const { speaker } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 1, password: 'sesame', passive: true });
    expect(
      `${JSON.stringify(session)} ${JSON.stringify(session.options)} ${inspect(session, { depth: 9 })}`,
    ).not.toContain('sesame');
    expect(JSON.parse(JSON.stringify(session))).toMatchObject({ name: '192.0.2.2', state: 'Active' });
    expect(session.options.connection).toEqual({ password: 'sesame', multihop: 1 });
  });

  test('a removed peer is told Cease/3, and refused from then on', async () => {
    const { speaker, establish, settle, transport, told } = await begin();
    const { session, peer } = await establish();
    const removed = speaker.removePeer(session);
    await settle();
    await removed;
    expect([peer.notified, speaker.sessions]).toEqual([[6, 3], []]);
    const stranger = new ScriptedPeer(transport.connect('192.0.2.2'));
    await settle();
    expect(stranger.isEnded).toBe(true);
    expect(told('refused')).toMatchObject([{ reason: 'not-admitted' }]);
    expect(told('peer-removed')).toHaveLength(1);
  });

  test('a disabled peer is neither dialled nor taken until it is started', async () => {
    const { speaker, transport, settle } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, disabled: true });
    await settle();
    const caller = new ScriptedPeer(transport.connect('192.0.2.2'));
    await settle();
    expect([transport.dialled.length, caller.notified]).toEqual([0, [6, 5]]);
    session.start();
    await settle();
    expect(session.state).toBe('OpenSent');
  });

  test('dynamic peers come from a prefix, up to a number, and are gone when they leave', async () => {
    const { speaker, transport, settle, pass, told } = await begin({ routesComplete: true });
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'external', maximumPeers: 2 });
    speaker.announce('10.0.0.0/8');
    const connect = async (last: number) => {
      const peer = new ScriptedPeer(transport.connect(`198.51.100.${last}`));
      peer.send(open(65000 + last + 10, { identifier: [198, 51, 100, last] }), keepalive);
      await settle();
      return peer;
    };
    const [first, second, third] = [await connect(1), await connect(2), await connect(3)];
    expect([first.changes, second.changes, third.isEnded]).toEqual([['+10.0.0.0/8'], ['+10.0.0.0/8'], true]);
    expect(speaker.sessions.map(({ name, state }) => `${name} ${state}`)).toEqual([
      '198.51.100.1 Established',
      '198.51.100.2 Established',
    ]);
    expect(told('refused')).toMatchObject([{ reason: 'too-many' }]);
    first.socket.destroy();
    await settle();
    // Damped for a second, then forgotten; nobody is dialled.
    await pass(1_500);
    expect(speaker.sessions.map(({ name }) => name)).toEqual(['198.51.100.2']);
    expect(transport.dialled).toEqual([]);
    const fourth = await connect(3);
    expect(speaker.sessions).toHaveLength(2);
    const [, last] = speaker.sessions;
    if (last) void speaker.removePeer(last);
    await settle();
    expect([fourth.notified, speaker.sessions.length]).toEqual([[6, 3], 1]);
    const rejected = speaker.rejectPeers('198.51.100.0/24');
    await settle();
    await rejected;
    expect([second.notified, speaker.sessions]).toEqual([[6, 3], []]);
    expect((await connect(4)).isEnded).toBe(true);
  });

  test('a dynamic peer that keeps failing waits twice as long each time; one that stays away begins anew', async () => {
    const { speaker, transport, settle, clock } = await begin();
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'external', maximumIdleHoldSeconds: 16 });
    const openedAt: number[] = [];
    /** Connects once a second, and sends a malformed UPDATE where it is taken. */
    const knock = async () => {
      const peer = new ScriptedPeer(transport.connect('198.51.100.1'));
      peer.send(open(), keepalive, message(2, [0, 9, 0, 0]));
      await settle();
      if (peer.types.includes(1)) openedAt.push(clock.monotonicMs() / 1000);
      await clock.advance(1000);
      await settle();
    };
    while (openedAt.length < 7) await knock();
    const waits = openedAt.map((at, index) => at - (openedAt[index - 1] ?? at));
    expect(waits).toEqual([0, 1, 2, 4, 8, 16, 16]);
    await world.pass(33_000);
    const from = openedAt.length;
    for (let count = 0; count < 3; count++) await knock();
    expect(openedAt.slice(from)).toHaveLength(2);
    expect(speaker.sessions.length).toBeLessThanOrEqual(1);
  });

  test('a dynamic peer whose address is the name of a configured one gets another name', async () => {
    const { speaker, transport, settle } = await begin();
    speaker.addPeer({ name: '198.51.100.9', address: '198.51.100.8', peerAs: 65002, passive: true });
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'external' });
    const peer = new ScriptedPeer(transport.connect('198.51.100.9'));
    peer.send(open(), keepalive);
    await settle();
    expect(speaker.sessions.map(({ name, state }) => `${name} ${state}`)).toEqual([
      '198.51.100.9 Active',
      '198.51.100.9#2 Established',
    ]);
  });

  test.each([
    ['address', { address: '198.51.100.9', name: 'router' }],
    ['name', { address: '198.51.100.8', name: '198.51.100.9' }],
  ])('a dynamic peer gives way to a configured one of its %s', async (_, configured) => {
    const { speaker, transport, settle, told } = await begin();
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'external' });
    const peer = new ScriptedPeer(transport.connect('198.51.100.9'));
    peer.send(open(), keepalive);
    await settle();
    const session = speaker.addPeer({ ...configured, peerAs: 65002, passive: true });
    await settle();
    expect([peer.notified, speaker.sessions]).toEqual([[6, 3], [session]]);
    expect(told('peer-removed')).toMatchObject([{ peer: '198.51.100.9' }]);
    const again = new ScriptedPeer(transport.connect(configured.address));
    again.send(open(), keepalive);
    await settle();
    expect(session.state).toBe('Established');
  });

  test('a dynamic peer that never opens gives way to one that comes', async () => {
    const { speaker, transport, settle, pass } = await begin();
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'external', maximumPeers: 1 });
    const scanner = new ScriptedPeer(transport.connect('198.51.100.1'));
    await pass(11_000);
    const peer = new ScriptedPeer(transport.connect('198.51.100.2'));
    peer.send(open(65009), keepalive);
    await settle();
    expect([scanner.isEnded, speaker.sessions.map(({ name, state }) => `${name} ${state}`)]).toEqual([
      true,
      ['198.51.100.2 Established'],
    ]);
  });

  test('an unnumbered peer is dialled where it is found, and known by its address there when it calls', async () => {
    const router = Address.parse('fe80::9');
    const { speaker, transport, settle } = await begin({ discoverPeer: async () => router });
    const session = speaker.addPeer({ interface: 'eth7', peerAs: 'external' });
    await settle();
    expect([session.name, transport.dialled[0]?.peer.address]).toEqual(['eth7', router]);
    const passive = speaker.addPeer({ interface: 'eth8', peerAs: 'external', passive: true });
    await settle();
    transport.connect('fe80::9', 'eth8');
    await settle();
    expect([passive.state, String(passive.address)]).toEqual(['OpenSent', 'fe80::9']);
  });

  test('nobody else on the link of an unnumbered peer is taken for it', async () => {
    const { transport, establish, settle, told } = await begin({
      discoverPeer: async () => Address.parse('fe80::9'),
    });
    const restart = { restartTimeSeconds: 30, restarted: false, forwarding: true };
    const { session } = await establish(
      { interface: 'eth7', gracefulRestart: restart },
      open(65002, { capabilities: [gracefulRestart] }),
    );
    const stranger = new ScriptedPeer(transport.connect('fe80::666', 'eth7'));
    stranger.send(open(65002), keepalive);
    await settle();
    expect([session.state, String(session.address), session.counters.flaps]).toEqual(['Established', 'fe80::9', 0]);
    expect([stranger.messages, stranger.isEnded]).toEqual([[], true]);
    expect(told('refused')).toMatchObject([{ reason: 'not-admitted' }]);
  });

  test('unnumbered peers with passwords of their own are admitted each by the address found on its link', async () => {
    const routers = new Map([
      ['eth0', 'fe80::a'],
      ['eth1', 'fe80::b'],
    ]);
    const { speaker, transport, settle, pass } = await begin({
      listen: [{ address: '::' }],
      discoverPeer: async (link) => Address.parse(routers.get(link) ?? ''),
    });
    const admits = () => [...transport.admitted].map((key) => [key, transport.admittedWith.get(key)?.password]);
    for (const link of ['eth0', 'eth1']) {
      speaker.addPeer({ interface: link, peerAs: 'external', password: `key of ${link}`, passive: true });
    }
    expect(admits()).toEqual([]);
    await settle();
    const first = [':: fe80::a/128 eth0', 'key of eth0'];
    expect(admits()).toEqual([first, [':: fe80::b/128 eth1', 'key of eth1']]);
    // Another router there; the next look finds it.
    routers.set('eth1', 'fe80::c');
    await pass(10_000);
    expect(admits()).toEqual([first, [':: fe80::c/128 eth1', 'key of eth1']]);
    const [, second] = speaker.sessions;
    if (second) await speaker.removePeer(second);
    expect(admits()).toEqual([first]);
  });

  test('a found peer that the kernel does not admit is told, and dialled all the same', async () => {
    const { speaker, transport, settle, told } = await begin({ discoverPeer: async () => Address.parse('fe80::9') });
    await speaker.listen({ address: '::' });
    transport.admitFails = true;
    const session = speaker.addPeer({ interface: 'eth7', peerAs: 'external' });
    await settle();
    expect(session.state).toBe('OpenSent');
    expect(told('failed')).toMatchObject([{ peer: 'eth7', text: 'no more keys' }]);
  });

  test('a router that is not to be found any more, or another on the link, is no end of an established session', async () => {
    let router: string | undefined = 'fe80::9';
    const { speaker, transport, settle, pass } = await begin({
      listen: [{ address: '::' }],
      discoverPeer: async () => {
        if (router === undefined) throw new Error('it said farewell');
        return Address.parse(router);
      },
    });
    const session = speaker.addPeer({ interface: 'eth7', peerAs: 65002, passive: true });
    await settle();
    const peer = new ScriptedPeer(transport.connect('fe80::9', 'eth7'));
    peer.send(open(), keepalive);
    await settle();
    for (const found of [undefined, 'fe80::c', undefined, 'fe80::c']) {
      router = found;
      await pass(20_000);
      peer.send(keepalive);
      await settle();
      expect([session.state, String(session.address), session.counters.flaps]).toEqual(['Established', 'fe80::9', 0]);
      expect([...transport.admitted]).toEqual([':: fe80::9/128 eth7']);
    }
    // Once it has ended, the next look counts.
    peer.socket.reset();
    await pass(11_000);
    expect([String(session.address), ...transport.admitted]).toEqual(['fe80::c', ':: fe80::c/128 eth7']);
  });

  test.each([true, false])(
    'a search that throws at once is made again like any other (passive: %s)',
    async (passive) => {
      let router: string | undefined;
      const { speaker, pass, settle } = await begin({
        discoverPeer: (link) => {
          if (router === undefined) throw new Error(`there is no ${link}`);
          return Promise.resolve(Address.parse(router));
        },
      });
      const session = speaker.addPeer({ interface: 'eth7', peerAs: 65002, passive });
      await settle();
      router = 'fe80::9';
      await pass(11_000);
      expect(String(session.address)).toBe('fe80::9');
    },
  );

  test('two unnumbered peers on one link: the link is watched until both are removed', async () => {
    await begin();
    const calls: string[] = [];
    const discovery = {
      watch: (link: string) => void calls.push(`watch ${link}`),
      unwatch: (link: string) => void calls.push(`unwatch ${link}`),
      neighbour: () => undefined,
      discoverPeer: () => Promise.reject(new Error('none')),
      counters: () => undefined,
      close: () => void calls.push('close'),
    };
    const unnumbered = new Unnumbered(undefined, world.clock, Math.random, () => discovery);
    const [a, b] = [{}, {}];
    unnumbered.watch('eth0', a);
    unnumbered.watch('eth0', b);
    unnumbered.unwatch(a);
    expect(calls).toEqual(['watch eth0', 'watch eth0']);
    unnumbered.unwatch(b);
    unnumbered.unwatch(b);
    expect(calls.slice(2)).toEqual(['unwatch eth0']);
    unnumbered.close();
  });

  test('with two peers of the same link-local address on two links, the link decides', async () => {
    const { speaker, transport, settle } = await begin();
    const options = { address: 'fe80::1', peerAs: 65002, passive: true };
    const a = speaker.addPeer({ ...options, interface: 'eth0' });
    const b = speaker.addPeer({ ...options, interface: 'eth1' });
    transport.connect('fe80::1', 'eth1');
    await settle();
    expect([a.name, a.state, b.name, b.state]).toEqual(['fe80::1%eth0', 'Active', 'fe80::1%eth1', 'OpenSent']);
  });
});

describe('closing', () => {
  test.each(['Connect', 'OpenSent', 'OpenConfirm', 'Established', 'Idle'] as const)('from %s', async (state) => {
    const { speaker, transport, settle, dialled } = await begin();
    if (state === 'Connect') transport.answer = 'hang';
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002 });
    await settle();
    if (state === 'OpenConfirm' || state === 'Established') dialled().send(open());
    if (state === 'Established') dialled().send(keepalive);
    if (state === 'Idle') dialled().send(open(65009));
    await settle();
    expect(session.state).toBe(state);
    const closed = speaker.close({ text: 'done' });
    await settle();
    await closed;
    expect(world.clock.pendingTimers).toBe(0);
    if (state === 'Connect') expect(transport.dialled[0]?.signal.aborted).toBe(true);
    else expect(dialled().isEnded).toBe(true);
    expect(() => speaker.announce('10.0.0.0/8')).toThrow(/closed/);
    expect(() => speaker.addPeer({ address: '192.0.2.2', peerAs: 1 })).toThrow(/closed/);
  });

  test('what was announced in the same moment is still sent', async () => {
    const { speaker, establish, settle } = await begin();
    const { peer } = await establish();
    speaker.announce('10.0.0.0/8');
    const closed = speaker.close();
    await settle();
    await closed;
    expect([peer.changes, peer.notified]).toEqual([['+10.0.0.0/8'], [6, 2]]);
  });

  test('a peer that takes nothing is given a second', async () => {
    const { speaker, establish, transport, settle, clock, pass } = await begin();
    await establish();
    const socket = transport.dialled[0]?.socket;
    socket?.setWindow(0);
    socket?.pause();
    let isClosed = false;
    const closed = speaker.close().then(() => (isClosed = true));
    await settle();
    expect(isClosed).toBe(false);
    await pass(1_000);
    await closed;
    expect(clock.pendingTimers).toBe(0);
  });

  test('an aborted signal closes; an aborted start makes nothing', async () => {
    const abort = new AbortController();
    const { establish, settle, speaker } = await begin({ signal: abort.signal });
    const { peer } = await establish();
    abort.abort();
    await settle();
    await speaker.close();
    expect(peer.notified).toEqual([6, 2]);
    await expect(newWorld({ signal: abort.signal })).rejects.toThrow(/abort/i);
  });

  test('waiting for the end of a peer or a range, and for a listener, ends with the signal', async () => {
    const { speaker, transport, establish, settle, pass } = await begin();
    speaker.acceptPeers('198.51.100.0/24', { peerAs: 'any' });
    // Nobody reads what it is told at the end.
    transport.connect('198.51.100.1');
    const { session } = await establish();
    transport.dialled[0]?.socket?.setWindow(0);
    transport.dialled[0]?.socket?.pause();
    const waits = [
      (signal: AbortSignal) => speaker.removePeer(session, { signal }),
      (signal: AbortSignal) => speaker.rejectPeers('198.51.100.0/24', { signal }),
      (signal: AbortSignal) => speaker.listen({ address: '127.0.0.1', signal }),
    ];
    const aborted = AbortSignal.abort(new Error('not at all'));
    for (const wait of waits) await expect(wait(aborted)).rejects.toThrow('not at all');
    expect([speaker.sessions.length, speaker.listening.length]).toEqual([2, 1]);
    for (const wait of waits) {
      const abort = new AbortController();
      const ended = expect(wait(abort.signal)).rejects.toThrow('enough');
      abort.abort(new Error('enough'));
      await ended;
    }
    expect([speaker.sessions.length, speaker.listening.length, transport.listeners.length]).toEqual([0, 1, 1]);
    await pass(1_000);
    await settle();
    expect(world.clock.pendingTimers).toBe(0);
  });

  test('drain of all, then gone; an impatient signal ends it', async () => {
    const { speaker, establish, settle, pass } = await begin();
    speaker.announce('10.0.0.0/8');
    const one = await establish();
    const two = await establish({ address: '192.0.2.3' }, open(65002, { identifier: [192, 0, 2, 3] }));
    const abort = new AbortController();
    const closed = expect(speaker.close({ mode: 'drain', waitMs: 60_000, signal: abort.signal })).rejects.toThrow(
      'now',
    );
    await settle();
    await pass(3_000);
    expect([one.peer.notified, two.peer.notified]).toEqual([undefined, undefined]);
    abort.abort(new Error('now'));
    await settle();
    await closed;
    expect([one.peer.notified, two.peer.notified]).toEqual([
      [6, 2],
      [6, 2],
    ]);
  });

  test('who ends the drain of one session in haste does not make closing fail', async () => {
    const { speaker, establish, settle, pass } = await begin();
    const { session, peer } = await establish();
    const impatient = new AbortController();
    const drained = session.drain({ signal: impatient.signal }).catch((thrown: unknown) => thrown);
    const closed = speaker.close({ mode: 'drain', text: 'done' });
    await settle();
    impatient.abort(new Error('in haste'));
    await settle();
    await pass(1_000);
    expect(await drained).toEqual(new Error('in haste'));
    await closed;
    expect(peer.notified?.slice(0, 2)).toEqual([6, 2]);
  });

  test.each([
    ['before', true],
    ['meanwhile', false],
  ])('a long drain of one session holds up no closing whose signal aborts %s', async (_, isBefore) => {
    const { speaker, establish, settle, pass, told } = await begin();
    const { session, peer } = await establish();
    const drained = session.drain({ waitMs: 3_600_000 });
    const closing = new AbortController();
    if (isBefore) closing.abort(new Error('no time'));
    const closed = speaker.close({ mode: 'drain', signal: closing.signal }).catch((thrown: unknown) => thrown);
    await settle();
    closing.abort(new Error('no time'));
    await settle();
    await pass(1_000);
    expect(await closed).toEqual(new Error('no time'));
    await drained;
    expect(peer.notified?.slice(0, 2)).toEqual([6, 2]);
    expect(told('down')).toHaveLength(1);
  });

  test('waiting for a session ends with the signal', async () => {
    const { speaker } = await begin();
    const session = speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, passive: true });
    const abort = new AbortController();
    const waiting = expect(session.whenEstablished(abort.signal)).rejects.toThrow('enough');
    abort.abort(new Error('enough'));
    await waiting;
  });

  test.each(['close', 'removePeer', 'rejectPeers'] as const)(
    'after %s nobody waits for the session, and it does not start again',
    async (how) => {
      const { speaker, transport, settle } = await begin();
      speaker.acceptPeers('198.51.100.0/24', { peerAs: 'any' });
      if (how === 'rejectPeers') new ScriptedPeer(transport.connect('198.51.100.1'));
      else speaker.addPeer({ address: '192.0.2.2', peerAs: 65002, passive: true });
      const [session] = speaker.sessions;
      if (!session) throw new Error('no session');
      const gone = 'session: it was removed, or its speaker is closed';
      const waiting = [session.whenEstablished(), session.whenInStep()].map((each) =>
        expect(each).rejects.toThrow(gone),
      );
      await settle();
      const ended =
        how === 'close'
          ? speaker.close()
          : how === 'removePeer'
            ? speaker.removePeer(session)
            : speaker.rejectPeers('198.51.100.0/24');
      await settle();
      await Promise.all([ended, ...waiting]);
      await expect(session.whenEstablished()).rejects.toThrow(gone);
      expect(() => session.start()).toThrow(gone);
      await settle();
      expect([session.state, transport.dialled]).toEqual(['Idle', []]);
    },
  );
});
