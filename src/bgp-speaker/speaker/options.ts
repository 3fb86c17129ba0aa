/** What a speaker and its peers are described by; validated once, immutable from then on. */
import type { Clock, Random } from '../../base/index.ts';
import { Address, Cidr } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import { isRouterAddress } from '../message/attribute-checks.ts';
import type { PeerMachineConfig } from '../session/peer-state.ts';
import { resolveSessionOptions, type SessionOptions } from '../session/session-options.ts';
import { checkConnectionOptions } from '../transport/connection-options.ts';
import type { AuthenticationKey, ConnectionOptions, Transport } from '../transport/transport.ts';
import { peersAt } from './neighbours.ts';
import { type ExportPolicy, isLinkLocal } from './outbound-policy.ts';
import type { DiscoverPeer } from './unnumbered.ts';

/** Where to take connections. */
export interface ListenAddress {
  /** `0.0.0.0` and `::` are every address of their family. */
  address: string | Address;
  /** 0 lets the kernel choose; default 179. */
  port?: number;
  interface?: string;
}

/** A speaker: one AS number and BGP identifier, its routes, and its peers. */
export interface SpeakerOptions {
  /** Ours, 1-4294967295. */
  localAs: number;
  /** An IPv4 address in text form, also where only IPv6 is spoken (RFC 6286). */
  identifier: string;
  /** Where to take connections; default none: every peer is dialled. */
  listen?: readonly ListenAddress[];
  /** The routes given so far are all there are: see `BgpSpeaker.routesComplete`. Default false. */
  routesComplete?: boolean;
  /** Finds the router on a link, for peers that have just an `interface`; default: by its advertisements. */
  discoverPeer?: DiscoverPeer;
  /** Defaults: TCP of the system, its clock, Math.random. */
  transport?: Transport;
  clock?: Clock;
  random?: Random;
  /** Aborting closes the speaker as `close()` does. */
  signal?: AbortSignal;
}

/** One peer. What is left out has the default that SessionOptions and ConnectionOptions name. */
export interface PeerOptions extends Omit<SessionOptions, 'localAs' | 'identifier'> {
  /** In events and messages; default the address, with the interface for a link-local one. */
  name?: string;
  /** The peer's. Left out, with `interface`: whoever is found on that link (unnumbered). */
  address?: string | Address;
  /** Where it listens; default 179. */
  port?: number;
  localAddress?: string | Address;
  interface?: string;
  password?: string | Uint8Array;
  authenticationKeys?: readonly AuthenticationKey[];
  ttlSecurityHops?: number;
  /** TTL of what is sent; default 1 for an external peer, 255 for an internal one and where either may come. */
  multihop?: number;
  userTimeoutMs?: number;
  /** Another AS number towards this peer than the speaker's. */
  localAs?: {
    asNumber: number;
    /** Only it is put before the path to external peers; default false: it, then the speaker's own. */
    replaceAs?: boolean;
    /** As routers know it: about routes received from the peer, which are dropped. Accepted, without effect. */
    noPrepend?: boolean;
  };
  /** The policy; default: every route as it is. */
  exportRoute?: ExportPolicy;
  /** Next hops of routes without one; default: our address on the session. */
  nextHopIpv4?: string | Address;
  nextHopIpv6?: string | Address;
  /** Text for the operator on the other side when we end the session (RFC 9003), at most 255 bytes of UTF-8. */
  shutdownText?: string;
  /** Keep it down, refusing its connections, until `Session.start()`; default false. */
  disabled?: boolean;
}

/** Peers that are known by a prefix only (dynamic neighbours): they connect, we never dial. */
export interface DynamicPeerOptions
  extends Omit<PeerOptions, 'address' | 'port' | 'passive' | 'name' | 'localAddress' | 'disabled'> {
  /** At most so many sessions at once, 1-65535; default 100. */
  maximumPeers?: number;
}

/** A peer's options, checked, with defaults in place. */
export interface ResolvedPeer {
  readonly name: string;
  /** Undefined: to be found on `interface`. */
  readonly address: Address | undefined;
  readonly port: number | undefined;
  readonly interface: string | undefined;
  /** Not enumerable: it has the keys. */
  readonly connection: ConnectionOptions;
  readonly machine: PeerMachineConfig;
  readonly ownPath: readonly number[];
  readonly exportRoute: ExportPolicy | undefined;
  readonly nextHopIpv4: Address | undefined;
  readonly nextHopIpv6: Address | undefined;
  readonly shutdownText: string;
  readonly disabled: boolean;
  /** Made by `acceptPeers`. */
  readonly dynamic: boolean;
}

