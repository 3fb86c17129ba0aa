import { familyBits } from '../../net/index.ts';
import { addTcpAoKey, deleteTcpAoKey, type KeyedPeer, setTcpMd5Key } from '../../raw-socket/index.ts';
import { BgpTransportError } from '../errors.ts';
import { type KeyRow, rowName } from './admissions.ts';
import { errnoOf, reasonOf } from './dial.ts';

/** The kernel's calls, handed in. Each throws with the kernel's reason. */
export interface KeyTable {
  add(row: KeyRow): void;
  remove(row: KeyRow): void;
}

/** The keys of a listening descriptor. */
export function descriptorKeys(fd: number): KeyTable {
  return {
    add(row) {
      if (row.kind === 'md5') setTcpMd5Key(fd, { ...keyedPeer(row), key: row.key });
      else addTcpAoKey(fd, { ...keyedPeer(row), ...row.key });
    },
    remove(row) {
      if (row.kind === 'md5') setTcpMd5Key(fd, { ...keyedPeer(row), key: '' });
      else deleteTcpAoKey(fd, { ...keyedPeer(row), ...row.key });
    },
  };
}

function keyedPeer({ peers }: KeyRow): KeyedPeer {
  const address = String(peers.address);
  return peers.prefixLength === familyBits(peers.family) ? { address } : { address, prefixLength: peers.prefixLength };
}

/**
 * Brings the kernel's keys to those desired, so that a peer that has a password before and after is at no moment without
 * one: an MD5 key is replaced in place, and new ones go in before old ones go out. That cannot be had of TCP-AO, where
 * keys of one peer must not overlap, nor of a peer that changes its kind: a connection that comes in just then is caught
 * by its unsigned SYN.
 */
export class ListenerKeys {
  readonly #table: KeyTable;
  readonly #realised = new Map<string, KeyRow>();

  constructor(table: KeyTable) {
    this.#table = table;
  }

  /** @throws BgpTransportError `Listen`; what was done by then is known, and the next call goes on from there */
  apply(desired: readonly KeyRow[]): void {
    const wanted = new Map(desired.map((row) => [rowName(row), row]));
    const changed = desired.filter((row) => this.#realised.get(rowName(row))?.secret !== row.secret);
    const isStale = (row: KeyRow) => !wanted.has(rowName(row));
    const isInTheWay = (row: KeyRow) =>
      isStale(row)
        ? changed.some((fresh) => overlap(row, fresh))
        : changed.some((fresh) => rowName(fresh) === rowName(row));
    this.#removeAll((row) => row.kind === 'ao' && isInTheWay(row));
    for (const row of changed) if (row.kind === 'md5') this.#add(row);
    this.#removeAll((row) => row.kind === 'md5' && isStale(row));
    for (const row of changed) if (row.kind === 'ao') this.#add(row);
    this.#removeAll(isStale);
  }

  #removeAll(which: (row: KeyRow) => boolean): void {
    for (const row of [...this.#realised.values()]) if (which(row)) this.#remove(row);
  }

  #add(row: KeyRow): void {
    attempt(`give the kernel the key of ${row.peers}`, () => this.#table.add(row));
    this.#realised.set(rowName(row), row);
  }

  #remove(row: KeyRow): void {
    attempt(`take the key of ${row.peers} from the kernel`, () => this.#table.remove(row), 'ENOENT');
    this.#realised.delete(rowName(row));
  }
}

function overlap(a: KeyRow, b: KeyRow): boolean {
  return a.peers.contains(b.peers.address) || b.peers.contains(a.peers.address);
}

function attempt(doing: string, call: () => void, tolerated?: string): void {
  try {
    call();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno !== undefined && errno === tolerated) return;
    const hint = errno === 'ENOMEM' ? '; it has no room for more keys on one socket: raise net.core.optmem_max' : '';
    throw new BgpTransportError('Listen', `cannot ${doing}: ${reasonOf(thrown)}${hint}`, { errno, cause: thrown });
  }
}
