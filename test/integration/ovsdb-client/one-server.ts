import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import {
  type Client,
  type ConnectOptions,
  connect,
  everyRow,
  type UntypedTables,
} from '../../../src/ovsdb-client/index.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import { type RealServer, standalone, tearDown } from '../../ovsdb-client/real-server.ts';

/** One ovsdb-server for the tests of a `describe`: each begins with empty tables and leaves no client behind. */
export interface OneServer {
  readonly server: RealServer;
  /** A client of it, unless `more` names another; closed after the test. */
  open(more?: Partial<ConnectOptions<UntypedTables>>): Promise<Client<UntypedTables>>;
}

/** Call it inside `describe`. */
export function oneServer(): OneServer {
  let server: RealServer | undefined;
  const clients: Client<UntypedTables>[] = [];
  const one: OneServer = {
    get server() {
      if (server === undefined) throw new RangeError('the server is there in tests only');
      return server;
    },
    async open(more = {}) {
      const client = await connect<UntypedTables>({
        endpoints: one.server.endpoint,
        database: 'Kinds',
        signal: AbortSignal.timeout(10_000),
        backoff: { initialMs: 20, maximumMs: 200 },
        ...more,
      });
      clients.push(client);
      return client;
    },
  };
  beforeAll(async () => {
    server = await standalone(kindsSchema);
  });
  afterAll(async () => {
    if (server !== undefined) await tearDown(server);
  });
  beforeEach(async () => {
    const client = await one.open();
    const tx = client.transaction();
    for (const table of ['Thing', 'Log']) tx.delete(table, everyRow);
    await client.transact(tx);
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
  });
  return one;
}
