import type { KubeConfig } from '@kubernetes/client-node';
import { type Clock, describeError, systemClock } from '../base/index.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { KubeError } from './kube-error.ts';

/** Plugins and token files are asked again after this; they keep caches of their own. */
const headersMaximumAgeMs = 30_000;

export interface KubeconfigOptions {
  /** Path of the file; without it KUBECONFIG (a list is merged) or ~/.kube/config. */
  path?: string;
  /** Context to use instead of the current one. */
  context?: string;
  /** API server URLs instead of the cluster's. */
  servers?: readonly string[];
  /** Verify the server's certificate against this name instead of the host of its URL. */
  tlsServerName?: string;
  clock?: Clock;
}

/** What KubeConfig.applyToHTTPSOptions fills in. */
interface Applied {
  headers?: Record<string, string>;
  auth?: string;
  ca?: Buffer | string;
  cert?: Buffer | string;
  key?: Buffer | string;
  servername?: string;
  rejectUnauthorized?: boolean;
  agent?: NonNullable<ClusterConfig['agent']>;
}

/**
 * A kubeconfig: certificates, tokens, basic auth, exec and OIDC plugins, proxies.
 *
 * Parsing and plugins are @kubernetes/client-node's; it is loaded here and only here, because it costs some 80 MB that
 * the pods must not pay. Throws KubeError `BadConfig` naming the file or context that cannot be used.
 */
export async function kubeconfig(options: KubeconfigOptions = {}): Promise<ClusterConfig> {
  const library = await import('@kubernetes/client-node');
  const clock = options.clock ?? systemClock;
  // Loaded again after a 401, as the plugins' caches live in the object.
  let loaded = load(new library.KubeConfig(), options);
  const cluster = loaded.getCurrentCluster();
  if (!cluster) {
    throw new KubeError('BadConfig', `the kubeconfig's context "${loaded.getCurrentContext()}" names no cluster`);
  }
  const [first = cluster.server, ...others] = options.servers ?? [];
  const namespace = loaded.getContextObject(loaded.getCurrentContext())?.namespace;
  const agent = cluster.proxyUrl ? (await apply(loaded)).agent : undefined;
  let cached: { headers: Record<string, string>; atMs: number } | undefined;
  return {
    servers: [first, ...others],
    ...(namespace ? { namespace } : {}),
    ...(agent ? { agent } : {}),
    async tls() {
      const { ca, cert, key, servername, rejectUnauthorized } = await apply(loaded);
      const serverName = options.tlsServerName ?? servername;
      return {
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(serverName === undefined ? {} : { serverName }),
        insecure: rejectUnauthorized === false,
      };
    },
    async headers() {
      if (cached && clock.monotonicMs() - cached.atMs < headersMaximumAgeMs) return cached.headers;
      const applied = await apply(loaded);
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(applied.headers ?? {})) headers[name.toLowerCase()] = String(value);
      if (applied.auth !== undefined) {
        headers.authorization ??= `Basic ${Buffer.from(applied.auth).toString('base64')}`;
      }
      cached = { headers, atMs: clock.monotonicMs() };
      return headers;
    },
    forgetCredentials() {
      cached = undefined;
      try {
        loaded = load(new library.KubeConfig(), options);
      } catch {
        // The file is being rewritten: the credentials at hand stay until the next 401.
      }
    },
  };
}

function load(config: KubeConfig, options: KubeconfigOptions): KubeConfig {
  try {
    if (options.path === undefined) config.loadFromDefault();
    else config.loadFromFile(options.path);
  } catch (cause) {
    const named = options.path ?? process.env.KUBECONFIG ?? '~/.kube/config';
    throw new KubeError('BadConfig', `cannot read the kubeconfig ${named}: ${describeError(cause)}`, { cause });
  }
  if (options.context !== undefined) {
    const known = config.getContexts().map((context) => context.name);
    if (!known.includes(options.context)) {
      const text = `the kubeconfig has no context "${options.context}"; it has: ${known.join(', ') || 'none'}`;
      throw new KubeError('BadConfig', text);
    }
    config.setCurrentContext(options.context);
  }
  // TLS settings mean nothing on plain HTTP (kubectl proxy), where client-node would refuse without this.
  const cluster = config.getCurrentCluster();
  if (cluster?.server.startsWith('http:')) Object.assign(cluster, { skipTLSVerify: true });
  return config;
}

async function apply(config: KubeConfig): Promise<Applied> {
  const applied: Applied = {};
  try {
    await config.applyToHTTPSOptions(applied as Parameters<KubeConfig['applyToHTTPSOptions']>[0]);
  } catch (cause) {
    const text = `user "${config.getCurrentUser()?.name}" of the kubeconfig gives no credentials: ${describeError(cause)}`;
    throw new KubeError('BadConfig', text, { cause });
  }
  return applied;
}
