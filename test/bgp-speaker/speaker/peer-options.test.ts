import { afterEach, describe, expect, test } from '@jest/globals';
import type { PeerOptions, SpeakerOptions } from '../../../src/bgp-speaker/index.ts';
import { keepalive, open, ScriptedPeer } from './scripted-peer.ts';
import { newWorld, type World } from './world.ts';

let world: World;
async function begin(options: Partial<SpeakerOptions> = {}): Promise<World> {
  world = await newWorld(options);
  return world;
}

afterEach(async () => {
  const closed = world.speaker.close();
  await world.pass(1000);
  await closed;
  expect(world.clock.pendingTimers).toBe(0);
});

describe('the options of a peer', () => {
  test('several AS numbers, of a peer and of a range', async () => {
    const { speaker, establish, settle, transport } = await begin();
    const peerAs = [65002, 65009];
    const one = await establish({ peerAs });
    const other = await establish({ address: '192.0.2.3', peerAs }, open(65003, { identifier: [192, 0, 2, 3] }));
    expect([one.session.state, one.session.options.connection.multihop]).toEqual(['Established', 1]);
    expect([other.session.state, other.peer.notified?.slice(0, 2)]).toEqual(['Idle', [2, 2]]);
    expect(other.session.counters.lastError).toMatch(/bad peer AS; the peer says AS 65003/);
    // With our own among them, it may be an internal peer some hops away.
    const either = speaker.addPeer({ address: '192.0.2.4', peerAs: [65001, 65002], passive: true });
    expect(either.options.connection.multihop).toBe(255);

    speaker.acceptPeers('198.51.100.0/24', { peerAs });
    const come = async (last: number, asNumber: number) => {
      const peer = new ScriptedPeer(transport.connect(`198.51.100.${last}`));
      peer.send(open(asNumber, { identifier: [198, 51, 100, last] }), keepalive);
      await settle();
      return peer.notified;
    };
    expect([await come(1, 65002), await come(2, 65009), (await come(3, 65003))?.slice(0, 2)]).toEqual([
      undefined,
      undefined,
      [2, 2],
    ]);
  });

  test('are as they were given, whatever becomes of the objects', async () => {
    const { speaker, settle, transport } = await begin();
    const secret = () => new TextEncoder().encode('sesame');
    const password = secret();
    const authenticationKeys = [{ key: secret(), sendId: 1, receiveId: 2 }];
    const options = { peerAs: 65002, holdTimeSeconds: 9, password };
    speaker.addPeer({ ...options, address: '192.0.2.2', passive: true });
    speaker.addPeer({ peerAs: 65002, authenticationKeys, address: '192.0.2.3', passive: true });
    speaker.acceptPeers('198.51.100.0/24', options);
    // As those do who keep no key longer than they need it.
    for (const key of [password, ...authenticationKeys.map((one) => one.key)]) key.fill(0);
    Object.assign(options, { peerAs: 65009, holdTimeSeconds: 1 });
    authenticationKeys.pop();
    const admitted = (peers: string) => transport.admittedWith.get(`192.0.2.1 ${peers} `);
    expect(admitted('192.0.2.2/32')?.password).toEqual(secret());
    expect(admitted('192.0.2.3/32')?.authenticationKeys).toEqual([{ key: secret(), sendId: 1, receiveId: 2 }]);
    const peer = new ScriptedPeer(transport.connect('198.51.100.7'));
    peer.send(open(), keepalive);
    await settle();
    const session = speaker.session('198.51.100.7');
    expect([session?.state, session?.negotiated?.holdTimeSeconds]).toEqual(['Established', 9]);
    expect(session?.options.connection).toEqual({ password: secret(), multihop: 1 });
  });

  test.each<[string, Partial<PeerOptions>]>([
    ['userTimeoutMs', { userTimeoutMs: -5 }],
    ['ttlSecurityHops', { ttlSecurityHops: 255 }],
    ['multihop', { multihop: 0 }],
    ['password', { password: 'x'.repeat(81) }],
    ['password', { password: 'a', authenticationKeys: [{ key: 'b', sendId: 1, receiveId: 1 }] }],
    ['authenticationKeys', { authenticationKeys: [] }],
    ['authenticationKeys', { authenticationKeys: [{}] as never }],
    ['localAddress', { localAddress: '2001:db8::1' }],
    ['interface', { interface: '' }],
  ])('a wrong %s is named although nothing listens: %j', async (field, wrong) => {
    const { speaker, transport, settle } = await begin({ listen: [] });
    expect(() => speaker.addPeer({ address: '192.0.2.2', peerAs: 1, ...wrong })).toThrow(new RegExp(`^${field}: `));
    expect(() => speaker.acceptPeers('192.0.2.0/24', { peerAs: 1, ...wrong })).toThrow(new RegExp(`^${field}: `));
    await settle();
    expect([speaker.sessions, transport.dialled]).toEqual([[], []]);
  });
});
