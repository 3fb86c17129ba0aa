import { createServer, type Server, type Socket } from 'node:net';
import { Address, type Cidr, type Family } from '../../net/index.ts';
import {
  arrivalInterface,
  bindAddress,
  bindToDevice,
  boundDevice,
  closingOnFailure,
  createSocket,
  interfaceIndex,
  type LinkWatcher,
  RawSocketError,
  savedSyn,
  saveSyn,
  setMinimumTtl,
  setTtl,
  watchLinks,
} from '../../raw-socket/index.ts';
import { BgpOptionsError, BgpTransportError } from '../errors.ts';
import { Admissions, keyKind } from './admissions.ts';
import {
  applyConnectionOptions,
  checkConnectionOptions,
  isLinkLocal,
  leastTtl,
  scopeOf,
  setNetworkControl,
} from './connection-options.ts';
import { bgpPort, errnoOf, reasonOf } from './dial.ts';
import { descriptorKeys, ListenerKeys } from './listener-keys.ts';
import { readSavedSyn } from './saved-syn.ts';
import type { ConnectionOptions, ListenOptions, PeerEndpoint, PeerListener, RefusalReason } from './transport.ts';

/** See Transport.listen. */
export async function listen(options: ListenOptions): Promise<PeerListener> {
  const { address, port = bgpPort } = options;
  const where = `${address} port ${port}${options.interface === undefined ? '' : ` on ${options.interface}`}`;
  try {
    const fd = boundDescriptor(options, port);
    const server = createServer({ noDelay: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('listening', resolve).once('error', reject);
    closingOnFailure(fd, () => server.listen({ fd }));
    await promise;
    server.off('error', reject);
    try {
      return new TcpListener(server, fd, options, where);
    } catch (thrown) {
      server.close();
      throw thrown;
    }
  } catch (thrown) {
    throw listenError(where, thrown);
  }
}

function boundDescriptor({ address, interface: name }: ListenOptions, port: number): number {
  const { family } = address;
  const fd = createSocket({ family, type: 'tcp' });
  return closingOnFailure(fd, () => {
    if (name !== undefined) bindToDevice(fd, name);
    // What answers a SYN is sent with the listener's TTL: 255 reaches every peer and satisfies its TTL security.
    setTtl(fd, family, 255);
    setNetworkControl(fd, family);
    saveSyn(fd);
    const scopeId = scopeOf(address, name === undefined ? {} : { interface: name });
    bindAddress(fd, String(address), port, { reuseAddress: true, scopeId });
    return fd;
  });
}

class TcpListener implements PeerListener {
  readonly port: number;
  readonly #server: Server;
  readonly #fd: number;
  readonly #options: ListenOptions;
  readonly #where: string;
  readonly #family: Family;
  readonly #keys: ListenerKeys;
  readonly #links: LinkWatcher | undefined;
  #admissions = new Admissions();
  #leastTtl = 1;
  #closed: Promise<void> | undefined;

  constructor(server: Server, fd: number, options: ListenOptions, where: string) {
    const bound = server.address();
    this.port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    this.#server = server;
    this.#fd = fd;
    this.#options = options;
    this.#where = where;
    this.#family = options.address.family;
    this.#keys = new ListenerKeys(descriptorKeys(fd));
    server.on('connection', (socket) => this.#onConnection(socket));
    server.on('error', (error) => this.#fail(error));
    this.#links = options.interface === undefined ? undefined : this.#watch(options.interface);
  }

  admit(peers: Cidr, options: ConnectionOptions): void {
    checkConnectionOptions(peers, options);
    if (peers.family !== this.#family) {
      const text = `${peers} is not IPv${this.#family} as the listener ${this.#where} is`;
      throw new BgpOptionsError([{ field: 'peers', text }]);
    }
    this.#realise(this.#admissions.with({ peers, options }));
  }

  dismiss(peers: Cidr, options: Pick<ConnectionOptions, 'interface'> = {}): void {
    this.#realise(this.#admissions.without(peers, options.interface));
  }

  close(): Promise<void> {
    this.#links?.close();
    // Node closes the descriptor at once; its callback would wait for the connections that were given out.
    if (this.#closed === undefined) this.#server.close();
    this.#closed ??= Promise.resolve();
    return this.#closed;
  }

  #realise(next: Admissions): void {
    if (this.#closed !== undefined) {
      throw new BgpTransportError('Listen', `the listener ${this.#where} is closed`, { errno: 'EBADF' });
    }
    const keys = next.keys();
    this.#keys.apply(keys);
    this.#admissions = next;
    this.#requireTtl(next);
  }

  /** What is too far for every admitted peer is not even answered. */
  #requireTtl(admissions: Admissions): void {
    let least = 256;
    for (const { options } of admissions) least = Math.min(least, leastTtl(options));
    const wanted = least > 255 ? 1 : least;
    if (wanted === this.#leastTtl) return;
    setMinimumTtl(this.#fd, this.#family, wanted);
    this.#leastTtl = wanted;
  }

  #onConnection(socket: Socket): void {
    socket.on('error', () => {});
    const from = endpointOf(socket);
    // The peer has reset the connection already.
    if (from === undefined) {
      socket.destroy();
      return;
    }
    const reason = this.#closed === undefined ? this.#refusalOf(socket, from) : 'not-admitted';
    if (reason === undefined) {
      this.#options.onConnection(socket, from);
      return;
    }
    // Reset, not closed: strangers leave no connection in TIME_WAIT.
    socket.resetAndDestroy();
    this.#options.onRefused(from, reason);
  }

  #refusalOf(socket: Socket, from: PeerEndpoint): RefusalReason | undefined {
    const admission = this.#admissions.match(from.address, from.interface);
    const fd = descriptorOf(socket);
    if (admission === undefined) return 'not-admitted';
    if (fd === undefined) return 'failed';
    const { options } = admission;
    try {
      const syn = readSavedSyn(savedSyn(fd));
      // None is kept of a connection made by SYN cookies; the kernel has asked for the key then, and asks for the TTL
      // of everything after.
      const kind = keyKind(options);
      if (syn !== undefined && kind !== 'none' && syn.signature !== kind) return 'unsigned';
      if (syn !== undefined && syn.ttl < leastTtl(options)) return 'too-far';
      if (options.interface !== undefined && !this.#came(fd, options.interface)) return 'interface';
      const { interface: name, ...rest } = options;
      const rebind = name !== undefined && boundDevice(fd) === 0;
      applyConnectionOptions(fd, this.#family, rebind ? options : rest);
      return undefined;
    } catch (thrown) {
      if (thrown instanceof RawSocketError) return 'failed';
      throw thrown;
    }
  }

  /** Whether a connection was opened through this interface, or belongs to this VRF. */
  #came(fd: number, name: string): boolean {
    const wanted = interfaceIndex(name);
    return boundDevice(fd) === wanted || arrivalInterface(fd, this.#family) === wanted;
  }

  #watch(name: string): LinkWatcher {
    const index = interfaceIndex(name);
    return watchLinks({
      onEvent: (event) => {
        if (event.type !== 'link-gone' || event.link.index !== index) return;
        this.#fail(
          new BgpTransportError('Listen', `the interface ${name} is gone`, { errno: 'ENODEV', retryable: true }),
        );
      },
      onError: () => {},
    });
  }

  #fail(error: Error): void {
    if (this.#closed !== undefined) return;
    void this.close();
    this.#options.onError(error instanceof BgpTransportError ? error : listenError(this.#where, error));
  }
}

/** Undefined when the connection is over already. */
function endpointOf({ remoteAddress, remotePort }: Socket): PeerEndpoint | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  const [text = '', zone] = remoteAddress.split('%');
  const address = Address.tryParse(text);
  if (address === undefined) return undefined;
  const scoped = zone !== undefined && isLinkLocal(address);
  return { address, port: remotePort, ...(scoped ? { interface: zone } : {}) };
}

/** The descriptor of a connection: Node shows it on the handle only. Good while the socket is not destroyed. */
function descriptorOf(socket: Socket): number | undefined {
  if (!('_handle' in socket)) return undefined;
  const handle = socket._handle;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined;
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}

function listenError(where: string, thrown: unknown): BgpTransportError<'Listen'> {
  const errno = errnoOf(thrown);
  const hint =
    errno === 'EADDRINUSE'
      ? '; another BGP speaker runs on this host: stop it, or give one of them another port or address'
      : errno === 'EACCES'
        ? '; ports below 1024 need the capability NET_BIND_SERVICE'
        : '';
  return new BgpTransportError('Listen', `cannot listen on ${where}: ${reasonOf(thrown)}${hint}`, {
    errno,
    cause: thrown,
    retryable: true,
  });
}
