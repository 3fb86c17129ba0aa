import { beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { ourAs, peerAs, sessionOver4, sessionOver6 } from './bed.ts';
import { ask, Daemon, isInstalled } from './daemon.ts';
import { describeEveryRouter } from './every-router.ts';
import { established, type PeerKind, peerKinds } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

const both = ['ipv4-unicast', 'ipv6-unicast'] as const;
/** OpenBGPD 7.7 has no RFC 8950; Debian's GoBGP takes it only on sessions with an interface; ExaBGP only sends it. */
const takesExtendedNextHop = (kind: PeerKind) => kind === 'bird' || kind === 'frr';

describeEveryRouter('sessions of other kinds', { word: 'var', subject: 'variants of BGP sessions' }, (every) => {
  const { of } = every;
  let us: SpeakerHost;
  let capture: Daemon;

  beforeAll(async () => {
    const file = `${every.bed.directory}/ours.pcap`;
    capture = new Daemon(
      every.bed.us,
      ['tcpdump', '-U', '-i', 'any', '-w', file, 'tcp port 179'],
      `${every.bed.directory}/tcpdump`,
    );
    every.bed.onClose(() => capture.stop());
    await eventually(
      'tcpdump listens',
      () => capture.log(),
      (text) => text.includes('listening on'),
    );
    us = await SpeakerHost.start(every.bed, { localAs: 4_200_000_000 });
    const communities = ['65000:1', '4200000000:1:2', 'rt:65000:7'];
    await us.announce('192.0.2.1/32', { localPreference: 300, multiExitDiscriminator: 9, communities });
    await us.announce('2001:db8::1/128', { communities });
    await Promise.all(peerKinds.map(startPeer));
  }, 60_000);

  async function startPeer(kind: PeerKind): Promise<void> {
    const cable = every.bed.connect(kind);
    const [dynamic, internal, over6, wrong, fourByte] = cable.lanes;
    const extends6 = takesExtendedNextHop(kind);
    const peer = every.place(kind, cable, {
      sessions: [
        sessionOver4(dynamic, { remoteAs: 4_200_000_000 }),
        sessionOver4(internal, { remoteAs: peerAs }),
        ...(extends6 ? [sessionOver6(over6, { remoteAs: 4_200_000_000, families: both, extendedNextHop: true })] : []),
        sessionOver4(wrong, { remoteAs: 4_200_000_000 }),
        sessionOver4(fourByte, { remoteAs: ourAs, gracefulRestart: { restartTimeSeconds: 20 } }),
      ],
    });
    const quick = { holdTimeSeconds: 9, maximumIdleHoldSeconds: 2 };
    await us.ask({
      do: 'accept-peers',
      prefix: `${dynamic.theirs4}/32`,
      options: { peerAs: 'external', nextHopIpv6: dynamic.ours6, ...quick },
    });
    await us.addPeer4(internal, { peerAs: 'internal', localAs: { asNumber: peerAs, replaceAs: true } });
    if (extends6) await us.addPeer6(over6, { families: both, peerAs: 'any' });
    await us.addPeer4(wrong, { peerAs: 65_009 });
    const gracefulRestart = {
      restartTimeSeconds: 20,
      restarted: false,
      forwarding: true,
      longLivedStaleTimeSeconds: 60,
    };
    await us.addPeer4(fourByte, { localAs: { asNumber: ourAs }, gracefulRestart });
    await peer.start();
  }

  /** The route that came from one of our addresses. */
  const from = (kind: PeerKind, family: (typeof both)[number], hop: string) => {
    const { peer } = of(kind);
    const find = async () => (await peer.routes(family)).find(({ nextHops }) => nextHops.includes(hop));
    return eventually(`${kind}: a route by ${hop}`, find, (route) => route !== undefined, { timeoutMs: 10_000 });
  };

  describe.each(peerKinds)('with %s', (kind) => {
    test('a peer known by its prefix, of any external AS', async () => {
      const { peer, cable } = of(kind);
      const [dynamic] = cable.lanes;
      await established(peer, dynamic.ours4);
      await us.event('peer-added', (event) => event.dynamic && event.peer.startsWith(dynamic.theirs4));
      const route = await from(kind, 'ipv4-unicast', dynamic.ours4);
      expect(route).toMatchObject({ asPath: [4_200_000_000], communities: ['65000:1'], med: 9 });
      expect(route?.largeCommunities).toEqual(['4200000000:1:2']);
    }, 30_000);

    test('an internal peer has the local preference', async () => {
      const { peer, cable } = of(kind);
      const [, internal] = cable.lanes;
      await established(peer, internal.ours4);
      const route = await from(kind, 'ipv4-unicast', internal.ours4);
      expect(route).toMatchObject({ asPath: [], localPreference: 300, med: 9 });
    }, 30_000);

    (takesExtendedNextHop(kind) ? test : test.skip)(
      'IPv4 routes over IPv6 (RFC 8950)',
      async () => {
        const { peer, cable } = of(kind);
        const [, , over6] = cable.lanes;
        await established(peer, over6.ours6);
        const route = await from(kind, 'ipv4-unicast', over6.ours6);
        expect(route?.prefix).toBe('192.0.2.1/32');
      },
      30_000,
    );

    test('another AS than expected is told 2/2', async () => {
      const { peer, cable } = of(kind);
      const [, , , wrong] = cable.lanes;
      const told = await us.event('failed', (event) => {
        const { reason } = event;
        return event.peer === wrong.theirs4 && reason.kind === 'notification-sent' && reason.notification.subcode === 2;
      });
      expect(told.text).toContain(String(peerAs));
      expect((await peer.session(wrong.ours4)).established).toBe(false);
    }, 30_000);

    test('a local AS stands before our own in the path', async () => {
      const { peer, cable } = of(kind);
      const [, , , , fourByte] = cable.lanes;
      await established(peer, fourByte.ours4);
      expect((await from(kind, 'ipv4-unicast', fourByte.ours4))?.asPath).toEqual([ourAs, 4_200_000_000]);
    }, 30_000);

    test('both begin anew at once, again and again', async () => {
      const { peer, cable } = of(kind);
      const [, , , , fourByte] = cable.lanes;
      const name = fourByte.theirs4;
      for (let round = 0; round < (kind === 'exabgp' || kind === 'gobgp' ? 1 : 3); round++) {
        await established(peer, fourByte.ours4);
        await us.established(name);
        await Promise.all([us.ask({ do: 'reset', name }), peer.reset(fourByte.ours4)]);
      }
      await established(peer, fourByte.ours4, 30_000);
      await us.established(name);
      await from(kind, 'ipv4-unicast', fourByte.ours4);
    }, 90_000);
  });

  test('a cut cable: noticed on our side, and healed', async () => {
    const { peer, cable } = of('bird');
    const [, internal] = cable.lanes;
    await established(peer, internal.ours4);
    await us.established(internal.theirs4);
    const begin = us.events.length;
    every.bed.cut(cable, true);
    const { reason } = await us.event('down', (event) => event.peer === internal.theirs4, { from: begin });
    expect(reason).toMatchObject({ kind: 'notification-sent', notification: { code: 4 } });
    every.bed.cut(cable, false);
    await established(peer, internal.ours4, 30_000);
    await us.established(internal.theirs4);
  }, 60_000);

  (isInstalled('tshark') ? test : test.skip)(
    'tshark and tcpdump decode all that we sent',
    async () => {
      await capture.stop('SIGINT');
      const ours = [...every.routers.values()].flatMap(({ cable }) =>
        cable.lanes.flatMap(({ ours4, ours6 }) => [ours4, ours6]),
      );
      const mine = ours.map((one) => (one.includes(':') ? `ipv6.src == ${one}` : `ip.src == ${one}`)).join(' || ');
      const file = `${every.bed.directory}/ours.pcap`;
      const decode = (filter: string, ...fields: string[]) =>
        ask(every.bed.us, [
          'tshark',
          '-n',
          '-r',
          file,
          '-Y',
          `(${mine}) && ${filter}`,
          '-T',
          'fields',
          ...fields.flatMap((one) => ['-e', one]),
        ]);
      expect(await decode('_ws.malformed', 'frame.number', '_ws.col.Info')).toBe('');
      // Sequence numbers and resets are TCP's affair; what the BGP dissector complains about is ours.
      const complaints = await decode('bgp && _ws.expert', 'frame.number', '_ws.expert.message');
      expect(
        complaints.split('\n').filter((line) => /bgp|attribute|capability|length|unknown|invalid/i.test(line)),
      ).toEqual([]);
      const types = new Set((await decode('bgp', 'bgp.type')).split(/[\n,]/));
      expect([...types].filter((one) => one !== '').sort()).toEqual(['1', '2', '3', '4']);
      const text = await ask(every.bed.us, ['tcpdump', '-n', '-v', '-r', file]);
      expect(text).not.toMatch(/\[\|bgp\]|malformed|\binvalid\b|bad length/i);
    },
    60_000,
  );
});
