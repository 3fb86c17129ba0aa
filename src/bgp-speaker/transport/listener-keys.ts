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
 * Brings the kernel's keys to those desired. New rows go in before old ones go out, so that no peer that keeps a key is
 * without one in between; an MD5 key is replaced in place. Only a TCP-AO key that changes under the same identifiers, or
 * a peer that changes its kind, must go out first: a connection that comes in just then is caught by its unsigned SYN.
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
    const stale = [...this.#realised.values()].filter((row) => !wanted.has(rowName(row)));
    const changed = desired.filter((row) => this.#realised.get(rowName(row))?.secret !== row.secret);
    for (const row of stale.filter((old) => changed.some((fresh) => blocks(old, fresh)))) this.#remove(row);
    for (const row of changed) {
      const old = this.#realised.get(rowName(row));
      if (old?.kind === 'ao') this.#remove(old);
      this.#add(row);
    }
    for (const row of stale) if (this.#realised.has(rowName(row))) this.#remove(row);
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

/** The kernel refuses `fresh` while it has `old`: overlapping, and of the other kind or both TCP-AO. */
function blocks(old: KeyRow, fresh: KeyRow): boolean {
  const overlap = old.peers.contains(fresh.peers.address) || fresh.peers.contains(old.peers.address);
  return overlap && (old.kind === 'ao' || fresh.kind === 'ao');
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
