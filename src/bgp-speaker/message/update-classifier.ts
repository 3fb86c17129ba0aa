/**
 * Received UPDATEs, judged by RFC 7606 and counted; nothing of them is kept.
 *
 *     withdrawn length (2)  withdrawn { prefix }  attributes length (2)  attributes { attribute }  nlri { prefix }
 *     attribute: flags (1)  type (1)  length (1, or 2 with the flag 0x10)  value             RFC 4271 section 4.3
 */
import type { Notification } from '../errors.ts';
import {
  type AddressFamily,
  attributeFlag,
  attributeType,
  errorCode,
  familyOf,
  updateError,
} from './assigned-numbers.ts';
import { isUsableNextHop } from './attribute-checks.ts';
import { readUint16 } from './octets.ts';
import { countPrefixes } from './prefixes.ts';
import {
  type AttributeProblem,
  type AttributeSender,
  type ErrorAction,
  judgeAttribute,
  type ReceivedAttribute,
} from './update-attributes.ts';

/** What was negotiated with the sender. */
export interface UpdateSender extends AttributeSender {
  /** IPv4 prefixes may come with an IPv6 next hop (RFC 8950). */
  ipv4NextHopOverIpv6: boolean;
  /** Those negotiated; routes of others are ignored (RFC 4760 section 8). Default: all that are known here. */
  families?: readonly AddressFamily[];
}

/** Numbers of prefixes by family. */
export type PrefixCounts = Record<AddressFamily, number>;

/** What an UPDATE amounts to. */
export interface UpdateVerdict {
  /** The strongest action that its errors call for. */
  action: ErrorAction;
  /** Prefixes announced. With "treat-as-withdraw" they are to be taken as withdrawn. */
  announced: PrefixCounts;
  withdrawn: PrefixCounts;
  /** Set when it is the End-of-RIB marker of a family (RFC 4724 section 2). */
  endOfRib: AddressFamily | undefined;
  /** What is wrong, in the order found; the first 8. */
  problems: readonly AttributeProblem[];
  /** What to tell the peer with "session-reset". */
  notification: Notification | undefined;
}

const strength: Readonly<Record<ErrorAction, number>> = {
  accept: 0,
  'attribute-discard': 1,
  'treat-as-withdraw': 2,
  'session-reset': 3,
};
const problemsKept = 8;

/** Judges the body of an UPDATE (what follows the header), which may hold anything. Never throws. */
export function classifyUpdate(body: Uint8Array, sender: UpdateSender): UpdateVerdict {
  const reading = new Reading(body, sender);
  reading.read();
  return reading.verdict();
}

/** One pass over one message. */
class Reading {
  readonly #body: Uint8Array;
  readonly #sender: UpdateSender;
  readonly #announced: PrefixCounts = { 'ipv4-unicast': 0, 'ipv6-unicast': 0 };
  readonly #withdrawn: PrefixCounts = { 'ipv4-unicast': 0, 'ipv6-unicast': 0 };
  readonly #problems: AttributeProblem[] = [];
  readonly #seen = new Set<number>();
  #strongest: AttributeProblem | undefined;
  #culprit: Uint8Array = new Uint8Array(0);
  #attributes = 0;
  #hasMpReach = false;
  /** MP_REACH_NLRI announces something, in whatever family. */
  #hasMpRoutes = false;
  #endOfRib: AddressFamily | undefined;
  #nextHopOctet: number | undefined;

  constructor(body: Uint8Array, sender: UpdateSender) {
    this.#body = body;
    this.#sender = sender;
  }

