import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { binary } from './binaries.ts';
import { LabError } from './errors.ts';
import { apiGet, kubeconfigPath } from './kubectl.ts';
import { addressing, type Lab } from './lab.ts';
import { keyPair, serviceAccountKey, writeKubeconfig } from './pki.ts';
import { isRunning, startProcess, stopProcess, tryRun } from './processes.ts';
import type { Progress } from './progress.ts';

const etcdClients = 'http://127.0.0.1:2379';
const managers = ['kube-controller-manager', 'kube-scheduler'] as const;

/** Starts etcd, the API server, the controller manager, the scheduler and the door to them; ready when it resolves. */
export async function startControlPlane(lab: Lab, progress: Progress): Promise<void> {
  await startDoor(lab);
  await startApiServer(lab, progress);
  await startManagers(lab);
}

/** etcd and kube-apiserver alone: what `fault api-up` needs. */
export async function startApiServer(lab: Lab, progress: Progress): Promise<void> {
  const directory = join(lab.root, 'control', 'etcd');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await startProcess(lab, {
    name: 'etcd',
    host: 'control',
    command: 'etcd',
    args: [
      ...['--name=lab', `--data-dir=${directory}`],
      ...[`--listen-client-urls=${etcdClients}`, `--advertise-client-urls=${etcdClients}`],
      ...['--listen-peer-urls=http://127.0.0.1:2380', '--initial-advertise-peer-urls=http://127.0.0.1:2380'],
      ...['--initial-cluster=lab=http://127.0.0.1:2380', '--log-outputs=stderr', '--auto-compaction-retention=1h'],
    ],
    ready: async () => {
      const check = { host: 'control', command: 'curl', args: ['-sf', '-m', '2', `${etcdClients}/health`] };
      return (await tryRun(lab, check)).stdout.includes('true');
    },
  });
  await progress.step('control', 'API server ready', () =>
    startProcess(lab, {
      name: 'kube-apiserver',
      host: 'control',
      command: binary(lab, 'kube-apiserver'),
      args: apiServerArguments(lab),
      ready: async () => (await apiGet(lab, '/readyz')).status === 200,
      readyTimeoutMs: 120_000,
    }),
  );
}

/** Ends the API server (etcd keeps running): what `fault api-down` needs. */
export async function stopApiServer(lab: Lab): Promise<void> {
  await stopProcess(lab, 'kube-apiserver', { signal: 'SIGKILL' });
}

/**
 * What leader election does to controller manager and scheduler where the API server is away for longer than ten
 * seconds: they end and begin anew. One that lived through it would take every node for dead, because it heard of none
 * for so long, and its own watches are back later than its patience ends.
 */
export async function restartManagers(lab: Lab): Promise<void> {
  await Promise.all(managers.map((name) => stopProcess(lab, name, { signal: 'SIGKILL' })));
  await startManagers(lab);
}

async function startManagers(lab: Lab): Promise<void> {
  const configs = join(lab.root, 'control');
  const common = ['--leader-elect=false', '--v=1'];
  const withConfig = (client: 'controller-manager' | 'scheduler') => {
    const path = join(configs, `${client}.kubeconfig`);
    writeKubeconfig(lab, client, addressing.apiServer, path);
    return [`--kubeconfig=${path}`, `--authentication-kubeconfig=${path}`, `--authorization-kubeconfig=${path}`];
  };
  const ca = keyPair(lab, 'ca');
  await Promise.all([
    startProcess(lab, {
      name: managers[0],
      host: 'control',
      command: binary(lab, 'kube-controller-manager'),
      args: [
        ...common,
        ...withConfig('controller-manager'),
        ...['--use-service-account-credentials', `--service-account-private-key-file=${serviceAccountKey(lab)}`],
        ...[`--root-ca-file=${ca.certificate}`, `--cluster-signing-cert-file=${ca.certificate}`],
        ...[`--cluster-signing-key-file=${ca.key}`, `--service-cluster-ip-range=${addressing.services.cidr}`],
        ...[`--cluster-cidr=${addressing.pods.cidr}`, '--allocate-node-cidrs=false'],
      ],
      ready: () => healthy(lab, 10257),
    }),
    startProcess(lab, {
      name: managers[1],
      host: 'control',
      command: binary(lab, 'kube-scheduler'),
      args: [...common, ...withConfig('scheduler')],
      ready: () => healthy(lab, 10259),
    }),
  ]);
}

