import { beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { ourAs, sessionOver4 } from './bed.ts';
import { describeEveryRouter } from './every-router.ts';
import { established, hasRoutes, type PeerKind, peerKinds } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

const plain4 = '192.0.2.1/32';
const plain6 = '2001:db8::1/128';
/** GoBGP leaves LOCAL_PREF out of what it shows of eBGP routes; OpenBGPD shows a MED of 0 where there is none. */
const noMed = (kind: PeerKind) => (kind === 'openbgpd' ? 0 : undefined);
/** GoBGP has no command that sends ROUTE-REFRESH. */
const asksForRefresh = (kind: PeerKind) => kind !== 'gobgp';
/** ExaBGP does not send BoRR and EoRR upon its own request, GoBGP does not speak RFC 7313. */
const speaksEnhancedRefresh = (kind: PeerKind) => kind === 'bird' || kind === 'frr' || kind === 'openbgpd';

describeEveryRouter('routes as the peers see them', { word: 'rou', subject: 'BGP routes' }, (every) => {
  const { of } = every;
  let us: SpeakerHost;

  beforeAll(async () => {
    us = await SpeakerHost.start(every.bed);
    await us.announce([plain4, plain6]);
    await Promise.all(
      peerKinds.map(async (kind) => {
        const cable = every.bed.connect(kind);
        const [dual] = cable.lanes;
        const peer = every.place(kind, cable, {
          announces: ['203.0.113.9/32', '2001:db8:9::9/128'],
          sessions: [sessionOver4(dual, { gracefulShutdown: true })],
        });
        await us.addPeer4(dual);
        await peer.start();
      }),
    );
    for (const { peer, cable } of every.routers.values()) await established(peer, cable.ours4);
  }, 60_000);

  beforeEach(() => us.ask({ do: 'replace-all', routes: [plain4, plain6].map((prefix) => [prefix, {}] as const) }));

  /** Both plain routes, and these besides. */
  const has = async (kind: PeerKind, ...more: string[]) => {
    const { peer } = of(kind);
    const is4 = (prefix: string) => !prefix.includes(':');
    const four = await hasRoutes(peer, 'ipv4-unicast', [plain4, ...more.filter(is4)]);
    const six = await hasRoutes(peer, 'ipv6-unicast', [plain6, ...more.filter((prefix) => !is4(prefix))]);
    return new Map([...four, ...six].map((route) => [route.prefix, route]));
  };

  describe.each(peerKinds)('%s', (kind) => {
    test('has a plain route with our AS, our address and nothing else', async () => {
      const routes = await has(kind);
      const nothing = {
        origin: 'igp',
        med: noMed(kind),
        communities: [],
        largeCommunities: [],
        extendedCommunities: [],
      };
      const { cable } = of(kind);
      expect(routes.get(plain4)).toMatchObject({ asPath: [ourAs], nextHops: [cable.ours4], ...nothing });
      expect(routes.get(plain6)).toMatchObject({ asPath: [ourAs], ...nothing });
      expect(routes.get(plain6)?.nextHops[0]).toBe(cable.ours6);
    }, 30_000);

    test('shows every kind of community, MED, origin and prepended path', async () => {
      const prefixes = ['192.0.2.10/32', '2001:db8::10/128'];
      await us.announce(prefixes, {
        asPath: [ourAs, 4_200_000_000],
        multiExitDiscriminator: 4_294_967_295,
        origin: 'incomplete',
        communities: [
          ...['65000:1', '65000:65535', 'no-peer', 'no-llgr', '0:7'],
          ...['65000:1:2', '4294967295:4294967295:4294967295', '0:0:0'],
          ...['rt:65000:7', 'ro:65000:4294967295', 'rt:4200000000:8', 'ro:10.1.2.3:9'],
        ],
      });
      const routes = await has(kind, ...prefixes);
      for (const prefix of prefixes) {
        const route = routes.get(prefix);
        expect(route).toMatchObject({
          asPath: [ourAs, ourAs, 4_200_000_000],
          med: 4_294_967_295,
          origin: 'incomplete',
          communities: ['0:7', '65000:1', '65000:65535', '65535:65284', '65535:7'],
          largeCommunities: ['0:0:0', '4294967295:4294967295:4294967295', '65000:1:2'],
        });
        const extended = ['ro:10.1.2.3:9', 'ro:65000:4294967295', 'rt:4200000000:8', 'rt:65000:7'];
        expect(route?.extendedCommunities).toEqual(extended);
      }
      await us.withdraw(...prefixes);
      await has(kind);
    }, 30_000);

    // An announcer aggregates by announcing the aggregate; ATOMIC_AGGREGATE and AGGREGATOR belong to routes of others.
    test('takes prefixes of every length', async () => {
      const prefixes = [
        ...['0.0.0.0/0', '9.0.0.0/8', '198.18.2.0/23', '203.0.113.128/25', '203.0.113.2/31'],
        ...['::/0', '2001:db8:48::/48', '2001:db8:65:0:8000::/65', '2001:db8:127::2/127'],
      ];
      await us.announce(prefixes);
      const routes = await has(kind, ...prefixes);
      for (const prefix of prefixes) expect(routes.get(prefix)?.asPath).toEqual([ourAs]);
      await us.withdraw(...prefixes);
      await has(kind);
    }, 30_000);

    test('takes 150 communities of each kind in one route', async () => {
      const numbers = Array.from({ length: 150 }, (_, index) => index + 1);
      const communities = numbers.flatMap((n) => [`65000:${n}`, `65000:${n}:1`, `rt:65000:${n}`]);
      await us.announce('192.0.2.11/32', { communities });
      const route = (await has(kind, '192.0.2.11/32')).get('192.0.2.11/32');
      const shows = (shown: readonly string[] | undefined, word: (n: number) => string) => {
        // BIRD cuts long lists when it prints them.
        const all = numbers.map(word).sort();
        expect(all).toEqual(expect.arrayContaining([...(shown ?? [])]));
        expect(shown?.length).toBeGreaterThanOrEqual(kind === 'bird' ? 20 : 150);
      };
      shows(route?.communities, (n) => `65000:${n}`);
      shows(route?.largeCommunities, (n) => `65000:${n}:1`);
      shows(route?.extendedCommunities, (n) => `rt:65000:${n}`);
      await us.withdraw('192.0.2.11/32');
      await has(kind);
    }, 30_000);

    test('follows a change of attributes, and is not told what did not change', async () => {
      const prefixes = ['192.0.2.12/32', '2001:db8::12/128'];
      await us.announce(prefixes, { communities: ['65000:1'] });
      await has(kind, ...prefixes);
      const sent = async () => (await us.session(of(kind).cable.theirs4)).counters.messagesOut.update;
      const before = await sent();
      await us.announce(prefixes, { communities: ['65000:1'] });
      await us.withdraw('192.0.2.77/32');
      expect(await sent()).toBe(before);
      await us.announce(prefixes, { communities: ['65000:2'], multiExitDiscriminator: 5 });
      const { peer } = of(kind);
      for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
        await eventually(
          'the new attributes',
          async () => (await peer.routes(family)).find(({ prefix }) => prefixes.includes(prefix)),
          (route) => route?.communities.join(' ') === '65000:2' && route.med === 5,
        );
      }
      await us.withdraw(...prefixes);
      await has(kind);
    }, 30_000);

    test('gets all routes again when it asks, and we its', async () => {
      const { peer, cable } = of(kind);
      const from = us.events.length;
      const before = (await us.session(cable.theirs4)).counters;
      if (asksForRefresh(kind)) {
        await peer.refresh(cable.ours4);
        await us.event('refresh-requested', (event) => event.peer === cable.theirs4, { from });
        // BoRR and EoRR for each family, besides the routes.
        const marks = speaksEnhancedRefresh(kind) ? 4 : 0;
        await eventually(
          'both families sent again',
          async () => (await us.session(cable.theirs4)).counters.messagesOut,
          ({ update, routeRefresh }) =>
            update >= before.messagesOut.update + 2 && routeRefresh >= before.messagesOut.routeRefresh + marks,
        );
      }
      await has(kind);
      // ExaBGP 4.2 drops the connection when it is asked.
      if (kind === 'exabgp') return;
      for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
        expect(await us.ask({ do: 'request-refresh', name: cable.theirs4, family })).toBe(true);
      }
      await eventually(
        'its routes again',
        async () => (await us.session(cable.theirs4)).counters,
        ({ prefixesIn, messagesIn }) =>
          // OpenBGPD 7.7 begins the refresh (BoRR), then finds both families "not negotiated".
          kind === 'openbgpd'
            ? messagesIn.routeRefresh >= before.messagesIn.routeRefresh + 2
            : prefixesIn > before.prefixesIn,
      );
    }, 30_000);
  });

  test('10,000 prefixes come and go, whoever the peer is', async () => {
    const four = Array.from({ length: 8000 }, (_, n) => `198.18.${n >> 8}.${n & 255}/32`);
    const six = Array.from({ length: 2000 }, (_, n) => `2001:db8:18::${n.toString(16)}/128`);
    const count = async (wanted4: number, wanted6: number) => {
      for (const { peer } of every.routers.values()) {
        const what = `${peer.kind} counts ${wanted4} and ${wanted6}`;
        await eventually(
          what,
          async () => [await peer.count('ipv4-unicast'), await peer.count('ipv6-unicast')],
          ([a, b]) => a === wanted4 && b === wanted6,
          { timeoutMs: 40_000 },
        );
      }
    };
    await us.announce([...four, ...six], { communities: ['65000:5'] });
    await count(8001, 2001);
    // Half of them go, as a set.
    const stay = [...four, ...six].filter((_, index) => index % 2 === 0);
    const routes = [plain4, plain6].map((prefix) => [prefix, {}] as const);
    await us.ask({
      do: 'replace-all',
      routes: [...routes, ...stay.map((prefix) => [prefix, { communities: ['65000:5'] }] as const)],
    });
    await count(4001, 1001);
    await us.ask({ do: 'replace-all', routes });
    await count(1, 1);
    const ends = us.events.flatMap((event) => (event.type === 'down' ? [`${event.peer}: ${event.text}`] : []));
    expect(ends).toEqual([]);
    for (const { cable } of every.routers.values())
      expect((await us.session(cable.theirs4)).counters.prefixesOut).toBe(2);
  }, 120_000);

  test('a drain says that the routes will go, withdraws them, and ends with a text', async () => {
    const words: Record<PeerKind, RegExp> = {
      bird: /Message: +Knoten wird geräumt/,
      frr: /Knoten wird ger/,
      openbgpd: /Knoten wird ger/,
      // ExaBGP 4.2 trips over its own decoder when the NOTIFICATION has a text.
      exabgp: /can not decode update message of type .*3/,
      gobgp: /received notification.*Code=6.*Subcode=2/i,
    };
    for (const [kind, { peer, cable }] of every.routers) {
      const from = us.events.length;
      const drained = us.ask({
        do: 'drain',
        name: cable.theirs4,
        options: { waitMs: 1500, text: 'Knoten wird geräumt' },
      });
      await eventually(
        `${kind} sees the community`,
        () => peer.routes('ipv4-unicast'),
        (routes) => routes.length === 1 && (routes[0]?.communities.includes('65535:0') ?? false),
        { timeoutMs: 1400 },
      );
      if (kind === 'bird' || kind === 'frr' || kind === 'openbgpd') {
        expect((await peer.routes('ipv4-unicast'))[0]?.localPreference).toBe(0);
      }
      await drained;
      // At once: those that connect again are refused, which is their last word then.
      const said = () => peer.lastWords(cable.ours4);
      await eventually(`${kind} tells the reason`, said, (text) => words[kind].test(text), { timeoutMs: 2000 });
      await us.event('down', (event) => event.peer === cable.theirs4, { from });
      const steps = us.events.slice(from).flatMap((event) => (event.type === 'drain' ? [event.step] : []));
      expect(steps).toEqual(['graceful-shutdown', 'withdrawn', 'ended']);
      await eventually(
        `${kind} has nothing`,
        () => peer.routes('ipv4-unicast'),
        (routes) => routes.length === 0,
      );
      expect((await us.session(cable.theirs4)).state).toBe('Idle');
    }
  }, 60_000);
});
