import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { binary } from './binaries.ts';
import { containerProcesses } from './cgroups.ts';
import { addressing, type Lab, type NodeSpec, netnsOf } from './lab.ts';
import { startMounts } from './mounts.ts';
import { labNamespaceLinks } from './namespaces.ts';
import { containerdConfig, kubeletConfig, kubeProxyConfig } from './node-config.ts';
import { writeKubeconfig } from './pki.ts';
import { endProcesses, isAlive, processesInNetns } from './process-table.ts';
import { isRunning, mountsProcess, run, startProcess, tryRun } from './processes.ts';
import { processRecords, updateState } from './state.ts';

/** containerd's socket, as seen inside the node. */
const containerdSocket = '/run/containerd/containerd.sock';

/** Where a node finds its CNI configuration and plugins. */
export interface CniDirectories {
  readonly confDir: string;
  readonly binDir: string;
}

/** Gives the node its own view of the machine. What lived in an earlier, lost view is ended first. */
export async function prepareNode(lab: Lab, node: NodeSpec): Promise<void> {
  if (!isRunning(lab, mountsProcess(node.name))) await crashNode(lab, node);
  await startMounts(lab, node);
}

/** Starts containerd; ready when it answers. */
export async function startContainerd(lab: Lab, node: NodeSpec, cni: CniDirectories): Promise<void> {
  const root = join(node.dir, 'containerd');
  const path = join(node.dir, 'containerd.toml');
  const config = containerdConfig({
    root,
    shim: binary(lab, 'containerd-shim-runc-v2'),
    socket: containerdSocket,
    ...cni,
  });
  mkdirSync(root, { recursive: true });
  writeFileSync(path, config);
  await startProcess(lab, {
    name: `${node.name}.containerd`,
    host: node.name,
    command: binary(lab, 'containerd'),
    args: ['--config', path],
    env: { PATH: [join(lab.root, 'bin'), process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter) },
    dependsOn: config,
    ready: async () => (await tryRun(lab, ctr(lab, node, ['version']))).code === 0,
  });
}

/** Imports image archives into the node's containerd; those that are there already are skipped. */
export async function importImages(lab: Lab, node: NodeSpec, archives: readonly string[]): Promise<void> {
  const listPath = join(node.dir, 'images.json');
  const imported = new Set(readList(listPath));
  for (const archive of archives.filter((path) => !imported.has(path))) {
    await run(lab, ctr(lab, node, ['--namespace', 'k8s.io', 'images', 'import', '--local', archive]));
    imported.add(archive);
    writeFileSync(listPath, JSON.stringify([...imported]));
  }
}

/** Starts the kubelet; ready when its own health check passes. The Node object turns Ready some time after. */
export async function startKubelet(lab: Lab, node: NodeSpec): Promise<void> {
  const kubeconfig = join(node.dir, 'kubelet.kubeconfig');
  writeKubeconfig(lab, `node-${node.index}`, addressing.apiServer, kubeconfig);
  const config = `${JSON.stringify(kubeletConfig(lab, node, containerdSocket), undefined, 2)}\n`;
  const path = join(node.dir, 'kubelet.json');
  writeFileSync(path, config);
  await startProcess(lab, {
    name: `${node.name}.kubelet`,
    host: node.name,
    command: binary(lab, 'kubelet'),
    args: [
      ...[`--config=${path}`, `--kubeconfig=${kubeconfig}`, `--node-ip=${node.mgmtAddress}`],
      ...[`--hostname-override=${node.name}`, '--v=2'],
    ],
    dependsOn: config,
    ready: () => answers(lab, node, 'http://127.0.0.1:10248/healthz'),
  });
}

/** Starts kube-proxy; ready when it has written its rules once. */
export async function startKubeProxy(lab: Lab, node: NodeSpec): Promise<void> {
  const kubeconfig = join(node.dir, 'kube-proxy.kubeconfig');
  writeKubeconfig(lab, 'kube-proxy', addressing.apiServer, kubeconfig);
  const config = `${JSON.stringify(kubeProxyConfig(node, kubeconfig), undefined, 2)}\n`;
  const path = join(node.dir, 'kube-proxy.json');
  writeFileSync(path, config);
  await startProcess(lab, {
    name: `${node.name}.kube-proxy`,
    host: node.name,
    command: binary(lab, 'kube-proxy'),
    args: [`--config=${path}`, '--v=2'],
    dependsOn: config,
    ready: () => answers(lab, node, 'http://127.0.0.1:10256/healthz'),
  });
}

/**
 * Ends everything that runs on a node at once, as a power cut does: recorded processes, containers and their shims.
 * Its disk (`node.dir`) stays; its NICs stay too, but nothing answers behind them.
 */
export async function crashNode(lab: Lab, node: NodeSpec): Promise<void> {
  const recorded = Object.entries(processRecords(lab)).filter(([, record]) => record.host === node.name);
  const inside = labNamespaceLinks([netnsOf(node.name)]);
  const targets = [
    ...recorded.map(([, record]) => record).filter(isAlive),
    ...containerProcesses(lab, node.name),
    ...processesInNetns(inside),
  ];
  await endProcesses(targets, { signal: 'SIGKILL' });
  if (recorded.length === 0) return;
  const gone = new Set(recorded.map(([name]) => name));
  updateState(lab.root, (state) => ({
    ...state,
    processes: Object.fromEntries(Object.entries(state.processes).filter(([name]) => !gone.has(name))),
  }));
}

/** A `ctr` command on a node. */
function ctr(lab: Lab, node: NodeSpec, args: readonly string[]) {
  return {
    host: node.name,
    command: binary(lab, 'ctr'),
    args: ['--address', containerdSocket, ...args],
    timeoutMs: 300_000,
  };
}

async function answers(lab: Lab, node: NodeSpec, url: string): Promise<boolean> {
  const args = ['-sf', '-m', '2', '-o', '/dev/null', url];
  return (await tryRun(lab, { host: node.name, command: 'curl', args })).code === 0;
}

function readList(path: string): string[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as string[];
  } catch {
    return [];
  }
}
