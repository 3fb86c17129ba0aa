import { agnhostImage } from '../../lab/image-names.ts';
import { apiRead, kubectl } from '../../lab/kubectl.ts';
import type { Lab } from '../../lab/lab.ts';
import { tryRun, waitFor } from '../../lab/processes.ts';

/** A running pod of a workload. */
export interface Backend {
  readonly name: string;
  readonly node: string;
  readonly address: string;
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: {
      readonly podIP?: string;
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    };
  }[];
}

/** Runs pods that answer HTTP on port 8080 (`/hostname`, `/clientip`), spread over the nodes; ready when it resolves. */
export async function startWorkload(lab: Lab, name: string, replicas: number): Promise<Backend[]> {
  const labels = { app: name };
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
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
              whenUnsatisfiable: 'DoNotSchedule',
              labelSelector: { matchLabels: labels },
            },
          ],
          containers: [
            {
              name: 'web',
              image: agnhostImage,
              imagePullPolicy: 'Never',
              args: ['netexec', '--http-port=8080', '--udp-port=8081'],
              readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  };
  await kubectl(lab, ['apply', '-f', '-'], { input: JSON.stringify(deployment) });
  return waitForBackends(lab, name, replicas);
}

/** Waits until a workload has exactly so many ready pods; sorted by name. */
export async function waitForBackends(lab: Lab, name: string, replicas: number): Promise<Backend[]> {
  let backends: Backend[] = [];
  await waitFor(`${name}: ${replicas} ready pods`, 90_000, async () => {
    backends = await readyBackends(lab, name);
    return backends.length === replicas;
  });
  return backends;
}

/** Removes a workload and waits until its pods are gone. */
export async function removeWorkload(lab: Lab, name: string): Promise<void> {
  await kubectl(lab, ['delete', 'deployment', name, '--ignore-not-found', '--cascade=foreground', '--timeout=60s']);
}

/** What a URL answers a host; undefined when it does not within two seconds. */
export async function ask(lab: Lab, host: string, url: string): Promise<string | undefined> {
  const answer = await tryRun(lab, { host, command: 'curl', args: ['-s', '-m', '2', url] });
  return answer.code === 0 ? answer.stdout : undefined;
}

/** The answers to so many requests, each on a connection of its own, one after the other. */
export async function askTimes(lab: Lab, host: string, url: string, times: number): Promise<(string | undefined)[]> {
  const answers: (string | undefined)[] = [];
  for (let at = 0; at < times; at++) answers.push(await ask(lab, host, url));
  return answers;
}

/** What a pod is answered when it asks for a path itself, so many times (agnhost's own dialler). */
export async function askFromPod(
  lab: Lab,
  pod: Backend,
  target: { address: string; port: number; request: string },
  times: number,
): Promise<string[]> {
  const query = `host=${target.address}&port=${target.port}&request=${target.request}&protocol=http&tries=${times}`;
  const url = `http://${pod.address}:8080/dial?${query}`;
  const { stdout } = await tryRun(lab, { host: pod.node, command: 'curl', args: ['-s', '-m', '60', url] });
  const { responses } = JSON.parse(stdout || '{}') as { responses?: string[] };
  return responses ?? [];
}

async function readyBackends(lab: Lab, name: string): Promise<Backend[]> {
  const { items } = await apiRead<PodList>(lab, `/api/v1/namespaces/default/pods?labelSelector=app%3D${name}`);
  return items
    .filter(({ metadata, status }) => {
      const ready = status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
      return ready === true && metadata.deletionTimestamp === undefined;
    })
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      node: spec.nodeName ?? '',
      address: status.podIP ?? '',
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
