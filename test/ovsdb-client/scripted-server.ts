import { type Duplex, duplexPair } from 'node:stream';
import type { Dial } from '../../src/ovsdb-client/index.ts';

type Json = unknown;
type Handler = (params: Json[], connection: ScriptedConnection, id: Json) => Json | undefined | Promise<Json>;

/** An error to answer with. */
export class Refusal {
  readonly error: Json;
  constructor(error: Json) {
    this.error = error;
  }
}

/** Answer nothing. */
export const silence = Symbol('silence');

/** The server's end of one connection. */
export class ScriptedConnection {
  readonly stream: Duplex;
  readonly received: { method: string; params: Json[]; id: Json }[] = [];
  #text = '';

  constructor(stream: Duplex, handlers: Map<string, Handler>) {
    this.stream = stream;
    stream.on('error', () => {});
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      this.#text += chunk;
      for (let end = endOfObject(this.#text); end > 0; end = endOfObject(this.#text)) {
        const message = JSON.parse(this.#text.slice(0, end)) as { method?: string; params: Json[]; id: Json };
        this.#text = this.#text.slice(end);
        if (message.method !== undefined) void this.#serve(message.method, message.params, message.id, handlers);
      }
    });
  }

  async #serve(method: string, params: Json[], id: Json, handlers: Map<string, Handler>): Promise<void> {
    this.received.push({ method, params, id });
    if (id === null) return;
    const handler = handlers.get(method);
    const result = handler === undefined ? new Refusal('unknown method') : await handler(params, this, id);
    if (result === silence) return;
    if (result instanceof Refusal) this.send({ id, error: result.error });
    else this.send({ id, result: result ?? null, error: null });
  }

  send(message: Json): void {
    if (this.stream.writable) this.stream.write(JSON.stringify(message));
  }

  notify(method: string, ...params: Json[]): void {
    this.send({ id: null, method, params });
  }
}

/** Length of the JSON object that the text begins with, 0 while it is not complete. Written to be obvious, not fast. */
function endOfObject(text: string): number {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === '\\') i += 1;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === '{') depth += 1;
    else if (c === '}') {
      depth -= 1;
      if (depth === 0) return i + 1;
    }
  }
  return 0;
}

export const zero = '00000000-0000-0000-0000-000000000000';

/** A made-up uuid that ends in `n`. */
export function id(n: number): string {
  return `11111111-2222-4333-8444-${n.toString(16).padStart(12, '0')}`;
}

/** A small schema with one of everything that monitors meet. */
export const shopSchema = {
  name: 'Shop',
  version: '1.2.3',
  cksum: '1 2',
  tables: {
    Item: {
      isRoot: true,
      indexes: [['name']],
      columns: {
        name: { type: 'string' },
        price: { type: { key: { type: 'integer', minInteger: 0, maxInteger: 1000 } } },
        stock: { type: 'integer' },
        kind: { type: { key: { type: 'string', enum: ['set', ['toy', 'food']] }, min: 0, max: 1 } },
        tags: { type: { key: 'string', min: 0, max: 'unlimited' } },
        labels: { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } },
        maker: { type: { key: { type: 'uuid', refTable: 'Maker', refType: 'weak' }, min: 0, max: 1 } },
        sizes: { type: { key: 'integer', min: 1, max: 3 } },
        weight: { type: 'real' },
        sold: { type: 'boolean', mutable: false },
        code: { type: { key: { type: 'string', minLength: 2, maxLength: 4 }, min: 0 } },
      },
    },
    Maker: {
      isRoot: true,
      columns: {
        name: { type: 'string' },
        items: { type: { key: { type: 'uuid', refTable: 'Item' }, min: 0, max: 'unlimited' } },
      },
    },
  },
};

const serverSchema = {
  name: '_Server',
  version: '1.2.0',
  tables: {
    Database: {
      columns: {
        name: { type: 'string' },
        model: { type: 'string' },
        connected: { type: 'boolean' },
        leader: { type: 'boolean' },
        schema: { type: { key: 'string', min: 0 } },
        cid: { type: { key: 'uuid', min: 0 } },
        sid: { type: { key: 'uuid', min: 0 } },
        index: { type: { key: 'integer', min: 0 } },
      },
    },
  },
};

/** A server that does what the test tells it to; `dial` connects to it without sockets. */
export class ScriptedServer {
  readonly connections: ScriptedConnection[] = [];
  readonly handlers = new Map<string, Handler>();
  /** The row of `_Server.Database`; absent columns have their default. */
  status: Record<string, Json> = { name: 'Shop', model: 'standalone', connected: true, leader: true };
  schema: Json = shopSchema;
  /** Set to refuse connections. */
  down = false;

  constructor() {
    this.on('echo', (params) => params);
    this.on('set_db_change_aware', () => ({}));
    this.on('list_dbs', () => ['_Server', 'Shop']);
    this.on('get_schema', ([name]) =>
      name === '_Server' ? serverSchema : name === 'Shop' ? this.schema : new Refusal('unknown database'),
    );
    this.on('monitor_cond', ([name]) =>
      name === '_Server'
        ? { Database: { [id(0xdb)]: { initial: { ...this.status } } } }
        : new Refusal('unknown method'),
    );
  }

  on(method: string, handler: Handler): void {
    this.handlers.set(method, handler);
  }

  /** Changes the status row and tells all clients. */
  setStatus(change: Record<string, Json>): void {
    Object.assign(this.status, change);
    for (const connection of this.connections) {
      connection.notify('update2', 'server-status', { Database: { [id(0xdb)]: { modify: change } } });
    }
  }

  get last(): ScriptedConnection {
    const connection = this.connections.at(-1);
    if (connection === undefined) throw new Error('nobody has connected');
    return connection;
  }

  readonly accept = (): Duplex => {
    const [client, server] = duplexPair();
    this.connections.push(new ScriptedConnection(server, this.handlers));
    return client;
  };

  readonly dial: Dial = async (_endpoint, signal) => {
    signal.throwIfAborted();
    if (this.down) throw new Error('refused');
    return this.accept();
  };
}

/** Lets streams and promises do what they can do by themselves. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
}
