import { Address, Cidr } from '../../../src/net/index.ts';
import type {
  HostEndpoint,
  HostInputs,
  HostService,
  HostServicePort,
  Overlay,
} from '../../../src/speaker/host-agent/index.ts';

export const address = (text: string) => Address.parse(text);

export function endpoint(text: string, port = 8080): HostEndpoint {
  return { address: address(text), port };
}

export function port(over: Partial<HostServicePort> = {}): HostServicePort {
  const endpoints = over.endpoints ?? [endpoint('10.16.0.2'), endpoint('10.16.0.3')];
  return { name: 'http', protocol: 'TCP', port: 80, endpoints, localEndpoints: endpoints.slice(0, 1), ...over };
}

export function hostService(over: Partial<HostService> = {}): HostService {
  return {
    namespace: 'default',
    name: 'web',
    clusterIPs: [address('10.96.0.10')],
    externalAddresses: [address('10.77.0.100')],
    ports: [port()],
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    sessionAffinity: 'None',
    sourceRanges: [],
    localReadyEndpoints: 1,
    ...over,
  };
}

export function hostInputs(services: HostService[], over: Partial<HostInputs> = {}): HostInputs {
  return {
    services,
    complete: true,
    nodeAddresses: [address('172.31.40.21')],
    serviceCidrs: [],
    overlayGateways: [],
    nodeEligible: true,
    ...over,
  };
}

export const overlay: Overlay = {
  device: 'ovn0',
  gateways: { 4: address('100.64.0.1') },
  podCidrs: [Cidr.parse('10.16.0.0/16')],
};
