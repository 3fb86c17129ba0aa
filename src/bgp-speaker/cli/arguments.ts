import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describeError } from '../../base/errors.ts';
import { Address } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import type { DynamicPeerOptions, ListenAddress, PeerOptions } from '../speaker/options.ts';
import { type ConfigFile, longestDrainSeconds, readConfig } from './config-file.ts';
import type { RouteDefaults } from './routes-file.ts';

/** What the command line and the configuration file together ask for. */
export interface CommandLine {
  localAs: number;
  identifier: string;
  listen: readonly ListenAddress[];
  peers: readonly PeerOptions[];
  acceptPeers: readonly (DynamicPeerOptions & { prefix: string })[];
  /** Prefixes given themselves. */
  prefixes: readonly string[];
  /** File of routes; "-" is standard input. */
  routesFile: string | undefined;
  defaults: RouteDefaults;
  text: string | undefined;
  drainMs: number;
  json: boolean;
}

/** Reads the command line; undefined when help was asked for. @throws BgpOptionsError */
export function readCommandLine(args: readonly string[]): CommandLine | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const config: ConfigFile =
    values.config === undefined ? {} : readConfig(readText('--config', values.config), values.config);
  const localAs = values.as === undefined ? config.localAs : whole('--as', values.as, 1, 0xffff_ffff);
  const identifier = values.id ?? config.identifier;
  if (localAs === undefined) throw problem('--as', 'give our AS number');
  if (identifier === undefined) throw problem('--id', 'give our BGP identifier, an IPv4 address');
  const peers = [...(config.peers ?? []), ...(values.peer ?? []).map(readPeer)];
  const acceptPeers = config.acceptPeers ?? [];
  if (peers.length === 0 && acceptPeers.length === 0) throw problem('--peer', 'give at least one');
  const drainSeconds =
    values.drain === undefined ? config.drainSeconds : whole('--drain', values.drain, 0, longestDrainSeconds);
  return {
    localAs,
    identifier,
    listen: [...(config.listen ?? []), ...(values.listen ?? []).map(readListen)],
    peers,
    acceptPeers,
    prefixes: positionals,
    routesFile: values.routes ?? config.routes,
    defaults: { nextHops: (values['next-hop'] ?? []).map(readNextHop), communities: values.community ?? [] },
    text: values.text,
    drainMs: (drainSeconds ?? 5) * 1000,
    json: values.json ?? false,
  };
}

/** @param option named in the error. @throws BgpOptionsError */
export function readText(option: string, file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (thrown) {
    throw problem(option, `cannot read ${file}: ${describeError(thrown)}`);
  }
}

export function problem(field: string, text: string): BgpOptionsError {
  return new BgpOptionsError([{ field, text }]);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        as: { type: 'string', short: 'a' },
        id: { type: 'string', short: 'i' },
        peer: { type: 'string', short: 'p', multiple: true },
        listen: { type: 'string', short: 'l', multiple: true },
        routes: { type: 'string', short: 'r' },
        'next-hop': { type: 'string', short: 'n', multiple: true },
        community: { type: 'string', short: 'c', multiple: true },
        config: { type: 'string', short: 'f' },
        text: { type: 'string' },
        drain: { type: 'string' },
        json: { type: 'boolean', short: 'j' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (thrown) {
    throw problem('command line', `${describeError(thrown).split('. ')[0]}; see --help`);
  }
}

/** "192.0.2.254,as=65000,hold=9" */
function readPeer(text: string): PeerOptions {
  const [where = '', ...words] = text.split(',');
  const field = `--peer ${text}`;
  const given = new Map(
    words.map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? ([word, ''] as const) : ([word.slice(0, at), word.slice(at + 1)] as const);
    }),
  );
  const options: { -readonly [Key in keyof PeerOptions]: PeerOptions[Key] } = {
    peerAs: readPeerAs(field, given.get('as')),
  };
  if (Address.tryParse(where)) options.address = where;
  else if (/^[^\s/:%]{1,15}$/.test(where)) options.interface = where;
  else throw problem(field, `"${where}" is neither an address nor the name of an interface`);
  for (const [word, value] of given) {
    switch (word) {
      case 'as':
        break;
      case 'port':
        options.port = whole(field, value, 1, 65_535);
        break;
      case 'passive':
        options.passive = true;
        break;
      case 'password':
        options.password = value;
        break;
      case 'interface':
        options.interface = value;
        break;
      case 'source':
        options.localAddress = value;
        break;
      case 'multihop':
        options.multihop = whole(field, value, 1, 255);
        break;
      case 'ttl-security':
        options.ttlSecurityHops = whole(field, value, 1, 254);
        break;
      case 'hold':
        options.holdTimeSeconds = whole(field, value, 0, 65_535);
        break;
      case 'name':
        options.name = value;
        break;
      default:
        throw problem(field, `"${word}" is nothing that a peer has; see --help`);
    }
  }
  return options;
}

function readPeerAs(field: string, text: string | undefined): PeerOptions['peerAs'] {
  if (text === 'external' || text === 'internal' || text === 'any') return text;
  if (text === undefined) throw problem(field, 'add as=NUMBER, or as=external, internal or any');
  const numbers = text.split('/').map((part) => whole(field, part, 1, 0xffff_ffff));
  return numbers.length === 1 ? (numbers[0] ?? 0) : numbers;
}

function readListen(text: string): ListenAddress {
  const [address = '', port, ...more] = text.split(',');
  if (!Address.tryParse(address) || more.length > 0) throw problem(`--listen ${text}`, 'give ADDRESS or ADDRESS,PORT');
  return { address, ...(port === undefined ? {} : { port: whole(`--listen ${text}`, port, 0, 65_535) }) };
}

function readNextHop(text: string): Address {
  const address = Address.tryParse(text);
  if (!address) throw problem('--next-hop', `"${text}" is not an IPv4 or IPv6 address`);
  return address;
}

function whole(field: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^[0-9]{1,10}$/.test(text) && value >= least && value <= most) return value;
  throw problem(field, `"${text}" is not a whole number from ${least} to ${most}`);
}
