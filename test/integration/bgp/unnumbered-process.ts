/** Looks for the neighbour of a link, and may speak BGP with whom it finds there. Runs in a network namespace. */
import { createSpeaker, discoverNeighbours, type NeighbourEvent } from '../../../src/bgp-speaker/index.ts';
import { say, serve } from './json-process.ts';

export type UnnumberedRequest =
  | { do: 'watch'; interface: string }
  | { do: 'unwatch'; interface: string }
  | { do: 'neighbour'; interface: string }
  | { do: 'counters'; interface: string }
  /** Announces one IPv4 route to an unnumbered peer. */
  | { do: 'speak'; interface: string; localAs: number; identifier: string; route: string; passive: boolean };

/** What is seen: a neighbour event, or the state of the session. */
export type UnnumberedEvent = NeighbourEvent | { type: 'established' | 'down' };

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
  void (async () => {
    for await (const { type } of made.events()) if (type === 'established' || type === 'down') say({ event: { type } });
  })();
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
  }
});
