/** What routers keep of a session that ended: upon a NOTIFICATION (RFC 8538), and for long (RFC 9494). */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { BgpBed, bedUnavailable, type Cable, sessionOver4 } from './bed.ts';
import { type BgpPeer, established } from './peers.ts';
import { type CreateOptions, SpeakerHost } from './speaker-host.ts';

/** OpenBGPD 7.7 knows neither, ExaBGP has no table. */
const kinds = ['bird', 'frr', 'gobgp'] as const;
type Kind = (typeof kinds)[number];
const unavailable = bedUnavailable(...kinds);
const suite = unavailable === undefined ? describe : describe.skip;
if (unavailable !== undefined) console.warn(`what BGP routers keep is not tested: ${unavailable}`);

const four = '192.0.2.1/32';
const six = '2001:db8::1/128';
const unkept = '192.0.2.2/32';
const restartTimeSeconds = 30;
const shortRestartSeconds = 2;
/** LLGR_STALE and NO_LLGR, as routers show them. */
const llgrStale = '65535:6';
const noLlgr = '65535:7';

suite('what routers keep', () => {
  let bed: BgpBed;
  let us: SpeakerHost;
  let mortal: SpeakerHost;
  const peers = new Map<Kind, { peer: BgpPeer; cable: Cable }>();

  beforeAll(async () => {
    bed = new BgpBed('kee');
    for (const kind of kinds) {
      const cable = bed.connect(kind);
      const [first, second] = cable.lanes;
      const peer = bed.peer(kind, cable, {
        sessions: [
          sessionOver4(first, { gracefulRestart: { restartTimeSeconds } }),
          sessionOver4(second, { gracefulRestart: { restartTimeSeconds, longLivedSeconds: 60 } }),
        ],
      });
      peers.set(kind, { peer, cable });
    }
    us = await start(0);
    for (const { cable } of peers.values()) {
      await us.addPeer4(cable.lanes[0], {
        gracefulRestart: { restartTimeSeconds, restarted: false, forwarding: true },
      });
    }
    await us.announce([four, six]);
    mortal = await startMortal(false);
    await Promise.all([...peers.values()].map(({ peer }) => peer.start()));
    for (const { peer, cable } of peers.values()) {
      for (const lane of cable.lanes.slice(0, 2)) await established(peer, lane.ours4);
    }
  }, 60_000);

  afterAll(async () => {
    await bed?.close();
  }, 60_000);

  function start(lane: 0 | 1, options: Partial<CreateOptions> = {}): Promise<SpeakerHost> {
    const listen = [...peers.values()].map(({ cable }) => ({ address: cable.lanes[lane].ours4 }));
    return SpeakerHost.start(bed, { listen, ...options });
  }

  async function startMortal(restarted: boolean): Promise<SpeakerHost> {
    const host = await start(1);
    const gracefulRestart = { restartTimeSeconds: shortRestartSeconds, longLivedStaleTimeSeconds: 60 };
    for (const { cable } of peers.values()) {
      await host.addPeer4(cable.lanes[1], {
        gracefulRestart: { ...gracefulRestart, restarted, forwarding: true },
      });
    }
    await host.announce([four, six]);
    await host.announce(unkept, { communities: ['no-llgr'] });
    return host;
  }

  const of = (kind: Kind) => {
    const found = peers.get(kind);
    if (!found) throw new RangeError(kind);
    return found;
  };

  /** What it has over a lane: "prefix", "prefix stale" or "prefix stale 65535:6", of both families. */
  async function over(kind: Kind, lane: 0 | 1): Promise<string[]> {
    const { peer, cable } = of(kind);
    const { ours4, ours6 } = cable.lanes[lane];
    const lists = [];
    for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) lists.push(await peer.routes(family));
    const ours = lists.flat().filter(({ nextHops: [hop] }) => hop === ours4 || hop === ours6);
    return ours
      .map(({ prefix, stale, communities }) => [prefix, ...(stale ? ['stale'] : []), ...communities].join(' '))
      .sort();
  }

  const becomes = (kind: Kind, lane: 0 | 1, ...wanted: string[]) =>
    eventually(
      `${kind} has ${wanted.join(', ') || 'nothing'}`,
      () => over(kind, lane),
      (list) => list.join() === wanted.join(),
      { timeoutMs: 10_000 },
    );

  /** No new connection comes up, either way; those that are up go on. */
  const refuse = () => bed.drop('connections', 'tcp flags & (syn | ack) == syn');
  const accept = () => bed.pass('connections');

  describe('upon a NOTIFICATION', () => {
    const nameOf = (kind: Kind) => of(kind).cable.lanes[0].theirs4;

    test('they have agreed to keep the routes, but for BIRD 2.0.12, which does not know RFC 8538', async () => {
      for (const kind of kinds) {
        const { negotiated } = await us.session(nameOf(kind));
        expect([kind, negotiated?.gracefulRestart]).toMatchObject([kind, { notification: kind !== 'bird' }]);
        await becomes(kind, 0, four, six);
      }
    }, 30_000);

    test('a plain Cease keeps the routes of both families', async () => {
      refuse();
      for (const kind of kinds) {
        await us.ask({ do: 'reset', name: nameOf(kind), text: 'new configuration' });
        if (kind === 'bird') await becomes(kind, 0);
        else await becomes(kind, 0, `${four} stale`, `${six} stale`);
      }
      accept();
      for (const kind of kinds) {
        await established(of(kind).peer, of(kind).cable.ours4);
        await becomes(kind, 0, four, six);
      }
    }, 60_000);

    test('BFD that is down, and a stop, drop them at once by a hard reset', async () => {
      refuse();
      for (const kind of kinds) {
        await us.ask({ do: 'bfd', name: nameOf(kind), state: 'down' });
        await becomes(kind, 0);
      }
      const [gobgp, frr] = [of('gobgp').peer.log(), of('frr').peer.log()];
      expect([gobgp, frr].map((log) => log.match(/reason=hard-reset|\(Hard Reset\)/g)?.length)).not.toContain(
        undefined,
      );
      accept();
      for (const kind of kinds) {
        await established(of(kind).peer, of(kind).cable.ours4);
        await becomes(kind, 0, four, six);
      }
      for (const kind of kinds) {
        await us.ask({ do: 'stop', name: nameOf(kind), text: 'for good' });
        await becomes(kind, 0);
      }
    }, 60_000);
  });

  test('long after the restart time as a last resort, but not a route with NO_LLGR; then again as ever', async () => {
    for (const kind of kinds) await becomes(kind, 1, four, `${unkept} ${noLlgr}`, six);
    await mortal.kill();
    for (const kind of kinds) await becomes(kind, 1, `${four} stale ${llgrStale}`, `${six} stale ${llgrStale}`);
    mortal = await startMortal(true);
    for (const kind of kinds) {
      await established(of(kind).peer, of(kind).cable.lanes[1].ours4);
      await becomes(kind, 1, four, `${unkept} ${noLlgr}`, six);
    }
  }, 60_000);
});
