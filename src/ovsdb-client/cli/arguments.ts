import { parseArgs } from 'node:util';
import { OvsdbError } from '../errors.ts';
import type { LeaderPreference } from '../session/server-status.ts';
import type { TlsOptions } from '../session/tls.ts';

export const usage = `Usage: ovsdb-client COMMAND [OPTION]... ARGUMENT...

  dump ENDPOINTS DATABASE [TABLE [COLUMN]...]     print rows
  monitor ENDPOINTS DATABASE TABLE [COLUMN]...    print rows, then their changes until interrupted
  transact ENDPOINTS JSON                         carry out ["DATABASE", OPERATION...] and print the results
  wait ENDPOINTS DATABASE added|connected|removed wait until the server serves the database (or does no longer)
  list-dbs ENDPOINTS                              print the names of the databases
  get-schema ENDPOINTS DATABASE                   print the schema
  generate SCHEMA-FILE [--import FROM]            print TypeScript types for a schema file

ENDPOINTS is tcp:HOST:PORT, ssl:HOST:PORT or unix:PATH, or several with commas between.

  -o, --output table|json    how rows are printed (default: table)
  -t, --timeout SECONDS      give up after so long
  -C, --ca-cert FILE         the CA that signed the server's certificate
  -c, --certificate FILE     our certificate
  -p, --private-key FILE     its private key
      --server-name NAME     the name that the server's certificate must carry
      --leader require|prefer|any   which member of a cluster to talk to (default: prefer)
      --import FROM          where generated code imports the library from
  -h, --help                 print this

Exit status: 0 success, 1 failure, 2 wrong usage.
`;

export interface CommandLine {
  command: string;
  operands: readonly string[];
  output: 'table' | 'json';
  timeoutMs: number | undefined;
  tls: TlsOptions | undefined;
  leader: LeaderPreference;
  importFrom: string;
}

/** Reads the command line; undefined when help was asked for. Throws OvsdbError `InvalidOptions`. */
export function readCommandLine(args: readonly string[]): CommandLine | undefined {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (cause) {
    throw new OvsdbError('InvalidOptions', cause instanceof Error ? cause.message : String(cause), { cause });
  }
  const { values, positionals } = parsed;
  const [command, ...operands] = positionals;
  if (values.help) return undefined;
  if (command === undefined) throw new OvsdbError('InvalidOptions', 'no command given');
  const { output, leader } = values;
  if (output !== 'table' && output !== 'json')
    throw new OvsdbError('InvalidOptions', `--output must be table or json, not ${output}`);
  if (leader !== 'require' && leader !== 'prefer' && leader !== 'any') {
    throw new OvsdbError('InvalidOptions', `--leader must be require, prefer or any, not ${leader}`);
  }
  const seconds = values.timeout === undefined ? undefined : Number(values.timeout);
  if (seconds !== undefined && !(seconds > 0))
    throw new OvsdbError('InvalidOptions', '--timeout must be a number of seconds above 0');
  return {
    command,
    operands,
    output,
    timeoutMs: seconds === undefined ? undefined : seconds * 1000,
    tls: tlsFiles(values['ca-cert'], values.certificate, values['private-key'], values['server-name']),
    leader,
    importFrom: values.import,
  };
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o', default: 'table' },
      timeout: { type: 'string', short: 't' },
      'ca-cert': { type: 'string', short: 'C' },
      certificate: { type: 'string', short: 'c' },
      'private-key': { type: 'string', short: 'p' },
      'server-name': { type: 'string' },
      leader: { type: 'string', default: 'prefer' },
      import: { type: 'string', default: 'ovenbird/ovsdb-client' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

function tlsFiles(
  ca: string | undefined,
  certificate: string | undefined,
  privateKey: string | undefined,
  serverName: string | undefined,
): TlsOptions | undefined {
  if (ca === undefined && certificate === undefined && privateKey === undefined) return undefined;
  if (ca === undefined || certificate === undefined || privateKey === undefined) {
    throw new OvsdbError('InvalidOptions', 'TLS needs all of --ca-cert, --certificate and --private-key');
  }
  return {
    ca: { file: ca },
    certificate: { file: certificate },
    privateKey: { file: privateKey },
    ...(serverName !== undefined && { serverName }),
  };
}
