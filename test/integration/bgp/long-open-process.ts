/**
 * Sessions whose OPENs need the long form of RFC 9072, in a process of their own (see json-process.ts). All capabilities
 * that there are to announce take 60 bytes, so the long-lived graceful restart says the same of a family many times.
 */
import { systemClock } from '../../../src/base/index.ts';
import { Routes, type Session, tcpTransport } from '../../../src/bgp-speaker/index.ts';
import { Allowance } from '../../../src/bgp-speaker/speaker/allowance.ts';
import { resolvePeer } from '../../../src/bgp-speaker/speaker/options.ts';
import { Session as NewSession } from '../../../src/bgp-speaker/speaker/session.ts';
import { Turns } from '../../../src/bgp-speaker/speaker/turns.ts';
import { Cidr } from '../../../src/net/index.ts';
import { serve } from './json-process.ts';
import type { PeerWords } from './speaker-host.ts';

export type LongOpenRequest =
  | { do: 'open'; localAs: number; identifier: string; route: string; peer: PeerWords }
  | { do: 'session'; name: string };

const sessions = new Map<string, Session>();

function open({ localAs, identifier, route, peer }: Extract<LongOpenRequest, { do: 'open' }>): void {
  const resolved = resolvePeer({ localAs, identifier }, peer);
  const { machine, connection } = resolved;
  const entry = { family: 'ipv4-unicast', forwarding: false, staleTimeSeconds: 1 } as const;
  const longLivedGracefulRestart = new Array<typeof entry>(36).fill(entry);
  const capabilities = { ...machine.local.capabilities, longLivedGracefulRestart };
  const routes = new Routes();
  routes.announce(Cidr.parse(route), {});
  routes.publish();
  const session = new NewSession(
    // The connection options are hidden from a spread.
    { ...resolved, connection, machine: { ...machine, local: { ...machine.local, capabilities } } },
    {
      clock: systemClock,
      random: Math.random,
      transport: tcpTransport(),
      turns: new Turns(systemClock),
      routes,
      isComplete: () => true,
      emit: () => {},
      arrivals: new Allowance(systemClock),
      onIdle: () => {},
      discover: () => Promise.reject(new TypeError('it has an address')),
      onFound: () => {},
    },
  );
  sessions.set(session.name, session);
  session.start();
}

await serve<LongOpenRequest>((request) =>
  request.do === 'open' ? open(request) : sessions.get(request.name)?.toJSON(),
);
