/** Operators and peers do anything, in any order. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  Address,
  BgpOptionsError,
  type CloseOptions,
  type PeerOptions,
  type Session,
} from '../../../src/bgp-speaker/index.ts';
import { gracefulRestart, keepalive, notification, open, routeRefresh, routes, ScriptedPeer } from './scripted-peer.ts';
import { newWorld, type World } from './world.ts';

const configured = ['192.0.2.2', '192.0.2.3'];
const strangers = ['192.0.2.7', '10.0.0.7'];
const ranges = ['192.0.2.0/24', '10.0.0.0/8'];
const restart = { restartTimeSeconds: 30, restarted: true, forwarding: true };

/** A speaker, and all that was ever connected to it. `pick` chooses among what there is. */
interface Life extends World {
  peers: ScriptedPeer[];
  answered: Set<ScriptedPeer>;
  /** What the link of unnumbered peers has; undefined: nobody. */
  router: { address: string | undefined };
  /** Promises that must settle by the end. */
  waits: Promise<unknown>[];
  pick: number;
}

const pickOf = <T>(list: readonly T[], { pick }: Life): T | undefined => list[pick % Math.max(1, list.length)];
const sessionOf = (life: Life): Session | undefined => pickOf(life.speaker.sessions, life);
const peerOf = (life: Life): ScriptedPeer | undefined => pickOf(life.peers.slice(-3), life);
const isOdd = ({ pick }: Life) => pick % 2 === 1;

/** Peers answer the OPENs that they have, as routers do. */
async function answer(life: Life): Promise<void> {
  await life.settle();
  for (const peer of life.peers) {
    if (life.answered.has(peer) || !peer.types.includes(1)) continue;
    life.answered.add(peer);
    const identifier = [192, 0, 2, isOdd(life) ? 200 : 0];
    const capabilities = isOdd(life) ? [gracefulRestart, routeRefresh] : [];
    peer.send(open(65002, { identifier, capabilities, holdTimeSeconds: life.pick % 5 === 0 ? 0 : 9 }), keepalive);
  }
  await life.settle();
}

function add(life: Life, options: PeerOptions): void {
  const { speaker } = life;
  const exportRoute = () => {
    speaker.announce('10.9.9.0/24');
    if (isOdd(life)) throw new Error('no');
    return {};
  };
  const policy = life.pick % 3 === 0 ? { exportRoute } : {};
  const session = speaker.addPeer({
    holdTimeSeconds: 9,
    ...(isOdd(life) ? { gracefulRestart: restart } : {}),
    ...policy,
    ...options,
  });
  life.waits.push(session.whenInStep(AbortSignal.abort()).catch(() => {}));
}

const deeds: Record<string, (life: Life) => unknown> = {
  'add a peer': (life) => add(life, { address: pickOf(configured, life) ?? '', peerAs: 'any' }),
  'add a passive peer': (life) => add(life, { address: pickOf(configured, life) ?? '', peerAs: 65002, passive: true }),
  'add an unnumbered peer': (life) => add(life, { interface: 'eth0', peerAs: 'any', passive: isOdd(life) }),
  'accept a range': (life) =>
    life.speaker.acceptPeers(pickOf(ranges, life) ?? '', { peerAs: 'any', maximumPeers: 1 + (life.pick % 3) }),
  'reject a range': (life) => life.waits.push(life.speaker.rejectPeers(pickOf(ranges, life) ?? '')),
  listen: (life) => life.waits.push(life.speaker.listen({ address: '::' }).catch(() => {})),
  remove(life) {
    const session = sessionOf(life);
    if (session) life.waits.push(life.speaker.removePeer(session));
  },
  stop: (life) => sessionOf(life)?.stop(),
  start: (life) => sessionOf(life)?.start(),
  reset: (life) => sessionOf(life)?.reset({ hardReset: isOdd(life) }),
  'stop and start': (life) => {
    sessionOf(life)?.stop();
    sessionOf(life)?.start();
  },
  'BFD down': (life) => sessionOf(life)?.bfd('down'),
  drain: (life) =>
    life.waits.push(
      sessionOf(life)
        ?.drain({ waitMs: life.pick })
        .catch(() => {}) ?? Promise.resolve(),
    ),
  'drain in haste': (life) => {
    const abort = new AbortController();
    life.waits.push(
      sessionOf(life)
        ?.drain({ signal: abort.signal })
        .catch(() => {}) ?? Promise.resolve(),
    );
    abort.abort();
  },
  announce: ({ speaker, pick }) => speaker.announce(`10.1.${pick % 256}.0/24`, { multiExitDiscriminator: pick }),
  withdraw: ({ speaker, pick }) => speaker.withdraw(`10.1.${pick % 256}.0/24`),
  'routes are complete': ({ speaker }) => speaker.routesComplete(),
  resend: (life) => sessionOf(life)?.resend(),
  'ask for routes': (life) => sessionOf(life)?.requestRefresh('ipv4-unicast'),
  'a peer connects': (life) => {
    const from = pickOf([...configured, ...strangers, 'fe80::9'], life) ?? '';
    life.peers.push(new ScriptedPeer(life.transport.connect(from, from.startsWith('fe80') ? 'eth0' : undefined)));
  },
  'a peer opens': (life) => peerOf(life)?.send(open()),
  'a peer lives': (life) => peerOf(life)?.send(keepalive),
  'a peer announces': (life) => peerOf(life)?.send(routes('203.0.113.0/24')),
  'a peer ends it': (life) => peerOf(life)?.send(notification(6, life.pick % 11, [life.pick % 256])),
  'a peer talks rubbish': (life) => peerOf(life)?.send(new Uint8Array(40).fill(life.pick)),
  'a peer resets': (life) => peerOf(life)?.socket.reset(),
  'a peer closes': (life) => peerOf(life)?.socket.end(),
  'a peer takes nothing': (life) => peerOf(life)?.socket.setWindow(0),
  'peers answer': answer,
  'time passes': (life) => life.clock.advance(life.pick * 20),
  'nobody listens': ({ transport }) => {
    transport.answer = 'refuse';
  },
  'attempts hang': ({ transport }) => {
    transport.answer = 'hang';
  },
  'peers listen': ({ transport }) => {
    transport.answer = 'accept';
  },
  'the router goes': ({ router }) => {
    router.address = undefined;
  },
  'a router comes': (life) => {
    life.router.address = isOdd(life) ? 'fe80::9' : 'fe80::a';
  },
};

