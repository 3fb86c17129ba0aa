/**
 * Answers "who has this address?" for one family on one interface. IPv4 does it by ARP (arp-responder.ts); the ownership
 * rules know nothing of it, so neighbour discovery for IPv6 is one more implementation of this.
 */
export interface NeighbourResponder {
  readonly family: 4 | 6;
  /** Addresses whose use by others is of interest: `onSeen` tells of it. */
  watch(address: string): void;
  unwatch(address: string): void;
  /** Answers for a watched address from now on, or no more. */
  own(address: string): void;
  disown(address: string): void;
  /** A frame from the wire. The bytes are only valid during the call. */
  receive(frame: Uint8Array): void;
  /** Tells everybody that an owned address is here. */
  announce(address: string): void;
  /** Asks who has an address: everybody, or only the host with the MAC address `to`. */
  probe(address: string, to: number | undefined): void;
  /** Asks hosts that were seen lately, none of them with one of `exceptMacs`; their answers show that the wire works. */
  probeWitnesses(exceptMacs: ReadonlySet<number>): void;
  /** How many such hosts there are. */
  witnesses(exceptMacs: ReadonlySet<number>): number;
  /** Whether a frame of another host came since the last call. */
  takeHeard(): boolean;
  setMac(mac: number): void;
  readonly counters: ResponderCounters;
}

export interface ResponderCounters {
  /** Requests for addresses owned here. */
  requests: number;
  replies: number;
  announcements: number;
  probes: number;
  /** Replies and announcements that were not sent since the right to answer had run out, or the interface refused. */
  refused: number;
  /** Frames for none of our addresses. */
  ignored: number;
}
