import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import { OvsdbError } from '../errors.ts';

/** PEM text, or the file that holds it. Files are read again at each connection, so rotated certificates take effect. */
export type PemSource = { pem: string } | { file: string };

/**
 * TLS as OVSDB servers use it: both sides have certificates of one private CA (`ovs-pki`), usually without subject
 * alternative names. So the CA is pinned and decides, and the name is only compared when one is asked for.
 */
export interface TlsOptions {
  /** The CA certificates that may have signed the server's. No other CA is trusted. */
  ca: PemSource;
  certificate: PemSource;
  privateKey: PemSource;
  /** If given, the server's certificate must carry this common name or DNS subject alternative name. */
  serverName?: string;
  /** Server name indication to send, for servers and proxies that choose by it. Default: `serverName` if it is a name. */
  sni?: string;
}

/** Node's options for `tls.connect`. Throws OvsdbError `ConnectFailed` when a file cannot be read. */
export async function tlsConnectionOptions(options: TlsOptions): Promise<ConnectionOptions> {
  const [ca, cert, key] = await Promise.all([
    readPem('ca', options.ca),
    readPem('certificate', options.certificate),
    readPem('privateKey', options.privateKey),
  ]);
  const { serverName } = options;
  const sni = options.sni ?? serverName;
  return {
    ca,
    cert,
    key,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...(sni !== undefined && isDnsName(sni) && { servername: sni }),
    checkServerIdentity: (_host, certificate) => checkName(serverName, certificate),
  };
}

function checkName(expected: string | undefined, certificate: PeerCertificate): Error | undefined {
  if (expected === undefined) return undefined;
  const names = certificateNames(certificate);
  if (names.includes(expected)) return undefined;
  return new OvsdbError(
    'ConnectFailed',
    `the server's certificate is for ${names.map((name) => JSON.stringify(name)).join(', ') || 'no name'}, not for ${JSON.stringify(expected)}`,
  );
}

/** The common names and DNS alternative names of a certificate. */
function certificateNames(certificate: PeerCertificate): string[] {
  const common: unknown = certificate.subject?.CN;
  const names = (Array.isArray(common) ? common : [common]).filter((name) => typeof name === 'string');
  for (const part of (certificate.subjectaltname ?? '').split(', ')) {
    if (part.startsWith('DNS:')) names.push(part.slice(4));
  }
  return names;
}

async function readPem(what: string, source: PemSource): Promise<string> {
  if ('pem' in source) return source.pem;
  try {
    const { readFile } = await import('node:fs/promises');
    return await readFile(source.file, 'utf8');
  } catch (cause) {
    throw new OvsdbError('ConnectFailed', `TLS ${what}: ${source.file} cannot be read`, { cause, retryable: true });
  }
}

function isDnsName(text: string): boolean {
  return /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(text) && !/^[\d.]+$/.test(text);
}