const names = Object.keys(deeds);
/** Without answers nothing would ever be established. */
const deed = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...names) },
  { weight: 1, arbitrary: fc.constantFrom('add a peer', 'a peer connects', 'peers listen') },
  { weight: 1, arbitrary: fc.constant('peers answer') },
);

test('whatever happens, sessions come and go in turns, and a closed speaker leaves nothing', async () => {
  let established = 0;
  const modes = fc.constantFrom<NonNullable<CloseOptions['mode']>>('shutdown', 'graceful-restart', 'drain');
  const history = fc.array(fc.tuple(deed, fc.nat(1000)), { minLength: 5, maxLength: 80 });
  await fc.assert(
    fc.asyncProperty(history, modes, async (steps, mode) => {
      const router: Life['router'] = { address: 'fe80::9' };
      const world = await newWorld({
        random: () => 0.5,
        discoverPeer: async (link) => {
          if (router.address === undefined) throw new Error(`there is nobody on ${link}`);
          return Address.parse(router.address);
        },
      });
      const { speaker, transport, clock, settle } = world;
      const life: Life = { ...world, peers: [], answered: new Set(), router, waits: [], pick: 0 };
      transport.onDial = (socket) => void life.peers.push(new ScriptedPeer(socket));
      for (const [name, pick] of steps) {
        life.pick = pick;
        try {
          const done = deeds[name]?.(life);
          if (done instanceof Promise) await done;
        } catch (thrown) {
          // A name that is taken.
          if (!(thrown instanceof BgpOptionsError)) throw thrown;
        }
      }
      let isClosed = false;
      const closed = speaker.close({ mode, waitMs: 100 }).then(() => {
        isClosed = true;
      });
      await settle();
      // No longer than it takes: what was left behind must not have the time to go.
      for (let waitedMs = 0; !isClosed && waitedMs < 3000; waitedMs += 50) {
        await clock.advance(50);
        await settle();
      }
      expect(isClosed).toBe(true);
      await Promise.all([closed, ...life.waits]);
      expect([clock.pendingTimers, transport.listeners, [...speaker.sessions]]).toEqual([0, [], []]);
      expect(life.peers.filter(({ isEnded, socket }) => !isEnded && socket.windowBytes > 0)).toEqual([]);
      const isUp = new Map<string, boolean>();
      for (const { type, peer } of world.events.filter((event) => 'peer' in event)) {
        if (type !== 'established' && type !== 'down') continue;
        expect([peer, type, isUp.get(peer) ?? false]).toEqual([peer, type, type === 'down']);
        isUp.set(peer, type === 'established');
        if (type === 'established') established += 1;
      }
      expect([...isUp.values()]).not.toContain(true);
    }),
    { numRuns: 200 },
  );
  // Else it has tried nothing.
  expect(established).toBeGreaterThan(20);
}, 60_000);
