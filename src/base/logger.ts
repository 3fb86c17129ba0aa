import pino from 'pino';

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

/** JSON lines on stdout: one object a line, time in ISO 8601, `err` fields serialised with their causes. */
export function createLogger(options: { level: LogLevel; name: string }): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      base: { name: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 1, sync: true }),
  );
}

/** Drops everything: the default of libraries that were given no logger, and of tests. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
