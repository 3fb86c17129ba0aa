import { Address } from '../../net/index.ts';
import { BfdError } from './errors.ts';

/** What may change while a session lives; the peer is told by a poll sequence. */
export interface BfdTiming {
  /** How often we would like to send, ms, 10-60000. Default 300. */
  desiredMinTxMs?: number;
  /** How often we are ready to receive, ms, 10-60000. Default 300. */
  requiredMinRxMs?: number;
  /** So many of our packets may be lost before the peer gives us up, 1-255. Default 3. */
  detectMultiplier?: number;
}

/** One session with one peer. */
export interface BfdSessionOptions extends BfdTiming {
  peer: string | Address;
  /** Source of what is sent, and destination of what is received. Default: the kernel chooses. */
  localAddress?: string | Address;
  /** Only through this interface or VRF; required for a link-local peer. */
  interface?: string;
  /** RFC 5883: several hops, UDP port 4784. Default false: the peer is on the link (RFC 5881, port 3784). */
  multihop?: boolean;
  /**
   * Multihop: the least TTL or hop limit of received packets, 1-255. Default 1, which RFC 5883 leaves open and some peers
   * need (BIRD sends 64). Against forged packets set 256 less the hops, with a peer that sends 255 (FRR does).
   */
  minimumTtl?: number;
  /** Send nothing before the peer did. Default false. */
  passive?: boolean;
  /** Begin taken down by the operator. Default false. */
  adminDown?: boolean;
}

/** Complete options, as they travel to a worker. */
export interface ResolvedBfdSession extends Required<BfdTiming> {
  family: 4 | 6;
  /** Canonical text. */
  peer: string;
  localAddress: string | undefined;
  interface: string | undefined;
  multihop: boolean;
  /** 255 for a single hop. */
  minimumTtl: number;
  passive: boolean;
  adminDown: boolean;
}

const defaults: Required<BfdTiming> = { desiredMinTxMs: 300, requiredMinRxMs: 300, detectMultiplier: 3 };
const defaultMinimumTtl = 1;
/** IFNAMSIZ less the terminating zero. */
const longestInterfaceName = 15;

/** Fills in what is left out. @throws BfdError `BadOptions`, naming every field that is wrong */
export function resolveBfdSession(options: BfdSessionOptions): ResolvedBfdSession {
  const { multihop = false, minimumTtl } = options;
  const problems: string[] = [];
  const timing = resolveTiming(options, defaults, problems);
  const peer = takeAddress('peer', options.peer, problems);
  const localAddress =
    options.localAddress === undefined ? undefined : takeAddress('localAddress', options.localAddress, problems);
  if (peer && localAddress && localAddress.family !== peer.family) {
    problems.push(`localAddress: ${localAddress} is not of the peer's IP version`);
  }
  if (peer && isLinkLocal(peer) && options.interface === undefined) {
    problems.push(`interface: the peer ${peer} is link-local; name the interface it is on`);
  }
  if (peer && isLinkLocal(peer) && multihop) {
    problems.push(`multihop: the peer ${peer} is link-local, on this very link`);
  }
  if (options.interface !== undefined && !isInterfaceName(options.interface)) {
    problems.push(`interface: "${options.interface}" is no name of an interface`);
  }
  if (minimumTtl !== undefined && !multihop) {
    problems.push('minimumTtl: is for multihop; a single hop takes 255 only');
  }
  if (minimumTtl !== undefined && !isInteger(minimumTtl, 1, 255)) {
    problems.push(`minimumTtl: ${minimumTtl} is not a whole number of 1-255`);
  }
  if (peer === undefined || problems.length > 0) {
    throw new BfdError('BadOptions', `BFD session with ${options.peer}: ${problems.join('; ')}`);
  }
  return {
    ...timing,
    family: peer.family,
    peer: peer.toString(),
    localAddress: localAddress?.toString(),
    interface: options.interface,
    multihop,
    minimumTtl: multihop ? (minimumTtl ?? defaultMinimumTtl) : 255,
    passive: options.passive ?? false,
    adminDown: options.adminDown ?? false,
  };
}

/** New timing of a session; what is left out stays. @throws BfdError `BadOptions` */
export function resolveBfdTiming(change: BfdTiming, before: Required<BfdTiming>): Required<BfdTiming> {
  const problems: string[] = [];
  const timing = resolveTiming(change, before, problems);
  if (problems.length > 0) throw new BfdError('BadOptions', `timing of a BFD session: ${problems.join('; ')}`);
  return timing;
}

function resolveTiming(given: BfdTiming, before: Required<BfdTiming>, problems: string[]): Required<BfdTiming> {
  const take = (field: keyof BfdTiming, least: number, most: number): number => {
    const value = given[field] ?? before[field];
    if (!isInteger(value, least, most)) problems.push(`${field}: ${value} is not a whole number of ${least}-${most}`);
    return value;
  };
  return {
    desiredMinTxMs: take('desiredMinTxMs', 10, 60_000),
    requiredMinRxMs: take('requiredMinRxMs', 10, 60_000),
    detectMultiplier: take('detectMultiplier', 1, 255),
  };
}

/** What tells sessions from each other before discriminators are known (RFC 5881 section 3, RFC 5883 section 4.1). */
export function bfdSessionKey({ multihop, peer, interface: name, localAddress }: ResolvedBfdSession): string {
  return `${multihop ? 'multihop' : 'single-hop'} ${peer} ${name ?? '*'} ${localAddress ?? '*'}`;
}

function takeAddress(field: string, given: string | Address, problems: string[]): Address | undefined {
  const address = typeof given === 'string' ? Address.tryParse(given) : given;
  if (address && isUnicast(address)) return address;
  problems.push(`${field}: ${given} is not the address of one host`);
  return undefined;
}

/** fe80::/10: means something only together with an interface. */
export function isLinkLocal({ family, value }: Address): boolean {
  return family === 6 && value >> 118n === 0xfe80n >> 6n;
}

function isUnicast({ family, value }: Address): boolean {
  if (value === 0n) return false;
  return family === 4 ? value >> 28n < 0xen : value >> 120n !== 0xffn;
}

function isInterfaceName(name: string): boolean {
  return /^[^/\s:]+$/.test(name) && Buffer.byteLength(name) <= longestInterfaceName && name !== '.' && name !== '..';
}

function isInteger(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
