import { join } from 'node:path';
import { binary } from './binaries.ts';
import { LabError } from './errors.ts';
import type { Image } from './images.ts';
import { apiRead, kubeconfigPath, kubectl } from './kubectl.ts';
import { addressing, type Lab } from './lab.ts';
import { run } from './processes.ts';

/** Where the lab installs Ovenbird. */
export const release = { name: 'ovenbird', namespace: 'ovenbird-system' } as const;

/** The values of the chart for a lab: the API server and the northbound database are reached by address. */
export function chartValues(lab: Lab, image: Image): object {
  const { hostname, port } = new URL(addressing.apiServer);
  const [repository, tag] = splitTag(image.name);
  return {
    image: { repository, tag },
    apiServer: { host: hostname, port: Number(port) },
    ovn: { mode: lab.ovn, northbound: lab.ovn === 'off' ? '' : addressing.ovnNorthbound },
  };
}

/** Installs or upgrades the chart; resolves when its Deployment and DaemonSet run what was installed. */
export async function installChart(lab: Lab, image: Image): Promise<void> {
  await run(lab, {
    command: binary(lab, 'helm'),
    args: [
      ...['upgrade', '--install', release.name, join(lab.checkout, 'charts/ovenbird')],
      ...['--namespace', release.namespace, '--create-namespace', '--values', '-'],
    ],
    env: { KUBECONFIG: kubeconfigPath(lab) },
    input: JSON.stringify(chartValues(lab, image)),
  });
  const timeoutMs = 120_000;
  await Promise.all(
    [`deployment/${release.name}-controller`, `daemonset/${release.name}-speaker`].map((workload) =>
      rolledOut(lab, workload, timeoutMs),
    ),
  );
}

async function rolledOut(lab: Lab, workload: string, timeoutMs: number): Promise<void> {
  const args = ['-n', release.namespace, 'rollout', 'status', workload, `--timeout=${timeoutMs / 1000}s`];
  try {
    await kubectl(lab, args, { timeoutMs: timeoutMs + 10_000 });
  } catch (cause) {
    throw new LabError('NotReady', `${workload}: not ready in ${timeoutMs / 1000} s\n${await podReport(lab)}`, {
      cause,
    });
  }
}

interface PodList {
  items: {
    metadata: { name: string };
    status: {
      phase?: string;
      containerStatuses?: { ready: boolean; restartCount: number; state: Record<string, Record<string, unknown>> }[];
    };
  }[];
}

/** One line a pod, with why it waits, and the end of the logs of those that are not ready. */
async function podReport(lab: Lab): Promise<string> {
  const { items } = await apiRead<PodList>(lab, `/api/v1/namespaces/${release.namespace}/pods`);
  const lines: string[] = [];
  for (const { metadata, status } of items) {
    const container = status.containerStatuses?.[0];
    const [state = status.phase ?? 'Unknown', details] = Object.entries(container?.state ?? {})[0] ?? [];
    const reason = [details?.reason, details?.message].filter(Boolean).join(': ');
    lines.push(
      `    ${metadata.name}: ${state}${reason ? ` (${reason})` : ''}, ${container?.restartCount ?? 0} restarts`,
    );
    if (container?.ready) continue;
    const logs = await kubectl(lab, ['-n', release.namespace, 'logs', '--tail=5', metadata.name]).catch(
      () => undefined,
    );
    for (const line of logs?.stdout.trim().split('\n').filter(Boolean) ?? []) lines.push(`      ${line.slice(0, 300)}`);
  }
  return lines.join('\n');
}

function splitTag(name: string): [string, string] {
  const at = name.lastIndexOf(':');
  return [name.slice(0, at), name.slice(at + 1)];
}
