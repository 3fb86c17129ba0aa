import {
  arpFrameBytes,
  arpOperation,
  arpReply,
  arpRequest,
  arpSender,
  arpSenderMac,
  arpTarget,
  broadcastMac,
  isArpFrame,
  signedAddress,
  writeArpFrame,
} from './arp-frame.ts';
import type { NeighbourResponder, ResponderCounters } from './neighbour-responder.ts';

export interface ArpResponderOptions {
  mac: number;
  /** Sends under the gate; false when refused. Copies the frame before it returns. */
  sendGated(frame: Uint8Array): boolean;
  /** Sends whatever the gate says. */
  send(frame: Uint8Array): boolean;
  /** Another host sent ARP with a watched address as its own. */
  onSeen(address: string, mac: number): void;
}

interface Slot {
  readonly address: string;
  owned: boolean;
}

const witnessesKept = 8;

/**
 * ARP for the addresses owned here (RFC 826), answered by unicast whether the question came by broadcast or by unicast
 * (a neighbour's reachability check). A frame that concerns none of our addresses costs two look-ups and no memory.
 */
export class ArpResponder implements NeighbourResponder {
  readonly family = 4;
  readonly counters: ResponderCounters = {
    requests: 0,
    replies: 0,
    announcements: 0,
    probes: 0,
    refused: 0,
    ignored: 0,
  };
  readonly #options: ArpResponderOptions;
  readonly #slots = new Map<number, Slot>();
  readonly #frame = Buffer.alloc(arpFrameBytes);
  #mac: number;
  #heard = false;
  readonly #witnessAddresses = new Int32Array(witnessesKept);
  readonly #witnessMacs = new Float64Array(witnessesKept);
  #witnessNext = 0;
  #witnessWanted = true;

  constructor(options: ArpResponderOptions) {
    this.#options = options;
    this.#mac = options.mac;
  }

  setMac(mac: number): void {
    this.#mac = mac;
  }

  watch(address: string): void {
    const key = signedAddress(address);
    if (!this.#slots.has(key)) this.#slots.set(key, { address, owned: false });
  }

  unwatch(address: string): void {
    this.#slots.delete(signedAddress(address));
  }

  own(address: string): void {
    const slot = this.#slots.get(signedAddress(address));
    if (slot) slot.owned = true;
  }

  disown(address: string): void {
    const slot = this.#slots.get(signedAddress(address));
    if (slot) slot.owned = false;
  }

  takeHeard(): boolean {
    const heard = this.#heard;
    this.#heard = false;
    this.#witnessWanted = true;
    return heard;
  }

  receive(frame: Uint8Array): void {
    if (!isArpFrame(frame) || this.#isOurs(frame)) return;
    this.#heard = true;
    const sender = arpSender(frame);
    const target = arpTarget(frame);
    const asked = this.#slots.get(target);
    const seen = sender === 0 ? undefined : this.#slots.get(sender);
    if (this.#witnessWanted && sender !== 0 && !seen) this.#addWitness(sender, frame);
    if (asked?.owned && sender !== target && arpOperation(frame) === arpRequest) this.#reply(frame, sender, target);
    else if (!seen) this.counters.ignored += 1;
    if (seen) this.#options.onSeen(seen.address, arpSenderMac(frame));
  }

  #isOurs(frame: Uint8Array): boolean {
    // Byte by byte, lowest first: no 48-bit number is made for each frame.
    let rest = this.#mac;
    for (let at = 27; at >= 22; at--) {
      const high = Math.floor(rest / 256);
      if (frame[at] !== rest - high * 256) return false;
      rest = high;
    }
    return true;
  }

  #reply(request: Uint8Array, asker: number, address: number): void {
    this.counters.requests += 1;
    const mac = arpSenderMac(request);
    if (mac === 0 || (request[22] ?? 1) & 1) return;
    writeArpFrame(this.#frame, {
      destinationMac: mac,
      sourceMac: this.#mac,
      operation: arpReply,
      senderMac: this.#mac,
      senderAddress: address >>> 0,
      targetMac: mac,
      targetAddress: asker >>> 0,
    });
    if (this.#options.sendGated(this.#frame)) this.counters.replies += 1;
    else this.counters.refused += 1;
  }

  /**
   * A broadcast request and a broadcast reply, each naming the address as sender and target: together they change the
   * caches of all hosts, also of those that ignore replies to others within a second of the last change.
   */
  announce(address: string): void {
    const value = signedAddress(address) >>> 0;
    const common = {
      destinationMac: broadcastMac,
      sourceMac: this.#mac,
      senderMac: this.#mac,
      senderAddress: value,
      targetAddress: value,
    };
    writeArpFrame(this.#frame, { ...common, operation: arpRequest, targetMac: 0 });
    const asked = this.#options.sendGated(this.#frame);
    writeArpFrame(this.#frame, { ...common, operation: arpReply, targetMac: this.#mac });
    if (asked && this.#options.sendGated(this.#frame)) this.counters.announcements += 1;
    else this.counters.refused += 1;
  }

  probe(address: string, to: number | undefined): void {
    this.#probe(signedAddress(address) >>> 0, to ?? broadcastMac);
  }

  #probe(value: number, to: number): void {
    this.counters.probes += 1;
    writeArpFrame(this.#frame, {
      destinationMac: to,
      sourceMac: this.#mac,
      operation: arpRequest,
      senderMac: this.#mac,
      senderAddress: 0,
      targetMac: 0,
      targetAddress: value,
    });
    this.#options.send(this.#frame);
  }

  witnesses(exceptMacs: ReadonlySet<number>): number {
    let count = 0;
    for (const mac of this.#witnessMacs) if (mac !== 0 && !exceptMacs.has(mac)) count += 1;
    return count;
  }

  probeWitnesses(exceptMacs: ReadonlySet<number>): void {
    for (let i = 0; i < witnessesKept; i++) {
      const mac = this.#witnessMacs[i] ?? 0;
      if (mac !== 0 && !exceptMacs.has(mac)) this.#probe((this.#witnessAddresses[i] ?? 0) >>> 0, mac);
    }
  }

  #addWitness(address: number, frame: Uint8Array): void {
    this.#witnessWanted = false;
    for (let i = 0; i < witnessesKept; i++) {
      if (this.#witnessAddresses[i] === address) {
        this.#witnessMacs[i] = arpSenderMac(frame);
        return;
      }
    }
    this.#witnessAddresses[this.#witnessNext] = address;
    this.#witnessMacs[this.#witnessNext] = arpSenderMac(frame);
    this.#witnessNext = (this.#witnessNext + 1) % witnessesKept;
  }
}
