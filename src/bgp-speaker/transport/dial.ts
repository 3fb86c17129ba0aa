import { isIPv6, Socket, type SocketConstructorOpts } from 'node:net';
import { describeError } from '../../base/index.ts';
import { type Address, Cidr, familyBits } from '../../net/index.ts';
import {
  addTcpAoKey,
  bindAddress,
  closingOnFailure,
  createSocket,
  RawSocketError,
  setTcpMd5Key,
} from '../../raw-socket/index.ts';
import { BgpTransportError } from '../errors.ts';
import { applyConnectionOptions, checkConnectionOptions, isLinkLocal, scopeOf } from './connection-options.ts';
import type { ConnectionOptions, PeerEndpoint } from './transport.ts';

export const bgpPort = 179;

/** See Transport.dial. */
export async function dial(peer: PeerEndpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const { address, port = bgpPort } = peer;
  checkConnectionOptions(Cidr.of(address, familyBits(address.family)), options);
  const where = `${address} port ${port}`;
  const host = hostOf(address, options, where);
  // Descriptor, Socket and connect in one tick: Node takes a descriptor that is not connecting by then for broken.
  const socket = prepared(address, options, where);
  socket.on('error', () => {});
  socket.setNoDelay(true);
  socket.connect({ host, port });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onError = (error: NodeJS.ErrnoException) => reject(connectError(where, error));
  const onAbort = () => reject(signal.reason);
  socket.once('connect', resolve).once('error', onError);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await promise;
    // Aborted between the connection and here: whoever asked is gone.
    signal.throwIfAborted();
    return socket;
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  } finally {
    socket.off('connect', resolve).off('error', onError);
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * The kernel would need no zone, for the socket is bound to the interface; but libuv puts that of the first link-local
 * address of the host where there is none. Node knows zones of letters, digits, "-", "." and ":" only.
 */
function hostOf(address: Address, options: ConnectionOptions, where: string): string {
  const name = options.interface;
  if (name === undefined || !isLinkLocal(address)) return String(address);
  const host = `${address}%${name}`;
  if (isIPv6(host)) return host;
  const text = `the interface name "${name}" has characters other than letters, digits, "-", "." and ":"; rename it, or let the peer connect`;
  throw new BgpTransportError('Connect', `cannot connect to ${where}: ${text}`);
}

function prepared(address: Address, options: ConnectionOptions, where: string): Socket {
  const { family } = address;
  try {
    const fd = createSocket({ family, type: 'tcp' });
    return closingOnFailure(fd, () => {
      applyConnectionOptions(fd, family, options);
      const { localAddress } = options;
      if (localAddress !== undefined) {
        bindAddress(fd, String(localAddress), 0, { scopeId: scopeOf(localAddress, options) });
      }
      signSegments(fd, String(address), options);
      // manualStart is in neither documentation nor types; without it Node reads before it has connected.
      const from: SocketConstructorOpts & { manualStart: boolean } = { fd, manualStart: true };
      return new Socket(from);
    });
  } catch (thrown) {
    throw connectError(where, thrown);
  }
}

function signSegments(fd: number, address: string, { password, authenticationKeys = [] }: ConnectionOptions): void {
  if (password !== undefined) setTcpMd5Key(fd, { address, key: password });
  for (const [i, key] of authenticationKeys.entries()) {
    addTcpAoKey(fd, { ...key, address, setCurrent: i === 0, setNext: i === 0 });
  }
}

/** What an operator can do about a reason of the kernel. */
const advice: Readonly<Record<string, string>> = {
  ECONNREFUSED:
    'nothing listens there, or the peer does not know this address: check the peer and its neighbour statement',
  ETIMEDOUT: 'no answer: check the address, the password on both ends, TTL security and firewalls',
  EHOSTUNREACH: 'the address does not answer on its network, or a router says that the TTL is too low',
  ENETUNREACH: 'this host has no route to it',
  ECONNRESET: 'the peer refuses connections from this address',
  EADDRNOTAVAIL: 'the source address is not on this host, or not usable yet',
};

function connectError(where: string, thrown: unknown): BgpTransportError<'Connect'> {
  const errno = errnoOf(thrown);
  const hint = errno === undefined ? undefined : advice[errno];
  const lasting = thrown instanceof RawSocketError && !thrown.retryable && thrown.code !== 'AddressNotAvailable';
  return new BgpTransportError(
    'Connect',
    `cannot connect to ${where}: ${reasonOf(thrown)}${hint === undefined ? '' : `; ${hint}`}`,
    { errno, cause: thrown, retryable: !lasting },
  );
}

/** What an error says, without its causes: they only repeat it. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : describeError(thrown);
}

/** The kernel's name of the reason in an error of Node or of raw-socket. */
export function errnoOf(thrown: unknown): string | undefined {
  if (thrown instanceof RawSocketError) return thrown.errno;
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}
