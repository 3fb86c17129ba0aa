/** Options shared by every error of Ovenbird. */
export interface OvenbirdErrorOptions {
  /** What made this happen, kept for logs. */
  cause?: unknown;
  /** True when the same call may succeed later with nothing changed by the caller. Default false. */
  retryable?: boolean;
}

/**
 * The one base class of all errors thrown by Ovenbird's own code.
 *
 * Each room declares its codes as a string union and narrows `code` in a subclass. The message names the object and
 * the field and says what to do next; it is shown to operators as it is.
 */
export class OvenbirdError<Code extends string = string> extends Error {
  /** Stable identifier, to compare in code. Never shown alone to a person. */
  readonly code: Code;
  readonly retryable: boolean;

  constructor(code: Code, message: string, options: OvenbirdErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The message of anything that was thrown, with the chain of causes, on one line. Never throws. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  // Many messages already end with that of their cause.
  const add = (text: string) => {
    if (!parts.at(-1)?.endsWith(text)) parts.push(text);
  };
  let current: unknown = thrown;
  for (let depth = 0; current !== undefined && depth < 5; depth++) {
    if (current instanceof AggregateError) {
      add(`${current.message || current.name} [${current.errors.map((e) => describeError(e)).join('; ')}]`);
    } else if (current instanceof Error) {
      add(current.message || current.name);
    } else {
      add(String(current));
    }
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ');
}
