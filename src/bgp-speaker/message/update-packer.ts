import type { Cidr } from '../../net/index.ts';
import { BgpArgumentError } from '../errors.ts';
import { type AddressFamily, afiOf, attributeFlag, attributeType, messageType } from './assigned-numbers.ts';
import { frameMessage, writeHeader } from './framing.ts';
import { OctetWriter } from './octets.ts';
import {
  encodeAttributes,
  encodeMpReachHead,
  type PathAttributes,
  type UpdateContext,
  usesMpReach,
} from './path-attributes.ts';

const nothing = new Uint8Array(0);
/** For prefixes in a new message, bytes: 51 IPv4 host routes. */
const firstRoom = 256;

/**
 * Packs prefixes into as few UPDATEs as they fit, one attribute set and one kind of route field a message:
 *
 *     withdrawn length (2)  withdrawn { prefix }  attributes length (2)  attributes  nlri { prefix }
 *     prefix: length in bits (1)  the bytes that hold them                                  RFC 4271 section 4.3
 *     MP_REACH_NLRI (14): afi (2) safi (1) length (1) next hop reserved (1) { prefix }      RFC 4760 section 3
 *     MP_UNREACH_NLRI (15): afi (2) safi (1) { prefix }                                     RFC 4760 section 4
 *
 * MP_REACH_NLRI and MP_UNREACH_NLRI come first (RFC 7606 section 5.1). At 4096 bytes a message carries 810 IPv4 host
 * routes of the shortest attributes, or 814 withdrawals. `announce` or `withdraw`, then `add` for each prefix of
 * the family, any number of times; `finish` at the end.
 */
export class UpdatePacker {
  readonly #context: UpdateContext;
  readonly #emit: (message: Uint8Array) => void;
  /** Everything before the prefixes; lengths are patched in when the message is complete. */
  #head: Uint8Array = new Uint8Array(0);
  /** What follows the prefixes: the attributes after MP_REACH_NLRI, the empty list after withdrawn prefixes. */
  #tail: Uint8Array = new Uint8Array(0);
  #field: 'nlri' | 'withdrawn' | 'mp' = 'nlri';
  #family: AddressFamily | undefined;
  #message: Uint8Array = nothing;
  #length = 0;

  /** @param emit takes each message; it owns the bytes */
  constructor(context: UpdateContext, emit: (message: Uint8Array) => void) {
    this.#context = context;
    this.#emit = emit;
  }

  /**
   * From here on prefixes of this family are announced with these attributes.
   * @throws BgpArgumentError when the attributes cannot be encoded for this peer or leave no room for a prefix
   */
  announce(family: AddressFamily, attributes: PathAttributes): void {
    this.finish();
    const encoded = encodeAttributes(attributes, family, this.#context);
    if (usesMpReach(family, attributes.nextHop)) {
      this.#startMp(family, attributeType.mpReach, encodeMpReachHead(family, attributes, this.#context), encoded);
    } else {
      const head = new OctetWriter().bytes(new Uint8Array(19)).uint16(0).uint16(encoded.length).bytes(encoded);
      this.#start(family, 'nlri', head.toBytes(), new Uint8Array(0));
    }
  }

  /** From here on prefixes of this family are withdrawn. */
  withdraw(family: AddressFamily): void {
    this.finish();
    if (family === 'ipv4-unicast') this.#start(family, 'withdrawn', new Uint8Array(21), new Uint8Array(2));
    else this.#startMp(family, attributeType.mpUnreach, Uint8Array.of(0, afiOf(family), 1), new Uint8Array(0));
  }

  #startMp(family: AddressFamily, type: number, value: Uint8Array, tail: Uint8Array): void {
    const flags = attributeFlag.optional | attributeFlag.extendedLength;
    const head = new OctetWriter().bytes(new Uint8Array(23)).uint8(flags).uint8(type).uint16(0).bytes(value);
    this.#start(family, 'mp', head.toBytes(), tail);
  }

