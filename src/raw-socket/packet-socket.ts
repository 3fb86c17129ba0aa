import { type Addon, addon, type PacketHandle } from './addon.ts';
import { attempt, RawSocketError, type RawSocketErrorCode, systemError } from './errors.ts';
import { Gate } from './gate.ts';

/** How a frame reached this host (linux/if_packet.h). `outgoing` only with `ignoreOutgoing: false`. */
export type PacketType = 'host' | 'broadcast' | 'multicast' | 'outgoing';

export interface FrameInfo {
  readonly packetType: PacketType;
}

export interface PacketSocketOptions {
  /** Name or index of the interface in this network namespace. */
  interface: string | number;
  /** The one EtherType to receive, e.g. 0x0806 (ARP); 3 (ETH_P_ALL) for all. Sending is free of it. */
  etherType: number;
  /** Classic BPF (see bpf.ts) run in the kernel on each frame, from the Ethernet header on. */
  filter?: Uint8Array;
  /** Kernel receive buffer, bytes. Default 1 MiB. */
  receiveBufferBytes?: number;
  /** Longer frames are counted as `truncated` and not delivered; 14-65536, default 2048. */
  maximumFrameBytes?: number;
  /** Group MAC addresses to receive (PACKET_MR_MULTICAST). This programs the NIC but tells no switch. */
  multicast?: readonly Uint8Array[];
  /** Do not receive what this host sends. Default true. */
  ignoreOutgoing?: boolean;
  /** Called for each frame. The bytes are overwritten after the call returns: copy what is to be kept. */
  onFrame(frame: Uint8Array, info: FrameInfo): void;
  /**
   * Called when the interface goes down (`LinkDown`) or away (`NoSuchInterface`). After `LinkDown` the socket receives
   * again by itself when the interface comes up; after `NoSuchInterface` close it and open a new one when watchLinks
   * shows the interface again. The end of an interface that was down before is noticed by the next send only.
   */
  onError(error: RawSocketError): void;
}

/** Counts since the socket was opened. */
export interface PacketStatistics {
  /** Frames delivered to onFrame. */
  received: number;
  /** Frames not for us: to another host's MAC, with a VLAN tag, or taken by a VLAN or bond above the interface. */
  ignored: number;
  /** Frames longer than `maximumFrameBytes`. */
  truncated: number;
  /** Frames the kernel dropped because the receive buffer was full. */
  dropped: number;
  sent: number;
  /** Frames the kernel did not take: queue full, interface down or gone. */
  unsent: number;
  /** Frames refused by a closed gate. */
  gated: number;
}

const recordWords = 3;
const infos: readonly (FrameInfo | undefined)[] = [
  Object.freeze<FrameInfo>({ packetType: 'host' }),
  Object.freeze<FrameInfo>({ packetType: 'broadcast' }),
  Object.freeze<FrameInfo>({ packetType: 'multicast' }),
  undefined,
  Object.freeze<FrameInfo>({ packetType: 'outgoing' }),
];

/** Sends that fail for these reasons may succeed later with nothing changed: queue full. */
const passing = new Set(['EAGAIN', 'ENOBUFS']);

/** Whole Ethernet frames of one interface. Open until `close`, also when nobody refers to it. */
export class PacketSocket {
  readonly interfaceIndex: number;
  readonly #addon: Addon;
  readonly #handle: PacketHandle;
  readonly #name: string;
  readonly #options: PacketSocketOptions;
  readonly #memory: ArrayBuffer;
  readonly #records: Uint32Array;
  #hardwareAddress: Uint8Array;
  #closed = false;
  /** What onError was told since frames last went in or out. */
  #told: RawSocketErrorCode | undefined;

