import type { AddressFamily } from '../message/assigned-numbers.ts';
import { RouteReader, type UnsendableRoutes } from '../rib/route-reader.ts';
import type { Routes } from '../rib/routes.ts';
import type { Negotiated } from '../session/negotiation.ts';
import type { Connection } from './connection.ts';
import { type OutboundPeer, OutboundPolicy } from './outbound-policy.ts';
import { type OutgoingMessage, RouteSender } from './route-sender.ts';
import type { Turns } from './turns.ts';

export interface AnnouncerOptions {
  readonly connection: Connection;
  readonly negotiated: Negotiated;
  readonly peer: OutboundPeer;
  readonly routes: Routes;
  readonly turns: Turns;
  isComplete(): boolean;
  send(message: OutgoingMessage): void;
  /** `all`: the markers of all families are sent. */
  onEndOfRib(family: AddressFamily, all: boolean): void;
  onUnsendable(routes: UnsendableRoutes): void;
  /** Something was sent. */
  onSlice(): void;
}

/** Tells the peer of one established session the routes: as fast as it takes them, in slices of a turn. */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #policy: OutboundPolicy;
  readonly #reader: RouteReader;
  readonly #sender: RouteSender;
  #isPumping = false;
  #isClosed = false;

  constructor(options: AnnouncerOptions) {
    const { negotiated, routes, isComplete } = options;
    this.#options = options;
    this.#policy = new OutboundPolicy(options.peer);
    this.#reader = new RouteReader({
      routes,
      families: negotiated.families,
      context: negotiated,
      policy: this.#policy,
      onUnsendable: (unsendable) => options.onUnsendable(unsendable),
    });
    const enhancedRefresh = negotiated.enhancedRouteRefresh;
    this.#sender = new RouteSender({ reader: this.#reader, enhancedRefresh, isComplete });
  }

  /** Prefixes that the peer has. */
  get prefixes(): number {
    return this.#reader.prefixes;
  }

  /** True when there may be something to send. */
  get isBehind(): boolean {
    return this.#sender.isBehind;
  }

  /** Judges and sends every route again; `mode` from now on. */
  resend(mode = this.#policy.mode): void {
    this.#policy.mode = mode;
    for (const family of this.#reader.families) this.#reader.resend(family);
    this.pump();
  }

  /** The peer asks for all routes of a family. */
  refresh(family: AddressFamily): void {
    this.#sender.refresh(family);
    this.pump();
  }

  /** The session is over. */
  close(): void {
    this.#isClosed = true;
    this.#reader.close();
  }

  /** Sends what the peer takes. */
  pump(): void {
    // An export policy may announce routes, which are for the next slice.
    if (this.#isClosed || this.#isPumping) return;
    this.#isPumping = true;
    this.#options.turns.run((isOver) => {
      this.#isPumping = !this.#isClosed && this.#slice(isOver);
      this.#options.onSlice();
      return this.#isPumping;
    });
  }

  /** @returns whether there is more that the peer would take now */
  #slice(isOver: () => boolean): boolean {
    const { connection } = this.#options;
    let more = false;
    connection.together(() => {
      while (connection.hasRoom && !more) {
        const message = this.#sender.next(isOver);
        if (!message) return;
        if (message !== 'later') this.#send(message);
        more = message === 'later' || isOver();
      }
    });
    return more;
  }

  #send(message: OutgoingMessage): void {
    const { send, onEndOfRib } = this.#options;
    send(message);
    if (message.endOfRib) onEndOfRib(message.endOfRib, this.#sender.isEndOfRibSent);
  }
}