  #start(family: AddressFamily, field: 'nlri' | 'withdrawn' | 'mp', head: Uint8Array, tail: Uint8Array): void {
    const longestPrefix = family === 'ipv4-unicast' ? 5 : 17;
    const least = head.length + tail.length + longestPrefix;
    if (least > this.#context.maximumLength) {
      throw new BgpArgumentError(
        `attributes: a message with one prefix takes ${least} bytes, the peer takes ${this.#context.maximumLength}; give fewer communities or a shorter AS path`,
      );
    }
    this.#family = family;
    this.#field = field;
    this.#head = head;
    this.#tail = tail;
  }

  /** @throws BgpArgumentError for a prefix of another family */
  addCidr(prefix: Cidr): void {
    const { value } = prefix.address;
    if (prefix.family === 4) this.add('ipv4-unicast', prefix.prefixLength, Number(value), 0, 0, 0);
    else {
      const part = (shift: bigint) => Number((value >> shift) & 0xffff_ffffn);
      this.add('ipv6-unicast', prefix.prefixLength, part(96n), part(64n), part(32n), part(0n));
    }
  }

  /** Adds a prefix given as its 32-bit words, the highest first; an IPv4 one has only `word0`. */
  add(family: AddressFamily, length: number, word0: number, word1: number, word2: number, word3: number): void {
    if (family !== this.#family) throw new BgpArgumentError(`say announce or withdraw for ${family} first`);
    const count = (length + 7) >> 3;
    while (this.#length + 1 + count + this.#tail.length > this.#message.length) this.#makeRoom();
    const message = this.#message;
    let at = this.#length;
    message[at++] = length;
    for (let i = 0; i < count; i++) {
      const word = i < 4 ? word0 : i < 8 ? word1 : i < 12 ? word2 : word3;
      message[at++] = word >>> (24 - 8 * (i & 3));
    }
    this.#length = at;
  }

  /** Most messages are short, so they begin small; what follows a full one is likely to be full too. */
  #makeRoom(): void {
    const { maximumLength } = this.#context;
    const before = this.#message;
    if (before.length === maximumLength && this.#length > 0) {
      this.#complete();
      this.#begin(maximumLength);
    } else if (this.#length === 0) {
      this.#begin(Math.min(maximumLength, this.#head.length + this.#tail.length + firstRoom));
    } else {
      this.#message = new Uint8Array(Math.min(maximumLength, 8 * before.length));
      this.#message.set(before.subarray(0, this.#length));
    }
  }

  #begin(capacity: number): void {
    this.#message = new Uint8Array(capacity);
    this.#message.set(this.#head);
    this.#length = this.#head.length;
  }

  /** Emits what is there. */
  finish(): void {
    if (this.#length > 0) this.#complete();
  }

  #complete(): void {
    const message = this.#message;
    const headLength = this.#head.length;
    const prefixBytes = this.#length - headLength;
    message.set(this.#tail, this.#length);
    const total = this.#length + this.#tail.length;
    writeHeader(message, messageType.update, total);
    if (this.#field === 'withdrawn') {
      writeUint16(message, 19, prefixBytes);
    } else if (this.#field === 'mp') {
      writeUint16(message, 21, total - 23);
      writeUint16(message, 25, headLength - 27 + prefixBytes);
    }
    this.#length = 0;
    this.#message = nothing;
    // A short message does not keep the memory of a long one.
    this.#emit(total * 2 < message.length ? message.slice(0, total) : message.subarray(0, total));
  }
}

function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value & 0xff;
}

/** End-of-RIB (RFC 4724 section 2): an empty UPDATE of 23 bytes, or 29 bytes with an empty MP_UNREACH_NLRI. */
export function encodeEndOfRib(family: AddressFamily): Uint8Array {
  const body =
    family === 'ipv4-unicast'
      ? [0, 0, 0, 0]
      : [0, 0, 0, 6, attributeFlag.optional, attributeType.mpUnreach, 3, 0, afiOf(family), 1];
  return frameMessage(messageType.update, Uint8Array.from(body));
}
