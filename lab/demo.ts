/**
 * `make demo`: a bare-metal cluster on this machine, a Service of type LoadBalancer, and what happens when the node that
 * owns its address dies. Every line shown is the answer of a real program; nothing is acted.
 */
import { join } from 'node:path';
import type { SpeakerStatus } from '../src/api/speaker-status.ts';
import { describeError } from '../src/base/index.ts';
import type { Service } from '../src/kube/objects.ts';
import { release } from './chart.ts';
import { ClientProbe, monotonicMs } from './demo/client-probe.ts';
import { manifests, namespace, replicas, serviceName } from './demo/manifests.ts';
import { measureOutage } from './demo/outage.ts';
import { crashNode, restoreNode } from './faults.ts';
import { agnhostImage } from './image-names.ts';
import { apiRead, kubectl } from './kubectl.ts';
import { addressing, type Lab } from './lab.ts';
import { run, waitFor } from './processes.ts';
import { type Progress, terminalProgress } from './progress.ts';
import { bringUp } from './up.ts';

const servicePath = `/api/v1/namespaces/${namespace}/services/${serviceName}`;
const bold = process.stdout.isTTY ? (text: string) => `\u001b[1m${text}\u001b[0m` : (text: string) => text;

function heading(number: number, text: string): void {
  console.log(`\n${bold(`${number}. ${text}`)}`);
}

/** A command as the reader could type it, and its answer, indented. */
function shown(command: string, output: string): void {
  console.log(`   $ ${command}`);
  for (const line of output.trimEnd().split('\n')) console.log(`     ${line}`);
}

/** One curl from the client host; undefined when it failed. */
async function curl(lab: Lab, address: string, path: string): Promise<string | undefined> {
  const args = ['-sS', '--max-time', '3', `http://${address}${path}`];
  try {
    return (await run(lab, { host: 'client', command: 'curl', args })).stdout.trim();
  } catch {
    return undefined;
  }
}

/** `ovenbird status` for the demo's Service, from a speaker on a node that runs. */
async function speakerStatus(lab: Lab, node: string, format: 'json' | 'table'): Promise<string> {
  const pods = await apiRead<{ items: { metadata: { name: string }; spec: { nodeName?: string } }[] }>(
    lab,
    `/api/v1/namespaces/${release.namespace}/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Dspeaker`,
  );
  const pod = pods.items.find(({ spec }) => spec.nodeName === node)?.metadata.name ?? '';
  const filter = `--service=${namespace}/${serviceName}`;
  const args = ['-n', release.namespace, 'exec', pod, '--', 'ovenbird', 'status', filter, `--output=${format}`];
  return (await kubectl(lab, args)).stdout;
}

async function owner(lab: Lab, askNode: string): Promise<string | undefined> {
  const status = JSON.parse(await speakerStatus(lab, askNode, 'json')) as SpeakerStatus;
  return status.addresses.find((entry) => entry.owner !== undefined)?.owner;
}

async function apply(lab: Lab, progress: Progress): Promise<string> {
  const input = manifests(agnhostImage)
    .map((object) => JSON.stringify(object))
    .join('\n---\n');
  await kubectl(lab, ['apply', '-f', '-'], { input });
  await kubectl(lab, [
    '-n',
    namespace,
    'patch',
    'service',
    serviceName,
    '-p',
    '{"spec":{"externalTrafficPolicy":"Cluster"}}',
  ]);
  await progress.step('workload', `${replicas} pods ready`, async () => {
    await kubectl(lab, ['-n', namespace, 'rollout', 'status', `deployment/${serviceName}`, '--timeout=120s']);
  });
  let address = '';
  await waitFor(`Service ${namespace}/${serviceName}: an address`, 30_000, async () => {
    const service = await apiRead<Service>(lab, servicePath);
    address = service.status?.loadBalancer?.ingress?.[0]?.ip ?? '';
    return address !== '';
  });
  await waitFor(`http://${address}/: an answer`, 30_000, async () => (await curl(lab, address, '/')) !== undefined);
  return address;
}

/** Asks from many source ports so that the load balancer can show its spread; returns answers by count. */
async function spread(lab: Lab, address: string, path: string, times: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let index = 0; index < times; index++) {
    const answer = (await curl(lab, address, path)) ?? 'no answer';
    counts.set(answer, (counts.get(answer) ?? 0) + 1);
  }
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function tally(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([answer, count]) => `${String(count).padStart(3)} x ${answer}`).join('\n');
}

async function showPolicies(lab: Lab, address: string): Promise<void> {
  const hostOnly = (counts: ReadonlyMap<string, number>) => {
    const merged = new Map<string, number>();
    for (const [answer, count] of counts) {
      const host = answer.replace(/:\d+$/, '');
      merged.set(host, (merged.get(host) ?? 0) + count);
    }
    return merged;
  };
  console.log(
    `   externalTrafficPolicy: Cluster (any pod; the node lends its own address, so that the answer comes back)`,
  );
  shown(`curl http://${address}/clientip   # 10 times`, tally(hostOnly(await spread(lab, address, '/clientip', 10))));
  const patch = (policy: string) => `{"spec":{"externalTrafficPolicy":"${policy}"}}`;
  await kubectl(lab, ['-n', namespace, 'patch', 'service', serviceName, '-p', patch('Local')]);
  await waitFor('policy Local: the pod sees the client', 20_000, async () =>
    Boolean((await curl(lab, address, '/clientip'))?.startsWith(`${addressing.client.fabric}:`)),
  );
  console.log(`   externalTrafficPolicy: Local (only pods of the owner's node; they see the client itself)`);
  shown(`curl http://${address}/clientip   # 10 times`, tally(hostOnly(await spread(lab, address, '/clientip', 10))));
  await kubectl(lab, ['-n', namespace, 'patch', 'service', serviceName, '-p', patch('Cluster')]);
  await waitFor(
    'policy Cluster: several pods answer',
    20_000,
    async () => (await spread(lab, address, '/hostname', 12)).size > 1,
  );
}