async function healthy(lab: Lab, port: number): Promise<boolean> {
  const args = ['-skf', '-m', '2', `https://127.0.0.1:${port}/healthz`];
  return (await tryRun(lab, { host: 'control', command: 'curl', args })).code === 0;
}

function apiServerArguments(lab: Lab): string[] {
  const ca = keyPair(lab, 'ca').certificate;
  const serving = keyPair(lab, 'kube-apiserver');
  const kubelets = keyPair(lab, 'apiserver-kubelet-client');
  const frontProxy = keyPair(lab, 'front-proxy-client');
  const serviceAccounts = serviceAccountKey(lab);
  return [
    ...[`--etcd-servers=${etcdClients}`, `--advertise-address=${addressing.mgmt.control}`, '--secure-port=6443'],
    ...[`--tls-cert-file=${serving.certificate}`, `--tls-private-key-file=${serving.key}`, `--client-ca-file=${ca}`],
    ...['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction', '--allow-privileged=true'],
    ...[`--service-cluster-ip-range=${addressing.services.cidr}`, '--profiling=false', '--v=1'],
    ...['--service-account-issuer=https://kubernetes.default.svc', `--service-account-key-file=${serviceAccounts}`],
    `--service-account-signing-key-file=${serviceAccounts}`,
    // The nodes are known by address only: there is no DNS in the lab.
    '--kubelet-preferred-address-types=InternalIP',
    ...[`--kubelet-client-certificate=${kubelets.certificate}`, `--kubelet-client-key=${kubelets.key}`],
    `--kubelet-certificate-authority=${ca}`,
    ...[`--requestheader-client-ca-file=${ca}`, '--requestheader-allowed-names=front-proxy-client'],
    ...['--requestheader-username-headers=X-Remote-User', '--requestheader-group-headers=X-Remote-Group'],
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    ...[`--proxy-client-cert-file=${frontProxy.certificate}`, `--proxy-client-key-file=${frontProxy.key}`],
  ];
}

/**
 * The lab's only opening: a port of 127.0.0.1, listening in the machine's own namespace, served by a process inside
 * `control`. The port of an earlier door is taken again when it is free, so that kubeconfigs in use go on working.
 */
async function startDoor(lab: Lab): Promise<void> {
  const { hostname, port } = new URL(addressing.apiServer);
  const start = (inherit: readonly number[]) =>
    startProcess(lab, {
      name: 'door',
      host: 'control',
      command: process.execPath,
      args: [join(lab.checkout, 'lab/forwarder.ts'), hostname, port],
      env: { NODE_OPTIONS: '' },
      inherit,
    });
  if (isRunning(lab, 'door')) return;
  const server = await listen(previousPort(lab));
  const address = server.address();
  const descriptor = (server as Server & { _handle?: { fd?: number } })._handle?.fd;
  if (descriptor === undefined || address === null || typeof address === 'string') {
    throw new LabError('NotReady', 'door: the listening socket has no descriptor to hand over');
  }
  writeKubeconfig(lab, 'admin', `https://127.0.0.1:${address.port}`, kubeconfigPath(lab));
  writeFileSync(join(lab.root, 'door.port'), `${address.port}\n`);
  try {
    await start([descriptor]);
  } finally {
    server.close();
  }
}

function previousPort(lab: Lab): number {
  try {
    return Number(readFileSync(join(lab.root, 'door.port'), 'utf8')) || 0;
  } catch {
    return 0;
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host: '127.0.0.1', port }, resolve);
  try {
    await promise;
    return server;
  } catch (thrown) {
    if (port === 0) throw thrown;
    return listen(0);
  }
}