/** @throws BgpOptionsError that names every field that is wrong */
export function resolvePeer(
  speaker: { localAs: number; identifier: string },
  options: PeerOptions,
  dynamic = false,
): ResolvedPeer {
  const problems: { field: string; text: string }[] = [];
  const attempt = <T>(run: () => T): T | undefined => {
    try {
      return run();
    } catch (thrown) {
      if (!(thrown instanceof BgpOptionsError)) throw thrown;
      for (const problem of thrown.problems) problems.push(problem);
      return undefined;
    }
  };
  const problem = (field: string, fits: boolean, text: string) => {
    if (!fits) problems.push({ field, text });
  };
  const address = attempt(() => readAddress('address', options.address));
  const localAddress = attempt(() => readAddress('localAddress', options.localAddress));
  const nextHopIpv4 = attempt(() => readNextHop('nextHopIpv4', options.nextHopIpv4, 4));
  const nextHopIpv6 = attempt(() => readNextHop('nextHopIpv6', options.nextHopIpv6, 6));
  const { localAs, port, shutdownText = '' } = options;
  const asNumber = localAs?.asNumber ?? speaker.localAs;
  const machine = attempt(() =>
    resolveSessionOptions({ ...options, localAs: asNumber, identifier: speaker.identifier }),
  );
  problem('address', options.address !== undefined || options.interface !== undefined, 'give it, or interface');
  problem('port', port === undefined || isWhole(port, 1, 65_535), `${port} is not a whole number from 1 to 65535`);
  const textBytes = Buffer.byteLength(shutdownText);
  problem('shutdownText', textBytes <= 255, `${textBytes} bytes are more than 255`);
  const given: ConnectionOptions = {
    ...(localAddress ? { localAddress } : {}),
    ...(options.interface === undefined ? {} : { interface: options.interface }),
    ...(options.password === undefined ? {} : { password: copyOfKey(options.password) }),
    ...(options.authenticationKeys === undefined ? {} : { authenticationKeys: copyOfKeys(options.authenticationKeys) }),
    ...(options.ttlSecurityHops === undefined ? {} : { ttlSecurityHops: options.ttlSecurityHops }),
    ...(options.multihop === undefined ? {} : { multihop: options.multihop }),
    ...(options.userTimeoutMs === undefined ? {} : { userTimeoutMs: options.userTimeoutMs }),
  };
  // With an address that is wrong or missing, the rest is checked all the same.
  const isLink = options.address === undefined && options.interface !== undefined;
  const peers = peersAt(address ?? (isLink ? undefined : (localAddress ?? Address.of(4, 0n))));
  attempt(() => checkConnectionOptions(peers, given));
  if (problems.length > 0 || !machine) throw new BgpOptionsError(problems);
  const external = isExternal(options.peerAs, asNumber);
  const multihop = options.multihop ?? (external ? 1 : 255);
  const resolved = {
    name: options.name ?? (address ? nameAt(address, options.interface) : (options.interface ?? '')),
    address,
    port,
    interface: options.interface,
    machine: dynamic ? { ...machine, passive: true } : machine,
    ownPath: localAs && !localAs.replaceAs ? [asNumber, speaker.localAs] : [asNumber],
    exportRoute: options.exportRoute,
    nextHopIpv4,
    nextHopIpv6,
    shutdownText,
    disabled: options.disabled ?? false,
    dynamic,
  };
  const connection: ConnectionOptions = Object.freeze({
    ...given,
    ...(given.ttlSecurityHops === undefined ? { multihop } : {}),
  });
  return withConnection(resolved, connection);
}

/** What a peer is called that has no name. */
export function nameAt(address: Address, link: string | undefined): string {
  return `${address}${isLinkLocal(address) ? `%${link}` : ''}`;
}

/** A peer like another one, at its own address. */
export function peerLike({ connection, ...same }: ResolvedPeer, name: string, address: Address): ResolvedPeer {
  return withConnection({ ...same, name, address }, connection);
}

/** The connection is not shown with the rest: it has the keys. */
function withConnection(rest: Omit<ResolvedPeer, 'connection'>, connection: ConnectionOptions): ResolvedPeer {
  const hidden = { enumerable: false, value: connection };
  return Object.freeze(Object.defineProperty({ ...rest }, 'connection', hidden) as ResolvedPeer);
}

/** Its owner may blot it out. */
function copyOfKey(key: string | Uint8Array): string | Uint8Array {
  return key instanceof Uint8Array ? Uint8Array.from(key) : key;
}

function copyOfKeys(keys: readonly AuthenticationKey[]): readonly AuthenticationKey[] {
  // What is no list is named by the check.
  return Array.isArray(keys) ? keys.map((one) => ({ ...one, key: copyOfKey(one.key) })) : keys;
}

/** @throws BgpOptionsError */
export function readAddress(field: string, given: string | Address | undefined, family?: 4 | 6): Address | undefined {
  if (given === undefined) return undefined;
  const address = typeof given === 'string' ? Address.tryParse(given) : given;
  if (address && (family === undefined || address.family === family)) return address;
  const kind = family === undefined ? 'IPv4 or IPv6' : `IPv${family}`;
  throw new BgpOptionsError([{ field, text: `"${given}" is not an ${kind} address` }]);
}

function readNextHop(field: string, given: string | Address | undefined, family: 4 | 6): Address | undefined {
  const address = readAddress(field, given, family);
  if (address === undefined || isRouterAddress(address)) return address;
  throw new BgpOptionsError([{ field, text: `${address} is not the address of a router` }]);
}

/** @throws BgpOptionsError */
export function readPrefix(field: string, given: string | Cidr): Cidr {
  if (typeof given !== 'string') return given;
  try {
    return Cidr.parse(given);
  } catch (thrown) {
    throw new BgpOptionsError([{ field, text: thrown instanceof Error ? thrown.message : String(thrown) }]);
  }
}

function isExternal(peerAs: SessionOptions['peerAs'], localAs: number): boolean {
  if (typeof peerAs === 'string') return peerAs === 'external';
  return typeof peerAs === 'number' ? peerAs !== localAs : !peerAs.includes(localAs);
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
