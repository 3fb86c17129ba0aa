import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type Client, connect, type TlsOptions, type UntypedTables } from '../../../src/ovsdb-client/index.ts';
import { eventually } from '../../eventually.ts';
import { kindsSchema } from '../../ovsdb-client/kinds-schema.ts';
import {
  output,
  programsMissing,
  type RealServer,
  standalone,
  tearDown,
  temporaryDirectory,
} from '../../ovsdb-client/real-server.ts';

jest.setTimeout(40_000);
const scenarios = programsMissing === undefined ? describe : describe.skip;

scenarios('TLS as ovsdb-server uses it', () => {
  let pki: Pki;
  let server: RealServer;
  const clients: Client<UntypedTables>[] = [];

  beforeAll(async () => {
    pki = await Pki.make();
    server = await serve('server');
  });
  afterAll(async () => {
    await tearDown(server);
    pki.remove();
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
  });

  async function serve(certificate: string, ca = 'ca'): Promise<RealServer> {
    return standalone(kindsSchema, {
      remote: `pssl:${await freePort()}:127.0.0.1`,
      options: [
        `--private-key=${pki.path(`${certificate}.key`)}`,
        `--certificate=${pki.path(`${certificate}.pem`)}`,
        `--ca-cert=${pki.path(`${ca}.pem`)}`,
      ],
    });
  }

  async function open(
    tls: Partial<TlsOptions> = {},
    endpoints = server.endpoint,
    patienceMs = 1500,
  ): Promise<Client<UntypedTables>> {
    const client = await connect<UntypedTables>({
      endpoints,
      database: 'Kinds',
      tls: { ca: pki.file('ca.pem'), certificate: pki.file('client.pem'), privateKey: pki.file('client.key'), ...tls },
      backoff: { initialMs: 50, maximumMs: 200 },
      signal: AbortSignal.timeout(patienceMs),
    });
    clients.push(client);
    return client;
  }

  test('works with certificates that have no subject alternative name', async () => {
    const client = await open();
    const tx = client.transaction();
    tx.insert('Log', { key: 'a', value: 1 });
    await client.transact(tx);
    expect(client.state).toMatchObject({ kind: 'connected', endpoint: server.endpoint });
  });

  test('the name can be insisted on: common name or alternative name', async () => {
    await open({ serverName: 'ovsdb-server' });
    await expect(open({ serverName: 'someone-else' })).rejects.toThrow(
      /certificate is for "ovsdb-server", not for "someone-else"/,
    );
    const named = await serve('named');
    try {
      await open({ serverName: 'db.example' }, named.endpoint);
      await open({ serverName: 'named' }, named.endpoint);
    } finally {
      await tearDown(named);
    }
  });

  test('PEM text does as well as files', async () => {
    await open({ ca: { pem: await output('cat', pki.path('ca.pem')) } });
  });

  test('a server of another CA is refused', async () => {
    await expect(open({ ca: pki.file('other-ca.pem') })).rejects.toThrow(
      /ssl:127.0.0.1:\d+ cannot be reached.*(unable to|signature|self-signed)/,
    );
  });

  test('our certificate of another CA is refused by the server', async () => {
    await expect(open({ certificate: pki.file('stranger.pem'), privateKey: pki.file('stranger.key') })).rejects.toThrow(
      /no connection in time.*(alert|closed|ECONNRESET|SSL|connection)/,
    );
  });

  test('an expired server is refused', async () => {
    const expired = await serve('expired');
    try {
      await expect(open({}, expired.endpoint)).rejects.toThrow(/certificate has expired/);
    } finally {
      await tearDown(expired);
    }
  });

  test('a file that is missing, and a key that does not fit, are named', async () => {
    await expect(open({ privateKey: { file: '/nonexistent.key' } })).rejects.toThrow(
      /TLS privateKey: \/nonexistent.key cannot be read/,
    );
    await expect(open({ privateKey: pki.file('stranger.key') })).rejects.toThrow(
      /cannot be reached.*key values mismatch/,
    );
  });

  test('a server that does not speak TLS is given up', async () => {
    const plain = await standalone(kindsSchema, { remote: `ptcp:${await freePort()}:127.0.0.1` });
    try {
      await expect(open({}, plain.endpoint.replace('tcp:', 'ssl:'))).rejects.toThrow(/no connection in time/);
    } finally {
      await tearDown(plain);
    }
  });

  test('rotated certificates are taken up at the next connection, without a restart', async () => {
    for (const name of ['ca.pem', 'client.pem', 'client.key']) copyFileSync(pki.path(name), pki.path(`live-${name}`));
    const client = await open({
      ca: pki.file('live-ca.pem'),
      certificate: pki.file('live-client.pem'),
      privateKey: pki.file('live-client.key'),
    });
    const port = server.endpoint.split(':')[2];
    await server.kill();
    const renewed = await standalone(kindsSchema, {
      remote: `pssl:${port}:127.0.0.1`,
      options: [
        `--private-key=${pki.path('renewed.key')}`,
        `--certificate=${pki.path('renewed.pem')}`,
        `--ca-cert=${pki.path('other-ca.pem')}`,
      ],
    });
    try {
      await eventually('the new server is refused', () => client.state.kind !== 'connected');
      copyFileSync(pki.path('other-ca.pem'), pki.path('live-ca.pem'));
      copyFileSync(pki.path('stranger.pem'), pki.path('live-client.pem'));
      copyFileSync(pki.path('stranger.key'), pki.path('live-client.key'));
      await eventually('connected again', () => client.state.kind === 'connected');
      await client.echo({ signal: AbortSignal.timeout(5000) });
    } finally {
      await tearDown(renewed);
      await server.start();
    }
  });
});

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

/** Two certificate authorities and what they have signed, made with openssl. */
class Pki {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  static async make(): Promise<Pki> {
    const pki = new Pki(temporaryDirectory());
    await pki.#authority('ca');
    await pki.#authority('other-ca');
    await pki.#sign('server', 'ca', { name: 'ovsdb-server' });
    await pki.#sign('named', 'ca', { name: 'named', extension: 'subjectAltName=DNS:db.example,IP:127.0.0.1' });
    await pki.#sign('expired', 'ca', { name: 'expired', days: -1 });
    await pki.#sign('client', 'ca', { name: 'client' });
    await pki.#sign('stranger', 'other-ca', { name: 'stranger' });
    await pki.#sign('renewed', 'other-ca', { name: 'renewed' });
    return pki;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  file(name: string): { file: string } {
    return { file: this.path(name) };
  }

  async #authority(name: string): Promise<void> {
    await output(
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      this.path(`${name}.key`),
      '-out',
      this.path(`${name}.pem`),
    );
  }

  async #sign(
    file: string,
    ca: string,
    { name, days = 2, extension }: { name: string; days?: number; extension?: string },
  ): Promise<void> {
    const [key, request, certificate, extensions] = [`${file}.key`, `${file}.csr`, `${file}.pem`, `${file}.ext`].map(
      (part) => this.path(part),
    ) as [string, string, string, string];
    await output(
      'openssl',
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      key,
      '-out',
      request,
    );
    writeFileSync(extensions, extension ?? '');
    await output(
      'openssl',
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      this.path(`${ca}.pem`),
      '-CAkey',
      this.path(`${ca}.key`),
      '-CAcreateserial',
      '-days',
      String(days),
      '-extfile',
      extensions,
      '-out',
      certificate,
    );
  }
}
