import { beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { sessionOver4 } from './bed.ts';
import { describeEveryRouter } from './every-router.ts';
import { established, type PeerKind, peerKinds } from './peers.ts';
import { SpeakerHost } from './speaker-host.ts';

const stays = '192.0.2.1/32';
const goes = '192.0.2.2/32';
const six = '2001:db8::1/128';
/** ExaBGP has no table in which it could keep routes. */
const keepers: readonly PeerKind[] = ['bird', 'frr', 'gobgp', 'openbgpd'];
/** What they say when they are told to end; ExaBGP 4.2 just closes. Debian's GoBGP takes the neighbours away first. */
const lastWord: Readonly<Record<PeerKind, string>> = {
  bird: '6/2',
  frr: '6/3',
  gobgp: '6/3',
  exabgp: 'closed',
  openbgpd: '6/2',
};
const gracefulRestart = { restartTimeSeconds: 120, forwarding: true, notification: false };

describeEveryRouter('failures and restarts', { word: 'res', subject: 'BGP restarts' }, (every) => {
  const { of } = every;
  let us: SpeakerHost;
  let announced: readonly string[] = [stays, goes];

  beforeAll(async () => {
    await Promise.all(
      peerKinds.map(async (kind) => {
        const cable = every.bed.connect(kind);
        const [graceful, , plain] = cable.lanes;
        const peer = every.place(kind, cable, {
          sessions: [
            sessionOver4(graceful, { gracefulRestart: { restartTimeSeconds: 120 } }),
            sessionOver4(plain, { families: ['ipv4-unicast'], holdTimeSeconds: 3 }),
          ],
        });
        await peer.start();
      }),
    );
    us = await start(false);
    await us.announce([...announced, six]);
    await us.ask({ do: 'routes-complete' });
    await allUp();
  }, 60_000);

  async function start(restarted: boolean): Promise<SpeakerHost> {
    const host = await SpeakerHost.start(every.bed, { routesComplete: false });
    for (const { cable } of every.routers.values()) {
      const [graceful, , plain] = cable.lanes;
      await host.addPeer4(graceful, { gracefulRestart: { ...gracefulRestart, restarted } });
      await host.addPeer4(plain, { families: ['ipv4-unicast'], holdTimeSeconds: 3 });
    }
    return host;
  }

  async function allUp(): Promise<void> {
    for (const { peer, cable } of every.routers.values()) {
      for (const lane of [cable.lanes[0], cable.lanes[2]]) {
        await established(peer, lane.ours4);
        await us.established(lane.theirs4);
      }
    }
  }

  /** What it has over a lane: "prefix" or "prefix stale". */
  const over = async (kind: PeerKind, lane: 0 | 2) => {
    const { peer, cable } = of(kind);
    const routes = await peer.routes('ipv4-unicast');
    const ours = routes.filter(({ nextHops }) => nextHops[0] === cable.lanes[lane].ours4);
    return ours.map(({ prefix, stale }) => (stale ? `${prefix} stale` : prefix)).sort();
  };

  /** The same of IPv6, which lane 0 alone carries. */
  const becomes6 = (kind: PeerKind, ...wanted: string[]) => {
    const look = async () => {
      const routes = await of(kind).peer.routes('ipv6-unicast');
      return routes.map(({ prefix, stale }) => (stale ? `${prefix} stale` : prefix));
    };
    return eventually(`${kind} has ${wanted}`, look, (list) => list.join() === wanted.join(), { timeoutMs: 10_000 });
  };

  const becomes = (kind: PeerKind, lane: 0 | 2, ...wanted: string[]) => {
    const isSo = (list: string[]) => list.join() === wanted.sort().join();
    return eventually(`${kind} over lane ${lane} has ${wanted}`, () => over(kind, lane), isSo, { timeoutMs: 10_000 });
  };

  test('our death without a word: kept where graceful restart is agreed, gone where it is not', async () => {
    for (const kind of peerKinds) await becomes(kind, 0, stays, goes);
    await us.kill();
    for (const kind of peerKinds) await becomes(kind, 2);
    for (const kind of keepers) {
      await becomes(kind, 0, `${stays} stale`, `${goes} stale`);
      await becomes6(kind, `${six} stale`);
    }
    await becomes('exabgp', 0);
    await becomes6('exabgp');
  }, 60_000);

  test('back with one route less: nothing is dropped before End-of-RIB, the lost one after', async () => {
    us = await start(true);
    await us.announce([stays, six]);
    announced = [stays];
    await allUp();
    for (const kind of keepers) {
      const list = await over(kind, 0);
      // FRR and GoBGP mark what was announced again at once.
      expect([kind, list.map((word) => word.split(' ')[0])]).toEqual([kind, [stays, goes]]);
    }
    await us.ask({ do: 'routes-complete' });
    for (const kind of peerKinds) {
      await becomes(kind, 0, stays);
      await becomes(kind, 2, stays);
      await becomes6(kind, six);
    }
  }, 60_000);

  test('a close for a restart keeps the routes, a plain close does not', async () => {
    await us.ask({ do: 'close', options: { mode: 'graceful-restart' } });
    for (const kind of keepers) await becomes(kind, 0, ...announced.map((prefix) => `${prefix} stale`));
    await us.kill();
    us = await start(true);
    await us.announce(announced);
    await us.ask({ do: 'routes-complete' });
    await allUp();
    for (const kind of peerKinds) await becomes(kind, 0, ...announced);
    await us.ask({ do: 'close', options: { mode: 'shutdown', text: 'leaving' } });
    for (const kind of peerKinds) {
      await becomes(kind, 0);
      await becomes(kind, 2);
    }
    await us.kill();
    us = await start(false);
    await us.announce(announced);
    await us.ask({ do: 'routes-complete' });
    await allUp();
  }, 60_000);

  test('a peer that falls silent is noticed within its hold time and a second', async () => {
    const from = us.events.length;
    const begun = Date.now();
    for (const { peer } of every.routers.values()) peer.signal('SIGSTOP');
    for (const { cable } of every.routers.values()) {
      const name = cable.lanes[2].theirs4;
      const { reason, atMs } = await us.event('down', (event) => event.peer === name, { from });
      expect([name, reason]).toEqual([
        name,
        { kind: 'notification-sent', notification: { code: 4, subcode: 0, data: '' } },
      ]);
      // The last keepalive may be as young as the stop.
      expect(atMs - begun).toBeLessThan(4000);
    }
    for (const { peer } of every.routers.values()) peer.signal('SIGCONT');
    await allUp();
  }, 60_000);

  test('they notice when we fall silent, and we come back', async () => {
    us.signal('SIGSTOP');
    for (const [kind, { peer, cable }] of every.routers) {
      const name = cable.lanes[2].ours4;
      await eventually(
        `${kind} misses us`,
        () => peer.session(name),
        (view) => !view.established,
        { timeoutMs: 8000 },
      );
    }
    us.signal('SIGCONT');
    await allUp();
    for (const kind of peerKinds) await becomes(kind, 2, ...announced);
  }, 60_000);

  test.each(peerKinds)(
    '%s restarts and gets everything again',
    async (kind) => {
      const { peer, cable } = of(kind);
      const from = us.events.length;
      await peer.stop('SIGKILL');
      for (const lane of [cable.lanes[0], cable.lanes[2]]) {
        await us.event('down', (event) => event.peer === lane.theirs4, { from });
      }
      await peer.start();
      await becomes(kind, 0, ...announced);
      await becomes(kind, 2, ...announced);
    },
    60_000,
  );

  test.each(peerKinds)(
    '%s stops in order: its last word is told',
    async (kind) => {
      const { peer, cable } = of(kind);
      const from = us.events.length;
      await peer.stop('SIGTERM');
      const { reason } = await us.event('down', (event) => event.peer === cable.lanes[2].theirs4, { from });
      const word =
        reason.kind === 'notification-received'
          ? `${reason.notification.code}/${reason.notification.subcode}`
          : reason.kind;
      expect([kind, word]).toEqual([kind, lastWord[kind]]);
      await peer.start();
      await becomes(kind, 0, ...announced);
    },
    60_000,
  );

  test.each(peerKinds)(
    '%s is reset by us, and resets us',
    async (kind) => {
      const { peer, cable } = of(kind);
      const name = cable.lanes[2].theirs4;
      await us.established(name);
      let from = us.events.length;
      await us.ask({ do: 'reset', name, text: 'once more' });
      await us.event('down', (event) => event.peer === name && event.reason.kind === 'notification-sent', { from });
      await us.event('established', (event) => event.peer === name, { from });
      await becomes(kind, 2, ...announced);
      from = us.events.length;
      await peer.reset(cable.lanes[2].ours4);
      await us.event('down', (event) => event.peer === name, { from });
      await us.event('established', (event) => event.peer === name, { from });
      await becomes(kind, 2, ...announced);
    },
    60_000,
  );
});
