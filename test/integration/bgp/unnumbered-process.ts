/** Looks for the neighbour of a link, and may speak BGP with whom it finds there. Runs in a network namespace. */
import { connect } from 'node:net';
import {
  type BgpSpeaker,
  createSpeaker,
  discoverNeighbours,
  type NeighbourEvent,
} from '../../../src/bgp-speaker/index.ts';
import { keepalive, open } from '../../bgp-speaker/speaker/scripted-peer.ts';
import { say, serve } from './json-process.ts';

export type UnnumberedRequest =
  | { do: 'watch'; interface: string }
  | { do: 'unwatch'; interface: string }
  | { do: 'neighbour'; interface: string }
  | { do: 'counters'; interface: string }
  /** Announces one IPv4 route to an unnumbered peer. */
  | { do: 'speak'; interface: string; localAs: number; identifier: string; route: string; passive: boolean }
  /** Speaks with peers on several links, which it finds by itself. */
  | {
      do: 'meet';
      localAs: number;
      identifier: string;
      peers: { interface: string; password: string; passive?: boolean }[];
    }
  /** Connects to a speaker, and says OPEN; resolves with what ends the connection. */
  | { do: 'knock'; from: string; to: string; link: string };

/** What is seen: a neighbour event, the state of a session, or that somebody was refused. */
export type UnnumberedEvent =
  | NeighbourEvent
  | { type: 'established' | 'down'; peer: string }
  | { type: 'refused'; address: string; reason: string };

const discovery = discoverNeighbours({ onEvent: (event) => say({ event }) });

async function speak({ interface: link, passive, route, ...speaker }: UnnumberedRequest & { do: 'speak' }) {
  const made = await createSpeaker({
    ...speaker,
    listen: [{ address: '::' }],
    routesComplete: true,
    discoverPeer: (name, signal) => discovery.discoverPeer(name, signal),
  });
  made.announce(route);
  discovery.watch(link);
  const quick = { holdTimeSeconds: 9, connectRetrySeconds: 1, maximumIdleHoldSeconds: 2 };
  made.addPeer({ interface: link, peerAs: 'external', ttlSecurityHops: 1, passive, ...quick });
  void follow(made);
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
    case 'meet':
      return meet(request);
    case 'knock':
      return knock(request);
  }
});
