import { Address } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import { type AddressFamily, addressFamilies } from '../message/assigned-numbers.ts';
import type { Capabilities } from '../message/capabilities.ts';
import type { ExpectedAs } from './negotiation.ts';
import type { PeerMachineConfig } from './peer-state.ts';

/** How a session behaves on the wire. Every time is a whole number of seconds. */
export interface SessionOptions {
  /** Ours, 1-4294967295. */
  localAs: number;
  /** The peer's, or which it may have: AS numbers, all but ours, ours, any. */
  peerAs: ExpectedAs;
  /** Ours, an IPv4 address in text form other than 0.0.0.0; also where only IPv6 is spoken (RFC 6286). */
  identifier: string;
  /** Default: IPv4 and IPv6 unicast. */
  families?: readonly AddressFamily[];
  /** Proposed hold time: 0 (none) or 3-65535; default 90. */
  holdTimeSeconds?: number;
  /** Wait for the peer to connect; default false. */
  passive?: boolean;
  /** Between attempts to connect, 1-65535; default 10, for a router that comes back shall not wait (RFC 4271: 120). */
  connectRetrySeconds?: number;
  /** How long an OPEN is waited for, and without a hold time the KEEPALIVE after it, 1-65535; default 240. */
  openHoldSeconds?: number;
  /** Wait after a first failure, 1-65535; default 1. Doubles up to `maximumIdleHoldSeconds`, default 120. */
  idleHoldSeconds?: number;
  maximumIdleHoldSeconds?: number;
  /** A session this old clears earlier failures, 1-65535; default 60. */
  stableSeconds?: number;
  /**
   * The peer must take a byte within this time (RFC 9687): 0 (none), or greater than `holdTimeSeconds`, to 131070. Default
   * the larger of 480 and twice the hold time agreed on. Where that is 0, nothing need be sent, and this has no effect.
   */
  sendHoldSeconds?: number;
  /** RFC 8654; default false: it gains 1 %. */
  extendedMessages?: boolean;
  /** RFC 8950; default true where IPv4 is spoken. */
  ipv4NextHopOverIpv6?: boolean;
  /** RFC 4724; default none. */
  gracefulRestart?: {
    /** 1-4095. */
    restartTimeSeconds: number;
    /** This process has restarted and its peers may hold its routes. */
    restarted: boolean;
    /** Packets to the announced prefixes were carried all the while. */
    forwarding: boolean;
    /** RFC 8538: also when a session ends with a NOTIFICATION; default true. */
    notification?: boolean;
    /** RFC 9494: keep them this long after, as a last resort, 1-16777215; default none. */
    longLivedStaleTimeSeconds?: number;
  };
}

/**
 * What the state machine works with: the OPEN to send and the timers, immutable.
 * @throws BgpOptionsError that names every field that is wrong
 */
export function resolveSessionOptions(options: SessionOptions): PeerMachineConfig {
  const check = new Check();
  const { families = addressFamilies, peerAs, gracefulRestart } = options;
  const localAs = check.whole('localAs', options.localAs, 1, 0xffff_ffff);
  checkPeerAs(check, peerAs);
  check.is(
    'families',
    families.length > 0 && families.every((family) => addressFamilies.includes(family)),
    `give at least one of ${addressFamilies.join(', ')}`,
  );
  const address = Address.tryParse(options.identifier);
  const isIdentifier = address?.family === 4 && address.value !== 0n;
  check.is('identifier', isIdentifier, `"${options.identifier}" is not an IPv4 address other than 0.0.0.0`);
  const holdTimeSeconds = check.whole('holdTimeSeconds', options.holdTimeSeconds ?? 90, 0, 65_535);
  check.is('holdTimeSeconds', holdTimeSeconds !== 1 && holdTimeSeconds !== 2, 'give 0 or at least 3');
  const seconds = (
    field: 'connectRetrySeconds' | 'openHoldSeconds' | 'idleHoldSeconds' | 'stableSeconds',
    byDefault: number,
  ) => {
    return check.whole(field, options[field] ?? byDefault, 1, 65_535);
  };
  const idleHoldSeconds = seconds('idleHoldSeconds', 1);
  const maximum = options.maximumIdleHoldSeconds ?? Math.max(120, idleHoldSeconds);
  if (gracefulRestart) {
    const { restartTimeSeconds, longLivedStaleTimeSeconds } = gracefulRestart;
    check.whole('gracefulRestart.restartTimeSeconds', restartTimeSeconds, 1, 4095);
    if (longLivedStaleTimeSeconds !== undefined) {
      check.whole('gracefulRestart.longLivedStaleTimeSeconds', longLivedStaleTimeSeconds, 1, 0xff_ffff);
    }
  }
  const config: PeerMachineConfig = {
    local: {
      asNumber: localAs,
      holdTimeSeconds,
      identifier: address ?? Address.of(4, 1n),
      capabilities: capabilitiesOf(options, families),
    },
    expectedAs: Array.isArray(peerAs) ? Object.freeze([...peerAs]) : peerAs,
    passive: options.passive ?? false,
    connectRetrySeconds: seconds('connectRetrySeconds', 10),
    openHoldSeconds: seconds('openHoldSeconds', 240),
    idleHoldSeconds,
    maximumIdleHoldSeconds: check.whole('maximumIdleHoldSeconds', maximum, idleHoldSeconds, 65_535),
    stableSeconds: seconds('stableSeconds', 60),
    ...(options.sendHoldSeconds === undefined
      ? {}
      : { sendHoldSeconds: checkSendHold(check, options.sendHoldSeconds, holdTimeSeconds) }),
  };
  check.done();
  return Object.freeze(config);
}

