import type { Capabilities, OvnService, OvnServicePort } from '../../src/ovn/index.ts';

/** What OVN 23.03 can do. */
export const oldCapabilities: Capabilities = {
  groups: true,
  selectionFields: new Set(['eth_src', 'eth_dst', 'ip_src', 'ip_dst', 'tp_src', 'tp_dst']),
};

/** What OVN 25.03 can do. */
export const newCapabilities: Capabilities = {
  groups: true,
  selectionFields: new Set([...oldCapabilities.selectionFields, 'ipv6_src', 'ipv6_dst']),
};

export function port(over: Partial<OvnServicePort> = {}): OvnServicePort {
  return {
    name: 'http',
    protocol: 'TCP',
    port: 80,
    endpoints: [{ address: '10.16.0.2', port: 8080, nodeName: 'node-1' }],
    ...over,
  };
}

export function service(over: Partial<OvnService> = {}): OvnService {
  const name = over.name ?? 'web';
  return {
    namespace: 'default',
    name,
    uid: `uid-of-${name}`,
    clusterIPs: ['10.96.0.10'],
    externalAddresses: ['10.77.0.100'],
    ports: [port()],
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    sessionAffinity: 'None',
    sourceRestricted: false,
    ...over,
  };
}
