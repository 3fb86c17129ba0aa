import type { Random } from '../base/backoff.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { OvsdbError } from './errors.ts';
import type { JsonStreamLimits } from './json/json-stream.ts';
import type { Json } from './json/json-value.ts';
import { type DatabaseSchema, parseSchema } from './schema/schema.ts';
import { type Endpoint, formatEndpoint, parseEndpoints } from './session/endpoint.ts';
import type { LeaderPreference } from './session/server-status.ts';
import type { TlsOptions } from './session/tls.ts';
import { type Dial, socketDial } from './session/transport.ts';
import type { TablesOf } from './value/row-types.ts';

/** A database with the types of its rows, as `ovsdb-client generate` writes it from a schema file. */
export interface DatabaseDefinition<Tables extends TablesOf<Tables>> {
  readonly name: string;
  /** The JSON of the schema that the types were made from. Servers may have an older or a newer one. */
  readonly schema: Json;
  /** Never set: carries the row types. */
  readonly tables?: Tables;
}

export interface ConnectOptions<Tables extends TablesOf<Tables>> extends JsonStreamLimits {
  /** `tcp:HOST:PORT`, `ssl:HOST:PORT`, `unix:PATH`, or several, separated by commas. */
  endpoints: string;
  /** Name of the database, or a generated definition, which gives rows their types. */
  database: string | DatabaseDefinition<Tables>;
  /** Needed for `ssl:` endpoints. */
  tls?: TlsOptions;
  /**
   * On a cluster: `prefer` (the default) takes the leader if it can be found and any member in contact with the majority
   * otherwise; `require` takes the leader only, and leaves a server that stops leading; `any` takes the first that works.
   */
  leader?: LeaderPreference;
  /** How long one endpoint may take to answer before the next is tried, ms. Default 5000. */
  connectTimeoutMs?: number;
  /** After this much silence the server is asked for a sign of life, and given up after as much again, ms; 0 = never. Default 15000. */
  probeIntervalMs?: number;
  /** Pauses between rounds in which every endpoint failed, ms. Default 500 to 8000, doubling. */
  backoff?: { initialMs: number; maximumMs: number };
  /** Stops waiting for the first connection. Afterwards `close` ends the client. */
  signal?: AbortSignal;
  logger?: Logger;
  clock?: Clock;
  random?: Random;
  /** Opens byte streams; for tests and proxies. Default: sockets. */
  dial?: Dial;
}

/** Checked options with all defaults filled in. */
export interface ResolvedOptions {
  endpoints: readonly Endpoint[];
  database: string;
  expected: DatabaseSchema | undefined;
  leader: LeaderPreference;
  connectTimeoutMs: number;
  probeIntervalMs: number;
  backoff: { initialMs: number; maximumMs: number };
  limits: JsonStreamLimits;
  logger: Logger | undefined;
  clock: Clock;
  random: Random;
  dial: Dial;
}

/** Throws OvsdbError `InvalidOptions` naming the option that is wrong. */
export function resolveOptions<Tables extends TablesOf<Tables>>(options: ConnectOptions<Tables>): ResolvedOptions {
  const endpoints = parseEndpoints(options.endpoints);
  const database = typeof options.database === 'string' ? options.database : options.database.name;
  if (database === '') throw new OvsdbError('InvalidOptions', '`database` is empty; give its name, e.g. Open_vSwitch');
  const ssl = endpoints.find((endpoint) => endpoint.kind === 'ssl');
  if (ssl !== undefined && options.tls === undefined && options.dial === undefined) {
    throw new OvsdbError(
      'InvalidOptions',
      `endpoint ${formatEndpoint(ssl)} needs \`tls\`: CA, certificate and private key`,
    );
  }
  const { connectTimeoutMs = 5000, probeIntervalMs = 15_000, backoff = { initialMs: 500, maximumMs: 8000 } } = options;
  if (!(connectTimeoutMs > 0)) throw new OvsdbError('InvalidOptions', '`connectTimeoutMs` must be more than 0');
  if (!(probeIntervalMs >= 0)) throw new OvsdbError('InvalidOptions', '`probeIntervalMs` must be 0 or more');
  if (!(backoff.initialMs > 0 && backoff.maximumMs >= backoff.initialMs)) {
    throw new OvsdbError('InvalidOptions', '`backoff` needs 0 < initialMs <= maximumMs');
  }
  return {
    endpoints,
    database,
    expected: typeof options.database === 'string' ? undefined : parseSchema(options.database.schema),
    leader: options.leader ?? 'prefer',
    connectTimeoutMs,
    probeIntervalMs,
    backoff,
    limits: {
      ...(options.maximumMessageBytes !== undefined && { maximumMessageBytes: options.maximumMessageBytes }),
      ...(options.maximumDepth !== undefined && { maximumDepth: options.maximumDepth }),
    },
    logger: options.logger,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    dial: options.dial ?? socketDial(options.tls),
  };
}