function checkPeerAs(check: Check, peerAs: ExpectedAs): void {
  if (typeof peerAs === 'string') {
    const isKind = ['external', 'internal', 'any'].includes(peerAs);
    check.is('peerAs', isKind, `"${peerAs}": give an AS number, several, external, internal or any`);
    return;
  }
  const numbers = typeof peerAs === 'number' ? [peerAs] : peerAs;
  if (!Array.isArray(numbers) || numbers.length === 0) {
    check.is('peerAs', false, 'give an AS number, several, external, internal or any');
    return;
  }
  for (const asNumber of numbers) check.whole('peerAs', asNumber, 1, 0xffff_ffff);
}

/** RFC 9687 section 4.4. The hold time agreed on is never longer than ours, so it is shorter than this, too. */
function checkSendHold(check: Check, seconds: number, holdTimeSeconds: number): number {
  check.whole('sendHoldSeconds', seconds, 0, 2 * 65_535);
  check.is(
    'sendHoldSeconds',
    seconds === 0 || !(seconds <= holdTimeSeconds),
    `${seconds} is not greater than holdTimeSeconds, ${holdTimeSeconds}: give more, 0 for none, or leave it out`,
  );
  return seconds;
}

function capabilitiesOf(options: SessionOptions, wanted: readonly AddressFamily[]): Capabilities {
  const { localAs, gracefulRestart: restart } = options;
  const families = addressFamilies.filter((family) => wanted.includes(family));
  const capabilities: Capabilities = {
    families,
    routeRefresh: true,
    enhancedRouteRefresh: true,
    extendedMessages: options.extendedMessages ?? false,
    ipv4NextHopOverIpv6: (options.ipv4NextHopOverIpv6 ?? true) && families.includes('ipv4-unicast'),
    fourOctetAs: localAs,
  };
  if (!restart) return capabilities;
  const { restarted, forwarding, restartTimeSeconds, notification = true, longLivedStaleTimeSeconds } = restart;
  const each = families.map((family) => ({ family, forwarding }));
  const gracefulRestart = { restarted, notification, restartTimeSeconds, families: each };
  if (longLivedStaleTimeSeconds === undefined) return { ...capabilities, gracefulRestart };
  const longLivedGracefulRestart = each.map((entry) => ({ ...entry, staleTimeSeconds: longLivedStaleTimeSeconds }));
  return { ...capabilities, gracefulRestart, longLivedGracefulRestart };
}

/** Collects what is wrong. */
class Check {
  readonly #problems: { field: string; text: string }[] = [];

  is(field: string, fits: boolean, text: string): void {
    if (!fits && !this.#problems.some((problem) => problem.field === field)) this.#problems.push({ field, text });
  }

  whole(field: string, value: number, least: number, most: number): number {
    const fits = Number.isInteger(value) && value >= least && value <= most;
    this.is(field, fits, `${value} is not a whole number from ${least} to ${most}`);
    return value;
  }

  done(): void {
    if (this.#problems.length > 0) throw new BgpOptionsError(this.#problems);
  }
}
