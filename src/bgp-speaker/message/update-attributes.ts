/**
 * What is wrong with one attribute of a received UPDATE: RFC 7606 section 7, RFC 4271 section 6.3, and the RFCs of the
 * attributes. MP_REACH_NLRI and MP_UNREACH_NLRI are judged in update-classifier.ts.
 */
import { attributeFlag, attributeType, updateError } from './assigned-numbers.ts';
import { readUint16, readUint32 } from './octets.ts';

/** RFC 7606 section 2, from the weakest to the strongest; "accept" when nothing is wrong. */
export type ErrorAction = 'accept' | 'attribute-discard' | 'treat-as-withdraw' | 'session-reset';

/** One thing that is wrong. */
export interface AttributeProblem {
  action: Exclude<ErrorAction, 'accept'>;
  /** Subcode of a NOTIFICATION 3/x, should it come to that. */
  subcode: number;
  /** A sentence without the values a stranger sent. */
  text: string;
}

/** Who sent it, as far as that decides. */
export interface AttributeSender {
  /** iBGP. */
  internal: boolean;
  /** AS numbers take four bytes in AS_PATH and AGGREGATOR (RFC 6793). */
  fourOctetAs: boolean;
}

/** An attribute in a message: the value is `bytes[start, end)`. */
export interface ReceivedAttribute {
  flags: number;
  type: number;
  bytes: Uint8Array;
  start: number;
  end: number;
}

type Shape = 'well-known' | 'optional' | 'optional-transitive';

const { optional, transitive } = attributeFlag;

const shapeFlags: Readonly<Record<Shape, number>> = {
  'well-known': transitive,
  optional,
  'optional-transitive': optional | transitive,
};

/** The Optional and Transitive flags that each known attribute must have. */
const shapes: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [attributeType.origin, 'well-known'],
  [attributeType.asPath, 'well-known'],
  [attributeType.nextHop, 'well-known'],
  [attributeType.multiExitDiscriminator, 'optional'],
  [attributeType.localPreference, 'well-known'],
  [attributeType.atomicAggregate, 'well-known'],
  [attributeType.aggregator, 'optional-transitive'],
  [attributeType.communities, 'optional-transitive'],
  [attributeType.originatorId, 'optional'],
  [attributeType.clusterList, 'optional'],
  [attributeType.mpReach, 'optional'],
  [attributeType.mpUnreach, 'optional'],
  [attributeType.extendedCommunities, 'optional-transitive'],
  [attributeType.as4Path, 'optional-transitive'],
  [attributeType.as4Aggregator, 'optional-transitive'],
  [attributeType.ipv6ExtendedCommunities, 'optional-transitive'],
  [attributeType.largeCommunities, 'optional-transitive'],
  [attributeType.onlyToCustomer, 'optional-transitive'],
]);

const discard = (subcode: number, text: string): AttributeProblem => ({ action: 'attribute-discard', subcode, text });
const withdraw = (subcode: number, text: string): AttributeProblem => ({ action: 'treat-as-withdraw', subcode, text });

/** The problem of an attribute, or undefined when it is in order or unknown and optional. */
export function judgeAttribute(attribute: ReceivedAttribute, sender: AttributeSender): AttributeProblem | undefined {
  const { flags, type } = attribute;
  const shape = shapes.get(type);
  if (shape === undefined) {
    if ((flags & optional) !== 0) return undefined;
    return {
      action: 'session-reset',
      subcode: updateError.unrecognizedWellKnown,
      text: `attribute ${type} is unknown and not optional`,
    };
  }
  if (isDiscardedFrom(type, sender))
    return discard(updateError.optionalAttribute, `attribute ${type} is not for this peer to send`);
  if ((flags & (optional | transitive)) !== shapeFlags[shape]) {
    return wrongFlags(type, `attribute ${type} has flags that it cannot have`);
  }
  return judgeValue(attribute, sender);
}

/**
 * RFC 7606 section 3 c and f. MP_REACH_NLRI and MP_UNREACH_NLRI with wrong flags are incorrect as a whole (5.3), which
 * leaves nothing to withdraw (3 j); RFC 4760 section 7 has the subcode.
 */
