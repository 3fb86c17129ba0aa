import { getSystemErrorName } from 'node:util';
import { OvenbirdError } from '../base/errors.ts';

/**
 * What went wrong, for code to compare. `SystemCall` is any other error of the kernel; `errno` then tells which.
 */
export type RawSocketErrorCode =
  | 'AddonMissing'
  | 'AddonMismatch'
  | 'BadArgument'
  | 'Closed'
  | 'NotPermitted'
  | 'NoSuchInterface'
  | 'LinkDown'
  | 'Unsupported'
  | 'Overrun'
  | 'AddressInUse'
  | 'AddressNotAvailable'
  | 'Malformed'
  | 'SystemCall';

/** Every error of this library. */
export class RawSocketError extends OvenbirdError<RawSocketErrorCode> {
  /** The kernel's name of the error, e.g. "ENODEV"; undefined when no system call failed. */
  readonly errno: string | undefined;
  /** The call or socket option that failed, e.g. "bind". */
  readonly syscall: string | undefined;

  constructor(
    code: RawSocketErrorCode,
    message: string,
    options: { errno?: string; syscall?: string; cause?: unknown; retryable?: boolean } = {},
  ) {
    const { errno, syscall, ...rest } = options;
    super(code, message, rest);
    this.errno = errno;
    this.syscall = syscall;
  }
}

const codes: Readonly<Record<string, RawSocketErrorCode>> = {
  EACCES: 'NotPermitted',
  EPERM: 'NotPermitted',
  ENODEV: 'NoSuchInterface',
  ENXIO: 'NoSuchInterface',
  ENETDOWN: 'LinkDown',
  ENOPROTOOPT: 'Unsupported',
  EOPNOTSUPP: 'Unsupported',
  EAFNOSUPPORT: 'Unsupported',
  EPROTONOSUPPORT: 'Unsupported',
  ENOBUFS: 'Overrun',
  EADDRINUSE: 'AddressInUse',
  EADDRNOTAVAIL: 'AddressNotAvailable',
  EBADF: 'Closed',
};

const retryable: ReadonlySet<RawSocketErrorCode> = new Set(['NoSuchInterface', 'LinkDown', 'Overrun', 'AddressInUse']);

const advice: Partial<Record<RawSocketErrorCode, string>> = {
  NotPermitted: 'the process lacks the capability (NET_RAW for packet sockets, NET_ADMIN for keys and marks, SYS_NICE)',
  NoSuchInterface: 'no such interface in this network namespace',
  LinkDown: 'the interface is down',
  Unsupported: 'this kernel does not have it',
};

/** The typed error for a failed system call. `doing` says what was attempted on what: "open a packet socket on eth0". */
export function systemError(doing: string, syscall: string, errno: number, cause?: unknown): RawSocketError {
  const name = getSystemErrorName(-errno);
  const code = codes[name] ?? 'SystemCall';
  const hint = advice[code];
  return new RawSocketError(code, `${doing}: ${syscall} gave ${name}${hint === undefined ? '' : `; ${hint}`}`, {
    errno: name,
    syscall,
    retryable: retryable.has(code),
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Runs a call into the addon, turning what it throws into a RawSocketError; other errors pass as they are. */
export function attempt<T>(doing: string, call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    // By shape, not by `instanceof`: the addon makes the Error in the realm in which it was called.
    if (typeof thrown !== 'object' || thrown === null || !('syscall' in thrown) || !('errno' in thrown)) throw thrown;
    const { syscall, errno } = thrown;
    if (thrown instanceof RawSocketError || typeof syscall !== 'string' || typeof errno !== 'number') throw thrown;
    if (syscall === 'argument')
      throw new RawSocketError('BadArgument', `${doing}: ${String(thrown)}`, { cause: thrown });
    throw systemError(doing, syscall, errno, thrown);
  }
}
