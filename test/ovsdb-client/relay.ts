import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';

/** Passes bytes on to a Unix socket, until told to misbehave. */
export class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #upstreams = new Set<Socket>();
  cutAfterBytes: number | undefined;
  /** After so many bytes of a connection nothing more is passed on, until `hold(false)`. */
  holdAfterBytes: number | undefined;
  /** Connections that were held because of it. */
  held = 0;
  /** What the server said and was passed on, over all connections. */
  passedBytes = 0;
  blackHole = false;
  #away = false;
  /** Size of the pieces in which the server's bytes are passed on. */
  pieces: number | undefined;
  cuts = 0;

  constructor(path: string) {
    this.#server = createServer((client) => {
      if (this.#away) {
        client.destroy();
        return;
      }
      if (this.blackHole) return;
      const upstream = tcpConnect({ path });
      this.#upstreams.add(upstream);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          client.destroy();
          upstream.destroy();
        });
      }
      client.setNoDelay(true);
      client.on('data', (chunk) => {
        if (!this.blackHole) upstream.write(chunk);
      });
      let passed = 0;
      upstream.on('data', (chunk: Buffer) => {
        if (this.blackHole) return;
        passed += chunk.length;
        if (this.cutAfterBytes !== undefined && passed > this.cutAfterBytes) {
          client.end(chunk.subarray(0, 1000));
          upstream.destroy();
          this.cuts += 1;
          return;
        }
        if (this.holdAfterBytes !== undefined && passed > this.holdAfterBytes) {
          upstream.pause();
          this.held += 1;
        }
        this.passedBytes += chunk.length;
        if (this.pieces === undefined) client.write(chunk);
        else for (let at = 0; at < chunk.length; at += this.pieces) client.write(chunk.subarray(at, at + this.pieces));
      });
    });
  }

  static async to(path: string): Promise<Relay> {
    const relay = new Relay(path);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  /** Stops passing on what the server says, without a sign to either side. */
  hold(value: boolean): void {
    for (const socket of this.#upstreams) {
      if (value) socket.pause();
      else socket.resume();
    }
  }

  /** While true, connections are cut and new ones end at once. */
  set away(value: boolean) {
    this.#away = value;
    if (value) for (const socket of this.#sockets) socket.destroy();
  }

  get endpoint(): string {
    return `tcp:127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
