import { join } from 'node:path';
import type { Clock, Logger } from '../base/index.ts';
import { connectNorthbound, Northbound, type NorthboundStatus } from '../ovn/index.ts';
import type { OvnOptions } from './options.ts';

/** Where the controller hands over what OVN should carry, and hears what became of it. */
export type NorthboundPort = Pick<Northbound, 'setDesired' | 'status' | 'programming' | 'subscribe' | 'run'>;

const unusedStatus: NorthboundStatus = {
  state: 'off',
  message: 'OVN is not used',
  mode: 'off',
  desiredGeneration: 0,
  writtenGeneration: 0,
  lastError: undefined,
  attachments: [],
  missing: [],
  rows: 0,
  withheldDeletions: 0,
  transactions: 0,
  operations: 0,
  restored: 0,
  problems: [],
  lag: undefined,
};

/** Where OVN is not used. */
export const noNorthbound: NorthboundPort = {
  setDesired() {},
  status: () => unusedStatus,
  programming: () => ({ kind: 'pending' }),
  subscribe: () => () => false,
  async run() {},
};

/**
 * The writer for one term of leadership: a writer that stopped remembers what it was last told, which another leader may
 * have overtaken since.
 */
export function northboundOf(options: OvnOptions, clock: Clock, logger: Logger): NorthboundPort {
  const { mode, remotes, tlsDirectory, clusterId } = options;
  // In mode `off` the writer takes away what an earlier mode has written.
  if (remotes.length === 0) return noNorthbound;
  const file = (name: string) => ({ file: join(tlsDirectory ?? '', name) });
  const tls = { ca: file('ca.crt'), certificate: file('tls.crt'), privateKey: file('tls.key') };
  const remote = { remotes: remotes.join(','), clock, logger, ...(tlsDirectory === undefined ? {} : { tls }) };
  return new Northbound({ connect: connectNorthbound(remote), clock, logger, clusterId, mode });
}
