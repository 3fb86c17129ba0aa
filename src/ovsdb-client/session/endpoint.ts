import { OvsdbError } from '../errors.ts';

/** Where an OVSDB server listens, in the notation of ovsdb(7), "Active connection methods". */
export type Endpoint =
  | { kind: 'tcp'; host: string; port: number }
  | { kind: 'ssl'; host: string; port: number }
  | { kind: 'unix'; path: string };

const DEFAULT_PORT = 6640;

/**
 * Reads `tcp:HOST[:PORT]`, `ssl:HOST[:PORT]`, `unix:PATH`, or several of them separated by commas; IPv6 addresses
 * stand in brackets. Throws OvsdbError `InvalidOptions` naming the part that is wrong.
 */
export function parseEndpoints(text: string): readonly Endpoint[] {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0)
    throw new OvsdbError('InvalidOptions', 'the endpoint list is empty; give e.g. tcp:127.0.0.1:6641');
  return parts.map(parseEndpoint);
}

function parseEndpoint(text: string): Endpoint {
  const unix = /^unix:(.+)$/.exec(text)?.[1];
  if (unix !== undefined) return { kind: 'unix', path: unix };
  const match = /^(tcp|ssl):(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  const port = match?.[4] === undefined ? DEFAULT_PORT : Number(match[4]);
  if (match === null || host === undefined || port < 1 || port > 65535) {
    throw new OvsdbError(
      'InvalidOptions',
      `endpoint ${JSON.stringify(text)} is not tcp:HOST:PORT, ssl:HOST:PORT or unix:PATH (IPv6 addresses in brackets)`,
    );
  }
  return { kind: match[1] === 'ssl' ? 'ssl' : 'tcp', host, port };
}

/** The notation that {@link parseEndpoints} reads. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `${endpoint.kind}:${host}:${endpoint.port}`;
}
