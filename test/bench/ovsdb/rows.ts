/** The rows of the ovsdb benchmarks: load balancers with five backends, as a cluster of that size has them. */
export function balancer(i: number) {
  return {
    name: `svc-${i}`,
    protocol: 'tcp',
    vips: { [`172.${18 + Math.floor(i / 62_500)}.${Math.floor(i / 250) % 250}.${i % 250}:80`]: backends(i) },
    options: { reject: 'true', neighbor_responder: 'none' },
    external_ids: { owner: 'bench', service: `default/svc-${i}` },
  };
}

function backends(i: number): string {
  return Array.from({ length: 5 }, (_, n) => `10.16.${i % 250}.${n + 1}:8080`).join();
}

export const monitoredColumns = ['name', 'vips', 'protocol', 'options', 'external_ids'] as const;

/** Value of `external_ids:round` after the last update of the stream. */
export const lastRound = 'last';
