/**
 * UDP sockets that tell of each datagram what `dgram` does not: TTL or hop limit, interface, and destination address;
 * that can be drained by a late timer; and that make no garbage.
 */
import { type Addon, addon, type DatagramHandle } from './addon.ts';
import { attempt, RawSocketError, systemError } from './errors.ts';
import { encodeSocketAddress } from './socket-address.ts';
import {
  attachFilter,
  bindAddress,
  bindToDevice,
  closingOnFailure,
  createSocket,
  setOption,
  setPriority,
  setReceiveBuffer,
  setTrafficClass,
  setTtl,
} from './socket-options.ts';

export interface DatagramSocketOptions {
  /** IP version. IPv6 sockets take no IPv4. */
  family: 4 | 6;
  /** Default: every address. */
  localAddress?: string;
  /** 1-65535; 0 lets the kernel choose. */
  localPort: number;
  /** Only through this interface or VRF (SO_BINDTODEVICE). Needs NET_RAW on older kernels. */
  interface?: string;
  /** Interface index, needed with a link-local `localAddress`. */
  scopeId?: number;
  /** TTL or hop limit of what is sent, 1-255. Default: the kernel's. */
  ttl?: number;
  /** DSCP and ECN bits of what is sent, 0-255. Default 0. */
  trafficClass?: number;
  /** Queueing priority on this host, 0-6. */
  priority?: number;
  /** Classic BPF on what is received (see bpf.ts), in place before the first datagram can be queued. */
  filter?: Uint8Array;
  /** Kernel receive buffer, bytes; beyond net.core.rmem_max only with NET_ADMIN. Default: the kernel's. */
  receiveBufferBytes?: number;
  /** Longer datagrams are delivered as `isTruncated`, 1-65536. Default 2048. */
  maximumBytes?: number;
  /** Share the port with other sockets that set this too (SO_REUSEADDR). Default false; see `shareAddress`. */
  reuseAddress?: boolean;
  /** Called for each datagram; without it the socket only sends, and `filter` should drop everything. */
  onDatagram?(datagram: Datagram): void;
  /** The kernel reported an error of receiving. */
  onError?(error: RawSocketError): void;
}

/** One received datagram: the same object again and again, overwritten when the callback has returned. */
export interface Datagram {
  /** Its buffer: only the first `length` bytes are of this datagram. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** It was longer than `maximumBytes`. */
  readonly isTruncated: boolean;
  /** TTL or hop limit as received, 0-255; -1 when the kernel did not say. */
  readonly ttl: number;
  /** The interface it came in by. */
  readonly interfaceIndex: number;
  readonly sourcePort: number;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const on = Uint8Array.of(1, 0, 0, 0);
const off = new Uint8Array(4);
const recordBytes = 56;
const recordWords = recordBytes / 4;

class Slot implements Datagram {
  readonly bytes: Uint8Array;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly #words: Uint32Array;

  constructor(memory: ArrayBuffer, index: number, slots: number, slotBytes: number, addressBytes: number) {
    const record = index * recordBytes;
    this.bytes = new Uint8Array(memory, slots * recordBytes + index * slotBytes, slotBytes);
    this.source = new Uint8Array(memory, record + 24, addressBytes);
    this.destination = new Uint8Array(memory, record + 40, addressBytes);
    this.#words = new Uint32Array(memory, record, recordWords);
  }

