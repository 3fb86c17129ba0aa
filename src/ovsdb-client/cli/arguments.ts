import { parseArgs } from 'node:util';
import { OvsdbError } from '../errors.ts';
import type { LeaderPreference } from '../session/server-status.ts';
import type { TlsOptions } from '../session/tls.ts';

export const usage = `Usage: ovsdb-client COMMAND [OPTION]... ARGUMENT...

  dump ENDPOINTS DATABASE [TABLE [COLUMN]...]      print rows
  monitor ENDPOINTS DATABASE TABLE [COLUMN]...     print rows, then their changes until interrupted
  transact ENDPOINTS JSON                          carry out ["DATABASE", OPERATION...] (RFC 7047 section 4.1.3)
                                                   and print the results; JSON "-" is read from standard input
  wait ENDPOINTS DATABASE added|connected|removed  wait until the server serves the database (or does no longer)
  list-dbs ENDPOINTS                               print the names of the databases
  get-schema ENDPOINTS DATABASE                    print the schema
  generate SCHEMA-FILE                             print TypeScript types for a schema file ("-": standard input)

ENDPOINTS is tcp:HOST:PORT, ssl:HOST:PORT or unix:PATH, or several with commas between. monitor and wait try them again
and again; the others once, or for the time of --timeout.

  -o, --output table|list|json  rows as a table (the default where it fits the terminal), a line for each column,
                                or an object a line
  -t, --timeout SECONDS      give up after so long
  -C, --ca-cert FILE         the CA that signed the server's certificate
  -c, --certificate FILE     our certificate
  -p, --private-key FILE     its private key
      --server-name NAME     the name that the server's certificate must carry
      --leader require|prefer|any   which member of a cluster to talk to (default: prefer)
      --import FROM          where generated code imports the library from
  -h, --help                 print this

For example:
  ovsdb-client list-dbs unix:/run/openvswitch/db.sock
  ovsdb-client dump unix:/run/openvswitch/db.sock Open_vSwitch Bridge name ports
  ovsdb-client monitor tcp:127.0.0.1:6640 Open_vSwitch Interface name ofport
  ovsdb-client transact tcp:127.0.0.1:6640 '["Open_vSwitch", {"op": "select", "table": "Bridge", "where": []}]'

Exit status: 0 success, 1 failure, 2 wrong usage, 128 + N ended by signal N (monitor: 0).
`;

/** How rows are printed; `auto` is a table where it fits. */
export type Output = 'auto' | 'table' | 'list' | 'json';

export interface CommandLine {
  command: string;
  operands: readonly string[];
  output: Output;
  timeoutMs: number | undefined;
  tls: TlsOptions | undefined;
  leader: LeaderPreference;
  importFrom: string;
}

/** What timers can do: 2^31 ms. */
const LONGEST_TIMEOUT_SECONDS = 2_147_483;

/** Reads the command line; undefined when help was asked for. Throws OvsdbError `InvalidOptions`. */
export function readCommandLine(args: readonly string[]): CommandLine | undefined {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (cause) {
    throw wrongOption(cause);
  }
  const { values, positionals } = parsed;
  const [command, ...operands] = positionals;
  if (values.help) return undefined;
  if (command === undefined) throw new OvsdbError('InvalidOptions', `no command given\n\n${usage.trimEnd()}`);
  const { output, leader } = values;
  if (output !== 'auto' && output !== 'table' && output !== 'list' && output !== 'json')
    throw new OvsdbError('InvalidOptions', `--output must be table, list or json, not ${output}`);
  if (leader !== 'require' && leader !== 'prefer' && leader !== 'any') {
    throw new OvsdbError('InvalidOptions', `--leader must be require, prefer or any, not ${leader}`);
  }
  const seconds = values.timeout === undefined ? undefined : Number(values.timeout);
  if (seconds !== undefined && !(seconds > 0 && seconds <= LONGEST_TIMEOUT_SECONDS))
    throw new OvsdbError(
      'InvalidOptions',
      `--timeout must be a number of seconds above 0, at most ${LONGEST_TIMEOUT_SECONDS}, not ${values.timeout}`,
    );
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

/** Node's sentences about options go on about positional arguments; people want the first half of the first one. */
function wrongOption(cause: unknown): OvsdbError {
  const [sentence = ''] = (cause instanceof Error ? cause.message : String(cause)).split(/\. |\n/);
  return new OvsdbError('InvalidOptions', `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}; see --help`);
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o', default: 'auto' },
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
  if (ca === undefined && certificate === undefined && privateKey === undefined && serverName === undefined)
    return undefined;
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
