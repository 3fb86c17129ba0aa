import { BgpArgumentError, type Notification } from '../errors.ts';
import { cease, errorCode, messageType } from './assigned-numbers.ts';
import { frameMessage } from './framing.ts';

const longestText = 255;

/**
 *     code (1)  subcode (1)  data                                   RFC 4271 section 4.5
 *     data of Cease/2 and Cease/4:  length (1)  text (UTF-8)        RFC 9003
 *     data of Cease/9:  code (1)  subcode (1)  data                 RFC 8538 section 3.1
 */
export function encodeNotification(notification: Notification): Uint8Array {
  const { code, subcode, data } = notification;
  // RFC 4271 leaves the data open; what does not fit a message is of no use to the peer.
  const body = new Uint8Array(Math.min(2 + data.length, 4096 - 19));
  body[0] = code;
  body[1] = subcode;
  body.set(data.subarray(0, body.length - 2), 2);
  return frameMessage(messageType.notification, body);
}

/** Decodes what follows the header; the data is copied. The framer made sure of the two bytes. */
export function decodeNotification(body: Uint8Array): Notification {
  return { code: body[0] ?? 0, subcode: body[1] ?? 0, data: Uint8Array.from(body.subarray(2)) };
}

/**
 * Administrative shutdown (2) or reset (4) with a text for the operator on the other side (RFC 9003).
 * @param text cut at 255 bytes, or at 128 for peers from before RFC 9003, never within a character
 * @throws BgpArgumentError for a subcode that carries no text
 */
export function ceaseWithText(subcode: number, text: string, longest = longestText): Notification {
  if (subcode !== cease.administrativeShutdown && subcode !== cease.administrativeReset) {
    throw new BgpArgumentError(`Cease/${subcode} carries no text; only 2 and 4 do (RFC 9003)`);
  }
  const buffer = new Uint8Array(Math.min(longest, longestText));
  const { written } = new TextEncoder().encodeInto(text, buffer);
  if (written === 0) return { code: errorCode.cease, subcode, data: new Uint8Array(0) };
  return { code: errorCode.cease, subcode, data: Uint8Array.of(written, ...buffer.subarray(0, written)) };
}

/**
 * The operator's text in a Cease/2 or Cease/4, or undefined when there is none or its length is wrong. Control
 * characters are shown escaped: the text is a stranger's and goes to terminals and logs.
 */
export function shutdownText({ code, subcode, data }: Notification): string | undefined {
  const carries = subcode === cease.administrativeShutdown || subcode === cease.administrativeReset;
  const length = data[0] ?? 0;
  if (code !== errorCode.cease || !carries || length === 0 || data.length < 1 + length) return undefined;
  const text = new TextDecoder('utf-8').decode(data.subarray(1, 1 + length));
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** Cease/9 around the notification that is the reason (RFC 8538 section 3.1): graceful restart does not apply. */
export function hardReset(reason: Notification): Notification {
  const data = Uint8Array.of(reason.code, reason.subcode, ...reason.data);
  return { code: errorCode.cease, subcode: cease.hardReset, data };
}

/** The reason inside a hard reset, or undefined when it is not one or carries none. */
export function hardResetReason({ code, subcode, data }: Notification): Notification | undefined {
  if (code !== errorCode.cease || subcode !== cease.hardReset || data.length < 2) return undefined;
  return decodeNotification(data);
}

const codeNames: Readonly<Record<number, string>> = {
  1: 'message header error',
  2: 'OPEN message error',
  3: 'UPDATE message error',
  4: 'hold timer expired',
  5: 'finite state machine error',
  6: 'cease',
  7: 'ROUTE-REFRESH message error',
  8: 'send hold timer expired',
};

const subcodeNames: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  1: { 1: 'connection not synchronized', 2: 'bad message length', 3: 'bad message type' },
  2: {
    1: 'unsupported version number',
    2: 'bad peer AS',
    3: 'bad BGP identifier',
    4: 'unsupported optional parameter',
    6: 'unacceptable hold time',
    7: 'unsupported capability',
    11: 'role mismatch',
  },
  3: {
    1: 'malformed attribute list',
    2: 'unrecognized well-known attribute',
    3: 'missing well-known attribute',
    4: 'attribute flags error',
    5: 'attribute length error',
    6: 'invalid ORIGIN attribute',
    8: 'invalid NEXT_HOP attribute',
    9: 'optional attribute error',
    10: 'invalid network field',
    11: 'malformed AS_PATH',
  },
  5: {
    1: 'unexpected message in OpenSent',
    2: 'unexpected message in OpenConfirm',
    3: 'unexpected message in Established',
  },
  6: {
    1: 'maximum number of prefixes reached',
    2: 'administrative shutdown',
    3: 'peer de-configured',
    4: 'administrative reset',
    5: 'connection rejected',
    6: 'other configuration change',
    7: 'connection collision resolution',
    8: 'out of resources',
    9: 'hard reset',
    10: 'BFD down',
  },
  7: { 1: 'invalid message length' },
};

/**
 * One line for people: "cease (6/2): administrative shutdown "maintenance until noon"". A hard reset is followed by its
 * reason, one level deep.
 */
export function describeNotification(notification: Notification): string {
  const reason = hardResetReason(notification);
  return reason ? `${describeOne(notification)}: ${describeOne(reason)}` : describeOne(notification);
}

function describeOne(notification: Notification): string {
  const { code, subcode } = notification;
  const name = `${codeNames[code] ?? 'unknown error'} (${code}/${subcode})`;
  const detail = subcodeNames[code]?.[subcode];
  const text = shutdownText(notification);
  return `${name}${detail === undefined ? '' : `: ${detail}`}${text === undefined ? '' : ` "${text}"`}`;
}
