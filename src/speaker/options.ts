import { hostname } from 'node:os';
import { type OptionSpec, Options } from '../base/index.ts';
import { type ProcessOptions, processOptionSpecs, readProcessOptions } from '../service/index.ts';

/** The options of `ovenbird speaker`. */
export const speakerOptionSpecs: Record<string, OptionSpec> = {
  ...processOptionSpecs,
  'node-name': { value: 'NAME', help: 'Name of the Node this speaker runs on.', env: 'NODE_NAME', default: hostname() },
  'http-port': {
    value: 'PORT',
    help: 'Port of /healthz, /readyz, /metrics and, on this host, /status.',
    default: '7474',
  },
  'heartbeat-port': { value: 'PORT', help: 'UDP port of the ownership heartbeats.', default: '7472' },
  'heartbeat-interval-ms': {
    value: 'MS',
    help: 'Milliseconds between heartbeats; an owner is dead after four missed ones.',
    default: '100',
  },
  'ovn-interface': { value: 'NAME', help: 'Interface by which the host reaches the OVN network.', default: 'ovn0' },
};

/** The options of a speaker, validated. */
export interface SpeakerOptions extends Omit<ProcessOptions, 'ovnMode'> {
  readonly node: string;
  readonly httpPort: number;
  readonly heartbeatPort: number;
  readonly heartbeatIntervalMs: number;
  /** True where Ovenbird replaces kube-proxy: OVN mode full. */
  readonly hostAgent: boolean;
  readonly ovnInterface: string;
}

/** @throws UsageError naming the option and what it takes */
export function parseSpeakerOptions(args: readonly string[], env: NodeJS.ProcessEnv): SpeakerOptions {
  const options = Options.parse(speakerOptionSpecs, args, env);
  const { ovnMode, ...common } = readProcessOptions(options);
  return Object.freeze({
    ...common,
    node: options.required('node-name'),
    httpPort: options.integer('http-port', 0, 65535),
    heartbeatPort: options.integer('heartbeat-port', 1, 65535),
    heartbeatIntervalMs: options.integer('heartbeat-interval-ms', 20, 5000),
    hostAgent: ovnMode === 'full',
    ovnInterface: options.required('ovn-interface'),
  });
}
