import { type Address, AddressRange, type Cidr } from '../../net/index.ts';

/** What matters of a network interface for announcing. */
export interface InterfaceFacts {
  readonly index: number;
  readonly name: string;
  readonly ethernet: boolean;
  readonly up: boolean;
  readonly broadcast: boolean;
  readonly loopback: boolean;
  readonly noArp: boolean;
  /** Belongs to a bridge, bond or Open vSwitch; a VRF does not count. */
  readonly enslaved: boolean;
  /** Prefixes of its own addresses, sorted. */
  readonly subnets: readonly Cidr[];
}

/**
 * Names of interfaces that carry pods, tunnels or a switch's insides, never the network outside. Only for interfaces that
 * nobody named: an L2Advertisement may name any of them.
 */
export const excludedInterfaceNames: readonly RegExp[] = [
  /^(veth|cali|cni|lxc|docker|br-[0-9a-f]{12}$|flannel|tunl|virbr|lxdbr|podman|mirror|nodelocaldns|kube-ipvs|kube-bridge)/,
  /^(cilium|antrea|weave|vxlan|geneve|br-int|ovn|ovs-|genev_sys)/,
  /^[0-9a-f]{12}_h$/, // Kube-OVN's host ends of pod interfaces
];

/** Why an interface cannot announce at all, or undefined when it can (as soon as it is up). */
export function interfaceProblem(facts: InterfaceFacts): string | undefined {
  if (facts.loopback) return 'is a loopback';
  if (!facts.ethernet) return 'is no Ethernet interface';
  if (!facts.broadcast) return 'has no broadcast';
  if (facts.noArp) return 'does no ARP';
  if (facts.enslaved) return 'belongs to a bridge, bond or switch; name that one instead';
  return undefined;
}

export type InterfaceChoice =
  | { kind: 'chosen'; interfaces: readonly InterfaceFacts[] }
  | { kind: 'none'; message: string };

/**
 * The interfaces that announce an address: those that are named, else those in a subnet that holds the address, else
 * every candidate that is up. One that is in the right subnet stays chosen while it is down: the address does not belong
 * elsewhere.
 *
 * @param named interface names of the L2Advertisement; empty or undefined: none were given
 */
export function chooseInterfaces(
  address: Address,
  named: readonly string[] | undefined,
  all: readonly InterfaceFacts[],
): InterfaceChoice {
  if (named !== undefined && named.length > 0) {
    const wanted = new Set(named);
    const present = all.filter((facts) => wanted.has(facts.name));
    const usable = present.filter((facts) => interfaceProblem(facts) === undefined);
    if (usable.length > 0) return { kind: 'chosen', interfaces: usable };
    const problems = [...wanted].sort().map((name) => {
      const facts = present.find((candidate) => candidate.name === name);
      return `${name} ${facts ? interfaceProblem(facts) : 'does not exist'}`;
    });
    return {
      kind: 'none',
      message: `the L2Advertisement names interfaces that cannot announce: ${problems.join('; ')}`,
    };
  }
  const candidates = all.filter((facts) => interfaceProblem(facts) === undefined && !isExcluded(facts.name));
  const connected = candidates.filter((facts) => facts.subnets.some((subnet) => subnet.contains(address)));
  if (connected.length > 0) return { kind: 'chosen', interfaces: connected };
  const up = candidates.filter((facts) => facts.up);
  if (up.length > 0) return { kind: 'chosen', interfaces: up };
  return {
    kind: 'none',
    message: `no interface of this node can announce ${address}; name one in spec.interfaces of the L2Advertisement`,
  };
}

export function isExcluded(name: string): boolean {
  return excludedInterfaceNames.some((pattern) => pattern.test(name));
}

/** Where announcements may come to be made, before there is an address. */
export interface Expectation {
  /** Interfaces that an L2Advertisement names. */
  readonly named: readonly string[];
  /** Ranges of pools that are announced wherever they fit, as `AddressRange` prints them. */
  readonly ranges: readonly string[];
}

/**
 * Indexes of the interfaces on which speakers should know each other before the first address comes: those that are
 * named, and those where an address of the ranges would go.
 *
 * @param expectation undefined: anything may come
 */
export function expectedInterfaces(
  expectation: Expectation | undefined,
  all: readonly InterfaceFacts[],
): ReadonlySet<number> {
  const candidates = all.filter((facts) => interfaceProblem(facts) === undefined);
  const unnamed = candidates.filter(({ name, subnets }) => !isExcluded(name) && subnets.length > 0);
  const usable = unnamed.filter(({ up }) => up);
  if (!expectation) return new Set(usable.map(({ index }) => index));
  const expected = new Set(candidates.filter(({ name }) => expectation.named.includes(name)).map(({ index }) => index));
  for (const text of expectation.ranges) {
    const range = AddressRange.parse(text);
    const connected = unnamed.filter(({ subnets }) =>
      subnets.some((subnet) => range.overlaps(AddressRange.ofCidr(subnet))),
    );
    for (const { index } of connected.length > 0 ? connected : usable) expected.add(index);
  }
  return expected;
}
