import { type AddressFamily, messageType } from '../message/assigned-numbers.ts';
import { encodeRouteRefresh } from '../message/route-refresh.ts';
import { encodeEndOfRib } from '../message/update-packer.ts';
import type { RouteReader } from '../rib/route-reader.ts';

export interface OutgoingMessage {
  bytes: Uint8Array;
  type: number;
  /** Set for the End-of-RIB marker of this family. */
  endOfRib?: AddressFamily;
}

interface FamilyProgress {
  endOfRibSent: boolean;
  /** A refresh starts when the routes before it are sent. */
  refreshAsked: boolean;
  /** BoRR was sent and EoRR is owed. */
  demarcated: boolean;
}

/**
 * The order of what is sent about routes on one session: the routes, then End-of-RIB once they are complete (RFC 4724
 * section 4.1), and refreshes between BoRR and EoRR where both sides have them (RFC 7313 section 4).
 */
export class RouteSender {
  readonly reader: RouteReader;
  readonly #enhancedRefresh: boolean;
  readonly #isComplete: () => boolean;
  readonly #progress: Record<AddressFamily, FamilyProgress> = {
    'ipv4-unicast': { endOfRibSent: false, refreshAsked: false, demarcated: false },
    'ipv6-unicast': { endOfRibSent: false, refreshAsked: false, demarcated: false },
  };

  /** @param options.isComplete whether the speaker has all the routes that it will have at first */
  constructor(options: { reader: RouteReader; enhancedRefresh: boolean; isComplete: () => boolean }) {
    this.reader = options.reader;
    this.#enhancedRefresh = options.enhancedRefresh;
    this.#isComplete = options.isComplete;
  }

  /** True when the peer has everything, End-of-RIB included. */
  get isEndOfRibSent(): boolean {
    return this.reader.families.every((family) => this.#progress[family].endOfRibSent);
  }

  /** True when there may be something to send: routes, or the marker at their end. */
  get isBehind(): boolean {
    return this.reader.isBehind || this.reader.families.some((family) => this.#owesMarker(this.#progress[family]));
  }

  #owesMarker({ endOfRibSent, refreshAsked, demarcated }: FamilyProgress): boolean {
    return refreshAsked || demarcated || (!endOfRibSent && this.#isComplete());
  }

  /** The peer asked for all routes of a family. A request during a refresh starts another after it. */
  refresh(family: AddressFamily): void {
    if (this.reader.families.includes(family)) this.#progress[family].refreshAsked = true;
  }

  /** The next message, or undefined when there is nothing to say; "later" when time was over before there was one. */
  next(isOver?: () => boolean): OutgoingMessage | 'later' | undefined {
    for (const family of this.reader.families) {
      const message = this.#nextOf(family, isOver);
      if (message) return message;
    }
    return undefined;
  }

  #nextOf(family: AddressFamily, isOver?: () => boolean): OutgoingMessage | 'later' | undefined {
    const progress = this.#progress[family];
    for (;;) {
      const update = this.reader.next(family, isOver);
      if (update === 'later') return update;
      if (update) return { bytes: update, type: messageType.update };
      if (progress.demarcated) {
        progress.demarcated = false;
        return { bytes: encodeRouteRefresh(family, 'end'), type: messageType.routeRefresh };
      }
      if (!progress.endOfRibSent && this.#isComplete()) {
        progress.endOfRibSent = true;
        return { bytes: encodeEndOfRib(family), type: messageType.update, endOfRib: family };
      }
      if (!progress.refreshAsked) return undefined;
      progress.refreshAsked = false;
      this.reader.resend(family);
      // Before End-of-RIB the routes may be incomplete: EoRR would have the peer drop what is not there yet.
      if (this.#enhancedRefresh && progress.endOfRibSent) {
        progress.demarcated = true;
        return { bytes: encodeRouteRefresh(family, 'begin'), type: messageType.routeRefresh };
      }
    }
  }
}
