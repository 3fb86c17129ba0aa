/** What a route becomes on its way to one peer (RFC 4271 section 5.1, 9.1.3; RFC 8326). */
import { type Address, Cidr } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import type { AddressFamily } from '../message/assigned-numbers.ts';
import { checkAttributes } from '../message/attribute-checks.ts';
import { wellKnownCommunity } from '../message/communities.ts';
import type { PathAttributes, RouteAttributes } from '../message/path-attributes.ts';
import type { RoutePolicy } from '../rib/route-groups.ts';

/** What a policy may know of a peer that is established. */
export interface PeerView {
  /** Name of the session. */
  readonly name: string;
  readonly address: Address;
  /** The peer's, as its OPEN says. */
  readonly asNumber: number;
  readonly identifier: Address;
  /** iBGP: the peer has our AS number. */
  readonly internal: boolean;
  readonly families: readonly AddressFamily[];
}

/**
 * Decides what a peer is told of a route: its attributes, others, or undefined for nothing. Asked for each prefix that
 * is sent; must give the same answer to the same question until `Session.resend()`. The attributes have no AS number of
 * ours yet. Return the same object for the same result where you can: it saves comparing. Where it throws, or gives
 * what nobody could take, the peer goes without the route (event `unsendable`).
 */
export type ExportPolicy = (prefix: Cidr, attributes: RouteAttributes, peer: PeerView) => RouteAttributes | undefined;

/** What the session is doing to the routes of this peer. */
export type OutboundMode = 'normal' | 'graceful-shutdown' | 'withdraw';

export interface OutboundPeer {
  view: PeerView;
  /** Numbers put before the path to external peers, the nearest first. */
  ownPath: readonly number[];
  /** Our address in each family on this session, where it is known. */
  nextHops: { ipv4?: Address | undefined; ipv6?: Address | undefined; linkLocal?: Address | undefined };
  /** RFC 8950 was negotiated. */
  ipv4NextHopOverIpv6: boolean;
  exportRoute: ExportPolicy | undefined;
}

/** The policy of one established session. */
export class OutboundPolicy implements RoutePolicy {
  /** Set, then have everything sent again. */
  mode: OutboundMode = 'normal';
  readonly #peer: OutboundPeer;
  readonly #results = new Map<string, WeakMap<RouteAttributes, PathAttributes>>();

  constructor(peer: OutboundPeer) {
    this.#peer = peer;
  }

  get isByAttributes(): boolean {
    return this.#peer.exportRoute === undefined;
  }

  /** @throws BgpArgumentError when the peer cannot have it */
  apply(original: RouteAttributes, family: AddressFamily, prefix: Cidr | undefined): PathAttributes | undefined {
    if (this.mode === 'withdraw') return undefined;
    const { exportRoute, view } = this.#peer;
    const attributes = exportRoute && prefix ? this.#exported(exportRoute, prefix, original, view) : original;
    if (!attributes) return undefined;
    if (typeof attributes !== 'object') {
      throw new BgpArgumentError(
        `the export policy of ${view.name} gave ${String(attributes)}, which are no attributes`,
      );
    }
    const key = `${family} ${this.mode}`;
    let known = this.#results.get(key);
    if (!known) {
      known = new WeakMap();
      this.#results.set(key, known);
    }
    let result = known.get(attributes);
    if (!result) {
      if (attributes !== original) this.#checkExported(attributes, view);
      result = outboundAttributes(attributes, family, this.#peer, this.mode);
      known.set(attributes, result);
    }
    return result;
  }

  #exported(
    exportRoute: ExportPolicy,
    prefix: Cidr,
    original: RouteAttributes,
    view: PeerView,
  ): RouteAttributes | undefined {
    try {
      return exportRoute(prefix, original, view);
    } catch (thrown) {
      // Without the prefix, so that failures for one reason are told together.
      throw new BgpArgumentError(`the export policy of ${view.name} failed: ${messageOf(thrown)}`);
    }
  }

  #checkExported(attributes: RouteAttributes, { name }: PeerView): void {
    try {
      checkAttributes(attributes);
    } catch (thrown) {
      if (!(thrown instanceof BgpArgumentError)) throw thrown;
      throw new BgpArgumentError(`the export policy of ${name} gave ${thrown.message}`);
    }
  }
}

/**
 * The attributes on the wire. To external peers: our AS numbers first, no LOCAL_PREF. To internal ones: LOCAL_PREF 100
 * unless given, and 0 when we are about to leave (RFC 8326 section 4.1), for routers that do not look at the community.
 * @throws BgpArgumentError when there is no next hop that the peer can take; its own address is none (RFC 4271 section
 *   5.1.3)
 */
export function outboundAttributes(
  attributes: RouteAttributes,
  family: AddressFamily,
  peer: OutboundPeer,
  mode: OutboundMode,
): PathAttributes {
  const { asPath = [], nextHop, linkLocalNextHop, localPreference, ...rest } = attributes;
  for (const hop of [nextHop, nextHop && linkLocalNextHop]) {
    if (hop?.equals(peer.view.address)) throw new BgpArgumentError(`nextHop: ${hop} is the peer itself`);
  }
  const hops = nextHop ? { nextHop, linkLocalNextHop } : ownNextHop(family, peer);
  const leaves = mode === 'graceful-shutdown';
  const communities = leaves ? [...(rest.communities ?? []), wellKnownCommunity.gracefulShutdown] : rest.communities;
  return {
    ...rest,
    asPath: peer.view.internal ? asPath : [...peer.ownPath, ...asPath],
    nextHop: hops.nextHop,
    ...(hops.linkLocalNextHop ? { linkLocalNextHop: hops.linkLocalNextHop } : {}),
    ...(communities ? { communities } : {}),
    ...(peer.view.internal ? { localPreference: leaves ? 0 : (localPreference ?? 100) } : {}),
  };
}

function ownNextHop(
  family: AddressFamily,
  { nextHops, ipv4NextHopOverIpv6, view }: OutboundPeer,
): { nextHop: Address; linkLocalNextHop?: Address | undefined } {
  const { ipv4, ipv6, linkLocal } = nextHops;
  if (family === 'ipv4-unicast' && ipv4) return { nextHop: ipv4 };
  if (family === 'ipv6-unicast' || ipv4NextHopOverIpv6) {
    // On a link without other addresses the link-local one stands in both places, as routers expect.
    const global = ipv6 ?? linkLocal;
    if (global) return { nextHop: global, linkLocalNextHop: linkLocal };
  }
  const version = family === 'ipv4-unicast' ? 'IPv4' : 'IPv6';
  const field = family === 'ipv4-unicast' ? 'nextHopIpv4' : 'nextHopIpv6';
  throw new BgpArgumentError(
    `nextHop: the session ${view.name} has no ${version} address of ours; give nextHop with the route, or ${field} with the peer`,
  );
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

const linkLocalPrefix = Cidr.parse('fe80::/10');

export function isLinkLocal(address: Address): boolean {
  return linkLocalPrefix.contains(address);
}
