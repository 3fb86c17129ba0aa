import pino from 'pino';
import type { Logger, LogLevel } from './logger.ts';

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