function wrongFlags(type: number, text: string): AttributeProblem {
  switch (type) {
    case attributeType.mpReach:
    case attributeType.mpUnreach:
      return { action: 'session-reset', subcode: updateError.optionalAttribute, text };
    case attributeType.atomicAggregate:
    case attributeType.aggregator:
      return discard(updateError.attributeFlags, text);
    default:
      return withdraw(updateError.attributeFlags, text);
  }
}

/** RFC 7606 7.5, 7.9, 7.10 (eBGP); RFC 6793 section 3: nothing for those who have four octets. */
function isDiscardedFrom(type: number, { internal, fourOctetAs }: AttributeSender): boolean {
  switch (type) {
    case attributeType.localPreference:
    case attributeType.originatorId:
    case attributeType.clusterList:
      return !internal;
    case attributeType.as4Path:
    case attributeType.as4Aggregator:
      return fourOctetAs;
    default:
      return false;
  }
}

function judgeValue(attribute: ReceivedAttribute, sender: AttributeSender): AttributeProblem | undefined {
  const { type, bytes, start, end } = attribute;
  const length = end - start;
  const wrongLength = (fits: boolean, problem = withdraw) => {
    return fits
      ? undefined
      : problem(updateError.attributeLength, `attribute ${type} has a length that it cannot have`);
  };
  const multipleOf = (unit: number) => wrongLength(length > 0 && length % unit === 0);
  switch (type) {
    case attributeType.origin:
      if (length !== 1) return wrongLength(false);
      return (bytes[start] ?? 0) <= 2 ? undefined : withdraw(updateError.invalidOrigin, 'ORIGIN is none of the three');
    case attributeType.asPath:
      return isAsPath(bytes, start, end, sender.fourOctetAs)
        ? undefined
        : withdraw(updateError.malformedAsPath, 'AS_PATH is malformed');
    case attributeType.as4Path:
      return isAsPath(bytes, start, end, true)
        ? undefined
        : discard(updateError.optionalAttribute, 'AS4_PATH is malformed');
    case attributeType.nextHop:
    case attributeType.multiExitDiscriminator:
    case attributeType.localPreference:
    case attributeType.originatorId:
    case attributeType.onlyToCustomer:
      return wrongLength(length === 4);
    case attributeType.atomicAggregate:
      return wrongLength(length === 0, discard);
    case attributeType.aggregator:
      return judgeAggregator(attribute, sender.fourOctetAs ? 4 : 2);
    case attributeType.as4Aggregator:
      return judgeAggregator(attribute, 4);
    case attributeType.communities:
    case attributeType.clusterList:
      return multipleOf(4);
    case attributeType.extendedCommunities:
      return multipleOf(8);
    case attributeType.ipv6ExtendedCommunities:
      return multipleOf(20);
    case attributeType.largeCommunities:
      return multipleOf(12);
    default:
      return undefined;
  }
}

/** AS number and IPv4 address; AS 0 is an error (RFC 7607). */
function judgeAggregator({ type, bytes, start, end }: ReceivedAttribute, asBytes: 2 | 4): AttributeProblem | undefined {
  if (end - start !== asBytes + 4) {
    return discard(updateError.attributeLength, `attribute ${type} has a length that it cannot have`);
  }
  const asNumber = asBytes === 2 ? readUint16(bytes, start) : readUint32(bytes, start);
  return asNumber === 0 ? discard(updateError.optionalAttribute, `attribute ${type} names AS 0`) : undefined;
}

/**
 * { segment type (1) count (1) as ... }: types 1 and 2 only (confederation segments have no place outside one, RFC 5065
 * section 5), no empty segment, no AS 0 (RFC 7607). An empty path is one.
 */
function isAsPath(bytes: Uint8Array, start: number, end: number, fourOctets: boolean): boolean {
  for (let at = start; at < end; ) {
    const type = bytes[at];
    const count = at + 1 < end ? (bytes[at + 1] ?? 0) : 0;
    const next = at + 2 + count * (fourOctets ? 4 : 2);
    if ((type !== 1 && type !== 2) || count === 0 || next > end) return false;
    for (at += 2; at < next; at += fourOctets ? 4 : 2) {
      if ((fourOctets ? readUint32(bytes, at) : readUint16(bytes, at)) === 0) return false;
    }
  }
  return true;
}
