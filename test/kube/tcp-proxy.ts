import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback that can stop forwarding without closing anything: a half-open connection. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  /** Connections that lost bytes: nothing goes through them any more. */
  readonly #deaf = new Set<[Socket, Socket]>();
  #frozen = false;
  #accepted = 0;

  private constructor(host: string, port: number) {
    this.#server = createServer((inner) => {
      this.#accepted += 1;
      const outer = connect(port, host);
      const pair: [Socket, Socket] = [inner, outer];
      this.#pairs.add(pair);
      if (this.#frozen) this.#deaf.add(pair);
      for (const [from, to] of [pair, [outer, inner] as const]) {
        from.on('data', (chunk) => {
          if (!this.#deaf.has(pair)) to.write(chunk);
        });
        from.on('error', () => {});
        from.once('close', () => {
          if (!this.#deaf.has(pair)) to.destroy();
          if (inner.destroyed && outer.destroyed) this.#pairs.delete(pair);
        });
      }
    });
  }

  static async start(port: number, host = '127.0.0.1'): Promise<TcpProxy> {
    const proxy = new TcpProxy(host, port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  get accepted(): number {
    return this.#accepted;
  }

  /** Swallows all bytes, both ways, on the connections there are and on new ones. */
  freeze(): void {
    this.#frozen = true;
    for (const pair of this.#pairs) this.#deaf.add(pair);
  }

  /** New connections work again; those that lost bytes stay deaf. */
  thaw(): void {
    this.#frozen = false;
  }

  reset(): void {
    for (const [inner, outer] of this.#pairs) {
      inner.resetAndDestroy();
      outer.destroy();
    }
  }

  async stop(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
