export { Backoff, type BackoffOptions, type Random } from './backoff.ts';
export { type Clock, systemClock, type Timer } from './clock.ts';
export { describeError, OvenbirdError, type OvenbirdErrorOptions } from './errors.ts';
export { type HttpAnswer, type HttpRoute, type HttpServer, serveHttp } from './http-server.ts';
export { Lifecycle, type Task } from './lifecycle.ts';
// Not createLogger of json-logger.ts: it needs a package, and the libraries, which load this file, need none.
export { type Logger, type LogLevel, logLevels, silentLogger } from './logger.ts';
export { ManualClock } from './manual-clock.ts';
export { Counter, Histogram, MetricRegistry, registerProcessMetrics } from './metrics.ts';
export { describeOptions, type OptionSpec, Options, UsageError } from './options.ts';
export { version } from './version.ts';
