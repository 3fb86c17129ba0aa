import { excludeNodeLabel } from '../api/names.ts';
import type { AnnouncementReason } from '../api/reasons.ts';
import { type Config, l2AdvertisementsOf, matchesLabels, poolOf } from '../config/index.ts';
import type { EndpointSlice, Node, Service } from '../kube/objects.ts';
import { objectKey } from '../kube/objects.ts';
import type { Address, Family } from '../net/index.ts';
import { ingressOf, selectEndpoints, tracesOn } from '../service/index.ts';

/** A reason and the sentence that names the objects at hand. */
export interface DecisionReason {
  code: AnnouncementReason;
  message: string;
}

/** Who may announce one address of one Service, and where. */
export interface AnnounceDecision {
  /** Canonical text. */
  address: string;
  /** "namespace/name". */
  service: string;
  /** Empty: every suitable interface. Sorted. */
  interfaces: string[];
  /** Names of the nodes that may own the address; empty when nobody may. Sorted. */
  eligibleNodes: string[];
  reason: DecisionReason;
}

/**
 * Who may announce each address in the status of one Service.
 *
 * The same inputs give the same answer on every node: all speakers must agree on the eligible nodes. What only one
 * node can know (its links, the health of its host agent) is not decided here.
 *
 * @param service a Service of ours, of type LoadBalancer
 */
export function decideAnnouncements(
  service: Service,
  slices: readonly EndpointSlice[],
  nodes: readonly Node[],
  config: Config,
): AnnounceDecision[] {
  const decisions: AnnounceDecision[] = [];
  const { allocatedFrom } = tracesOn(service);
  for (const [index, address] of ingressOf(service).entries()) {
    decisions.push(decide(address, allocatedFrom[index] ?? allocatedFrom[0], service, slices, nodes, config));
  }
  return decisions;
}

function decide(
  address: Address,
  allocatedFrom: string | undefined,
  service: Service,
  slices: readonly EndpointSlice[],
  nodes: readonly Node[],
  config: Config,
): AnnounceDecision {
  const key = objectKey(service);
  const answer = (
    code: AnnouncementReason,
    message: string,
    eligibleNodes: string[] = [],
    interfaces: string[] = [],
  ) => ({
    address: address.toString(),
    service: key,
    interfaces,
    eligibleNodes,
    reason: { code, message },
  });
  if (service.metadata.deletionTimestamp !== undefined) {
    return answer('ServiceDeleted', `Service ${key} is being deleted`);
  }
  const pool = poolOf(config.pools, address)?.name ?? allocatedFrom;
  const advertisements = l2AdvertisementsOf(config, address, allocatedFrom);
  if (advertisements.length === 0) {
    const where = pool === undefined ? `${address}, which no pool holds` : `pool ${pool}`;
    return answer('NotAdvertised', `no L2Advertisement covers ${where}; create one that names the pool`);
  }
  const { family } = address;
  if (!hasEndpoint(slices, family)) {
    return answer('NoEndpoints', `Service ${key} has no ready IPv${family} endpoint, so nobody answers for ${address}`);
  }
  const local = service.spec.externalTrafficPolicy === 'Local';
  const selected = nodes.filter((node) =>
    advertisements.some(
      ({ nodeSelectors }) => nodeSelectors?.some((selector) => matchesLabels(selector, node.metadata.labels)) ?? true,
    ),
  );
  const usable = selected.filter((node) => nodeProblem(node) === undefined);
  const eligible = usable.filter((node) => !local || hasEndpoint(slices, family, node.metadata.name));
  const interfaces = advertisements.some((advertisement) => advertisement.interfaces.length === 0)
    ? []
    : [...new Set(advertisements.flatMap((advertisement) => advertisement.interfaces))].sort();

  if (eligible.length === 0) {
    if (local && usable.length > 0) {
      return answer(
        'NoLocalEndpoints',
        `externalTrafficPolicy of ${key} is Local and none of the nodes that may announce ${address} runs a ready endpoint`,
      );
    }
    const names = advertisements.map(({ name }) => name).sort();
    const problems = selected.map((node) => `${node.metadata.name} ${nodeProblem(node)}`).sort();
    return answer(
      'NoEligibleNode',
      `no node may announce ${address}: L2Advertisement ${names.join(', ')} selects ${
        problems.length === 0 ? 'no node' : `only unusable nodes (${problems.join('; ')})`
      }`,
    );
  }
  const names = eligible.map((node) => node.metadata.name).sort();
  return answer('Eligible', `${names.length} of ${nodes.length} nodes may announce ${address}`, names, interfaces);
}

/** Why a node may not announce anything, or undefined when it may. */
function nodeProblem(node: Node): string | undefined {
  const exclude = node.metadata.labels?.[excludeNodeLabel];
  if (exclude !== undefined && exclude !== 'false') return `has the label ${excludeNodeLabel}`;
  if (node.metadata.deletionTimestamp !== undefined) return 'is being deleted';
  const unavailable = node.status?.conditions?.some(
    ({ type, status }) => type === 'NetworkUnavailable' && status === 'True',
  );
  return unavailable ? 'reports NetworkUnavailable' : undefined;
}

/** Whether the Service has an endpoint of a family that takes traffic: anywhere, or on one node. */
function hasEndpoint(slices: readonly EndpointSlice[], family: Family, onlyNode?: string): boolean {
  return selectEndpoints(slices, onlyNode).some(({ endpoints }) =>
    endpoints.some(({ address }) => address.family === family),
  );
}
