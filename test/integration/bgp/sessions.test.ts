import { beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { ourAs, sessionOver4, sessionOver6 } from './bed.ts';
import { describeEveryRouter } from './every-router.ts';
import { established, hasRoutes, type PeerKind, peerKinds } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

const key = 'a,key;with:signs$';
/** GTSM wants 255; ExaBGP takes it, but asks for the least TTL on a socket that is connected already. */
const speaksGtsm = (kind: PeerKind) => kind !== 'exabgp';

describeEveryRouter('a session comes up', { word: 'ses', subject: 'BGP sessions' }, (every) => {
  const { of } = every;
  let us: SpeakerHost;

  beforeAll(async () => {
    us = await SpeakerHost.start(every.bed);
    await us.announce(['192.0.2.1/32', '2001:db8::1/128']);
    await Promise.all(peerKinds.map(startPeer));
  }, 60_000);

  async function startPeer(kind: PeerKind): Promise<void> {
    const cable = every.bed.connect(kind);
    const [dual, six, right, wrong, gtsm, passive] = cable.lanes;
    const peer = every.place(kind, cable, {
      sessions: [
        sessionOver4(dual),
        sessionOver6(six),
        sessionOver4(right, { password: key }),
        sessionOver6(right, { password: key }),
        sessionOver4(wrong, { password: 'theirs' }),
        ...(speaksGtsm(kind) ? [sessionOver4(gtsm, { ttlSecurityHops: 1 })] : []),
        sessionOver4(passive, { passive: true }),
      ],
    });
    await us.addPeer4(dual);
    await us.addPeer6(six);
    await us.addPeer4(right, { password: key });
    await us.addPeer6(right, { password: key });
    await us.addPeer4(wrong, { password: 'ours' });
    if (speaksGtsm(kind)) await us.addPeer4(gtsm, { ttlSecurityHops: 1 });
    await us.addPeer4(passive);
    await peer.start();
  }

  describe.each(peerKinds)('with %s', (kind) => {
    test('over IPv4 for both families', async () => {
      const { peer, cable } = of(kind);
      const view = await established(peer, cable.ours4);
      expect(view).toMatchObject({ remoteAs: ourAs, holdTimeSeconds: 9 });
      const { negotiated } = await us.established(cable.theirs4);
      expect(negotiated).toMatchObject({ holdTimeSeconds: 9, families: ['ipv4-unicast', 'ipv6-unicast'] });
    }, 30_000);

    test('over IPv6', async () => {
      const { peer, cable } = of(kind);
      const [, six] = cable.lanes;
      await established(peer, six.ours6);
      await eventually(
        'the route',
        () => peer.routes('ipv6-unicast'),
        (routes) => routes.some(({ nextHops }) => nextHops[0] === six.ours6),
      );
    }, 30_000);

    test('with the right TCP MD5 key, IPv4 and IPv6', async () => {
      const { peer, cable } = of(kind);
      const [, , right] = cable.lanes;
      await established(peer, right.ours4);
      await established(peer, right.ours6);
    }, 30_000);

    test('not with another TCP MD5 key, and at once with the right one', async () => {
      const { peer, cable } = of(kind);
      const [, , , wrong] = cable.lanes;
      expect((await peer.session(wrong.ours4)).established).toBe(false);
      const { counters, state } = await us.session(wrong.theirs4);
      expect(state).toMatch(/Connect|Active|Idle/);
      expect(counters.messagesIn.open).toBe(0);
      await us.ask({ do: 'remove-peer', name: wrong.theirs4 });
      await us.addPeer4(wrong, { password: 'theirs' });
      await established(peer, wrong.ours4);
    }, 30_000);

    (speaksGtsm(kind) ? test : test.skip)(
      'with GTSM',
      async () => {
        const { peer, cable } = of(kind);
        const [, , , , gtsm] = cable.lanes;
        await established(peer, gtsm.ours4);
      },
      30_000,
    );

    test('when the peer only listens', async () => {
      const { peer, cable } = of(kind);
      const [, , , , , passive] = cable.lanes;
      await established(peer, passive.ours4);
    }, 30_000);

    test('without a complaint about what we sent', async () => {
      const { peer, cable } = of(kind);
      await hasRoutes(
        peer,
        'ipv4-unicast',
        Array.from({ length: speaksGtsm(kind) ? 5 : 4 }, () => '192.0.2.1/32'),
      );
      expect(peer.log()).not.toMatch(/malformed|invalid|unknown attr/i);
      const { counters } = await us.session(cable.theirs4);
      expect(counters.messagesIn.notification).toBe(0);
    }, 30_000);
  });
});
