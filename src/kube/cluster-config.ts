import type { Agent } from 'node:http';

/** What is needed to trust the server and to be known to it by certificate; PEM. */
export interface ClusterTls {
  ca?: Buffer | string;
  cert?: Buffer | string;
  key?: Buffer | string;
  /** Name to ask for and to verify instead of the host of the URL. */
  serverName?: string;
  /** True skips verification of the server; only a kubeconfig can say so. */
  insecure?: boolean;
}

/** How to reach and authenticate to an API server; everything that can rotate is a call, not a value. */
export interface ClusterConfig {
  /** Base URLs (https or http, optional path prefix) of equivalent API servers, at least one, tried in turn. */
  readonly servers: readonly [string, ...string[]];
  /** The pod's own namespace, or the namespace of the kubeconfig's context. */
  readonly namespace?: string;
  /** Asked at each new connection, so that a rotated CA or client certificate is picked up. */
  tls(): Promise<ClusterTls>;
  /** Headers of each request, e.g. `{authorization: 'Bearer ...'}`. Cheap when nothing changed. */
  headers(): Promise<Record<string, string>>;
  /** The server answered 401: the next `headers()` must not come from a cache. */
  forgetCredentials(): void;
  /** An HTTP/1.1 agent that must be used instead of own connections: a proxy of the kubeconfig. */
  readonly agent?: Agent;
}