async function showFailover(lab: Lab, address: string): Promise<void> {
  const first = lab.nodes[0]?.name ?? '';
  const before = (await owner(lab, first)) ?? '';
  const witness = lab.nodes.find(({ name }) => name !== before)?.name ?? '';
  console.log(`   ${address} is owned by ${before}; a client sends a request each 10 ms; now ${before} loses power.`);
  const probe = new ClientProbe({ address, port: 80, everyMs: 10, timeoutMs: 300 });
  try {
    await probe.until('the client gets answers', 10_000, (results) => results.filter(({ ok }) => ok).length >= 50);
    const faultMs = monotonicMs();
    await crashNode(lab, before);
    await probe.until(`${address} answers again`, 30_000, (results) => measureOutage(results, faultMs) !== undefined);
    await probe.until('two seconds more', 10_000, () => monotonicMs() > faultMs + 4_000);
    const outage = measureOutage(probe.results, faultMs);
    const after = await owner(lab, witness);
    const { longestGapMs = 0, requests = 0, failed = 0 } = outage ?? {};
    console.log(`   ${bold(`outage: ${longestGapMs.toFixed(0)} ms`)} without any answer; the owner is now ${after}`);
    console.log(`   requests in these 4 s: ${requests}, failed: ${failed}`);
    if (failed > 0) {
      console.log('   Those that failed later went to pods of the dead node: Kubernetes keeps them "ready" until it');
      console.log('   gives the node up (40 s by default).');
    }
  } finally {
    probe.stop();
  }
  console.log(`   Power is back on ${before}: it takes nothing back.`);
  await restoreNode(lab, before, terminalProgress());
  console.log(`   owner: ${await owner(lab, witness)}`);
}

async function demo(): Promise<void> {
  const checkout = join(import.meta.dirname, '..');
  const progress = terminalProgress(process.stdout);

  heading(1, 'A bare-metal cluster in network namespaces, with Ovenbird installed by helm');
  const lab = await bringUp({ checkout, install: true }, progress);
  shown('kubectl get nodes -o wide', (await kubectl(lab, ['get', 'nodes', '-o', 'wide'])).stdout);
  const pods = await kubectl(lab, ['-n', release.namespace, 'get', 'pods', '-o', 'wide']);
  shown(`kubectl -n ${release.namespace} get pods -o wide`, pods.stdout);

  heading(2, 'A pool of addresses, an announcement, four pods and a Service of type LoadBalancer');
  const address = await apply(lab, progress);
  shown(
    `kubectl -n ${namespace} get service ${serviceName}`,
    (await kubectl(lab, ['-n', namespace, 'get', 'service', serviceName])).stdout,
  );
  const conditions = `jsonpath={range .status.conditions[*]}{.type}{"  "}{.reason}{"  "}{.message}{"\\n"}{end}`;
  shown(
    `kubectl -n ${namespace} get service ${serviceName} -o jsonpath=...conditions`,
    (await kubectl(lab, ['-n', namespace, 'get', 'service', serviceName, '-o', conditions])).stdout,
  );

  heading(3, 'Who owns the address, and why');
  for (const { name } of lab.nodes) {
    shown(
      `kubectl -n ${release.namespace} exec <speaker of ${name}> -- ovenbird status`,
      await speakerStatus(lab, name, 'table'),
    );
  }

  heading(4, 'The OVN rows that carry it');
  const nbctl = [`--db=${addressing.ovnNorthbound}`, '--columns=name,vips', '--format=list', 'find', 'Load_Balancer'];
  const rows = await run(lab, {
    host: 'control',
    command: 'ovn-nbctl',
    args: [...nbctl, `external_ids:service=${namespace}/${serviceName}`],
  });
  shown(`ovn-nbctl find Load_Balancer external_ids:service=${namespace}/${serviceName}`, rows.stdout);

  heading(5, 'Ten requests from a client on the network');
  const answers = await spread(lab, address, '/hostname', 10);
  shown(`curl http://${address}/hostname   # 10 times: which pods answered`, tally(answers));

  heading(6, 'The client address that pods see');
  await showPolicies(lab, address);

  heading(7, "The owner's node dies");
  await showFailover(lab, address);

  console.log(`
${bold('The lab stays up.')} Look around, then take it down:

   export KUBECONFIG=${join(lab.root, 'kubeconfig')}
   npm run lab -- status                                  what runs where
   npm run lab -- exec client -- curl -s http://${address}/
   npm run lab -- exec node-1 -- ip route show table all
   npm run lab -- kubectl get services -A
   npm run lab -- fault link-down node-2                  and other faults: npm run lab -- --help
   npm run lab -- down                                    leaves nothing behind`);
}

demo().then(
  () => process.exit(0),
  (thrown: unknown) => {
    console.error(`\ndemo: ${describeError(thrown)}`);
    process.exit(1);
  },
);