  /** @internal use openPacketSocket */
  constructor(options: PacketSocketOptions, native: Addon) {
    this.#addon = native;
    this.#options = options;
    this.#name = typeof options.interface === 'string' ? options.interface : `interface ${options.interface}`;
    this.interfaceIndex =
      typeof options.interface === 'string' ? native.interfaceIndex(options.interface) : options.interface;
    const slotBytes = options.maximumFrameBytes ?? 2048;
    this.#memory = new ArrayBuffer(native.packetBatch * (recordWords * 4 + slotBytes));
    this.#records = new Uint32Array(this.#memory, 0, native.packetBatch * recordWords);
    this.#handle = native.packetOpen(
      this.interfaceIndex,
      options.etherType,
      options.filter,
      options.receiveBufferBytes ?? 1 << 20,
      options.ignoreOutgoing === false ? 0 : 1,
    );
    try {
      this.#hardwareAddress = native.packetHardwareAddress(this.#handle);
      if (this.#hardwareAddress.length !== 6) {
        throw new RawSocketError(
          'Unsupported',
          `${this.#name} has a hardware address of ${this.#hardwareAddress.length} bytes; only Ethernet (6) is supported`,
        );
      }
      for (const group of options.multicast ?? []) native.packetMembership(this.#handle, group, 1);
      native.packetStart(this.#handle, this.#memory, slotBytes, (count, errno) => this.#onReport(count, errno));
    } catch (thrown) {
      native.packetClose(this.#handle);
      throw thrown;
    }
  }

  /** The interface's MAC address now, 6 bytes; the last known one when the interface is gone. */
  get hardwareAddress(): Uint8Array {
    if (!this.#closed) {
      const current = attempt(`read the address of ${this.#name}`, () =>
        this.#addon.packetHardwareAddress(this.#handle),
      );
      if (current.length === 6) this.#hardwareAddress = current;
    }
    return this.#hardwareAddress;
  }

  /**
   * Hands a frame, from the destination MAC on, to the interface. False when the kernel did not take it: its queue is
   * full, or the interface is down or gone (then onError follows, unless it was told so already).
   * @throws RawSocketError `Closed`, `BadArgument` (shorter than 14 bytes), `SystemCall` EMSGSIZE (beyond the MTU)
   */
  send(frame: Uint8Array): boolean {
    return this.#sent(attempt(`send on ${this.#name}`, () => this.#addon.packetSend(this.#handle, frame, undefined)));
  }

  /** As `send`, and false when the gate is closed at the moment the frame would go to the kernel. */
  sendGated(frame: Uint8Array, gate: Gate): boolean {
    const handle = Gate.handleOf(gate);
    return this.#sent(attempt(`send on ${this.#name}`, () => this.#addon.packetSend(this.#handle, frame, handle)));
  }

  /** Receives one more group MAC address. Joins are counted by the kernel: leave as often as joined. */
  join(group: Uint8Array): void {
    attempt(`join a group on ${this.#name}`, () => this.#addon.packetMembership(this.#handle, group, 1));
  }

  leave(group: Uint8Array): void {
    attempt(`leave a group on ${this.#name}`, () => this.#addon.packetMembership(this.#handle, group, 0));
  }

  /**
   * Delivers what the kernel has queued up to now, before returning: for a timer that fires late and must first hear
   * what was said in the meantime. Does nothing inside onFrame.
   * @throws RawSocketError `Closed`, and whatever onFrame throws
   */
  drain(): void {
    attempt(`read from ${this.#name}`, () => this.#addon.packetDrain(this.#handle));
  }

  statistics(): PacketStatistics {
    const [received = 0, ignored = 0, truncated = 0, dropped = 0, sent = 0, unsent = 0, gated = 0] =
      this.#addon.packetStatistics(this.#handle);
    return { received, ignored, truncated, dropped, sent, unsent, gated };
  }

  /** Idempotent; no callback comes after it. */
  close(): void {
    this.#closed = true;
    this.#addon.packetClose(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onReport(count: number, errno: number): void {
    if (errno !== 0) {
      const error = systemError(`receive on ${this.#name}`, 'recvmmsg', errno);
      this.#told = error.code;
      this.#options.onError(error);
      return;
    }
    this.#told = undefined;
    for (let i = 0; i < count && !this.#closed; i++) {
      const offset = this.#records[i * recordWords] ?? 0;
      const length = this.#records[i * recordWords + 1] ?? 0;
      const info = infos[this.#records[i * recordWords + 2] ?? 0];
      if (info !== undefined) this.#options.onFrame(new Uint8Array(this.#memory, offset, length), info);
    }
  }

  /** What came of a send: 0, -1 (gate) or an errno. */
  #sent(result: number): boolean {
    if (result === 0) {
      this.#told = undefined;
      return true;
    }
    if (result < 0) return false;
    const error = systemError(`send on ${this.#name}`, 'sendto', result);
    if (passing.has(error.errno ?? '')) return false;
    if (error.code !== 'LinkDown' && error.code !== 'NoSuchInterface') throw error;
    if (this.#told !== error.code) {
      this.#told = error.code;
      queueMicrotask(() => {
        if (!this.#closed) this.#options.onError(error);
      });
    }
    return false;
  }
}

/**
 * Opens an AF_PACKET socket and starts to receive. Needs NET_RAW.
 *
 * The filter and the interface are in place before the first frame can be queued. Frames for another host, with a VLAN
 * tag, or belonging to a device above the interface are dropped by the addon (see PacketStatistics.ignored).
 * @throws RawSocketError `NoSuchInterface`, `NotPermitted`, `Unsupported` (not Ethernet), `AddonMissing`, ...
 */
export function openPacketSocket(options: PacketSocketOptions): PacketSocket {
  return attempt(`open a packet socket on ${options.interface}`, () => new PacketSocket(options, addon()));
}
