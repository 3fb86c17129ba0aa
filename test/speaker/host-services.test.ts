import { describe, expect, test } from '@jest/globals';
import type { EndpointSlice, Service } from '../../src/kube/objects.ts';
import { hostServiceOf } from '../../src/speaker/host-services.ts';

function service(spec: Partial<Service['spec']> = {}, metadata: Partial<Service['metadata']> = {}): Service {
  return {
    metadata: { namespace: 'web', name: 'shop', ...metadata },
    spec: {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.7'],
      ports: [{ name: 'http', port: 80, nodePort: 30080 }],
      ...spec,
    },
    status: { loadBalancer: { ingress: [{ ip: '10.77.0.100' }] } },
  };
}

const slices: EndpointSlice[] = [
  {
    metadata: { namespace: 'web', name: 'shop-x' },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [
      { addresses: ['10.16.0.2'], conditions: { ready: true }, nodeName: 'n1' },
      { addresses: ['10.16.0.3'], conditions: { ready: true }, nodeName: 'n2' },
      { addresses: ['10.16.0.4'], conditions: { ready: false, serving: true, terminating: true }, nodeName: 'n3' },
    ],
  },
];

const texts = (endpoints: readonly { address: unknown; port: number }[] = []) =>
  endpoints.map(({ address, port }) => `${address}:${port}`);

describe('hostServiceOf', () => {
  test('joins ports with endpoints everywhere and on the node', () => {
    const host = hostServiceOf(service(), slices, 'n1');
    expect(host).toMatchObject({
      namespace: 'web',
      name: 'shop',
      externalTrafficPolicy: 'Cluster',
      localReadyEndpoints: 1,
    });
    expect(host?.clusterIPs.map(String)).toEqual(['10.96.0.7']);
    expect(host?.externalAddresses.map(String)).toEqual(['10.77.0.100']);
    expect(host?.ports[0]).toMatchObject({ name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 });
    expect(texts(host?.ports[0]?.endpoints)).toEqual(['10.16.0.2:8080', '10.16.0.3:8080']);
    expect(texts(host?.ports[0]?.localEndpoints)).toEqual(['10.16.0.2:8080']);
  });

  test('a node whose only endpoint drains still serves it, but the health check counts none', () => {
    const host = hostServiceOf(service({ externalTrafficPolicy: 'Local' }), slices, 'n3');
    expect(texts(host?.ports[0]?.localEndpoints)).toEqual(['10.16.0.4:8080']);
    expect(host?.localReadyEndpoints).toBe(0);
  });

  test('a port without endpoints and without node port', () => {
    const host = hostServiceOf(service({ ports: [{ name: 'other', protocol: 'UDP', port: 53 }] }), slices, 'n1');
    expect(host?.ports).toEqual([{ name: 'other', protocol: 'UDP', port: 53, endpoints: [], localEndpoints: [] }]);
  });

  test('source ranges: the field, else the annotation, and only for load balancers', () => {
    const annotations = { 'service.beta.kubernetes.io/load-balancer-source-ranges': '192.0.2.0/24, 198.51.100.0/24' };
    expect(hostServiceOf(service({}, { annotations }), slices, 'n1')?.sourceRanges).toEqual([
      '192.0.2.0/24',
      ' 198.51.100.0/24',
    ]);
    const field = { loadBalancerSourceRanges: ['203.0.113.0/24'] };
    expect(hostServiceOf(service(field, { annotations }), slices, 'n1')?.sourceRanges).toEqual(['203.0.113.0/24']);
    expect(hostServiceOf(service({ type: 'ClusterIP', ...field }), slices, 'n1')?.sourceRanges).toEqual([]);
  });

  test.each<[string, Partial<Service['spec']>, Partial<Service['metadata']>]>([
    ['headless', { clusterIPs: ['None'], clusterIP: 'None' }, {}],
    ['ExternalName', { type: 'ExternalName' }, {}],
    ['served by another proxy', {}, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }],
  ])('nothing to do for a Service that is %s', (_, spec, metadata) => {
    expect(hostServiceOf(service(spec, metadata), slices, 'n1')).toBeUndefined();
  });

  test('addresses with ipMode Proxy are not translated here', () => {
    const proxied = {
      ...service(),
      status: { loadBalancer: { ingress: [{ ip: '10.77.0.100', ipMode: 'Proxy' as const }] } },
    };
    expect(hostServiceOf(proxied, slices, 'n1')?.externalAddresses).toEqual([]);
  });
});
