/** A peer made of bytes, sharing no code with the library: it reads messages and says what the test tells it to. */
import { attribute, join, message, prefix4, update } from '../wire-bytes.ts';
import type { MemorySocket } from './memory-transport.ts';

export interface ReadMessage {
  type: number;
  bytes: Buffer;
}

/** Capabilities as {code, value}. */
const multiprotocol4 = [1, 4, 0, 1, 0, 1];
const multiprotocol6 = [1, 4, 0, 2, 0, 1];
export const routeRefresh = [2, 0];
export const enhancedRefresh = [70, 0];
export const gracefulRestart = [64, 10, 0x40, 30, 0, 1, 1, 0x80, 0, 2, 1, 0x80];

export function open(
  asNumber = 65002,
  {
    holdTimeSeconds = 90,
    identifier = [192, 0, 2, 2],
    capabilities = [] as readonly (readonly number[])[],
    families = [multiprotocol4, multiprotocol6],
  } = {},
): Uint8Array {
  const all = [...families, [65, 4, 0, 0, asNumber >> 8, asNumber & 0xff], ...capabilities].flat();
  const parameters = [2, all.length, ...all];
  const hold = [holdTimeSeconds >> 8, holdTimeSeconds & 0xff];
  return message(1, [4, asNumber >> 8, asNumber & 0xff, ...hold, ...identifier, parameters.length, ...parameters]);
}

export const keepalive = message(4);

export function notification(code: number, subcode: number, data: readonly number[] = []): Uint8Array {
  return message(3, [code, subcode, ...data]);
}

/** An UPDATE of an external peer with these IPv4 prefixes. */
export function routes(...prefixes: string[]): Uint8Array {
  const attributes = [
    attribute(0x40, 1, [0]),
    attribute(0x40, 2, [2, 1, 0, 0, 0xfd, 0xea]),
    attribute(0x40, 3, [192, 0, 2, 2]),
  ];
  return message(2, update({ attributes, nlri: prefixes.map(prefix4) }));
}

export class ScriptedPeer {
  readonly socket: MemorySocket;
  readonly messages: ReadMessage[] = [];
  /** The other side has ended the connection. */
  isEnded = false;
  #rest = Buffer.alloc(0);

  constructor(socket: MemorySocket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    for (const end of ['end', 'close']) socket.on(end, () => (this.isEnded = true));
  }

  send(...bytes: readonly Uint8Array[]): void {
    this.socket.write(join(...bytes));
  }

  /** Types of the messages so far. */
  get types(): number[] {
    return this.messages.map(({ type }) => type);
  }

  of(type: number): Buffer[] {
    return this.messages.filter((one) => one.type === type).map(({ bytes }) => bytes);
  }

  /** Code, subcode and data of the NOTIFICATION received, if any. */
  get notified(): number[] | undefined {
    const last = this.of(3).at(-1);
    return last && [...last.subarray(19)];
  }

  /** IPv4 prefixes announced and withdrawn in the classic fields, in order, as "+10.0.0.0/8" and "-10.0.0.0/8". */
  get changes(): string[] {
    return this.of(2).flatMap((bytes) => {
      const withdrawn = bytes.readUInt16BE(19);
      const attributes = bytes.readUInt16BE(21 + withdrawn);
      return [
        ...[...prefixes4(bytes.subarray(21, 21 + withdrawn))].map((text) => `-${text}`),
        ...[...prefixes4(bytes.subarray(23 + withdrawn + attributes))].map((text) => `+${text}`),
      ];
    });
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 19) {
      const length = this.#rest.readUInt16BE(16);
      if (this.#rest.length < length) return;
      this.messages.push({ type: this.#rest[18] ?? 0, bytes: Buffer.from(this.#rest.subarray(0, length)) });
      this.#rest = this.#rest.subarray(length);
    }
  }
}

function* prefixes4(bytes: Buffer): Generator<string> {
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at] ?? 0;
    const count = Math.ceil(length / 8);
    const address = [0, 1, 2, 3].map((index) => (index < count ? (bytes[at + 1 + index] ?? 0) : 0));
    yield `${address.join('.')}/${length}`;
    at += 1 + count;
  }
}
