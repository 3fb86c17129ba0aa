import { hostname } from 'node:os';
import { defaultLoadBalancerClass } from '../api/index.ts';
import { type LogLevel, logLevels, type OptionSpec, Options, UsageError } from '../base/index.ts';

/** The options of `ovenbird controller`. */
export const controllerOptionSpecs: Record<string, OptionSpec> = {
  namespace: { value: 'NAME', help: 'Namespace of Ovenbird.', env: 'POD_NAMESPACE', default: 'ovenbird-system' },
  'pod-name': { value: 'NAME', help: 'Name of this replica.', env: 'POD_NAME', default: hostname() },
  kubeconfig: { value: 'FILE', help: 'Kubeconfig to use outside a cluster.', env: 'KUBECONFIG' },
  'http-port': { value: 'PORT', help: 'Port of /healthz, /readyz and /metrics.', default: '7473' },
  'log-level': { value: 'LEVEL', help: `One of ${logLevels.join(', ')}.`, default: 'info' },
  'load-balancer-class': {
    value: 'CLASS',
    help: 'spec.loadBalancerClass of the Services that are ours.',
    default: defaultLoadBalancerClass,
  },
  'default-load-balancer-class': {
    value: 'BOOLEAN',
    help: 'Whether Services that name no class are ours too.',
    default: 'true',
  },
  'speaker-key-secret': {
    value: 'NAME',
    help: 'Secret with the key that authenticates heartbeats; made when missing.',
    default: 'ovenbird-speaker-key',
  },
  'lease-name': { value: 'NAME', help: 'Lease by which the replicas elect a leader.', default: 'ovenbird-controller' },
  'leader-election-namespace': { value: 'NAME', help: 'Namespace of the Lease; default: the one of Ovenbird.' },
  workers: { value: 'COUNT', help: 'Services worked on at a time.', default: '64' },
  'ovn-mode': { value: 'MODE', help: 'auto, full, external or off.', default: 'auto' },
  'ovn-northbound': {
    value: 'REMOTES',
    help: 'OVSDB remotes of the OVN northbound database, comma separated: tcp:HOST:PORT or ssl:HOST:PORT.',
  },
  'ovn-tls-dir': { value: 'DIRECTORY', help: 'Directory with ca.crt, tls.crt and tls.key, for ssl: remotes.' },
  'cluster-id': {
    value: 'NAME',
    help: 'Names this cluster in a northbound database that several share.',
    default: 'default',
  },
};

/** The options of a controller, validated. */
export interface ControllerOptions {
  readonly namespace: string;
  readonly podName: string;
  readonly kubeconfig?: string;
  /** 0 picks a free port. */
  readonly httpPort: number;
  readonly logLevel: LogLevel;
  readonly loadBalancerClass: string;
  readonly servesUnclassed: boolean;
  readonly keySecret: string;
  readonly leaseNamespace: string;
  readonly leaseName: string;
  readonly workers: number;
  readonly ovn: OvnOptions;
}

/** How OVN is reached and what is written there. */
export interface OvnOptions {
  readonly mode: 'auto' | 'full' | 'external' | 'off';
  /** OVSDB remotes; empty: OVN is not used. */
  readonly remotes: readonly string[];
  readonly tlsDirectory?: string;
  readonly clusterId: string;
}

/** @throws UsageError naming the option and what it takes */
export function parseControllerOptions(args: readonly string[], env: NodeJS.ProcessEnv): ControllerOptions {
  const options = Options.parse(controllerOptionSpecs, args, env);
  const kubeconfig = options.optional('kubeconfig');
  const namespace = options.required('namespace');
  const loadBalancerClass = options.required('load-balancer-class');
  if (
    !/^[a-z0-9A-Z]([-a-z0-9A-Z._]*[a-z0-9A-Z])?(\/[a-z0-9A-Z]([-a-z0-9A-Z._]*[a-z0-9A-Z])?)?$/.test(loadBalancerClass)
  ) {
    throw new UsageError(`--load-balancer-class=${loadBalancerClass}: give a class like ${defaultLoadBalancerClass}`);
  }
  return Object.freeze({
    namespace,
    podName: options.required('pod-name'),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    httpPort: options.integer('http-port', 0, 65535),
    logLevel: options.oneOf('log-level', logLevels),
    loadBalancerClass,
    servesUnclassed: options.boolean('default-load-balancer-class'),
    keySecret: options.required('speaker-key-secret'),
    leaseNamespace: options.optional('leader-election-namespace') ?? namespace,
    leaseName: options.required('lease-name'),
    workers: options.integer('workers', 1, 256),
    ovn: parseOvnOptions(options),
  });
}

function parseOvnOptions(options: Options): OvnOptions {
  const mode = options.oneOf('ovn-mode', ['auto', 'full', 'external', 'off']);
  const text = options.optional('ovn-northbound') ?? '';
  const remotes = text.split(',').flatMap((remote) => remote.trim() || []);
  for (const remote of remotes) {
    if (/^(tcp|ssl):(\[[0-9a-fA-F:]+\]|[^:[\]]+):[0-9]{1,5}$/.test(remote) || /^unix:.+/.test(remote)) continue;
    throw new UsageError(`--ovn-northbound: "${remote}" is not tcp:HOST:PORT or ssl:HOST:PORT; write IPv6 in brackets`);
  }
  if ((mode === 'full' || mode === 'external') && remotes.length === 0) {
    throw new UsageError(`--ovn-mode=${mode} needs --ovn-northbound, for example tcp:192.0.2.1:6641`);
  }
  const tlsDirectory = options.optional('ovn-tls-dir');
  if (tlsDirectory === undefined && remotes.some((remote) => remote.startsWith('ssl:'))) {
    throw new UsageError('--ovn-northbound names an ssl: remote: give --ovn-tls-dir with ca.crt, tls.crt and tls.key');
  }
  return Object.freeze({
    mode,
    remotes: Object.freeze(remotes),
    ...(tlsDirectory === undefined ? {} : { tlsDirectory }),
    clusterId: options.required('cluster-id'),
  });
}
