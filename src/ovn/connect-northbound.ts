import type { Clock, Logger } from '../base/index.ts';
import { type Client, connect, type TlsOptions } from '../ovsdb-client/index.ts';

export interface NorthboundRemote {
  /** `tcp:HOST:PORT`, `ssl:HOST:PORT` or `unix:PATH`, several separated by commas: the members of one cluster. */
  remotes: string;
  /** Needed for `ssl:`. */
  tls?: TlsOptions;
  clock: Clock;
  logger: Logger;
}

/** The `connect` option of `Northbound` for a database that is reached in the usual ways. */
export function connectNorthbound({
  remotes,
  tls,
  clock,
  logger,
}: NorthboundRemote): (signal: AbortSignal) => Promise<Client> {
  return (signal) =>
    connect({
      endpoints: remotes,
      database: 'OVN_Northbound',
      ...(tls ? { tls } : {}),
      // A database that comes back is read again, and repaired, within two seconds.
      backoff: { initialMs: 200, maximumMs: 1_000 },
      clock,
      logger,
      signal,
    });
}
