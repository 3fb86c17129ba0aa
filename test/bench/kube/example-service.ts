import type { Service } from '../../../src/kube/index.ts';

/** A Service as clusters have them, 2.5 KB of JSON, most of it managedFields and annotations. */
export function exampleService(index: number): Service {
  const name = `service-${index}`;
  const labels = {
    app: name,
    'app.kubernetes.io/managed-by': 'Helm',
    'app.kubernetes.io/part-of': `suite-${index % 50}`,
  };
  const owned = (paths: string[]) => Object.fromEntries(paths.map((path) => [path, { '.': {} }]));
  const metadata = {
    namespace: `team-${index % 40}`,
    name,
    creationTimestamp: '2026-01-01T00:00:00Z',
    labels,
    annotations: {
      'meta.helm.sh/release-name': name,
      'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ labels, note: 'x'.repeat(500) }),
    },
    managedFields: ['helm', 'kube-controller-manager', 'ovenbird-controller'].map((manager) => ({
      manager,
      operation: 'Update',
      apiVersion: 'v1',
      time: '2026-01-01T00:00:00Z',
      fieldsType: 'FieldsV1',
      fieldsV1: owned([
        'f:labels',
        'f:annotations',
        'f:spec',
        'f:ports',
        'f:selector',
        'f:type',
        'f:status',
        'f:ingress',
      ]),
    })),
  };
  const address = `10.${100 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    metadata,
    spec: {
      type: 'LoadBalancer',
      clusterIP: address,
      clusterIPs: [address],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      selector: { app: name },
      externalTrafficPolicy: 'Cluster',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
      allocateLoadBalancerNodePorts: true,
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30_000 + (index % 2_700) },
        { name: 'https', protocol: 'TCP', port: 443, targetPort: 8443, nodePort: 30_000 + ((index + 1) % 2_700) },
      ],
    },
    status: { loadBalancer: { ingress: [{ ip: address, ipMode: 'VIP' }] } },
  };
}
