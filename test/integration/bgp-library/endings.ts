/**
 * Speakers that end in many ways, each in a process of its own that must then end by itself: whatever socket or timer is
 * left would keep it alive. Run as `node endings.ts CASE`; prints what the test looks at.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type BgpSpeaker, createSpeaker, startBfd } from '../../../src/bgp-speaker/index.ts';
import { keepalive, open } from '../../bgp-speaker/speaker/scripted-peer.ts';
import { eventually } from '../../eventually.ts';

async function listening(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  return { server, port: typeof bound === 'object' && bound ? bound.port : 0 };
}

const speakerOf = (localAs: number, listens: boolean): Promise<BgpSpeaker> =>
  createSpeaker({
    localAs,
    identifier: `192.0.2.${localAs % 256}`,
    ...(listens ? { listen: [{ address: '127.0.0.1', port: 0 }] } : {}),
  });

async function pair() {
  const [router, server] = [await speakerOf(65_001, true), await speakerOf(65_002, false)];
  const from = router.addPeer({ address: '127.0.0.1', peerAs: 'external', passive: true });
  const to = server.addPeer({ address: '127.0.0.1', port: router.listening[0]?.port ?? 0, peerAs: 'external' });
  server.announce('10.0.0.0/8');
  server.routesComplete();
  await Promise.all([from.whenEstablished(), to.whenEstablished()]);
  return { router, server, from, to };
}

const cases: Record<string, () => Promise<string>> = {
  async established() {
    const { router, server, from } = await pair();
    await server.close({ text: 'over' });
    await router.close();
    return String(from.counters.lastError);
  },
  async drained() {
    const { router, server, from } = await pair();
    await server.close({ mode: 'drain', waitMs: 50 });
    await router.close();
    return `withdrawn ${from.counters.withdrawnIn}`;
  },
  async restarting() {
    const { router, server, from } = await pair();
    await server.close({ mode: 'graceful-restart' });
    await from.whenInStep(AbortSignal.timeout(50)).catch(() => {});
    await router.close();
    return String(from.counters.lastError);
  },
  /** Both ends at the same moment. */
  async together() {
    const { router, server } = await pair();
    await Promise.all([router.close(), server.close()]);
    return 'closed';
  },
  async 'a peer that reads nothing'() {
    const sockets: Socket[] = [];
    const { server, port } = await listening((socket) => sockets.push(socket.pause()));
    const speaker = await speakerOf(65_001, false);
    const session = speaker.addPeer({ address: '127.0.0.1', port, peerAs: 65_002 });
    await eventually('an OPEN is sent', () => session.state === 'OpenSent');
    await speaker.close();
    server.close();
    for (const socket of sockets) socket.destroy();
    return session.state;
  },
  /** Nobody answers at an address of the documentation prefixes, or there is no way to it. */
  async 'an attempt that hangs'() {
    const speaker = await speakerOf(65_001, false);
    const session = speaker.addPeer({ address: '192.0.2.200', peerAs: 65_002 });
    await speaker.close();
    return session.state;
  },
  /** Looks for a router on the loopback interface, where there is none. */
  async unnumbered() {
    const speaker = await speakerOf(65_001, false);
    const session = speaker.addPeer({ interface: 'lo', peerAs: 'external' });
    const state = await eventually(
      'it looks for a router',
      () => session.state,
      (now) => now === 'Connect',
    );
    await speaker.close();
    return state;
  },
  async 'a signal'() {
    const abort = new AbortController();
    const speaker = await createSpeaker({ localAs: 65_001, identifier: '192.0.2.1', signal: abort.signal });
    speaker.addPeer({ address: '127.0.0.1', port: 1, peerAs: 65_002 });
    const events = speaker.events();
    abort.abort();
    let count = 0;
    for await (const _ of events) count += 1;
    return `events ended after ${Math.min(count, 1)}`;
  },
  /** A peer that came from a range, while its session is up. */
  async 'a dynamic session'() {
    const router = await speakerOf(65_001, true);
    router.acceptPeers('127.0.0.0/8', { peerAs: 'external' });
    const server = await speakerOf(65_002, false);
    const to = server.addPeer({ address: '127.0.0.1', port: router.listening[0]?.port ?? 0, peerAs: 'external' });
    await to.whenEstablished();
    const [from] = router.sessions;
    await from?.whenEstablished();
    await router.close();
    await server.close();
    return `dynamic ${from?.options.dynamic}: ${to.counters.lastError}`;
  },
  /** While a drain waits for the peer to find other ways, the speaker is closed at once. */
  async 'a drain that waits'() {
    const { router, server, to } = await pair();
    const events = server.events();
    const drained = to.drain({ waitMs: 3_600_000 });
    for await (const event of events) if (event.type === 'drain') break;
    await server.close();
    await drained;
    await router.close();
    return to.state;
  },
  /** A session whose peer has stopped reading in the middle of the routes. */
  async 'an established peer that reads nothing'() {
    const sockets: Socket[] = [];
    const { server, port } = await listening((socket) => {
      sockets.push(socket.pause());
      socket.write(Buffer.concat([open(), keepalive]));
    });
    const speaker = await speakerOf(65_001, false);
    for (let index = 0; index < 200_000; index++) {
      speaker.announce(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`, { multiExitDiscriminator: index });
    }
    const session = speaker.addPeer({ address: '127.0.0.1', port, peerAs: 65_002 });
    await session.whenEstablished();
    let before = -1;
    await eventually('nothing more is taken', () => {
      const isFull = session.counters.bytesOut === before && !session.isInStep;
      before = session.counters.bytesOut;
      return isFull;
    });
    const { state } = session;
    await speaker.close();
    server.close();
    for (const socket of sockets) socket.destroy();
    return state;
  },
  /** Beside BFD in a thread of its own, whose events the session is told. */
  async 'with BFD'() {
    const { router, server, to } = await pair();
    const bfd = await startBfd();
    const path = bfd.addSession({ peer: '127.0.0.2', interface: 'lo' });
    const told = (async () => {
      for await (const event of path.events()) {
        if (event.type === 'state' && (event.to === 'up' || event.to === 'down')) to.bfd(event.to);
      }
    })();
    await eventually('packets are sent', async () => (await path.status()).sent > 0);
    await Promise.all([server.close(), router.close(), bfd.close()]);
    await told;
    return to.state;
  },
  /** Connections of strangers, one of which stays silent. */
  async strangers() {
    const speaker = await speakerOf(65_001, true);
    speaker.acceptPeers('127.0.0.0/8', { peerAs: 'any', maximumPeers: 1 });
    const { port = 0 } = speaker.listening[0] ?? {};
    const events = speaker.events();
    const sockets = [connect(port, '127.0.0.1'), connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })];
    for (const socket of sockets) socket.on('error', () => {});
    for await (const event of events) if (event.type === 'refused') break;
    await speaker.close();
    for (const socket of sockets) socket.destroy();
    return `sessions ${speaker.sessions.length}`;
  },
};

const name = process.argv[2] ?? '';
console.log(await cases[name]?.());
