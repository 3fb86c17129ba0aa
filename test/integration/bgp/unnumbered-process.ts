/** Looks for the neighbour of a link, and may speak BGP with whom it finds there. Runs in a network namespace. */
import { connect } from 'node:net';
import {
  type AddressFamily,
  type BfdSessionHandle,
  type BgpSpeaker,
  createSpeaker,
  discoverNeighbours,
  type NeighbourEvent,
  type Session,
  startBfd,
} from '../../../src/bgp-speaker/index.ts';
import { keepalive, open } from '../../bgp-speaker/speaker/scripted-peer.ts';
import { say, serve } from './json-process.ts';

export type UnnumberedRequest =
  | { do: 'watch'; interface: string }
  | { do: 'unwatch'; interface: string }
  | { do: 'neighbour'; interface: string }
  | { do: 'counters'; interface: string }
  /** Announces routes to a peer that it finds by itself; with `bfd`, the session ends when that is down. */
  | ({ do: 'speak' } & SpeakOptions)
  /** The peer's address, as the session that speaks has it. */
  | { do: 'address' }
  /** Speaks with peers on several links, which it finds by itself. */
  | {
      do: 'meet';
      localAs: number;
      identifier: string;
      peers: { interface: string; password: string; passive?: boolean }[];
    }
  /** Connects to a speaker, and says OPEN; resolves with what ends the connection. */
  | { do: 'knock'; from: string; to: string; link: string };

export interface SpeakOptions {
  interface: string;
  localAs: number;
  identifier: string;
  routes: readonly string[];
  families: readonly AddressFamily[];
  passive: boolean;
  bfd: boolean;
}

/** What is seen: a neighbour event, the state of a session, or that somebody was refused. */
export type UnnumberedEvent =
  | NeighbourEvent
  | { type: 'established' | 'down' | 'bfd-up'; peer: string }
  | { type: 'refused'; address: string; reason: string };

let spoken: Session | undefined;
const discovery = discoverNeighbours({ onEvent: (event) => say({ event }) });

async function speak({ interface: link, routes, families, passive, bfd, localAs, identifier }: SpeakOptions) {
  const made = await createSpeaker({ localAs, identifier, listen: [{ address: '::' }], routesComplete: true });
  for (const route of routes) made.announce(route);
  const quick = { connectRetrySeconds: 1, maximumIdleHoldSeconds: 2, holdTimeSeconds: bfd ? 90 : 9 };
  spoken = made.addPeer({ interface: link, peerAs: 'external', ttlSecurityHops: 1, families, passive, ...quick });
  void follow(made);
  if (bfd) void guard(made, spoken, link);
}

/** Whoever the session is with is watched by BFD from then on. */
async function guard(speaker: BgpSpeaker, session: Session, link: string): Promise<void> {
  const events = speaker.events();
  const bfd = await startBfd();
  let watched: BfdSessionHandle | undefined;
  let peer: Session['address'];
  for await (const { type } of events) {
    // The same one goes on: FRR 8.4 takes it for a failure when its peer ends BFD.
    if (type !== 'established' || !session.address || peer?.equals(session.address)) continue;
    await watched?.remove();
    peer = session.address;
    const timing = { desiredMinTxMs: 100, requiredMinRxMs: 100 };
    watched = bfd.addSession({ peer, interface: link, ...timing });
    void tie(session, watched);
  }
}

async function tie(session: Session, watched: BfdSessionHandle): Promise<void> {
  for await (const event of watched.events()) {
    if (event.type !== 'state') continue;
    if (event.to === 'up') say({ event: { type: 'bfd-up', peer: session.name } });
    if (event.isFailure) session.bfd('down');
  }
}

async function follow(speaker: BgpSpeaker): Promise<void> {
  for await (const event of speaker.events()) {
    const { type } = event;
    if (type === 'established' || type === 'down') say({ event: { type, peer: event.peer } });
    if (type === 'refused') say({ event: { type, address: String(event.address), reason: event.reason } });
  }
}

async function meet({ peers, localAs, identifier }: UnnumberedRequest & { do: 'meet' }) {
  const speaker = await createSpeaker({ localAs, identifier, listen: [{ address: '::' }] });
  for (const peer of peers) {
    speaker.addPeer({ peerAs: 'external', holdTimeSeconds: 9, connectRetrySeconds: 1, ...peer });
  }
  void follow(speaker);
}

async function knock({ from, to, link }: UnnumberedRequest & { do: 'knock' }): Promise<string> {
  const socket = connect({ host: `${to}%${link}`, port: 179, localAddress: `${from}%${link}` });
  socket.write(Buffer.concat([open(65_099), keepalive]));
  return new Promise((resolve) => {
    socket.on('data', () => resolve('an answer'));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    socket.on('close', () => resolve('closed'));
  });
}

await serve<UnnumberedRequest>((request) => {
  switch (request.do) {
    case 'watch':
      return discovery.watch(request.interface);
    case 'unwatch':
      return discovery.unwatch(request.interface);
    case 'neighbour':
      return discovery.neighbour(request.interface)?.toString();
    case 'counters':
      return discovery.counters(request.interface);
    case 'speak':
      return speak(request);
    case 'address':
      return spoken?.address?.toString();
    case 'meet':
      return meet(request);
    case 'knock':
      return knock(request);
  }
});
