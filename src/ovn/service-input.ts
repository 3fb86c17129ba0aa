import type { Address } from '../net/index.ts';

/** Transport protocols an OVN load balancer knows, spelled as Kubernetes spells them. */
export type OvnProtocol = 'TCP' | 'UDP' | 'SCTP';

/** One backend. Texts are parsed here, so that one bad address costs a backend and not the Service. */
export interface OvnEndpoint {
  address: Address | string;
  /** 1 to 65535. */
  port: number;
  /** The node that hosts it; absent for endpoints nobody hosts. */
  nodeName?: string;
}

export interface OvnServicePort {
  /** Name of the Service port; "" for the unnamed one. Only shown in problems. */
  name: string;
  protocol: OvnProtocol;
  /** Port of the cluster and external addresses, 1 to 65535. */
  port: number;
  /** Absent when the Service has none (allocateLoadBalancerNodePorts: false). */
  nodePort?: number;
  /** The endpoints to use, of all families and nodes, readiness already judged. */
  endpoints: readonly OvnEndpoint[];
}

/**
 * What the northbound writer needs to know of one Service: no Kubernetes object, so that it can be built by anyone.
 *
 * Hand in the *same object* while nothing about the Service changed: rows are remembered by identity.
 */
export interface OvnService {
  namespace: string;
  name: string;
  /** Changes when a Service is deleted and made anew, and with it the uuids of its rows. */
  uid: string;
  /** Empty for a headless Service. */
  clusterIPs: readonly (Address | string)[];
  /** The addresses of status.loadBalancer.ingress (and of externalIPs, where those are honoured). */
  externalAddresses: readonly (Address | string)[];
  ports: readonly OvnServicePort[];
  externalTrafficPolicy: 'Cluster' | 'Local';
  internalTrafficPolicy: 'Cluster' | 'Local';
  sessionAffinity: 'None' | 'ClientIP';
  /** Seconds, 1 to 86400. Only reported: see `selectionFields` in load-balancer-rows.ts. */
  sessionAffinityTimeoutSeconds?: number;
  /** True when loadBalancerSourceRanges admits less than everyone: then only hosts, which filter, may reach the row. */
  sourceRestricted: boolean;
}

/** A node and the addresses at which its NodePorts are reached. */
export interface OvnNode {
  name: string;
  addresses: readonly (Address | string)[];
}

/** What the writer is asked to write. */
export type OvnMode = 'external' | 'full' | 'off';

/** Everything the controller knows at one moment. */
export interface OvnInputs {
  services: readonly OvnService[];
  nodes: readonly OvnNode[];
  /** True once every list behind these inputs was read in full; nothing is deleted before. */
  complete: boolean;
}
