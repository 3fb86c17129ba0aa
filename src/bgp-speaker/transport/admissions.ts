/**
 * Whom a listener admits, and the keys that the kernel must have for it. Pure.
 *
 * The kernel finds an MD5 key by the longest keyed prefix that holds the peer, and knows no "without key" inside a keyed
 * prefix; two TCP-AO keys with the same identifiers may not overlap; neither may the two kinds. So a keyed prefix is
 * given to the kernel without the parts that other admissions have: as the fewest prefixes that cover the rest.
 */
import { Address, Cidr, familyBits } from '../../net/index.ts';
import { BgpOptionsError } from '../errors.ts';
import { isLinkLocal } from './connection-options.ts';
import type { AuthenticationKey, ConnectionOptions } from './transport.ts';

export interface Admission {
  readonly peers: Cidr;
  readonly options: ConnectionOptions;
}

/** A key as the kernel has it: for one prefix, of one kind. */
export type KeyRow = { readonly peers: Cidr; readonly secret: string } & (
  | { readonly kind: 'md5'; readonly key: string | Uint8Array }
  | { readonly kind: 'ao'; readonly key: AuthenticationKey }
);

/** The admissions of one listener: immutable. */
export class Admissions {
  readonly #byKey: ReadonlyMap<string, Admission>;

  constructor(byKey: ReadonlyMap<string, Admission> = new Map()) {
    this.#byKey = byKey;
  }

  /** In no order. */
  [Symbol.iterator](): IterableIterator<Admission> {
    return this.#byKey.values();
  }

  with(admission: Admission): Admissions {
    const next = new Map(this.#byKey);
    next.set(keyOf(admission.peers, admission.options.interface), admission);
    return new Admissions(next);
  }

  without(peers: Cidr, interfaceName: string | undefined): Admissions {
    const next = new Map(this.#byKey);
    next.delete(keyOf(peers, interfaceName));
    return new Admissions(next);
  }

  /** The admission with the longest prefix that holds the address; `interfaceName` where that is link-local. */
  match(address: Address, interfaceName?: string): Admission | undefined {
    const scope = isLinkLocal(address) ? interfaceName : undefined;
    for (let length = familyBits(address.family); length >= 0; length--) {
      const peers = Cidr.containing(address, length);
      const found = this.#byKey.get(keyOf(peers, scope));
      if (found) return found;
    }
    return undefined;
  }

  /**
   * The rows that the kernel must have, by prefix and kind.
   * @throws BgpOptionsError where one link-local address has different keys on two interfaces: the kernel does not look
   *   at the interface, so each needs a listener of its own
   */
  keys(): KeyRow[] {
    const rows = new Map<string, KeyRow>();
    for (const admission of this.#byKey.values()) {
      for (const row of this.#keysOf(admission)) {
        const name = rowName(row);
        const other = rows.get(name);
        if (other !== undefined && other.secret !== row.secret) throw twoKeys(row.peers);
        rows.set(name, row);
      }
    }
    return [...rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  }

  #keysOf({ peers, options }: Admission): KeyRow[] {
    const kind = keyKind(options);
    if (kind === 'none') return [];
    // Most admissions are single peers, with nothing inside.
    if (peers.prefixLength === familyBits(peers.family) && !isLinkLocal(peers.address)) return rowsFor(peers, options);
    const inner: Admission[] = [];
    for (const other of this.#byKey.values()) {
      const same = other.peers.prefixLength === peers.prefixLength && other.peers.address.equals(peers.address);
      if (same && keyKind(other.options) !== kind) throw twoKeys(peers);
      if (other.peers.prefixLength > peers.prefixLength && peers.contains(other.peers.address)) inner.push(other);
    }
    // Where all that is inside has MD5 keys of its own, the longest prefix does it.
    const whole = kind === 'md5' && inner.every(({ options: other }) => keyKind(other) === 'md5');
    const holes = whole ? [] : inner.map((other) => other.peers);
    return coverWithout(peers, holes).flatMap((part) => rowsFor(part, options));
  }
}

/** Names a row among those of one listener: what the kernel holds at most one of. */
export function rowName(row: KeyRow): string {
  return row.kind === 'md5' ? `${row.peers} md5` : `${row.peers} ao ${row.key.sendId} ${row.key.receiveId}`;
}

/** The fewest prefixes that cover `whole` but for the holes, in order. */
export function coverWithout(whole: Cidr, holes: readonly Cidr[]): Cidr[] {
  const inside = holes.filter((hole) => whole.contains(hole.address) || hole.contains(whole.address));
  if (inside.length === 0) return [whole];
  if (inside.some((hole) => hole.prefixLength <= whole.prefixLength)) return [];
  const length = whole.prefixLength + 1;
  const low = Cidr.containing(whole.address, length);
  const high = Cidr.containing(lastAddress(whole), length);
  return [low, high].flatMap((half) => coverWithout(half, inside));
}

function lastAddress({ address, family, prefixLength }: Cidr): Address {
  const ones = (1n << BigInt(familyBits(family) - prefixLength)) - 1n;
  return Address.of(family, address.value | ones);
}

export function keyKind({ password, authenticationKeys }: ConnectionOptions): 'none' | 'md5' | 'ao' {
  if (authenticationKeys !== undefined) return 'ao';
  return password === undefined ? 'none' : 'md5';
}

function rowsFor(peers: Cidr, { password, authenticationKeys = [] }: ConnectionOptions): KeyRow[] {
  if (password !== undefined) return [{ kind: 'md5', peers, key: password, secret: textOf(password) }];
  return authenticationKeys.map((key) => {
    return { kind: 'ao', peers, key, secret: `${key.algorithm ?? 'hmac(sha1)'} ${textOf(key.key)}` };
  });
}

function textOf(key: string | Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

/** Admissions of link-local peers are told apart by interface, all others by prefix alone. */
function keyOf(peers: Cidr, interfaceName: string | undefined): string {
  const scoped = peers.prefixLength >= 10 && isLinkLocal(peers.address);
  return scoped ? `${peers}%${interfaceName ?? ''}` : String(peers);
}

function twoKeys(peers: Cidr): BgpOptionsError {
  const text = `${peers} is on two interfaces with different keys; the kernel needs a listener for each interface`;
  return new BgpOptionsError([{ field: 'password', text }]);
}