  verdict(): UpdateVerdict {
    const worst = this.#strongest;
    const resets = worst?.action === 'session-reset';
    return {
      action: worst?.action ?? 'accept',
      announced: this.#announced,
      withdrawn: this.#withdrawn,
      endOfRib: worst ? undefined : this.#endOfRib,
      problems: this.#problems,
      notification: resets
        ? { code: errorCode.update, subcode: worst.subcode, data: Uint8Array.from(this.#culprit) }
        : undefined,
    };
  }

  read(): undefined {
    const body = this.#body;
    if (body.length < 4) return this.#reset('it is shorter than 23 bytes');
    const withdrawnEnd = 2 + readUint16(body, 0);
    if (withdrawnEnd + 2 > body.length) return this.#reset('the withdrawn routes end after the message');
    const attributesStart = withdrawnEnd + 2;
    const nlriStart = attributesStart + readUint16(body, withdrawnEnd);
    if (nlriStart > body.length) return this.#reset('the attributes end after the message');

    const withdrawn = countPrefixes(body, 2, withdrawnEnd, 32);
    if (withdrawn === undefined) return this.#reset('a withdrawn prefix is malformed', updateError.invalidNetwork);
    const announced = countPrefixes(body, nlriStart, body.length, 32);
    if (announced === undefined) return this.#reset('a prefix is malformed', updateError.invalidNetwork);
    const speaksIpv4 = this.#speaks('ipv4-unicast');
    if (speaksIpv4) {
      this.#withdrawn['ipv4-unicast'] += withdrawn;
      this.#announced['ipv4-unicast'] += announced;
    }

    this.#readAttributes(attributesStart, nlriStart);
    if (this.#strongest?.action === 'session-reset') return;
    const hasNlri = speaksIpv4 && announced > 0;
    if (hasNlri || this.#hasMpReach) this.#checkMandatory(hasNlri);
    if (announced === 0 && !this.#hasMpRoutes) this.#checkWithoutRoutes();
    if (body.length === 4) this.#endOfRib = speaksIpv4 ? 'ipv4-unicast' : undefined;
    else if (withdrawn > 0 || announced > 0 || this.#attributes > 1) this.#endOfRib = undefined;
  }

  #readAttributes(start: number, limit: number): void {
    const body = this.#body;
    for (let at = start; at < limit; ) {
      const flags = body[at] ?? 0;
      const isExtended = (flags & attributeFlag.extendedLength) !== 0;
      const valueAt = at + (isExtended ? 4 : 3);
      const type = at + 1 < limit ? (body[at + 1] ?? 0) : 0;
      if (valueAt > limit) {
        this.#problem(cutShort(type, 'the attributes end within the head of one'), at, limit);
        return;
      }
      const end = valueAt + (isExtended ? readUint16(body, at + 2) : (body[at + 2] ?? 0));
      if (end > limit) {
        this.#problem(cutShort(type, `attribute ${type} is longer than the list of attributes`), at, limit);
        return;
      }
      this.#attributes += 1;
      this.#readAttribute({ flags, type, bytes: body, start: valueAt, end }, at);
      if (this.#strongest?.action === 'session-reset') return;
      at = end;
    }
  }

  #readAttribute(attribute: ReceivedAttribute, at: number): void {
    const { type, bytes, start, end } = attribute;
    const isMp = isMultiprotocol(type);
    if (this.#seen.has(type)) {
      const text = `attribute ${type} comes twice`;
      const subcode = updateError.malformedAttributeList;
      this.#problem({ action: isMp ? 'session-reset' : 'attribute-discard', subcode, text });
      return;
    }
    this.#seen.add(type);
    const problem = judgeAttribute(attribute, this.#sender);
    if (problem) this.#problem(problem, at, end);
    if (type === attributeType.mpReach) this.#readMpReach(attribute, at);
    else if (type === attributeType.mpUnreach) this.#readMpUnreach(attribute, at);
    else if (type === attributeType.nextHop && end - start === 4) this.#nextHopOctet = bytes[start];
  }

  #readMpReach({ bytes, start, end }: ReceivedAttribute, at: number): undefined {
    this.#hasMpReach = true;
    if (end - start < 5) return this.#mpProblem('MP_REACH_NLRI is shorter than 5 bytes', at, end);
    const family = familyOf(readUint16(bytes, start), bytes[start + 2] ?? 0);
    const hopLength = bytes[start + 3] ?? 0;
    const prefixesAt = start + 5 + hopLength;
    if (prefixesAt > end) return this.#mpProblem('the next hop of MP_REACH_NLRI is longer than it', at, end);
    this.#hasMpRoutes = prefixesAt < end;
    if (!family || !this.#speaks(family)) return;
    if (!this.#isNextHopLength(family, hopLength)) {
      return this.#mpProblem('the next hop of MP_REACH_NLRI has a length that it cannot have', at, end);
    }
    const count = countPrefixes(bytes, prefixesAt, end, family === 'ipv4-unicast' ? 32 : 128);
    if (count === undefined) return this.#mpProblem('a prefix in MP_REACH_NLRI is malformed', at, end);
    this.#announced[family] += count;
  }

  #speaks(family: AddressFamily): boolean {
    return this.#sender.families?.includes(family) ?? true;
  }

  #isNextHopLength(family: AddressFamily, length: number): boolean {
    if (family === 'ipv4-unicast' && length === 4) return true;
    return (length === 16 || length === 32) && (family === 'ipv6-unicast' || this.#sender.ipv4NextHopOverIpv6);
  }

  #readMpUnreach({ bytes, start, end }: ReceivedAttribute, at: number): undefined {
    if (end - start < 3) return this.#mpProblem('MP_UNREACH_NLRI is shorter than 3 bytes', at, end);
    const family = familyOf(readUint16(bytes, start), bytes[start + 2] ?? 0);
    if (!family || !this.#speaks(family)) return;
    const count = countPrefixes(bytes, start + 3, end, family === 'ipv4-unicast' ? 32 : 128);
    if (count === undefined) return this.#mpProblem('a prefix in MP_UNREACH_NLRI is malformed', at, end);
    this.#withdrawn[family] += count;
    if (end - start === 3) this.#endOfRib = family;
  }

  /** RFC 7606 section 3 d; NEXT_HOP matters only to the prefixes at the end (RFC 4760 section 3). */
  #checkMandatory(hasNlri: boolean): void {
    const mandatory: number[] = [attributeType.origin, attributeType.asPath];
    if (hasNlri) mandatory.push(attributeType.nextHop);
    if (this.#sender.internal) mandatory.push(attributeType.localPreference);
    const missing = mandatory.filter((type) => !this.#seen.has(type));
    if (missing.length > 0) {
      const text = `attribute ${missing.join(' and ')} is missing`;
      this.#problem({ action: 'treat-as-withdraw', subcode: updateError.missingWellKnown, text });
    }
    if (hasNlri && this.#nextHopOctet !== undefined && !isUsableNextHop(this.#nextHopOctet)) {
      const text = 'NEXT_HOP is not the address of a router';
      this.#problem({ action: 'treat-as-withdraw', subcode: updateError.invalidNextHop, text });
    }
  }

  /**
   * RFC 7606 section 5.2: an error beside no announced route means that the routes may have been lost with it. Only
   * errors of attributes to discard are taken lightly.
   */
  #checkWithoutRoutes(): void {
    const worst = this.#strongest;
    if (worst?.action !== 'treat-as-withdraw') return;
    const text = `no route can be told from an UPDATE in which ${worst.text}`;
    const culprit = this.#culprit;
    this.#problem({ action: 'session-reset', subcode: worst.subcode, text });
    this.#culprit = culprit;
  }

  #reset(text: string, subcode: number = updateError.malformedAttributeList): undefined {
    this.#problem({ action: 'session-reset', subcode, text });
  }

  #mpProblem(text: string, at: number, end: number): undefined {
    this.#problem({ action: 'session-reset', subcode: updateError.optionalAttribute, text }, at, end);
  }

  /** `at` and `end` delimit the attribute that the NOTIFICATION shows (RFC 4271 section 6.3). */
  #problem(problem: AttributeProblem, at = 0, end = 0): void {
    if (this.#problems.length < problemsKept) this.#problems.push(problem);
    if (strength[problem.action] <= strength[this.#strongest?.action ?? 'accept']) return;
    this.#strongest = problem;
    this.#culprit = this.#body.subarray(at, end);
  }
}

function isMultiprotocol(type: number): boolean {
  return type === attributeType.mpReach || type === attributeType.mpUnreach;
}

/**
 * RFC 7606 section 4, of the last attribute. Of MP_REACH_NLRI and MP_UNREACH_NLRI the routes cannot be told, and so not
 * be withdrawn (3 j).
 */
function cutShort(type: number, text: string): AttributeProblem {
  const action = isMultiprotocol(type) ? 'session-reset' : 'treat-as-withdraw';
  return { action, subcode: updateError.malformedAttributeList, text };
}
