/** Messages of our own encoder and the malformed ones of RFC 7606, changed at random, through framer and decoders. */
import { BgpMessageError } from '../../src/bgp-speaker/errors.ts';
import { encodeKeepalive, MessageFramer } from '../../src/bgp-speaker/message/framing.ts';
import {
  ceaseWithText,
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
} from '../../src/bgp-speaker/message/notification.ts';
import { decodeOpen, encodeOpen } from '../../src/bgp-speaker/message/open.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from '../../src/bgp-speaker/message/route-refresh.ts';
import { classifyUpdate } from '../../src/bgp-speaker/message/update-classifier.ts';
import { encodeEndOfRib, UpdatePacker } from '../../src/bgp-speaker/message/update-packer.ts';
import { Address, Cidr } from '../../src/net/index.ts';
import { malformedUpdates } from './rfc7606-cases.ts';
import { lessons } from './update-lessons.ts';
import { message } from './wire-bytes.ts';

/** A number from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** The same numbers for the same seed (xorshift32); a seed of 0 counts as 1. */
export function randomNumbers(seed: number): Random {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Whole messages, each well-formed or malformed in one known way. */
export function corpus(): Uint8Array[] {
  const messages: Uint8Array[] = [encodeKeepalive(), encodeEndOfRib('ipv4-unicast'), encodeEndOfRib('ipv6-unicast')];
  const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
  const open = { asNumber: 4_200_000_000, holdTimeSeconds: 90, identifier: Address.parse('192.0.2.1') };
  const few = {
    families,
    routeRefresh: true,
    enhancedRouteRefresh: true,
    extendedMessages: false,
    ipv4NextHopOverIpv6: true,
  };
  const gracefulRestart = {
    restarted: true,
    notification: true,
    restartTimeSeconds: 120,
    families: families.map((family) => ({ family, forwarding: true })),
  };
  const longLivedGracefulRestart = families.map((family) => ({ family, forwarding: true, staleTimeSeconds: 3600 }));
  messages.push(
    encodeOpen({ ...open, capabilities: few }),
    encodeOpen({ ...open, capabilities: { ...few, extendedMessages: true, fourOctetAs: 4_200_000_000 } }),
    encodeOpen({ ...open, capabilities: { ...few, gracefulRestart, longLivedGracefulRestart } }),
    // RFC 9072, short as it is.
    message(1, [4, 253, 233, 0, 90, 192, 0, 2, 1, 255, 255, 0, 9, 2, 0, 6, 65, 4, 0, 0, 253, 233]),
    encodeNotification(ceaseWithText(2, 'bis morgen früh')),
    encodeNotification(hardReset(ceaseWithText(4, 'once more'))),
    encodeNotification({ code: 3, subcode: 9, data: Uint8Array.of(0x80, 14, 0) }),
  );
  for (const family of families) {
    for (const kind of ['request', 'begin', 'end'] as const) messages.push(encodeRouteRefresh(family, kind));
  }
  for (const fourOctetAs of [true, false]) {
    const context = { fourOctetAs, ipv4NextHopOverIpv6: true, maximumLength: 4096 };
    const packer = new UpdatePacker(context, (bytes) => messages.push(bytes));
    const attributes = {
      asPath: [65_001, 4_200_000_000, 1],
      nextHop: Address.parse('192.0.2.1'),
      origin: 'incomplete' as const,
      multiExitDiscriminator: 7,
      localPreference: 100,
      communities: [0xffff_0000, 0xffff_ff01, 1],
      extendedCommunities: [0x0002_fde8_0000_0007n],
      largeCommunities: [[65_000, 1, 2]] as const,
    };
    const over6 = { ...attributes, nextHop: Address.parse('2001:db8::1'), linkLocalNextHop: Address.parse('fe80::1') };
    packer.announce('ipv4-unicast', attributes);
    for (const prefix of ['198.51.100.1/32', '203.0.113.0/25', '0.0.0.0/0']) packer.addCidr(Cidr.parse(prefix));
    packer.announce('ipv4-unicast', over6);
    packer.addCidr(Cidr.parse('198.51.100.1/32'));
    packer.announce('ipv6-unicast', over6);
    for (const prefix of ['2001:db8::1/128', '::/0']) packer.addCidr(Cidr.parse(prefix));
    packer.withdraw('ipv4-unicast');
    packer.addCidr(Cidr.parse('198.51.100.1/32'));
    packer.withdraw('ipv6-unicast');
    packer.addCidr(Cidr.parse('2001:db8::1/128'));
    packer.finish();
  }
  for (const { body } of [...malformedUpdates, ...lessons]) messages.push(message(2, body));
  return messages;
}

const telling = [0, 1, 2, 3, 4, 16, 17, 32, 33, 127, 128, 129, 254, 255];

/** Changes a message in up to four places; its length field is mostly set right again, or nothing behind it is reached. */
export function mutate(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  const pick = () => seeds[random(seeds.length)] ?? new Uint8Array(0);
  let bytes = [...pick()];
  for (let changes = random(5); changes > 0; changes--) {
    const from = random(20) === 0 ? 0 : Math.min(19, bytes.length);
    const at = from + random(Math.max(1, bytes.length - from));
    switch (random(7)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = telling[random(telling.length)] ?? 0;
        break;
      case 2:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 3:
        bytes.splice(at, 1 + random(8));
        break;
      case 4:
        bytes.splice(at, 0, ...Array.from({ length: 1 + random(8) }, () => random(256)));
        break;
      case 5:
        bytes.splice(at, 0, ...bytes.slice(at, at + 1 + random(32)));
        break;
      default: {
        // The end of another one.
        const other = pick();
        bytes = [...bytes.slice(0, at), ...other.slice(Math.min(other.length, 19 + random(40)))];
      }
    }
  }
  const length = Math.min(bytes.length, 4096);
  if (length >= 19 && random(10) > 0) {
    bytes[16] = length >> 8;
    bytes[17] = length & 255;
  }
  return Uint8Array.from(bytes.slice(0, 4096));
}

/** Takes a stream as a session does; counts what came of it. Anything but a typed error is thrown on. */
export class Taker {
  readonly outcomes = new Map<string, number>();
  /** Most bytes ever held. */
  mostBuffered = 0;
  #framer = new MessageFramer();

  take(chunk: Uint8Array, sender: { internal: boolean; fourOctetAs: boolean; ipv4NextHopOverIpv6: boolean }): void {
    try {
      this.#framer.append(chunk);
      for (let next = this.#framer.next(); next; next = this.#framer.next()) {
        if (next.type === 1) decodeOpen(next.body);
        else if (next.type === 2) this.#update(next.body, sender);
        else if (next.type === 3) describeNotification(decodeNotification(next.body));
        else if (next.type === 5) decodeRouteRefresh(next.bytes);
        this.#count(`type ${next.type}`);
      }
      this.mostBuffered = Math.max(this.mostBuffered, this.#framer.bufferedBytes);
    } catch (thrown) {
      if (!(thrown instanceof BgpMessageError)) throw thrown;
      const { code, subcode, data } = thrown.notification;
      if (code < 1 || code > 7 || subcode > 11 || data.length > 4096)
        throw new RangeError(`a NOTIFICATION ${code}/${subcode}`);
      this.#count(`error ${code}`);
      this.#framer = new MessageFramer();
    }
  }

  #update(body: Uint8Array, sender: Parameters<typeof classifyUpdate>[1]): void {
    const { action, notification, announced, withdrawn, problems } = classifyUpdate(body, sender);
    const prefixes = [...Object.values(announced), ...Object.values(withdrawn)].reduce((sum, one) => sum + one, 0);
    const fits =
      (action === 'session-reset') === (notification !== undefined) &&
      (action === 'accept') === (problems.length === 0) &&
      prefixes <= body.length;
    if (!fits) throw new RangeError(`a verdict that contradicts itself: ${action}, ${prefixes} prefixes`);
    this.#count(action);
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

/**
 * Takes `count` mutated messages, each cut in two at a random place.
 * @throws Error naming seed, round and message when one is not understood or refused as it should be
 */
export function fuzz(seed: number, count: number, taker = new Taker(), seeds = corpus()): Taker {
  const random = randomNumbers(seed);
  for (let round = 0; round < count; round++) {
    const bytes = mutate(random, seeds);
    const sender = { internal: random(2) === 0, fourOctetAs: random(4) > 0, ipv4NextHopOverIpv6: random(2) === 0 };
    const cut = random(bytes.length + 1);
    try {
      taker.take(bytes.subarray(0, cut), sender);
      taker.take(bytes.subarray(cut), sender);
    } catch (thrown) {
      const text = `seed ${seed}, round ${round}, message ${Buffer.from(bytes).toString('hex')}`;
      throw new Error(text, { cause: thrown });
    }
  }
  return taker;
}
