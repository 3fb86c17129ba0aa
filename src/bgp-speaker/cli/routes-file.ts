import { Address, Cidr } from '../../net/index.ts';
import { BgpError, BgpOptionsError } from '../errors.ts';
import { checkAttributes } from '../message/attribute-checks.ts';
import { parseCommunities } from '../message/communities.ts';
import type { RouteAttributes } from '../message/path-attributes.ts';

/** What is said about every route that does not say it itself. */
export interface RouteDefaults {
  nextHops: readonly Address[];
  communities: readonly string[];
}

export type Route = readonly [Cidr, RouteAttributes];

/**
 * Reads routes, one a line: PREFIX { next-hop ADDRESS | community COMMUNITY | med NUMBER | local-pref NUMBER | as-path
 * NUMBER,NUMBER... }; "#" begins a comment. Routes that say the same share one object.
 * @param source named in errors, with the line
 * @throws BgpOptionsError
 */
export function readRoutes(text: string, source: string, defaults: RouteDefaults): Route[] {
  const known = new Map<string, RouteAttributes>();
  const routes: Route[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const [prefix, ...words] = (line.split('#')[0] ?? '').trim().split(/\s+/).filter(Boolean);
    if (prefix === undefined) continue;
    try {
      const cidr = Cidr.parse(prefix);
      const key = `${cidr.family} ${words.join(' ')}`;
      let attributes = known.get(key);
      if (!attributes) {
        attributes = readAttributes(words, cidr.family, defaults);
        known.set(key, attributes);
      }
      routes.push([cidr, attributes]);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new BgpOptionsError([{ field: `${source} line ${index + 1}`, text: why }]);
    }
  }
  return routes;
}

function readAttributes(words: readonly string[], family: 4 | 6, defaults: RouteDefaults): RouteAttributes {
  const attributes: { -readonly [Key in keyof RouteAttributes]: RouteAttributes[Key] } = {};
  const communities = [...defaults.communities];
  for (let at = 0; at < words.length; at += 2) {
    const [word = '', value] = words.slice(at, at + 2);
    if (value === undefined) throw wrong(`${word} is followed by nothing`);
    switch (word) {
      case 'next-hop':
        attributes.nextHop = Address.parse(value);
        break;
      case 'community':
        communities.push(value);
        break;
      case 'med':
        attributes.multiExitDiscriminator = readNumber(word, value);
        break;
      case 'local-pref':
        attributes.localPreference = readNumber(word, value);
        break;
      case 'as-path':
        attributes.asPath = value.split(',').map((part) => readNumber(word, part));
        break;
      default:
        throw wrong(`"${word}" is none of next-hop, community, med, local-pref, as-path`);
    }
  }
  const nextHop = attributes.nextHop ?? defaults.nextHops.find((hop) => hop.family === family);
  const all = { ...attributes, ...(nextHop ? { nextHop } : {}), ...parseCommunities(communities) };
  checkAttributes(all);
  return all;
}

function readNumber(word: string, text: string): number {
  const value = Number(text);
  if (!/^[0-9]{1,10}$/.test(text) || value > 0xffff_ffff)
    throw wrong(`${word} ${text} is not a number up to 4294967295`);
  return value;
}

function wrong(text: string): BgpError {
  return new BgpError('BadArgument', text);
}
