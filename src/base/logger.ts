/** Log levels, from chatty to silent. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Structured logger: fields first, then a constant sentence, so that lines can be counted by message. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** A logger whose lines also carry these fields, e.g. `{component: 'reflector', kind: 'Service'}`. */
  child(fields: object): Logger;
}

/** Drops everything: the default of libraries that were given no logger, and of tests. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
