import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { OvsdbError } from '../errors.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';
import { type TlsOptions, tlsConnectionOptions } from './tls.ts';

/** Opens a byte stream to an endpoint; rejects with OvsdbError `ConnectFailed`, or with the signal's reason. */
export type Dial = (endpoint: Endpoint, signal: AbortSignal) => Promise<Duplex>;

/** Sockets of this machine. `tls` is needed as soon as an `ssl:` endpoint is dialled. */
export function socketDial(tls: TlsOptions | undefined): Dial {
  return async (endpoint, signal) => {
    signal.throwIfAborted();
    const name = formatEndpoint(endpoint);
    if (endpoint.kind === 'ssl') {
      if (tls === undefined) {
        throw new OvsdbError('InvalidOptions', `${name} needs the \`tls\` option (CA, certificate, private key)`);
      }
      // Loaded on demand: clients of Unix sockets need not have it in memory.
      const [{ connect: connectTls }, options] = await Promise.all([import('node:tls'), tlsConnectionOptions(tls)]);
      signal.throwIfAborted();
      let socket: Socket;
      try {
        socket = connectTls({ ...options, host: endpoint.host, port: endpoint.port });
      } catch (cause) {
        throw failed(name, cause);
      }
      return established(socket, 'secureConnect', name, signal);
    }
    const socket =
      endpoint.kind === 'unix'
        ? connectTcp({ path: endpoint.path })
        : connectTcp({ host: endpoint.host, port: endpoint.port });
    return established(socket, 'connect', name, signal);
  };
}

function established(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  name: string,
  signal: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const done = () => {
      socket.off('error', onError);
      socket.off(event, onConnect);
      signal.removeEventListener('abort', onAbort);
    };
    const onError = (cause: Error) => {
      done();
      socket.destroy();
      reject(failed(name, cause));
    };
    const onConnect = () => {
      done();
      socket.setNoDelay(true);
      // Notices a peer that vanished without a word even when echo probes are switched off.
      socket.setKeepAlive(true, 30_000);
      resolve(socket);
    };
    const onAbort = () => {
      done();
      socket.on('error', () => {});
      socket.destroy();
      reject(signal.reason);
    };
    socket.on('error', onError);
    socket.on(event, onConnect);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function failed(name: string, cause: unknown): OvsdbError {
  return new OvsdbError('ConnectFailed', `${name} cannot be reached`, { cause, retryable: true });
}
