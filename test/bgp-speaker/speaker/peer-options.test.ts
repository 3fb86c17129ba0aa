import { afterEach, describe, expect, test } from '@jest/globals';
import type { PeerOptions, SpeakerOptions } from '../../../src/bgp-speaker/index.ts';
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
