import { beforeAll, describe, expect, test } from '@jest/globals';
import { sessionOver4, sessionOver6 } from './bed.ts';
import { describeEveryRouter } from './every-router.ts';
import { established, type PeerKind, peerKinds } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

/** OpenBGPD and Debian's ExaBGP know GTSM for neighbours on the link only. */
const knowsHops = (kind: PeerKind) => kind === 'bird' || kind === 'frr' || kind === 'gobgp';
/** Debian's ExaBGP sends 255, but asks for the least TTL on a socket that is connected already. */
const speaksGtsm = (kind: PeerKind) => kind !== 'exabgp';

describeEveryRouter('through a router', { word: 'mul', subject: 'multihop BGP' }, (every) => {
  const { of } = every;
  let us: SpeakerHost;

  beforeAll(async () => {
    us = await SpeakerHost.start(every.bed);
    await us.announce('192.0.2.1/32');
    const router = every.bed.connect('router');
    await Promise.all(
      peerKinds.map(async (kind) => {
        const cable = every.bed.connectBehind(router, kind);
        const [plain, two, one, direct] = cable.lanes;
        const peer = every.place(kind, cable, {
          sessions: [
            sessionOver4(plain, { multihop: 2 }),
            sessionOver6(plain, { multihop: 2 }),
            ...(knowsHops(kind) ? [sessionOver4(two, { ttlSecurityHops: 2 })] : []),
            ...(speaksGtsm(kind) ? [sessionOver4(one, { ttlSecurityHops: knowsHops(kind) ? 2 : 1 })] : []),
            sessionOver4(direct, { multihop: 5 }),
          ],
        });
        await us.addPeer4(plain, { multihop: 2 });
        await us.addPeer6(plain, { multihop: 2 });
        if (knowsHops(kind)) await us.addPeer4(two, { ttlSecurityHops: 2 });
        // Two hops away, where one is allowed.
        if (speaksGtsm(kind)) await us.addPeer4(one, { ttlSecurityHops: 1 });
        // An external peer without multihop is spoken to with TTL 1.
        await us.addPeer4(direct);
        await peer.start();
      }),
    );
  }, 60_000);

  describe.each(peerKinds)('with %s', (kind) => {
    test('multihop over IPv4 and IPv6', async () => {
      const { peer, cable } = of(kind);
      await established(peer, cable.lanes[0].ours4);
      await established(peer, cable.lanes[0].ours6);
    }, 30_000);

    (knowsHops(kind) ? test : test.skip)(
      'GTSM for two hops',
      async () => {
        const { peer, cable } = of(kind);
        await established(peer, cable.lanes[1].ours4);
      },
      30_000,
    );

    test('not with TTL 1', async () => {
      const { peer, cable } = of(kind);
      const [, , , direct] = cable.lanes;
      expect((await peer.session(direct.ours4)).established).toBe(false);
      // Its OPEN may have come on a connection that it made; our answer does not get past the router.
      const { state, counters } = await us.session(direct.theirs4);
      expect([state, counters.established]).not.toEqual(['Established', 1]);
    }, 30_000);

    (speaksGtsm(kind) ? test : test.skip)('GTSM for one hop keeps it out, two hops away', async () => {
      const { peer, cable } = of(kind);
      const [, , one] = cable.lanes;
      expect((await peer.session(one.ours4)).established).toBe(false);
      expect((await us.session(one.theirs4)).counters.messagesIn.open).toBe(0);
    });
  });
});
