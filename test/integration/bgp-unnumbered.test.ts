/** Peers given as an interface only: ourselves at both ends, and FRR with `neighbor eth0 interface`. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { buildAddon } from '../../scripts/build-addon.ts';
import type { DiscoveryCounters } from '../../src/bgp-speaker/transport/neighbour-discovery.ts';
import { eventually } from '../eventually.ts';
import { BgpBed, bedUnavailable, type Cable, ourAs } from './bgp/bed.ts';
import { JsonProcess } from './bgp/json-process.ts';
import type { BgpPeer } from './bgp/peers.ts';
import type { UnnumberedEvent, UnnumberedRequest } from './bgp/unnumbered-process.ts';

jest.setTimeout(120_000);
const reason = bedUnavailable('frr');
const suite = reason === undefined ? describe : describe.skip;

suite(`unnumbered BGP peers${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let bed: BgpBed;
  beforeAll(() => {
    buildAddon();
    bed = new BgpBed('unn');
  });
  afterAll(() => bed.close());

  function start(host: string) {
    const script = new URL('./bgp/unnumbered-process.ts', import.meta.url);
    const process = new JsonProcess<UnnumberedRequest, UnnumberedEvent>(bed.namespaces.name(host), script);
    bed.onClose(() => process.kill());
    return process;
  }

  /** The link-local addresses of an interface. */
  function linkLocals(host: string, device: string): string[] {
    const text = bed.namespaces.run(host, ['ip', '-6', '-o', 'addr', 'show', 'dev', device, 'scope', 'link']);
    return [...text.matchAll(/inet6 (\S+)\//g)].map(([, address = '']) => address);
  }

  const eventIs = (process: { events: readonly UnnumberedEvent[] }, from: number, ...types: string[]) =>
    eventually(
      `events ${types}`,
      () => process.events.slice(from).map(({ type }) => type),
      (seen) => types.every((type) => seen.includes(type as UnnumberedEvent['type'])),
      { timeoutMs: 40_000 },
    );

  test('two of us find each other, lose each other with the link, and find each other again', async () => {
    const cable = bed.connect('twin');
    const [us, twin] = [start('us'), start('twin')];
    await us.ask({ do: 'watch', interface: cable.interface });
    await eventually(
      'the missing neighbour',
      () => us.ask<DiscoveryCounters | null>({ do: 'counters', interface: cable.interface }),
      (counters) => (counters?.solicitationsSent ?? 0) > 0,
    );
    await twin.ask({ do: 'watch', interface: 'eth0' });
    await Promise.all([eventIs(us, 0, 'neighbour'), eventIs(twin, 0, 'neighbour')]);
    expect(linkLocals('twin', 'eth0')).toContain(await us.ask({ do: 'neighbour', interface: cable.interface }));
    expect(linkLocals('us', cable.interface)).toContain(await twin.ask({ do: 'neighbour', interface: 'eth0' }));
    bed.namespaces.ip('twin', 'link set eth0 down');
    await eventIs(us, 1, 'gone', 'silent');
    expect(await us.ask({ do: 'neighbour', interface: cable.interface })).toBeNull();
    const [seen, told] = [us.events.length, twin.events.length];
    bed.namespaces.ip('twin', 'link set eth0 up');
    await Promise.all([eventIs(us, seen, 'neighbour'), eventIs(twin, told, 'neighbour')]);
    const counters = await us.ask<DiscoveryCounters>({ do: 'counters', interface: cable.interface });
    expect(counters).toMatchObject({ discarded: {}, unsent: 0 });
    // The twin's kernel made no default router of us, though it listens to routers.
    expect(bed.namespaces.run('twin', ['ip', '-6', 'route', 'show', 'default'])).toBe('');
    await Promise.all([us.kill(), twin.kill()]);
  });

  test('an interface that is made later, and made anew', async () => {
    const us = start('us');
    await us.ask({ do: 'watch', interface: 'to-late' });
    await eventIs(us, 0, 'silent');
    bed.connect('late');
    const late = start('late');
    await late.ask({ do: 'watch', interface: 'eth0' });
    await eventIs(us, 1, 'neighbour');
    const seen = us.events.length;
    bed.namespaces.ip('us', 'link del to-late');
    await eventIs(us, seen, 'gone', 'silent');
    expect(us.events.at(-1)).toMatchObject({ type: 'silent', reason: 'no-interface' });
    await Promise.all([us.kill(), late.kill()]);
  });

  test('peers on two links, each with a password of its own; a stranger on one of them is refused', async () => {
    const names = ['left', 'right'] as const;
    const cables = names.map((name) => bed.connect(name));
    const us = start('us');
    const identifier = '192.0.2.1';
    const passwords = { left: 'of the left', right: 'of the right' };
    const peers = cables.map((cable, index) => {
      const password = passwords[names[index] ?? 'left'];
      return { interface: cable.interface, password, passive: true };
    });
    await us.ask({ do: 'meet', localAs: ourAs, identifier, peers });
    const others = names.map((name) => start(name));
    for (const [index, name] of names.entries()) {
      const peer = { interface: 'eth0', password: passwords[name] };
      const localAs = 65_010 + index;
      await others[index]?.ask({ do: 'meet', localAs, identifier: `192.0.2.1${index}`, peers: [peer] });
    }
    const up = () => us.events.flatMap((event) => (event.type === 'established' ? [event.peer] : [])).sort();
    const expected = cables.map((cable) => cable.interface).sort();
    await eventually('both sessions', up, (seen) => seen.join() === expected.join());
    bed.namespaces.ip('left', 'addr add fe80::666/64 dev eth0 nodad');
    const [to = ''] = linkLocals('us', cables[0]?.interface ?? '');
    const answer = await others[0]?.ask({ do: 'knock', from: 'fe80::666', to, link: 'eth0' });
    expect(['ECONNRESET', 'closed']).toContain(answer);
    await eventually('the refusal', () =>
      us.events.some((event) => event.type === 'refused' && event.address === 'fe80::666'),
    );
    expect(us.events.filter(({ type }) => type === 'down')).toEqual([]);
    await Promise.all([us, ...others].map((process) => process.kill()));
  });

  const [four, six] = ['203.0.113.1/32', '2001:db8:113::1/128'];
  describe.each([
    { who: 'we dial, for both families, with BFD', word: 'frrl', passive: false, bfd: true, routes: [four, six] },
    {
      who: 'FRR dials, for IPv6 only: it has our address from our advertisements',
      ...{ word: 'frrd', passive: true, bfd: false, routes: [six] },
    },
  ])('FRR, where $who', ({ word, passive, bfd, routes }) => {
    let cable: Cable;
    let frr: BgpPeer;
    let us: ReturnType<typeof start>;
    const families = routes.map((route) => (route === four ? 'ipv4-unicast' : 'ipv6-unicast'));
    beforeAll(() => {
      cable = bed.connect(word);
      const session = { neighbor: 'eth0', remoteAs: ourAs, families, ttlSecurityHops: 1, extendedNextHop: true };
      const tied = bfd ? ({ bfd: 'tied', holdTimeSeconds: 90 } as const) : {};
      frr = bed.peer('frr', cable, { sessions: [{ ...session, ...tied, passive: !passive }] });
      us = start('us');
    });
    afterAll(() => us.kill());

    const shown = async () => (await Promise.all(families.map((family) => frr.routes(family)))).flat();
    const hasRoutes = async (...wanted: string[]) => {
      const isSo = (found: { prefix: string }[]) => found.map(({ prefix }) => prefix).join() === wanted.join();
      return eventually('the routes', shown, isSo);
    };

    test('a session with whom we find there, and routes with a link-local next hop', async () => {
      const identity = { localAs: ourAs, identifier: cable.ours4, interface: cable.interface };
      await us.ask({ do: 'speak', ...identity, routes, families, passive, bfd });
      await frr.start();
      await eventIs(us, 0, 'established');
      expect(linkLocals(cable.host, 'eth0')).toContain(await us.ask({ do: 'address' }));
      const [ours] = linkLocals('us', cable.interface);
      for (const route of await hasRoutes(...routes)) {
        expect(route).toMatchObject({ asPath: [ourAs] });
        expect(new Set(route.nextHops)).toEqual(new Set([ours]));
      }
      expect(await frr.session('eth0')).toMatchObject({ established: true, remoteAs: ourAs });
    });

    if (bfd) {
      test('BFD finds a cut cable long before the hold time, on both sides', async () => {
        await eventIs(us, 0, 'bfd-up');
        const seen = us.events.length;
        bed.cut(cable, true);
        await eventIs(us, seen, 'down');
        await hasRoutes();
        bed.cut(cable, false);
        await eventIs(us, seen, 'established', 'bfd-up');
        await hasRoutes(...routes);
      });
    }

    test('a link that goes takes the session, which comes back with it', async () => {
      const seen = us.events.length;
      bed.namespaces.ip(cable.host, 'link set eth0 down');
      await eventIs(us, seen, 'down');
      const later = us.events.length;
      bed.namespaces.ip(cable.host, 'link set eth0 up');
      await eventIs(us, later, 'established');
      await hasRoutes(...routes);
    });

    test('FRR that stops is found again when it is back', async () => {
      const seen = us.events.length;
      await frr.stop();
      await eventIs(us, seen, 'down');
      const later = us.events.length;
      await frr.start();
      await eventIs(us, later, 'established');
      await hasRoutes(...routes);
    });
  });
});
