import { hostname } from 'node:os';
import { type OptionSpec, Options, UsageError } from '../base/index.ts';
import { type OvnMode, type ProcessOptions, processOptionSpecs, readProcessOptions } from '../service/index.ts';

/** The options of `ovenbird controller`. */
export const controllerOptionSpecs: Record<string, OptionSpec> = {
  ...processOptionSpecs,
  'pod-name': { value: 'NAME', help: 'Name of this replica.', env: 'POD_NAME', default: hostname() },
  'http-port': { value: 'PORT', help: 'Port of /healthz, /readyz and /metrics.', default: '7473' },
  'lease-name': { value: 'NAME', help: 'Lease by which the replicas elect a leader.', default: 'ovenbird-controller' },
  'leader-election-namespace': { value: 'NAME', help: 'Namespace of the Lease; default: the one of Ovenbird.' },
  workers: { value: 'COUNT', help: 'Services worked on at a time.', default: '64' },
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
export interface ControllerOptions extends Omit<ProcessOptions, 'ovnMode'> {
  readonly podName: string;
  /** 0 picks a free port. */
  readonly httpPort: number;
  readonly leaseNamespace: string;
  readonly leaseName: string;
  readonly workers: number;
  readonly ovn: OvnOptions;
}

/** How OVN is reached and what is written there. */
export interface OvnOptions {
  readonly mode: OvnMode;
  /** OVSDB remotes; empty: OVN is not used. */
  readonly remotes: readonly string[];
  readonly tlsDirectory?: string;
  readonly clusterId: string;
}

/** @throws UsageError naming the option and what it takes */
export function parseControllerOptions(args: readonly string[], env: NodeJS.ProcessEnv): ControllerOptions {
  const options = Options.parse(controllerOptionSpecs, args, env);
  const { ovnMode, ...common } = readProcessOptions(options);
  return Object.freeze({
    ...common,
    podName: options.required('pod-name'),
    httpPort: options.integer('http-port', 0, 65535),
    leaseNamespace: options.optional('leader-election-namespace') ?? common.namespace,
    leaseName: options.required('lease-name'),
    workers: options.integer('workers', 1, 256),
    ovn: parseOvnOptions(ovnMode, options),
  });
}

function parseOvnOptions(mode: OvnMode, options: Options): OvnOptions {
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