  get length(): number {
    return this.#words[0] ?? 0;
  }
  get isTruncated(): boolean {
    return ((this.#words[1] ?? 0) & 1) !== 0;
  }
  get ttl(): number {
    const ttl = this.#words[2] ?? 0;
    return ttl > 255 ? -1 : ttl;
  }
  get interfaceIndex(): number {
    return this.#words[3] ?? 0;
  }
  get sourcePort(): number {
    return this.#words[4] ?? 0;
  }
}

/** Open until `close`, also when nobody refers to it. */
export class DatagramSocket {
  readonly #addon: Addon;
  readonly #handle: DatagramHandle;
  /** For options only; the handle owns it. */
  readonly #fd: number;
  readonly #name: string;
  readonly #options: DatagramSocketOptions;
  readonly #slots: Slot[] = [];
  #closed = false;

  /** @internal use openDatagramSocket */
  constructor(options: DatagramSocketOptions, native: Addon) {
    const { family, localPort, maximumBytes = 2048, onDatagram } = options;
    this.#addon = native;
    this.#options = options;
    this.#name = `UDP port ${localPort}${options.interface === undefined ? '' : ` on ${options.interface}`}`;
    const fd = createSocket({ family, type: 'udp' });
    closingOnFailure(fd, () => prepare(fd, options));
    this.#fd = fd;
    this.#handle = native.datagramOpen(fd);
    if (onDatagram === undefined) return;
    const slots = native.datagramBatch;
    const memory = new ArrayBuffer(slots * (recordBytes + maximumBytes));
    for (let i = 0; i < slots; i++) this.#slots.push(new Slot(memory, i, slots, maximumBytes, family === 4 ? 4 : 16));
    native.datagramStart(this.#handle, memory, maximumBytes, (count, errno) => this.#onReport(count, errno));
  }

  /**
   * Sends one datagram to an address made by `socketAddress`. Gives undefined when the kernel took it, else its error:
   * `LinkDown`, `NoSuchInterface`, `SystemCall` with ENETUNREACH, ...
   * @throws RawSocketError `Closed`
   */
  send(payload: Uint8Array, to: Uint8Array): RawSocketError | undefined {
    const errno = attempt(`send from ${this.#name}`, () => this.#addon.datagramSend(this.#handle, payload, to));
    return errno === 0 ? undefined : systemError(`send from ${this.#name}`, 'sendto', errno);
  }

  /**
   * Delivers what is queued, in this call, and gives how many that were. A timer that fires late should first hear what
   * was said in the meantime, and only then judge that a peer is silent. Does nothing from inside `onDatagram`.
   */
  drain(): number {
    return attempt(`drain ${this.#name}`, () => this.#addon.datagramDrain(this.#handle));
  }

  /** Datagrams the kernel did not queue: refused by the filter, or no room in the buffer. */
  dropped(): number {
    return attempt(`count ${this.#name}`, () => this.#addon.datagramDropped(this.#handle));
  }

  /** Replaces the filter. */
  setFilter(program: Uint8Array): void {
    this.#assertOpen();
    attachFilter(this.#fd, program);
  }

  /**
   * Whether sockets that are bound from now on may share this one's port (SO_REUSEADDR). Turned on only while another
   * socket of one's own is bound, it keeps strangers from taking over the port.
   */
  shareAddress(share: boolean): void {
    this.#assertOpen();
    setOption(this.#fd, `share ${this.#name}`, 1, 2, share ? on : off);
  }

  /** Idempotent; no callback comes after it. */
  close(): void {
    this.#closed = true;
    this.#addon.datagramClose(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #assertOpen(): void {
    if (this.#closed) throw new RawSocketError('Closed', `${this.#name} is closed`);
  }

  #onReport(count: number, errno: number): void {
    if (errno !== 0) {
      this.#options.onError?.(systemError(`receive on ${this.#name}`, 'recvmmsg', errno));
      return;
    }
    for (let i = 0; i < count && !this.#closed; i++) {
      const slot = this.#slots[i];
      if (slot) this.#options.onDatagram?.(slot);
    }
  }
}

function prepare(fd: number, options: DatagramSocketOptions): void {
  const { family, filter, ttl, trafficClass, priority, receiveBufferBytes, localAddress, scopeId, reuseAddress } =
    options;
  if (filter) attachFilter(fd, filter);
  if (options.interface !== undefined) bindToDevice(fd, options.interface);
  if (ttl !== undefined) setTtl(fd, family, ttl);
  if (trafficClass !== undefined) setTrafficClass(fd, family, trafficClass);
  if (priority !== undefined) setPriority(fd, priority);
  if (receiveBufferBytes !== undefined) forceReceiveBuffer(fd, receiveBufferBytes);
  // IP_RECVTTL and IP_PKTINFO, IPV6_RECVHOPLIMIT and IPV6_RECVPKTINFO.
  const [level, wanted] = family === 4 ? [IPPROTO_IP, [12, 8]] : [IPPROTO_IPV6, [51, 49]];
  for (const option of wanted) setOption(fd, 'ask for TTL and interface', level, option, on);
  bindAddress(fd, localAddress ?? (family === 4 ? '0.0.0.0' : '::'), options.localPort, {
    ...(scopeId === undefined ? {} : { scopeId }),
    ...(reuseAddress === undefined ? {} : { reuseAddress }),
  });
}

function forceReceiveBuffer(fd: number, bytes: number): void {
  const value = new Uint8Array(4);
  new DataView(value.buffer).setInt32(0, bytes, true);
  try {
    setOption(fd, `set receive buffer ${bytes}`, 1, 33, value);
  } catch (thrown) {
    if (!(thrown instanceof RawSocketError) || thrown.code !== 'NotPermitted') throw thrown;
    setReceiveBuffer(fd, bytes);
  }
}

/** Where to send to, for `DatagramSocket.send`. @throws RawSocketError `BadArgument` */
export function socketAddress(address: string, port: number, scopeId = 0): Uint8Array {
  return encodeSocketAddress(address, port, scopeId);
}

/**
 * Opens, binds and, with `onDatagram`, starts to receive.
 * @throws RawSocketError `AddressInUse`, `AddressNotAvailable`, `NoSuchInterface`, `NotPermitted`, `AddonMissing`, ...
 */
export function openDatagramSocket(options: DatagramSocketOptions): DatagramSocket {
  return attempt(`open UDP port ${options.localPort}`, () => new DatagramSocket(options, addon()));
}
