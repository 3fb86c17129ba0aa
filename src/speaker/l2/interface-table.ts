import { Address, Cidr, compareAddresses } from '../../net/index.ts';
import type { InterfaceAddress, Link, LinkEvent } from '../../raw-socket/index.ts';
import type { InterfaceFacts } from './interface-choice.ts';

/** An interface of this host as the announcer sees it. */
export interface AnnounceInterface extends InterfaceFacts {
  /** Able to send and receive now. */
  readonly working: boolean;
  /** As a 48-bit number; 0 when it is no Ethernet interface. */
  readonly mac: number;
  /** Its lowest IPv4 address as an unsigned number, 0 when it has none. */
  readonly sourceAddress: number;
}

interface OwnAddress {
  readonly address: Address;
  readonly subnet: Cidr;
}

/** The links and addresses of this host, from netlink events. */
export class InterfaceTable {
  readonly #links = new Map<number, Link>();
  readonly #addresses = new Map<number, Map<string, OwnAddress>>();

  apply(event: LinkEvent): void {
    switch (event.type) {
      case 'link':
        this.#links.set(event.link.index, event.link);
        return;
      case 'link-gone':
        this.#links.delete(event.link.index);
        this.#addresses.delete(event.link.index);
        return;
      case 'address': {
        const { index, prefixLength, tentative } = event.address;
        let known = this.#addresses.get(index);
        if (!known) {
          known = new Map();
          this.#addresses.set(index, known);
        }
        const address = Address.fromBytes(event.address.address);
        if (tentative) known.delete(keyOf(event.address));
        else known.set(keyOf(event.address), { address, subnet: Cidr.containing(address, prefixLength) });
        return;
      }
      case 'address-gone':
        this.#addresses.get(event.address.index)?.delete(keyOf(event.address));
        return;
    }
  }

  /** Every interface, by index. */
  list(): AnnounceInterface[] {
    return [...this.#links.values()].map((link) => this.#facts(link)).sort((a, b) => a.index - b.index);
  }

  #facts(link: Link): AnnounceInterface {
    const own = [...(this.#addresses.get(link.index)?.values() ?? [])].sort(
      (a, b) => compareAddresses(a.address, b.address) || a.subnet.prefixLength - b.subnet.prefixLength,
    );
    const first = own.find(({ address }) => address.family === 4);
    const master = link.masterIndex === undefined ? undefined : this.#links.get(link.masterIndex);
    return {
      index: link.index,
      name: link.name,
      ethernet: link.ethernet && link.mac.length === 6,
      up: link.flags.up,
      broadcast: link.flags.broadcast,
      loopback: link.flags.loopback,
      noArp: link.flags.noArp,
      enslaved: link.masterIndex !== undefined && master?.kind !== 'vrf',
      subnets: own.map(({ subnet }) => subnet),
      working: link.flags.up && link.carrier && link.operationalState !== 'lower-layer-down',
      mac: link.mac.length === 6 ? Buffer.from(link.mac).readUIntBE(0, 6) : 0,
      sourceAddress: first ? Number(first.address.value) : 0,
    };
  }
}

function keyOf({ address, prefixLength }: InterfaceAddress): string {
  return `${address.join('.')}/${prefixLength}`;
}
