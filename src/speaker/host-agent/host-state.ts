import type { Address, Cidr, Family } from '../../net/index.ts';
import type { HostInputs } from './host-inputs.ts';
import type { NftTable } from './nft-table.ts';
import type { Overlay } from './overlay.ts';
import { serviceTable } from './service-table.ts';
import { type HostProblem, type Treatment, treatments } from './treatment.ts';

/** What belongs to the agent on a host, and nothing else: one nftables table, one route table, one rule a family. */
export interface HostAgentOptions {
  /** Overlay interface. Default "ovn0". */
  device: string;
  /** Name of the nftables table. Default "ovenbird". */
  table: string;
  /** Number of the route table, and priority of the rule that looks it up before the main table. Default 7472. */
  routeTable: number;
  /** Default 0x4000. */
  masqueradeMark: number;
}

export const defaultHostAgentOptions: HostAgentOptions = {
  device: 'ovn0',
  table: 'ovenbird',
  routeTable: 7472,
  masqueradeMark: 0x4000,
};

/** A route of the agent's own table. */
export interface HostRoute {
  family: Family;
  destination: Cidr | Address;
  gateway: Address;
  device: string;
}

/** A port that answers whether this node has ready endpoints of a Service. */
export interface HealthPort {
  port: number;
  namespace: string;
  name: string;
  readyEndpoints: number;
}

/** All that should be on the host. */
export interface HostState {
  nft: NftTable;
  /** In order; without those of a family for which the overlay has no gateway. */
  routes: HostRoute[];
  /** Families that have routes, and so need the rule. */
  ruleFamilies: Family[];
  healthPorts: HealthPort[];
  /** Who is served how: for flushing UDP flows that were sent elsewhere before. */
  treatments: Treatment[];
  problems: HostProblem[];
}

/** Everything that should be on this host for these inputs. Pure. */
export function desiredHostState(
  inputs: HostInputs,
  overlay: Overlay,
  options: HostAgentOptions = defaultHostAgentOptions,
): HostState {
  const { treatments: judged, problems } = treatments(inputs, overlay);
  const routes = desiredRoutes(inputs, overlay);
  return {
    nft: serviceTable(judged, inputs, overlay, options),
    routes,
    ruleFamilies: ([4, 6] as const).filter((family) => routes.some((route) => route.family === family)),
    healthPorts: healthPorts(inputs, problems),
    treatments: judged,
    problems,
  };
}

function desiredRoutes({ services, serviceCidrs }: HostInputs, { gateways, device }: Overlay): HostRoute[] {
  const destinations = new Map<string, Cidr | Address>(serviceCidrs.map((cidr) => [cidr.toString(), cidr]));
  const covered = (address: Address) => serviceCidrs.some((cidr) => cidr.contains(address));
  for (const { clusterIPs, externalAddresses, ports } of services) {
    if (ports.length === 0) continue;
    for (const address of [...clusterIPs, ...externalAddresses]) {
      if (!covered(address)) destinations.set(address.toString(), address);
    }
  }
  const routes: HostRoute[] = [];
  for (const [, destination] of [...destinations].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const gateway = gateways[destination.family];
    if (gateway) routes.push({ family: destination.family, destination, gateway, device });
  }
  return routes;
}

function healthPorts({ services }: HostInputs, problems: HostProblem[]): HealthPort[] {
  const ports = new Map<number, HealthPort>();
  for (const { namespace, name, healthCheckNodePort, externalTrafficPolicy, localReadyEndpoints } of services) {
    if (!healthCheckNodePort || externalTrafficPolicy !== 'Local') continue;
    const holder = ports.get(healthCheckNodePort);
    if (holder) {
      problems.push({
        service: `${namespace}/${name}`,
        message: `healthCheckNodePort ${healthCheckNodePort} of Service ${namespace}/${name} is already that of Service ${holder.namespace}/${holder.name}`,
      });
    } else {
      ports.set(healthCheckNodePort, {
        port: healthCheckNodePort,
        namespace,
        name,
        readyEndpoints: localReadyEndpoints,
      });
    }
  }
  return [...ports.values()].sort((a, b) => a.port - b.port);
}
