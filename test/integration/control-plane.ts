import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { accessSync, constants, createWriteStream, mkdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { helmVersion, kubernetesVersion } from '../../lab/binaries.ts';
import { cacheDirectory } from '../../lab/lab.ts';
import type { ClusterConfig } from '../../src/kube/index.ts';

export interface ControlPlaneOptions {
  /** More arguments for kube-apiserver, e.g. `--goaway-chance=0.02`. */
  apiServerArguments?: string[];
}

/** A throwaway etcd and kube-apiserver on loopback, without any controller. */
export interface ControlPlane {
  /** Path of a kubeconfig for cluster-admin. */
  kubeconfig: string;
  /** The same as a configuration for KubeClient. */
  config: ClusterConfig;
  server: string;
  /** PEM. */
  ca: string;
  /** A token of system:masters. */
  token: string;
  /** Temporary directory with the logs `etcd.log` and `kube-apiserver.log`; removed by `stop`. */
  directory: string;
  apiServer: Program;
  etcd: Program & { endpoint: string };
  /** Calls kubectl as cluster-admin; gives its standard output. */
  kubectl(argumentList: string[], input?: string): string;
  stop(): Promise<void>;
}

/** A server process that a test may hurt. */
export interface Program {
  signal(name: NodeJS.Signals): void;
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data, and waits until it serves. */
  start(): Promise<void>;
}

/**
 * Path of a Kubernetes, etcd or helm binary: in KUBEBUILDER_ASSETS, on the PATH, or where the lab keeps what it built; undefined
 * when this machine has none.
 */
export function findBinary(name: string): string | undefined {
  const checkout = join(import.meta.dirname, '../..');
  const directories = [
    process.env.KUBEBUILDER_ASSETS,
    ...(process.env.PATH ?? '').split(':'),
    join(cacheDirectory(), `kubernetes-${kubernetesVersion({ checkout })}`),
    join(cacheDirectory(), `helm-${helmVersion}`),
  ];
  for (const directory of directories) {
    if (!directory) continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** Why no control plane can run here, or undefined when one can. */
export function controlPlaneMissing(): string | undefined {
  const missing = ['etcd', 'kube-apiserver', 'kubectl'].filter((name) => findBinary(name) === undefined);
  return missing.length === 0 ? undefined : `not found: ${missing.join(', ')}`;
}

/** Starts both and resolves when /readyz says so. Throws with the tail of the log when they do not come up. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(options);
    } catch (thrown) {
      // Another suite took one of the ports between their being chosen and being listened on.
      if (attempt === 3 || !String(thrown).includes('address already in use')) throw thrown;
    }
  }
}

async function startOnce(options: ControlPlaneOptions): Promise<ControlPlane> {
  const directory = await mkdtemp(join(tmpdir(), 'ovenbird-control-plane-'));
  const programs: ServerProgram[] = [];
  try {
    const [etcdPort, peerPort, apiPort] = await freePorts(3);
    const endpoint = `http://127.0.0.1:${etcdPort}`;
    const etcd = new ServerProgram('etcd', directory, [
      `--data-dir=${join(directory, 'etcd')}`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
      '--unsafe-no-fsync',
    ]);
    programs.push(etcd);
    const token = randomBytes(16).toString('hex');
    const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const serviceAccountKey = join(directory, 'service-account.key');
    await writeFile(serviceAccountKey, keys.privateKey.export({ type: 'pkcs1', format: 'pem' }));
    await writeFile(join(directory, 'tokens.csv'), `${token},admin,admin,system:masters\n`);
    const certificates = join(directory, 'certificates');
    mkdirSync(certificates);
    const apiServer = new ServerProgram(
      'kube-apiserver',
      directory,
      [
        `--etcd-servers=${endpoint}`,
        '--bind-address=127.0.0.1',
        '--advertise-address=127.0.0.1',
        `--secure-port=${apiPort}`,
        `--cert-dir=${certificates}`,
        `--token-auth-file=${join(directory, 'tokens.csv')}`,
        '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.96.0.0/16',
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-key-file=${serviceAccountKey}`,
        `--service-account-signing-key-file=${serviceAccountKey}`,
        '--disable-admission-plugins=ServiceAccount',
        ...(options.apiServerArguments ?? []),
      ],
      () => ready(apiPort, token),
    );
    programs.push(apiServer);
    await etcd.start();
    await apiServer.start();

    const server = `https://127.0.0.1:${apiPort}`;
    const ca = await readFile(join(certificates, 'apiserver.crt'), 'utf8');
    const kubeconfig = join(directory, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigText(server, ca, token));
    const kubectl = findBinary('kubectl') ?? 'kubectl';
    return {
      kubeconfig,
      server,
      ca,
      token,
      directory,
      config: {
        servers: [server],
        namespace: 'default',
        tls: async () => ({ ca }),
        headers: async () => ({ authorization: `Bearer ${token}` }),
        forgetCredentials() {},
      },
      apiServer,
      etcd: Object.assign(etcd, { endpoint }),
      kubectl: (argumentList, input) =>
        execFileSync(kubectl, ['--kubeconfig', kubeconfig, ...argumentList], {
          encoding: 'utf8',
          ...(input === undefined ? {} : { input }),
          stdio: ['pipe', 'pipe', 'pipe'],
        }),
      async stop() {
        await stopAll(programs);
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (thrown) {
    await stopAll(programs);
    await rm(directory, { recursive: true, force: true });
    throw thrown;
  }
}

async function stopAll(programs: ServerProgram[]): Promise<void> {
  for (const program of programs.toReversed()) await program.kill();
}

class ServerProgram implements Program {
  readonly #name: string;
  readonly #directory: string;
  readonly #arguments: string[];
  readonly #ready: () => Promise<boolean>;
  #child: ChildProcess | undefined;

  constructor(name: string, directory: string, argumentList: string[], isReady = async () => true) {
    this.#name = name;
    this.#directory = directory;
    this.#arguments = argumentList;
    this.#ready = isReady;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async start(): Promise<void> {
    const binary = findBinary(this.#name);
    if (!binary) throw new Error(`${this.#name} is not installed`);
    const path = join(this.#directory, `${this.#name}.log`);
    const log = createWriteStream(path, { flags: 'a' });
    // Killed with the process that started it, however that ends.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', binary, ...this.#arguments], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.#directory,
    });
    this.#child = child;
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once('exit', () => log.end());
    const deadline = Date.now() + 120_000;
    while (!(await this.#ready())) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`${this.#name} did not start:\n${(await readFile(path, 'utf8')).slice(-4000)}`);
      }
      await sleep(100);
    }
  }
}

/** Distinct free TCP ports of loopback. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  return Promise.all(
    servers.map(async (server) => {
      const address = server.address();
      await new Promise((resolve) => server.close(resolve));
      if (address === null || typeof address === 'string') throw new Error('no port');
      return address.port;
    }),
  );
}

/** Asks /readyz without verifying the certificate, which does not exist before the first start. */
function ready(port: number | undefined, token: string): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path: '/readyz',
        headers: { authorization: `Bearer ${token}` },
        rejectUnauthorized: false,
        agent: false,
        timeout: 2000,
      },
      (incoming) => {
        incoming.resume();
        resolve(incoming.statusCode === 200);
      },
    );
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.on('error', () => resolve(false));
    outgoing.end();
  });
}

function kubeconfigText(server: string, ca: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin', namespace: 'default' } }],
    'current-context': 'test',
  });
}
