import { messageType } from '../message/assigned-numbers.ts';

/** Messages of a session since it was added, by type. */
export interface MessageCounts {
  open: number;
  update: number;
  notification: number;
  keepalive: number;
  routeRefresh: number;
}

/** What happened on a session since it was added. Numbers only grow, but for those under "now". */
export interface SessionCounters {
  messagesIn: MessageCounts;
  messagesOut: MessageCounts;
  /** Bytes of messages, TCP headers not counted. */
  bytesIn: number;
  bytesOut: number;
  /** Prefixes that the peer announced and withdrew; all were dropped after the count. */
  prefixesIn: number;
  withdrawnIn: number;
  /** Now: prefixes that the peer has from us. */
  prefixesOut: number;
  /** UPDATEs by the error action of RFC 7606. */
  sessionResets: number;
  treatedAsWithdraw: number;
  attributesDiscarded: number;
  /** How often the session was established, and how often it ended then. */
  established: number;
  flaps: number;
  /** Connections and attempts that ended before they were established. */
  failures: number;
  /** Now: when the session was established, ms since 1970, or undefined. */
  establishedSinceMs: number | undefined;
  /** Why the session or an attempt last ended, for people. */
  lastError: string | undefined;
  lastErrorAtMs: number | undefined;
}

export function newCounters(): SessionCounters {
  const none = (): MessageCounts => ({ open: 0, update: 0, notification: 0, keepalive: 0, routeRefresh: 0 });
  return {
    messagesIn: none(),
    messagesOut: none(),
    bytesIn: 0,
    bytesOut: 0,
    prefixesIn: 0,
    withdrawnIn: 0,
    prefixesOut: 0,
    sessionResets: 0,
    treatedAsWithdraw: 0,
    attributesDiscarded: 0,
    established: 0,
    flaps: 0,
    failures: 0,
    establishedSinceMs: undefined,
    lastError: undefined,
    lastErrorAtMs: undefined,
  };
}

const names: Readonly<Record<number, keyof MessageCounts>> = {
  [messageType.open]: 'open',
  [messageType.update]: 'update',
  [messageType.notification]: 'notification',
  [messageType.keepalive]: 'keepalive',
  [messageType.routeRefresh]: 'routeRefresh',
};

export function countMessage(counts: MessageCounts, type: number): void {
  const name = names[type];
  if (name) counts[name] += 1;
}
