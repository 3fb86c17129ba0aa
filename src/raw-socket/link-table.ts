import type { InterfaceAddress, Link, RouteMessage } from './link-messages.ts';

/** A change of the links and addresses of this host. */
export type LinkEvent =
  | { type: 'link'; link: Link }
  /** The interface is gone; its addresses went before it. */
  | { type: 'link-gone'; link: Link }
  | { type: 'address'; address: InterfaceAddress }
  | { type: 'address-gone'; address: InterfaceAddress };

const addressKey = ({ index, address, prefixLength }: InterfaceAddress) => `${index} ${address} ${prefixLength}`;

/**
 * What the kernel has told of links and addresses. `apply` gives the events that a message causes; a message that says
 * what is known already causes none. Between `beginDump` and `endDump` everything is said anew, and what was not said
 * is gone.
 */
export class LinkTable {
  readonly #links = new Map<number, Link>();
  readonly #addresses = new Map<string, InterfaceAddress>();
  #unseenLinks: Set<number> | undefined;
  #unseenAddresses: Set<string> | undefined;

  /** By index. */
  get links(): Link[] {
    return [...this.#links.values()].sort((a, b) => a.index - b.index);
  }

  /** By interface index, in the order in which they were learnt. */
  get addresses(): InterfaceAddress[] {
    return [...this.#addresses.values()].sort((a, b) => a.index - b.index);
  }

  apply(message: RouteMessage): LinkEvent[] {
    switch (message.type) {
      case 'link': {
        const { link } = message;
        this.#unseenLinks?.delete(link.index);
        const known = this.#links.get(link.index);
        this.#links.set(link.index, link);
        return known !== undefined && sameLink(known, link) ? [] : [{ type: 'link', link }];
      }
      case 'link-gone':
        return this.#dropLink(message.index);
      case 'address': {
        const { address } = message;
        const key = addressKey(address);
        this.#unseenAddresses?.delete(key);
        const known = this.#addresses.get(key);
        this.#addresses.set(key, address);
        const same = known?.scope === address.scope && known.tentative === address.tentative;
        return same ? [] : [{ type: 'address', address }];
      }
      case 'address-gone':
        return this.#dropAddress(addressKey(message.address));
      default:
        return [];
    }
  }

  /** A dump starts (or starts over). */
  beginDump(): void {
    this.#unseenLinks = new Set(this.#links.keys());
    this.#unseenAddresses = new Set(this.#addresses.keys());
  }

  /** The dump is complete: what it did not name has gone without our hearing of it. */
  endDump(): LinkEvent[] {
    const addresses = [...(this.#unseenAddresses ?? [])];
    const links = [...(this.#unseenLinks ?? [])];
    this.#unseenAddresses = undefined;
    this.#unseenLinks = undefined;
    return [...addresses.flatMap((key) => this.#dropAddress(key)), ...links.flatMap((index) => this.#dropLink(index))];
  }

  #dropLink(index: number): LinkEvent[] {
    const link = this.#links.get(index);
    this.#unseenLinks?.delete(index);
    const orphans = [...this.#addresses].filter(([, address]) => address.index === index);
    this.#links.delete(index);
    return [
      ...orphans.flatMap(([key]) => this.#dropAddress(key)),
      ...(link === undefined ? [] : [{ type: 'link-gone', link } as const]),
    ];
  }

  #dropAddress(key: string): LinkEvent[] {
    const address = this.#addresses.get(key);
    this.#unseenAddresses?.delete(key);
    this.#addresses.delete(key);
    return address === undefined ? [] : [{ type: 'address-gone', address }];
  }
}

function sameLink(a: Link, b: Link): boolean {
  return (
    a.name === b.name &&
    a.kind === b.kind &&
    a.carrier === b.carrier &&
    a.operationalState === b.operationalState &&
    a.ethernet === b.ethernet &&
    a.mtu === b.mtu &&
    a.masterIndex === b.masterIndex &&
    a.lowerIndex === b.lowerIndex &&
    a.mac.length === b.mac.length &&
    a.mac.every((byte, i) => byte === b.mac[i]) &&
    a.flags.up === b.flags.up &&
    a.flags.running === b.flags.running &&
    a.flags.broadcast === b.flags.broadcast &&
    a.flags.loopback === b.flags.loopback &&
    a.flags.pointToPoint === b.flags.pointToPoint &&
    a.flags.noArp === b.flags.noArp &&
    a.flags.multicast === b.flags.multicast
  );
}
