import type { Address, Cidr } from '../../net/index.ts';

export type TransportProtocol = 'TCP' | 'UDP' | 'SCTP';

/** One backend of a Service port. */
export interface HostEndpoint {
  address: Address;
  /** 1 to 65535. */
  port: number;
}

export interface HostServicePort {
  /** Name of the Service port; "" for the unnamed one. */
  name: string;
  protocol: TransportProtocol;
  port: number;
  /** Absent when the Service has none (allocateLoadBalancerNodePorts: false). */
  nodePort?: number;
  /** The endpoints to use, of all nodes and families, readiness already judged. */
  endpoints: readonly HostEndpoint[];
  /** The endpoints of this node to use where only those count, readiness judged among them alone. */
  localEndpoints: readonly HostEndpoint[];
}

/** One Service as a node sees it. */
export interface HostService {
  namespace: string;
  name: string;
  /** Empty for a headless Service. */
  clusterIPs: readonly Address[];
  /** Addresses of status.loadBalancer.ingress with ipMode VIP. */
  externalAddresses: readonly Address[];
  ports: readonly HostServicePort[];
  externalTrafficPolicy: 'Cluster' | 'Local';
  internalTrafficPolicy: 'Cluster' | 'Local';
  sessionAffinity: 'None' | 'ClientIP';
  /** Prefixes as the Service gives them; blanks around them and host bits are forgiven. Empty: everyone is admitted. */
  sourceRanges: readonly string[];
  healthCheckNodePort?: number;
  /** How many endpoints of this node are ready; those that terminate do not count. Answers the health check. */
  localReadyEndpoints: number;
}

/** Everything the host agent of one node acts on. */
export interface HostInputs {
  services: readonly HostService[];
  /** True once every list behind these inputs was read in full. Before, what a predecessor left stays untouched. */
  complete: boolean;
  /** Addresses of this node, as its Node object gives them. */
  nodeAddresses: readonly Address[];
  /**
   * Addresses of the other nodes. The overlay sends answers to them straight to that node and not by way of this one, so
   * their packets to endpoints here are masqueraded even where clients keep their address.
   */
  peerAddresses?: readonly Address[];
  /** Ranges of ClusterIPs, routed as a whole. Without any, each ClusterIP gets a route. */
  serviceCidrs: readonly Cidr[];
  /** Gateways on the overlay device (annotation ovn.kubernetes.io/gateway); empty to take those of its routes. */
  overlayGateways: readonly Address[];
  /** False while this node is to lose new connections (being deleted, drained): health checks answer 503. */
  nodeEligible: boolean;
}
