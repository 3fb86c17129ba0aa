import type { Address, Cidr, Family } from '../../net/index.ts';
import type { HostInputs, HostService } from './host-inputs.ts';
import type { NftTable } from './nft-table.ts';
import type { Overlay } from './overlay.ts';
import { type Contribution, serviceTable } from './service-table.ts';
import { type HostProblem, type JudgedService, judgeService, settleClaims, type Treatment } from './treatment.ts';

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

/**
 * Remembers what was worked out for a Service object. Handing the same memo to every call makes a call cost by what
 * changed; a Service that did not change must be the same object.
 */
export class HostStateMemo {
  #context = '';
  #judged = new WeakMap<HostService, JudgedService>();
  /** @internal */
  contributions = new WeakMap<Treatment, Contribution>();

  /** @internal */
  judge(services: readonly HostService[], overlay: Overlay, options: HostAgentOptions): JudgedService[] {
    const context = JSON.stringify([overlay, options]);
    if (context !== this.#context) {
      this.#context = context;
      this.#judged = new WeakMap();
      this.contributions = new WeakMap();
    }
    const judged = services.map((service) => {
      let known = this.#judged.get(service);
      if (!known) {
        known = judgeService(service, overlay);
        this.#judged.set(service, known);
      }
      return known;
    });
    return judged.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }
}

/** Everything that should be on this host for these inputs. Pure. */
export function desiredHostState(
  inputs: HostInputs,
  overlay: Overlay,
  options: HostAgentOptions = defaultHostAgentOptions,
  memo = new HostStateMemo(),
): HostState {
  const { treatments, problems } = settleClaims(memo.judge(inputs.services, overlay, options));
  const routes = desiredRoutes(inputs, overlay);
  return {
    nft: serviceTable(treatments, inputs, overlay, options, memo.contributions),
    routes,
    ruleFamilies: ([4, 6] as const).filter((family) => routes.some((route) => route.family === family)),
    healthPorts: healthPorts(inputs, problems),
    treatments,
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
