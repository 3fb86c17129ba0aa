import { OvenbirdError } from '../../src/base/errors.ts';

/** Error numbers of the CNI specification, "Error"; from 100 on they are the plugin's own. */
export const cniErrors = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  decodingFailure: 6,
  invalidConfiguration: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  commandFailed: 100,
  notAsExpected: 101,
} as const;

/** A failure that the runtime is told about as JSON. */
export class CniError extends OvenbirdError<keyof typeof cniErrors> {}

/** Versions whose request and result formats this plugin speaks. */
export const supportedVersions = ['1.0.0', '1.1.0'] as const;

/** What the lab writes into the network configuration, beside the fields of the specification. */
export interface PluginSettings {
  readonly type: string;
  /** `tcp:ADDRESS:PORT`, reachable from the node. */
  readonly northbound: string;
  /** `unix:/run/openvswitch/db.sock`. */
  readonly switchDatabase: string;
  readonly logicalSwitch: string;
  /** Of the node; its pods become members. */
  readonly portGroup: string;
  /** Pod addresses are taken from here, the gateway excepted. */
  readonly cidr: string;
  readonly gateway: string;
  readonly mtu: number;
}

export interface NetworkConfiguration extends PluginSettings {
  readonly cniVersion: string;
  readonly name: string;
  /** For CHECK: the result of the ADD. */
  readonly prevResult?: { readonly ips?: readonly { readonly address: string }[] };
  /** For GC: the attachments that are still in use. */
  readonly 'cni.dev/valid-attachments'?: readonly { readonly containerID: string; readonly ifname: string }[];
}

/** The pod's side of a request. `netns` may be missing for DEL: the namespace is gone already. */
export interface Attachment {
  readonly containerId: string;
  readonly netns: string | undefined;
  readonly interfaceName: string;
  readonly pod: string;
  readonly namespace: string;
}

/** @throws CniError `decodingFailure` or `invalidConfiguration`, naming the field. */
export function parseConfiguration(text: string): NetworkConfiguration {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new CniError('decodingFailure', 'the network configuration on standard input is not JSON', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null) {
    throw new CniError('decodingFailure', 'the network configuration on standard input is not an object');
  }
  const fields = parsed as Record<string, unknown>;
  for (const field of ['name', 'northbound', 'switchDatabase', 'logicalSwitch', 'portGroup', 'cidr', 'gateway']) {
    if (typeof fields[field] !== 'string') throw new CniError('invalidConfiguration', `${field}: expected a string`);
  }
  if (typeof fields.mtu !== 'number') throw new CniError('invalidConfiguration', 'mtu: expected a number');
  const version = fields.cniVersion;
  if (!supportedVersions.some((supported) => supported === version)) {
    const known = supportedVersions.join(', ');
    throw new CniError('incompatibleVersion', `cniVersion ${String(version)}: this plugin speaks ${known}`);
  }
  return fields as unknown as NetworkConfiguration;
}

/**
 * Reads the parameters of ADD, DEL and CHECK from the environment (CNI specification, "Parameters").
 * @throws CniError `invalidEnvironment`, naming the variable.
 */
export function parseAttachment(environment: Readonly<Record<string, string | undefined>>): Attachment {
  const need = (name: string): string => {
    const value = environment[name];
    if (value === undefined || value === '') throw new CniError('invalidEnvironment', `${name} is not set`);
    return value;
  };
  const args = new Map(
    (environment.CNI_ARGS ?? '').split(';').map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
  const containerId = need('CNI_CONTAINERID');
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(containerId)) {
    throw new CniError('invalidEnvironment', `CNI_CONTAINERID ${containerId}: not a container id`);
  }
  return {
    containerId,
    netns: environment.CNI_NETNS || undefined,
    interfaceName: need('CNI_IFNAME'),
    pod: args.get('K8S_POD_NAME') ?? containerId,
    namespace: args.get('K8S_POD_NAMESPACE') ?? 'default',
  };
}

/** The name of the pod's port, in OVN and as `iface-id` on the node. */
export function portNameOf(attachment: Attachment): string {
  return `${attachment.pod}.${attachment.namespace}`;
}

/** The node's end of the pod's cable: at most 15 characters, and the same for every request about one container. */
export function hostInterfaceOf(containerId: string): string {
  return `${containerId.slice(0, 12)}_h`;
}
