/**
 * Metrics in the Prometheus text exposition format, version 0.0.4.
 *
 * Own code because it is small and lives on every node: a client library costs more resident memory than all of it.
 */

/** Label values of one series, in the order of the metric's label names. */
type Values = readonly string[];

/** A metric that reports itself when scraped. */
interface Collector {
  lines(): Iterable<string>;
}

interface MetricOptions {
  /** Full name with unit suffix, e.g. `ovenbird_heartbeats_sent_total`. */
  name: string;
  /** One sentence. */
  help: string;
  labels?: readonly string[];
}

/** Counts that only grow. */
export class Counter implements Collector {
  readonly #options: MetricOptions;
  readonly #series = new Map<string, { values: Values; value: number }>();

  constructor(options: MetricOptions) {
    this.#options = options;
    if (!options.labels?.length) this.#at([]);
  }

  #at(values: Values): { value: number } {
    const key = values.join('\u0000');
    let series = this.#series.get(key);
    if (!series) {
      series = { values, value: 0 };
      this.#series.set(key, series);
    }
    return series;
  }

  /** Adds `by` (>= 0) to the series with these label values. */
  inc(values: Values = [], by = 1): void {
    this.#at(values).value += by;
  }

  value(values: Values = []): number {
    return this.#series.get(values.join('\u0000'))?.value ?? 0;
  }

  *lines(): Iterable<string> {
    yield* header(this.#options, 'counter');
    for (const { values, value } of this.#series.values())
      yield sample(this.#options.name, this.#options, values, value);
  }
}

/** A value read when scraped, so that nothing has to be kept up to date. */
export interface GaugeOptions extends MetricOptions {
  collect(): Iterable<{ values?: Values; value: number }>;
  /** A cumulative value kept elsewhere is exposed as a counter. Default "gauge". */
  type?: 'gauge' | 'counter';
}

/** Observations in buckets. */
export class Histogram implements Collector {
  readonly #options: MetricOptions & { buckets: readonly number[] };
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** @param options.buckets upper bounds, ascending, without +Inf */
  constructor(options: MetricOptions & { buckets: readonly number[] }) {
    this.#options = options;
    this.#counts = options.buckets.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count += 1;
    const index = this.#options.buckets.findIndex((bound) => value <= bound);
    if (index >= 0) this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  *lines(): Iterable<string> {
    const { name, buckets } = this.#options;
    yield* header(this.#options, 'histogram');
    let cumulative = 0;
    for (const [index, bound] of buckets.entries()) {
      cumulative += this.#counts[index] ?? 0;
      yield `${name}_bucket{le="${bound}"} ${cumulative}`;
    }
    yield `${name}_bucket{le="+Inf"} ${this.#count}`;
    yield `${name}_sum ${this.#sum}`;
    yield `${name}_count ${this.#count}`;
  }
}

/** The metrics of one process. */
export class MetricRegistry {
  readonly #collectors = new Map<string, Collector>();

  #add<T extends Collector>(name: string, collector: T): T {
    if (this.#collectors.has(name)) throw new RangeError(`metric ${name} is registered twice`);
    this.#collectors.set(name, collector);
    return collector;
  }

  counter(options: MetricOptions): Counter {
    return this.#add(options.name, new Counter(options));
  }

  gauge(options: GaugeOptions): void {
    this.#add(options.name, {
      *lines() {
        yield* header(options, options.type ?? 'gauge');
        for (const { values = [], value } of options.collect()) yield sample(options.name, options, values, value);
      },
    });
  }

  histogram(options: MetricOptions & { buckets: readonly number[] }): Histogram {
    return this.#add(options.name, new Histogram(options));
  }

  /** The exposition, sorted by metric name. */
  text(): string {
    const sorted = [...this.#collectors].sort(([a], [b]) => (a < b ? -1 : 1));
    return `${sorted.flatMap(([, collector]) => [...collector.lines()]).join('\n')}\n`;
  }
}

/** What every process reports about itself: start time, resident memory, CPU seconds, version. */
export function registerProcessMetrics(registry: MetricRegistry, version: string): void {
  const startSeconds = Date.now() / 1000 - process.uptime();
  registry.gauge({
    name: 'process_start_time_seconds',
    help: 'Start time of the process since the epoch.',
    collect: () => [{ value: startSeconds }],
  });
  registry.gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process.',
    collect: () => [{ value: process.memoryUsage.rss() }],
  });
  registry.gauge({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time.',
    type: 'counter',
    collect: () => [{ value: (process.cpuUsage().user + process.cpuUsage().system) / 1e6 }],
  });
  registry.gauge({
    name: 'ovenbird_build_info',
    help: 'Always 1; the version is in the label.',
    labels: ['version', 'node'],
    collect: () => [{ values: [version, process.version], value: 1 }],
  });
}

function* header({ name, help }: MetricOptions, type: string): Iterable<string> {
  yield `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`;
  yield `# TYPE ${name} ${type}`;
}

function sample(name: string, { labels = [] }: MetricOptions, values: Values, value: number): string {
  if (labels.length === 0) return `${name} ${value}`;
  const pairs = labels.map((label, index) => `${label}="${escapeLabel(values[index] ?? '')}"`);
  return `${name}{${pairs.join(',')}} ${value}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
