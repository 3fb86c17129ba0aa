import { defaultLoadBalancerClass } from '../api/names.ts';
import { type LogLevel, logLevels, type OptionSpec, type Options, UsageError } from '../base/index.ts';
import type { ServiceClass } from './ownership.ts';

/** The options that the controller and the speakers must agree on, and those that every process has. */
export const processOptionSpecs = {
  namespace: { value: 'NAME', help: 'Namespace of Ovenbird.', env: 'POD_NAMESPACE', default: 'ovenbird-system' },
  kubeconfig: { value: 'FILE', help: 'Kubeconfig to use outside a cluster.', env: 'KUBECONFIG' },
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
    help: 'Secret with the key that authenticates heartbeats; the controller makes it when it is missing.',
    default: 'ovenbird-speaker-key',
  },
  'ovn-mode': {
    value: 'MODE',
    help: 'auto, full, external or off; in full, the controller and the host agent of each node replace kube-proxy.',
    default: 'auto',
  },
} as const satisfies Record<string, OptionSpec>;

const ovnModes = ['auto', 'full', 'external', 'off'] as const;
export type OvnMode = (typeof ovnModes)[number];

export interface ProcessOptions extends ServiceClass {
  readonly namespace: string;
  readonly kubeconfig?: string;
  readonly logLevel: LogLevel;
  readonly keySecret: string;
  readonly ovnMode: OvnMode;
}

/** A label value with an optional prefix, as the API server wants spec.loadBalancerClass. */
const classPattern = /^[a-z0-9A-Z]([-a-z0-9A-Z._]*[a-z0-9A-Z])?(\/[a-z0-9A-Z]([-a-z0-9A-Z._]*[a-z0-9A-Z])?)?$/;

/** @throws UsageError naming the option and what it takes */
export function readProcessOptions(options: Options): ProcessOptions {
  const kubeconfig = options.optional('kubeconfig');
  const loadBalancerClass = options.required('load-balancer-class');
  if (!classPattern.test(loadBalancerClass)) {
    throw new UsageError(`--load-balancer-class=${loadBalancerClass}: give a class like ${defaultLoadBalancerClass}`);
  }
  return {
    namespace: options.required('namespace'),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    logLevel: options.oneOf('log-level', logLevels),
    loadBalancerClass,
    servesUnclassed: options.boolean('default-load-balancer-class'),
    keySecret: options.required('speaker-key-secret'),
    ovnMode: options.oneOf('ovn-mode', ovnModes),
  };
}
