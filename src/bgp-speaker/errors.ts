import { OvenbirdError } from '../base/errors.ts';

/** What a NOTIFICATION says (RFC 4271 section 4.5): error code, subcode and data. */
export interface Notification {
  /** Error code, 1-255; the names are in message/assigned-numbers.ts. */
  code: number;
  /** Error subcode, 0-255; 0 is "unspecific". */
  subcode: number;
  /** Copied bytes, never a view of a receive buffer. */
  data: Uint8Array;
}

/**
 * `BadMessage`: a peer sent what the protocol forbids. `BadArgument`: a caller asked for what cannot be encoded.
 * `Connect`, `Listen`: TCP failed, for the reason in `errno`.
 */
export type BgpErrorCode = 'BadMessage' | 'BadArgument' | 'BadOptions' | 'Connect' | 'Listen';

/** Every error of this library. */
export class BgpError<Code extends BgpErrorCode = BgpErrorCode> extends OvenbirdError<Code> {}

/** A received message that ends the session. `notification` is what the peer must be told before closing. */
export class BgpMessageError extends BgpError<'BadMessage'> {
  readonly notification: Notification;

  constructor(message: string, code: number, subcode: number, data: Uint8Array = new Uint8Array(0)) {
    super('BadMessage', message);
    this.notification = { code, subcode, data: Uint8Array.from(data) };
  }
}

/** A value that no message can carry. */
export class BgpArgumentError extends BgpError<'BadArgument'> {
  constructor(message: string) {
    super('BadArgument', message);
  }
}

/** Options that make no session; every field that is wrong is named. */
export class BgpOptionsError extends BgpError<'BadOptions'> {
  readonly problems: readonly { field: string; text: string }[];

  constructor(problems: readonly { field: string; text: string }[]) {
    super('BadOptions', problems.map(({ field, text }) => `${field}: ${text}`).join('; '));
    this.problems = problems;
  }
}

/** The kernel made no connection (`Connect`), or does not take connections as asked (`Listen`). */
export class BgpTransportError<Code extends 'Connect' | 'Listen' = 'Connect' | 'Listen'> extends BgpError<Code> {
  /** The kernel's name of the reason, e.g. "ECONNREFUSED"; undefined when no system call failed. */
  readonly errno: string | undefined;

  constructor(
    code: Code,
    message: string,
    options: { errno?: string | undefined; cause?: unknown; retryable?: boolean } = {},
  ) {
    const { errno, ...rest } = options;
    super(code, message, rest);
    this.errno = errno;
  }
}
