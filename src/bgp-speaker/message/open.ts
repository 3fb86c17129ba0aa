import { Address } from '../../net/index.ts';
import { BgpArgumentError, BgpMessageError } from '../errors.ts';
import { asTrans, errorCode, messageType, openError } from './assigned-numbers.ts';
import { type Capabilities, decodeCapabilities, encodeCapabilities, noCapabilities } from './capabilities.ts';
import { frameMessage } from './framing.ts';
import { OctetWriter, readUint16, readUint32 } from './octets.ts';

/** An OPEN (RFC 4271 section 4.2). */
export interface OpenMessage {
  /** 1-4294967295: the four-octet AS number where the sender has the capability. */
  asNumber: number;
  /** Proposed hold time: 0 (none) or 3-65535 s. */
  holdTimeSeconds: number;
  /** BGP identifier, an IPv4 address other than 0.0.0.0 (RFC 6286). */
  identifier: Address;
  capabilities: Capabilities;
}

const parameterCapabilities = 2;
const parameterExtended = 255;

/**
 *     version (1) = 4  as (2)  hold time (2)  identifier (4)  parameters
 *     parameters:  length (1)                          { type (1) length (1) value } ...    RFC 4271 section 4.2
 *              or  255 (1)  255 (1)  length (2)        { type (1) length (2) value } ...    RFC 9072 section 2
 *
 * The capabilities go into one parameter; the second form is used only when they need it.
 * @throws BgpArgumentError
 */
export function encodeOpen(open: OpenMessage): Uint8Array {
  const { asNumber, holdTimeSeconds, identifier } = open;
  if (!Number.isInteger(asNumber) || asNumber < 1 || asNumber > 0xffff_ffff) {
    throw new BgpArgumentError(`asNumber ${asNumber}: give a whole number from 1 to 4294967295`);
  }
  if (
    !Number.isInteger(holdTimeSeconds) ||
    holdTimeSeconds > 0xffff ||
    (holdTimeSeconds < 3 && holdTimeSeconds !== 0)
  ) {
    throw new BgpArgumentError(`holdTimeSeconds ${holdTimeSeconds}: give 0 or a whole number from 3 to 65535`);
  }
  if (identifier.family !== 4 || identifier.value === 0n) {
    throw new BgpArgumentError(`identifier ${identifier}: give an IPv4 address other than 0.0.0.0`);
  }
  const writer = new OctetWriter()
    .uint8(4)
    .uint16(asNumber > 0xffff ? asTrans : asNumber)
    .uint16(holdTimeSeconds)
    .bytes(identifier.toBytes());
  const capabilities = encodeCapabilities(open.capabilities);
  if (capabilities.length === 0) {
    writer.uint8(0);
  } else if (capabilities.length + 2 <= 254) {
    writer
      .uint8(capabilities.length + 2)
      .uint8(parameterCapabilities)
      .uint8(capabilities.length);
  } else {
    writer
      .uint8(255)
      .uint8(parameterExtended)
      .uint16(capabilities.length + 3);
    writer.uint8(parameterCapabilities).uint16(capabilities.length);
  }
  return frameMessage(messageType.open, writer.bytes(capabilities).toBytes());
}

/**
 * Decodes what follows the header of an OPEN; see `encodeOpen` for the grammar. The extended form is accepted also
 * where the short one would do (RFC 9072 section 2).
 * @throws BgpMessageError 2/x
 */
export function decodeOpen(body: Uint8Array): OpenMessage {
  if (body.length < 10) throw openProblem('it is too short', openError.unspecific);
  if (body[0] !== 4) {
    throw openProblem(`version ${body[0]} is not 4`, openError.unsupportedVersion, Uint8Array.of(0, 4));
  }
  const identifier = Address.fromBytes(body.subarray(5, 9));
  const holdTimeSeconds = readUint16(body, 3);
  const capabilities = decodeParameters(body);
  const asNumber = capabilities.fourOctetAs ?? readUint16(body, 1);
  if (asNumber === 0 || readUint16(body, 1) === 0) throw openProblem('its AS number is 0', openError.badPeerAs);
  if (identifier.value === 0n) throw openProblem('its BGP identifier is 0.0.0.0', openError.badIdentifier);
  if (holdTimeSeconds === 1 || holdTimeSeconds === 2) {
    throw openProblem(`a hold time of ${holdTimeSeconds} s is too short`, openError.unacceptableHoldTime);
  }
  return { asNumber, holdTimeSeconds, identifier, capabilities };
}

function decodeParameters(body: Uint8Array): Capabilities {
  const shortLength = body[9] ?? 0;
  const isExtended = shortLength !== 0 && body[10] === parameterExtended;
  const start = isExtended ? 13 : 10;
  const length = isExtended ? readUint16(body, 11) : shortLength;
  if (body.length < start || start + length !== body.length) {
    throw openProblem('the length of its parameters does not fit the message', openError.unspecific);
  }
  const lengthBytes = isExtended ? 2 : 1;
  let capabilities = noCapabilities;
  for (let at = start; at < body.length; ) {
    const type = body[at];
    const valueAt = at + 1 + lengthBytes;
    const valueLength = isExtended ? readUint16(body, at + 1) : (body[at + 1] ?? 0);
    if (valueAt + valueLength > body.length) {
      throw openProblem(`parameter ${type} is longer than the message`, openError.unspecific);
    }
    if (type !== parameterCapabilities) {
      throw openProblem(`parameter ${type} is unknown`, openError.unsupportedParameter);
    }
    capabilities = decodeCapabilities(body.subarray(valueAt, valueAt + valueLength), capabilities);
    at = valueAt + valueLength;
  }
  return capabilities;
}

/** The identifier as the unsigned number that collisions compare (RFC 4271 section 6.8). */
export function identifierNumber(identifier: Address): number {
  return readUint32(identifier.toBytes(), 0);
}

function openProblem(text: string, subcode: number, data?: Uint8Array): BgpMessageError {
  return new BgpMessageError(`OPEN: ${text}`, errorCode.open, subcode, data);
}
