import { Address, Cidr, type Family } from '../../net/index.ts';

/** How packets leave the host for the overlay. */
export interface Overlay {
  /** Name of the interface, "ovn0" with Kube-OVN. */
  device: string;
  /** Absent for a family that the overlay does not carry. */
  gateways: { 4?: Address; 6?: Address };
  /** Where pods are. An endpoint outside is reached without the overlay. Empty when unknown: then all are inside. */
  podCidrs: readonly Cidr[];
}

/** The part of a route that `ip -json route show` gives and that matters here. */
export interface ListedRoute {
  dst?: string;
  gateway?: string;
  dev?: string;
}

/**
 * Finds the overlay's gateways and pod ranges from the routes the network plugin has on its device: whatever is routed
 * there by a gateway is pods, and that gateway is ours too.
 *
 * @param told gateways that were configured; they win
 */
export function readOverlay(
  device: string,
  told: readonly Address[],
  routes: { 4: readonly ListedRoute[]; 6: readonly ListedRoute[] },
): Overlay {
  const gateways: Overlay['gateways'] = {};
  const podCidrs = new Map<string, Cidr>();
  for (const family of [4, 6] as const) {
    const configured = told.find((address) => address.family === family);
    let gateway = configured;
    for (const route of routes[family]) {
      const via = route.gateway === undefined ? undefined : Address.tryParse(route.gateway);
      const cidr = parseDestination(route.dst ?? '', family);
      if (via?.family !== family || !cidr) continue;
      gateway ??= via;
      podCidrs.set(cidr.toString(), cidr);
    }
    if (gateway) gateways[family] = gateway;
  }
  return { device, gateways, podCidrs: [...podCidrs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cidr]) => cidr) };
}

/** "10.16.0.0/16" or "10.16.0.1"; undefined for "default" and anything else. */
export function parseDestination(text: string, family: Family): Cidr | undefined {
  try {
    const cidr = text.includes('/') ? Cidr.parse(text) : Cidr.of(Address.parse(text), family === 4 ? 32 : 128);
    return cidr.family === family && cidr.prefixLength > 0 ? cidr : undefined;
  } catch {
    return undefined;
  }
}

/** Whether an endpoint is reached through the overlay. */
export function inOverlay(overlay: Overlay, address: Address): boolean {
  const ranges = overlay.podCidrs.filter(({ family }) => family === address.family);
  return ranges.length === 0 || ranges.some((range) => range.contains(address));
}
