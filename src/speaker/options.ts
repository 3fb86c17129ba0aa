import { hostname } from 'node:os';
import { defaultLoadBalancerClass } from '../api/names.ts';
import { type LogLevel, logLevels, type OptionSpec, Options } from '../base/index.ts';

/** The options of `ovenbird speaker`. */
export const speakerOptionSpecs: Record<string, OptionSpec> = {
  'node-name': { value: 'NAME', help: 'Name of the Node this speaker runs on.', env: 'NODE_NAME', default: hostname() },
  namespace: { value: 'NAME', help: 'Namespace of Ovenbird.', env: 'POD_NAMESPACE', default: 'ovenbird-system' },
  kubeconfig: { value: 'FILE', help: 'Kubeconfig to use outside a cluster.', env: 'KUBECONFIG' },
  'http-port': {
    value: 'PORT',
    help: 'Port of /healthz, /readyz, /metrics and, on this host, /status.',
    default: '7474',
  },
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
    help: 'Secret with the key that authenticates heartbeats; the controller creates it.',
    default: 'ovenbird-speaker-key',
  },
  'heartbeat-port': { value: 'PORT', help: 'UDP port of the ownership heartbeats.', default: '7472' },
  'heartbeat-interval-ms': {
    value: 'MS',
    help: 'Milliseconds between heartbeats; an owner is dead after four missed ones.',
    default: '100',
  },
  'ovn-mode': { value: 'MODE', help: 'auto, full, external or off; the host agent runs with full.', default: 'auto' },
  'ovn-interface': { value: 'NAME', help: 'Interface by which the host reaches the OVN network.', default: 'ovn0' },
};

/** The options of a speaker, validated. */
export interface SpeakerOptions {
  readonly node: string;
  readonly namespace: string;
  readonly kubeconfig?: string;
  readonly httpPort: number;
  readonly logLevel: LogLevel;
  readonly loadBalancerClass: string;
  readonly defaultLoadBalancerClass: boolean;
  readonly keySecret: string;
  readonly heartbeatPort: number;
  readonly heartbeatIntervalMs: number;
  /** True where Ovenbird replaces kube-proxy: OVN mode full. */
  readonly hostAgent: boolean;
  readonly ovnInterface: string;
}

/** @throws UsageError naming the option */
export function parseSpeakerOptions(args: readonly string[], env: NodeJS.ProcessEnv): SpeakerOptions {
  const options = Options.parse(speakerOptionSpecs, args, env);
  const kubeconfig = options.optional('kubeconfig');
  return Object.freeze({
    node: options.required('node-name'),
    namespace: options.required('namespace'),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    httpPort: options.integer('http-port', 0, 65535),
    logLevel: options.oneOf('log-level', logLevels),
    loadBalancerClass: options.required('load-balancer-class'),
    defaultLoadBalancerClass: options.boolean('default-load-balancer-class'),
    keySecret: options.required('speaker-key-secret'),
    heartbeatPort: options.integer('heartbeat-port', 1, 65535),
    heartbeatIntervalMs: options.integer('heartbeat-interval-ms', 20, 5000),
    hostAgent: options.oneOf('ovn-mode', ['auto', 'full', 'external', 'off']) === 'full',
    ovnInterface: options.required('ovn-interface'),
  });
}
