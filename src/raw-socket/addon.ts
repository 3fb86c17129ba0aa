import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RawSocketError } from './errors.ts';

declare const gateBrand: unique symbol;
declare const packetBrand: unique symbol;
declare const netlinkBrand: unique symbol;
declare const datagramBrand: unique symbol;
/** Objects of the addon: opaque to JavaScript. */
export type GateHandle = { readonly [gateBrand]: true };
export type PacketHandle = { readonly [packetBrand]: true };
export type DatagramHandle = { readonly [datagramBrand]: true };
type NetlinkHandle = { readonly [netlinkBrand]: true };

/** The functions of native/addon.c. Each throws an Error with `syscall` and `errno`; see `attempt`. */
export interface Addon {
  readonly interfaceVersion: number;
  /** Frames in one callback, and slots in the shared buffer. */
  readonly packetBatch: number;
  readonly datagramBatch: number;
  gateCreate(): GateHandle;
  gateOpen(gate: GateHandle, milliseconds: number): void;
  gateExtend(gate: GateHandle, milliseconds: number): boolean;
  gateClose(gate: GateHandle): void;
  gateRemaining(gate: GateHandle): number;
  packetOpen(
    interfaceIndex: number,
    etherType: number,
    program: Uint8Array | undefined,
    receiveBufferBytes: number,
    ignoreOutgoing: 0 | 1,
  ): PacketHandle;
  packetMembership(packet: PacketHandle, group: Uint8Array, join: 0 | 1): void;
  packetStart(
    packet: PacketHandle,
    buffer: ArrayBuffer,
    slotBytes: number,
    report: (count: number, errno: number) => void,
  ): void;
  packetDrain(packet: PacketHandle): void;
  packetSend(packet: PacketHandle, frame: Uint8Array, gate: GateHandle | undefined): number;
  packetHardwareAddress(packet: PacketHandle): Uint8Array;
  packetStatistics(packet: PacketHandle): number[];
  packetClose(packet: PacketHandle): void;
  datagramOpen(fd: number): DatagramHandle;
  datagramStart(
    datagram: DatagramHandle,
    buffer: ArrayBuffer,
    slotBytes: number,
    report: (count: number, errno: number) => void,
  ): void;
  datagramDrain(datagram: DatagramHandle): number;
  datagramSend(datagram: DatagramHandle, payload: Uint8Array, address: Uint8Array): number;
  datagramDropped(datagram: DatagramHandle): number;
  datagramClose(datagram: DatagramHandle): void;
  netlinkOpen(protocol: number, groups: number, receiveBufferBytes: number): NetlinkHandle;
  netlinkStart(netlink: NetlinkHandle, buffer: ArrayBuffer, report: (length: number, errno: number) => void): void;
  netlinkSend(netlink: NetlinkHandle, request: Uint8Array): void;
  netlinkClose(netlink: NetlinkHandle): void;
  socketCreate(family: number, type: number, protocol: number): number;
  socketBind(fd: number, address: Uint8Array): void;
  socketSetOption(fd: number, level: number, option: number, value: Uint8Array): void;
  socketGetOption(fd: number, level: number, option: number, length: number): Uint8Array;
  socketAttachFilter(fd: number, program: Uint8Array): void;
  socketClose(fd: number): void;
  interfaceIndex(name: string): number;
  setRealtimePriority(priority: number): void;
  boottimeMs(): number;
  releaseFilePages(): number;
}

/** RAW_SOCKET_INTERFACE_VERSION of native/addon.h. */
const interfaceVersion = 3;

/** Where the addon may be: named by the environment, beside the bundle, or in the checkout's dist. */
export function addonCandidates(moduleUrl: string, named: string | undefined): string[] {
  if (named !== undefined && named !== '') return [named];
  const here = dirname(fileURLToPath(moduleUrl));
  return [join(here, 'raw-socket.node'), join(here, '../../dist/raw-socket.node')];
}

/** @throws RawSocketError `AddonMissing`, `AddonMismatch` */
export function loadAddon(candidates: readonly string[]): Addon {
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new RawSocketError(
      'AddonMissing',
      `the native addon is not at ${candidates.join(' or ')}; run "make build", or set OVENBIRD_RAW_SOCKET to its path`,
    );
  }
  const target: { exports: unknown } = { exports: {} };
  try {
    process.dlopen(target, path);
  } catch (thrown) {
    throw new RawSocketError(
      'AddonMismatch',
      `${path} was not built for this machine and runtime (${process.platform}-${process.arch}); run "make build" here`,
      { cause: thrown },
    );
  }
  if (!isAddon(target.exports)) {
    throw new RawSocketError('AddonMismatch', `${path} belongs to another version of the sources; run "make build"`);
  }
  return target.exports;
}

function isAddon(value: unknown): value is Addon {
  return (
    typeof value === 'object' &&
    value !== null &&
    'interfaceVersion' in value &&
    value.interfaceVersion === interfaceVersion
  );
}

// One load per thread: the addon keeps its own state per environment, and loading it again would make a second one.
let loaded: Addon | undefined;

/** The addon, loaded at first use, so that a program that needs no socket runs without it. */
export function addon(): Addon {
  loaded ??= loadAddon(addonCandidates(import.meta.url, process.env.OVENBIRD_RAW_SOCKET));
  return loaded;
}
