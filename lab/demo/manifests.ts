import { addressing } from '../lab.ts';

export const namespace = 'demo';
export const serviceName = 'shop';
export const replicas = 4;

/** What the demo applies: a pool, its announcement, a workload and a Service. */
export function manifests(workloadImage: string): object[] {
  const labels = { app: serviceName };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: 'ovenbird.dev/v1alpha1',
      kind: 'IPAddressPool',
      metadata: { name: 'demo' },
      spec: { addresses: [addressing.pool.range] },
    },
    {
      apiVersion: 'ovenbird.dev/v1alpha1',
      kind: 'L2Advertisement',
      metadata: { name: 'demo' },
      spec: { ipAddressPools: ['demo'], interfaces: ['fabric0'] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: serviceName, namespace },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 1,
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: 'kubernetes.io/hostname',
                whenUnsatisfiable: 'ScheduleAnyway',
                labelSelector: { matchLabels: labels },
              },
            ],
            containers: [
              {
                name: 'netexec',
                image: workloadImage,
                args: ['netexec', '--http-port=8080', '--udp-port=-1'],
                ports: [{ containerPort: 8080 }],
                readinessProbe: { httpGet: { path: '/hostname', port: 8080 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: serviceName, namespace },
      spec: { type: 'LoadBalancer', selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    },
  ];
}
