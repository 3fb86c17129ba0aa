/** The speaker under test in a process of its own, for it must live in a network namespace. See speaker-host.ts. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  type Bfd,
  type BfdSessionHandle,
  type BgpSpeaker,
  createSpeaker,
  formatCommunity,
  parseCommunity,
  type RouteAttributes,
  type Session,
  startBfd,
} from '../../../src/bgp-speaker/index.ts';
import { Address } from '../../../src/net/index.ts';
import { say, serve } from './json-process.ts';
import type { RouteWords, SpeakerRequest } from './speaker-host.ts';

let speaker: BgpSpeaker | undefined;
let bfd: Promise<Bfd> | undefined;
const bfdSessions = new Map<string, BfdSessionHandle>();
const delay = monitorEventLoopDelay({ resolution: 5 });

function running(): BgpSpeaker {
  if (!speaker) throw new Error('create it first');
  return speaker;
}

function session(name: string): Session {
  const found = running().session(name);
  if (!found) throw new Error(`there is no session ${name}`);
  return found;
}

function attributesOf({ communities = [], nextHop, ...rest }: RouteWords): RouteAttributes {
  const parsed = communities.map(parseCommunity);
  return {
    ...rest,
    ...(nextHop === undefined ? {} : { nextHop: Address.parse(nextHop) }),
    communities: parsed.flatMap((one) => (one.kind === 'standard' ? [one.value] : [])),
    largeCommunities: parsed.flatMap((one) => (one.kind === 'large' ? [one.value] : [])),
    extendedCommunities: parsed.flatMap((one) => (one.kind === 'extended' ? [one.value] : [])),
  };
}

async function carryOut(request: SpeakerRequest): Promise<unknown> {
  switch (request.do) {
    case 'create': {
      const { unnumbered = {}, ...options } = request.options;
      speaker = await createSpeaker({
        ...options,
        discoverPeer: async (link) => Address.parse(unnumbered[link] ?? ''),
      });
      void forward(speaker);
      return;
    }
    case 'add-peer':
      return running().addPeer(request.options).name;
    case 'remove-peer':
      return running().removePeer(session(request.name));
    case 'accept-peers':
      return running().acceptPeers(request.prefix, request.options);
    case 'reject-peers':
      return running().rejectPeers(request.prefix);
    case 'announce': {
      const attributes = attributesOf(request.attributes ?? {});
      for (const prefix of request.prefixes) running().announce(prefix, attributes);
      return;
    }
    case 'withdraw':
      for (const prefix of request.prefixes) running().withdraw(prefix);
      return;
    case 'replace-all':
      return running().replaceAll(request.routes.map(([prefix, words]) => [prefix, attributesOf(words)]));
    case 'routes-complete':
      return running().routesComplete();
    case 'sessions':
      return running().sessions.map(({ name, state, counters, negotiated, isInStep }) => {
        return { name, state, counters, negotiated, isInStep };
      });
    case 'start':
      return session(request.name).start();
    case 'stop':
      return session(request.name).stop(request.text === undefined ? {} : { text: request.text });
    case 'reset':
      return session(request.name).reset(request.text === undefined ? {} : { text: request.text });
    case 'bfd':
      return session(request.name).bfd(request.state);
    case 'tie-bfd': {
      bfd ??= startBfd();
      const handle = (await bfd).addSession(request.options);
      bfdSessions.set(request.name, handle);
      void tie(session(request.name), handle);
      return;
    }
    case 'bfd-admin-down':
      return bfdSessions.get(request.name)?.setAdminDown(request.adminDown);
    case 'request-refresh':
      return session(request.name).requestRefresh(request.family);
    case 'drain':
      return session(request.name).drain(request.options);
    case 'when-in-step':
      return session(request.name).whenInStep();
    case 'close':
      return running().close(request.options);
    case 'figures': {
      globalThis.gc?.();
      const { heapUsed, rss, arrayBuffers } = process.memoryUsage();
      const worstStallMs = delay.max / 1e6;
      delay.reset();
      delay.enable();
      return { heapUsed, rss, arrayBuffers, worstStallMs };
    }
  }
}

/** As a program would: a failure ends the session, a word of either operator does not (RFC 5882 section 3.2). */
async function tie(to: Session, handle: BfdSessionHandle): Promise<void> {
  for await (const event of handle.events()) {
    if (event.type !== 'state') continue;
    if (event.to === 'up') to.bfd('up');
    else if (event.isFailure) to.bfd('down');
    else if (event.reason === 'admin-down' || event.reason === 'peer-admin-down') to.bfd('admin-down');
  }
}

async function forward(from: BgpSpeaker): Promise<void> {
  for await (const event of from.events({ buffer: 100_000 })) {
    if (event.type !== 'unsendable') say({ event });
    else
      say({
        event: {
          ...event,
          attributes: event.attributes.communities?.map((value) => formatCommunity({ kind: 'standard', value })),
        },
      });
  }
}

delay.enable();
await serve<SpeakerRequest>(carryOut);
