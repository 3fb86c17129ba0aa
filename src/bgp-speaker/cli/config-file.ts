import { BgpOptionsError } from '../errors.ts';
import type { DynamicPeerOptions, ListenAddress, PeerOptions } from '../speaker/options.ts';

/** The configuration file, everything optional. */
export interface ConfigFile {
  localAs?: number;
  identifier?: string;
  listen?: readonly ListenAddress[];
  routes?: string;
  drainSeconds?: number;
  peers?: readonly PeerOptions[];
  acceptPeers?: readonly (DynamicPeerOptions & { prefix: string })[];
}

type Kind = 'string' | 'number' | 'boolean' | 'object' | 'array';

/** What each field may be; values are checked where they are used. */
const session: Readonly<Record<string, readonly Kind[]>> = {
  name: ['string'],
  port: ['number'],
  peerAs: ['number', 'string', 'array'],
  localAddress: ['string'],
  interface: ['string'],
  password: ['string'],
  authenticationKeys: ['array'],
  ttlSecurityHops: ['number'],
  multihop: ['number'],
  userTimeoutMs: ['number'],
  localAs: ['object'],
  nextHopIpv4: ['string'],
  nextHopIpv6: ['string'],
  shutdownText: ['string'],
  disabled: ['boolean'],
  families: ['array'],
  holdTimeSeconds: ['number'],
  passive: ['boolean'],
  connectRetrySeconds: ['number'],
  openHoldSeconds: ['number'],
  idleHoldSeconds: ['number'],
  maximumIdleHoldSeconds: ['number'],
  stableSeconds: ['number'],
  sendHoldSeconds: ['number'],
  extendedMessages: ['boolean'],
  ipv4NextHopOverIpv6: ['boolean'],
  gracefulRestart: ['object'],
};

const top: Readonly<Record<string, readonly Kind[]>> = {
  localAs: ['number'],
  identifier: ['string'],
  listen: ['array'],
  routes: ['string'],
  drainSeconds: ['number'],
  peers: ['array'],
  acceptPeers: ['array'],
};

export const longestDrainSeconds = 3_600;

/** @param file named in errors. @throws BgpOptionsError that names every field that is wrong */
export function readConfig(text: string, file: string): ConfigFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new BgpOptionsError([{ field: file, text: `no JSON: ${thrown instanceof Error ? thrown.message : thrown}` }]);
  }
  const problems: { field: string; text: string }[] = [];
  const check = (path: string, object: unknown, fields: Readonly<Record<string, readonly Kind[]>>) => {
    if (kindOf(object) !== 'object') problems.push({ field: path, text: 'is not an object' });
    else
      for (const [name, one] of Object.entries(object as object)) {
        const kinds = Object.hasOwn(fields, name) ? fields[name] : undefined;
        const kind = kindOf(one);
        if (!kinds)
          problems.push({
            field: `${path}.${name}`,
            text: `there is no such field; known: ${Object.keys(fields).sort().join(', ')}`,
          });
        else if (!kinds.some((each) => each === kind))
          problems.push({ field: `${path}.${name}`, text: `give ${kinds.join(' or ')}, not ${kind}` });
      }
  };
  check(file, value, top);
  if (problems.length === 0) {
    const config = value as Record<'listen' | 'peers' | 'acceptPeers', unknown[] | undefined>;
    const { drainSeconds = 0 } = value as ConfigFile;
    if (!(drainSeconds >= 0 && drainSeconds <= longestDrainSeconds)) {
      problems.push({ field: `${file}.drainSeconds`, text: `${drainSeconds}: give 0 to ${longestDrainSeconds}` });
    }
    for (const [index, one] of (config.listen ?? []).entries()) {
      check(`${file} listen[${index}]`, one, { address: ['string'], port: ['number'], interface: ['string'] });
    }
    for (const [index, one] of (config.peers ?? []).entries()) {
      check(`${file} peers[${index}]`, one, { ...session, address: ['string'] });
    }
    for (const [index, one] of (config.acceptPeers ?? []).entries()) {
      check(`${file} acceptPeers[${index}]`, one, { ...session, prefix: ['string'], maximumPeers: ['number'] });
    }
  }
  if (problems.length > 0) throw new BgpOptionsError(problems);
  return value as ConfigFile;
}

function kindOf(value: unknown): Kind | 'null' {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  const type = typeof value;
  return type === 'string' || type === 'number' || type === 'boolean' ? type : 'object';
}
