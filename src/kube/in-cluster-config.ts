import { readFile, stat } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { type Clock, systemClock } from '../base/index.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { KubeError } from './kube-error.ts';

const tokenMaximumAgeMs = 60_000;

/** Where a pod finds its service account. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface InClusterOptions {
  /** Environment with KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  environment: Readonly<Record<string, string | undefined>>;
  /** URLs of API servers to use instead of the environment's Service address, e.g. `https://10.0.0.1:6443`. */
  servers?: readonly string[];
  /** Verify the server's certificate against this name, where `servers` holds addresses it does not carry. */
  tlsServerName?: string;
  /** Directory with `token`, `ca.crt` and `namespace`. */
  directory?: string;
  clock?: Clock;
}

/**
 * The configuration of a pod: service account token (re-read when its file changed, every 60 s, and after a 401), the
 * cluster's CA (re-read at each connection) and the Service address of the API server unless `servers` overrides it.
 *
 * Throws KubeError `BadConfig` when this is not a pod with a mounted service account.
 */
export async function inClusterConfig(options: InClusterOptions): Promise<ClusterConfig> {
  const directory = options.directory ?? serviceAccountDirectory;
  const token = new TokenFile(join(directory, 'token'), options.clock ?? systemClock);
  await token.read();
  const namespace = (await readMounted(join(directory, 'namespace'))).trim();
  return {
    servers: serversOf(options),
    namespace,
    async tls() {
      const ca = await readMounted(join(directory, 'ca.crt'));
      return { ca, ...(options.tlsServerName === undefined ? {} : { serverName: options.tlsServerName }) };
    },
    async headers() {
      return { authorization: `Bearer ${await token.read()}` };
    },
    forgetCredentials() {
      token.forget();
    },
  };
}

function serversOf(options: InClusterOptions): [string, ...string[]] {
  const [first, ...others] = options.servers ?? [];
  if (first !== undefined) return [first, ...others];
  const host = options.environment.KUBERNETES_SERVICE_HOST;
  const port = options.environment.KUBERNETES_SERVICE_PORT;
  if (!host || !port) {
    throw new KubeError(
      'BadConfig',
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: run this in a pod, give the API server address, or use a kubeconfig',
    );
  }
  return [`https://${isIPv6(host) ? `[${host}]` : host}:${port}`];
}

async function readMounted(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new KubeError('BadConfig', `cannot read ${path}: is the service account token mounted?`, { cause });
  }
}

/** A token file that the kubelet replaces before the token expires. A failed re-read keeps the last good token. */
class TokenFile {
  readonly #path: string;
  readonly #clock: Clock;
  #token: string | undefined;
  #modifiedMs = 0;
  #readAtMs = 0;
  #stale = true;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  forget(): void {
    this.#stale = true;
  }

  async read(): Promise<string> {
    try {
      const { mtimeMs } = await stat(this.#path);
      const age = this.#clock.monotonicMs() - this.#readAtMs;
      if (this.#token !== undefined && !this.#stale && mtimeMs === this.#modifiedMs && age < tokenMaximumAgeMs) {
        return this.#token;
      }
      const token = (await readFile(this.#path, 'utf8')).trim();
      if (token === '') throw new KubeError('BadConfig', `${this.#path} is empty`);
      this.#token = token;
      this.#modifiedMs = mtimeMs;
      this.#readAtMs = this.#clock.monotonicMs();
      this.#stale = false;
      return token;
    } catch (cause) {
      if (this.#token !== undefined) return this.#token;
      throw new KubeError('BadConfig', `cannot read the service account token ${this.#path}`, { cause });
    }
  }
}
