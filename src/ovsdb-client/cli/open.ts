import { Client } from '../client.ts';
import { OvsdbError } from '../errors.ts';
import { resolveOptions } from '../options.ts';
import { formatEndpoint, parseEndpoints } from '../session/endpoint.ts';
import type { UntypedTables } from '../value/row-types.ts';
import type { CommandContext } from './commands.ts';

/**
 * Connects for a command. With `patience` all endpoints are tried again and again, and what happens is told on stderr;
 * without, they are tried once, unless there is a timeout to use up. Throws OvsdbError that names each endpoint's fault.
 */
export async function open(
  context: CommandContext,
  endpoints: string,
  database: string,
  patience = false,
): Promise<Client<UntypedTables>> {
  const { line, signal } = context;
  const ssl = parseEndpoints(endpoints).find((endpoint) => endpoint.kind === 'ssl');
  if (ssl !== undefined && line.tls === undefined) {
    throw new OvsdbError(
      'InvalidOptions',
      `${formatEndpoint(ssl)} needs --ca-cert, --certificate and --private-key (-C, -c and -p)`,
    );
  }
  const { tls, leader } = line;
  const client = new Client<UntypedTables>(
    resolveOptions<UntypedTables>({ endpoints, database, leader, ...(tls !== undefined && { tls }) }),
  );
  const faults = new Map<string, string>();
  const giveUp = new AbortController();
  const until = AbortSignal.any([signal, giveUp.signal]);
  void watch(client, context, patience, faults, () => giveUp.abort()).catch((thrown: unknown) => giveUp.abort(thrown));
  try {
    await client.connected({ signal: until });
    return client;
  } catch (thrown) {
    await client.close();
    if (faults.size === 0) throw signal.aborted ? signal.reason : thrown;
    const list = [...faults.values()];
    const found = list.length === 1 ? list[0] : `no endpoint can be used:\n  ${list.join('\n  ')}`;
    const late = signal.aborted && signal.reason instanceof OvsdbError ? `${signal.reason.message}: ` : '';
    throw new OvsdbError('ConnectFailed', `${late}${found}`);
  }
}

async function watch(
  client: Client<UntypedTables>,
  { line, notice }: CommandContext,
  patience: boolean,
  faults: Map<string, string>,
  giveUp: () => void,
): Promise<void> {
  let told = false;
  for await (const event of client.events()) {
    if (event.type === 'rejected') faults.set(event.endpoint, event.reason);
    if (event.type === 'waiting' && !patience && line.timeoutMs === undefined) giveUp();
    if (!patience) continue;
    if (event.type === 'waiting' && !told && faults.size > 0) {
      told = true;
      notice(`${[...faults.values()].join('; ')}; trying again`);
    } else if (event.type === 'disconnected' && event.error.code !== 'Closed') {
      told = true;
      notice(`${event.error.message}; trying again`);
    } else if (event.type === 'connected') {
      if (told) notice(`connected to ${event.endpoint}`);
      told = false;
      faults.clear();
    }
  }
}
