export { Backoff, type BackoffOptions, type Random } from './backoff.ts';
export { type Clock, systemClock, type Timer } from './clock.ts';
export { describeError, OvenbirdError, type OvenbirdErrorOptions } from './errors.ts';
export { Lifecycle, type Task } from './lifecycle.ts';
export { createLogger, type Logger, type LogLevel, logLevels, silentLogger } from './logger.ts';
export { ManualClock } from './manual-clock.ts';
