import { describeError } from '../src/base/index.ts';
import { release } from './chart.ts';
import { apiGet, apiRead, kubeconfigPath } from './kubectl.ts';
import { hostsOf, type Lab } from './lab.ts';
import { describeOvn, ovnStatus } from './ovn/index.ts';
import { isAlive } from './process-table.ts';
import { tryRun } from './processes.ts';
import { processRecords } from './state.ts';

/** What `status` prints: the lab in lines, then a table of hosts. Never throws for parts that do not answer. */
export async function describeStatus(lab: Lab): Promise<string> {
  const [ready, nodes, pods, workloads, ovn] = await Promise.all([
    apiGet(lab, '/readyz').then(
      ({ status }) => status === 200,
      () => false,
    ),
    readNodes(lab),
    countPods(lab),
    readWorkloads(lab),
    ovnStatus(lab).then(describeOvn, (thrown: unknown) => [describeError(thrown)]),
  ]);
  const facts = [
    ['lab', `${lab.root}, OVN mode ${lab.ovn}, router ${lab.router}`],
    ['API server', ready ? 'ready' : 'does not answer'],
    ['kubeconfig', kubeconfigPath(lab)],
    ['ovenbird', workloads],
    ...ovn.map((line, at) => [at === 0 ? 'OVN' : '', line]),
  ];
  const rows = await Promise.all(
    hostsOf(lab).map(async (host) => [
      host.name,
      (await linksOf(lab, host.name, host.nics)) || '-',
      host.role === 'node' ? (nodes.get(host.name) ?? 'unknown') : '-',
      host.role === 'node' ? String(pods.get(host.name) ?? 0) : '-',
      processesOf(lab, host.name),
    ]),
  );
  const head = facts.map(([name = '', text = '']) => `${name.padEnd(11)} ${text}`).join('\n');
  return `${head}\n\n${table([['HOST', 'NICS', 'NODE', 'PODS', 'PROCESSES'], ...rows])}\n`;
}

/** Aligned columns, two spaces apart; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `fabric0 10.77.0.21 up, mgmt0 172.31.40.21 down`: `down` also when only the other end was pulled. */
async function linksOf(lab: Lab, host: string, nics: readonly { name: string; addresses: readonly string[] }[]) {
  if (nics.length === 0) return '';
  const { stdout } = await tryRun(lab, { host, command: 'ip', args: ['-json', 'link', 'show'] });
  const links = stdout ? (JSON.parse(stdout) as { ifname: string; operstate: string }[]) : [];
  return nics
    .filter((nic) => nic.addresses.length > 0)
    .map((nic) => {
      const state = links.find((link) => link.ifname === nic.name)?.operstate.toLowerCase() ?? 'missing';
      return `${nic.name} ${nic.addresses[0]?.split('/')[0] ?? ''} ${state}`;
    })
    .join(', ');
}

function processesOf(lab: Lab, host: string): string {
  const own = Object.entries(processRecords(lab)).filter(([, record]) => record.host === host);
  const short = (name: string) => name.replace(`${host}.`, '');
  const alive = own.filter(([, record]) => isAlive(record)).map(([name]) => short(name));
  const dead = own.filter(([, record]) => !isAlive(record)).map(([name]) => `${short(name)} (dead)`);
  return [...dead.sort(), ...alive.sort()].join(' ') || '-';
}

interface NodeList {
  items: {
    metadata: { name: string };
    spec: { unschedulable?: boolean };
    status: { conditions?: { type: string; status: string }[] };
  }[];
}

async function readNodes(lab: Lab): Promise<Map<string, string>> {
  const list = await apiRead<NodeList>(lab, '/api/v1/nodes').catch(() => undefined);
  return new Map(
    list?.items.map(({ metadata, spec, status }) => {
      const ready = status.conditions?.find((condition) => condition.type === 'Ready')?.status === 'True';
      return [metadata.name, `${ready ? 'Ready' : 'NotReady'}${spec.unschedulable ? ',cordoned' : ''}`] as const;
    }),
  );
}

async function countPods(lab: Lab): Promise<Map<string, number>> {
  const list = await apiRead<{ items: { spec: { nodeName?: string } }[] }>(lab, '/api/v1/pods').catch(() => undefined);
  const counts = new Map<string, number>();
  for (const { spec } of list?.items ?? []) {
    if (spec.nodeName) counts.set(spec.nodeName, (counts.get(spec.nodeName) ?? 0) + 1);
  }
  return counts;
}

interface Workload {
  status?: { readyReplicas?: number; replicas?: number; numberReady?: number; desiredNumberScheduled?: number };
}

async function readWorkloads(lab: Lab): Promise<string> {
  const path = `/apis/apps/v1/namespaces/${release.namespace}`;
  const [controller, speaker] = await Promise.all(
    [`deployments/${release.name}-controller`, `daemonsets/${release.name}-speaker`].map((name) =>
      apiRead<Workload>(lab, `${path}/${name}`).catch(() => undefined),
    ),
  );
  if (!controller?.status || !speaker?.status) return 'not installed';
  const ready = (count: number | undefined, of: number | undefined) => `${count ?? 0}/${of ?? 0} ready`;
  return (
    `controller ${ready(controller.status.readyReplicas, controller.status.replicas)}, ` +
    `speaker ${ready(speaker.status.numberReady, speaker.status.desiredNumberScheduled)}`
  );
}
