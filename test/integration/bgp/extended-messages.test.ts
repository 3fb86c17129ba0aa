/** Messages of more than 4096 bytes (RFC 8654), both ways. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { BgpBed, bedUnavailable, type Cable, sessionOver4 } from './bed.ts';
import { type BgpPeer, established } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

/** GoBGP, ExaBGP 4.2 and OpenBGPD 7.7 do not offer them. */
const kinds = ['bird', 'frr'] as const;
type Kind = (typeof kinds)[number];
const unavailable = bedUnavailable(...kinds);
const suite = unavailable === undefined ? describe : describe.skip;
if (unavailable !== undefined) console.warn(`extended BGP messages are not tested: ${unavailable}`);

const small = '192.0.2.1/32';
const large = '192.0.2.2/32';
const communities = Array.from({ length: 4000 }, (_, n) => `65000:${n}`);
const otherAs = 65_002;

suite('extended messages', () => {
  let bed: BgpBed;
  let us: SpeakerHost;
  /** To which the routers hand on what we announce. */
  let other: SpeakerHost;
  const peers = new Map<Kind, { peer: BgpPeer; cable: Cable }>();

  beforeAll(async () => {
    bed = new BgpBed('ext');
    us = await SpeakerHost.start(bed);
    other = await SpeakerHost.start(bed, { localAs: otherAs, identifier: '10.64.0.2', listen: [] });
    await us.announce(small);
    await us.announce(large, { communities });
    await Promise.all(
      kinds.map(async (kind) => {
        const cable = bed.connect(kind);
        const [extended, plain, onward] = cable.lanes;
        const families = ['ipv4-unicast'] as const;
        const peer = bed.peer(kind, cable, {
          sessions: [
            sessionOver4(extended, { families, extendedMessages: true }),
            sessionOver4(plain, { families, extendedMessages: true }),
            sessionOver4(onward, { families, extendedMessages: true, remoteAs: otherAs, passive: true, transit: true }),
          ],
        });
        peers.set(kind, { peer, cable });
        await us.addPeer4(extended, { families, extendedMessages: true });
        await us.addPeer4(plain, { families });
        await other.addPeer4(onward, { families, extendedMessages: true });
        await peer.start();
      }),
    );
  }, 60_000);

  afterAll(async () => {
    await bed?.close();
  }, 60_000);

  describe.each(kinds)('with %s', (kind) => {
    const of = () => {
      const found = peers.get(kind);
      if (!found) throw new RangeError(kind);
      return found;
    };
    /** The prefixes that it has from one of our addresses, and how many communities it shows of the large one. */
    const has = async (hop: string) => {
      const routes = (await of().peer.routes('ipv4-unicast')).filter(({ nextHops }) => nextHops[0] === hop);
      const shown = routes.find(({ prefix }) => prefix === large)?.communities.length ?? 0;
      return { prefixes: routes.map(({ prefix }) => prefix).sort(), shown };
    };

    test('it takes a route with 16,000 bytes of attributes', async () => {
      const { peer, cable } = of();
      await established(peer, cable.ours4);
      const { shown } = await eventually(
        'both routes',
        () => has(cable.ours4),
        ({ prefixes }) => prefixes.join() === `${small},${large}`,
      );
      // BIRD cuts long lists when it prints them.
      expect(shown).toBeGreaterThanOrEqual(kind === 'bird' ? 20 : communities.length);
    }, 30_000);

    test('it sends such a message, which another of us takes', async () => {
      const name = of().cable.lanes[2].theirs4;
      const hasBoth = ({ prefixesIn }: { prefixesIn: number }) => prefixesIn >= 2;
      const { bytesIn, messagesIn } = await eventually(
        'both routes come on',
        async () => (await other.session(name)).counters,
        hasBoth,
      );
      // More than would fit into so many messages of the plain kind.
      expect(bytesIn).toBeGreaterThan(4096 * messagesIn.update);
      expect((await other.session(name)).counters).toMatchObject({ established: 1, flaps: 0 });
    }, 30_000);

    test('where we do not offer them, the large route is told to be unsendable, and nothing else is lost', async () => {
      const { cable } = of();
      const [, plain] = cable.lanes;
      await us.event('unsendable', (event) => event.peer === plain.theirs4);
      expect((await has(plain.ours4)).prefixes).toEqual([small]);
    }, 30_000);
  });
});
