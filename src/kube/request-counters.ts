/** What a request was, for counting. */
export interface RequestLabels {
  /** get, list, watch, create, replace, patch, delete. */
  verb: string;
  /** `services`, or `services/status` for a subresource. */
  resource: string;
}

export interface RequestObservation extends RequestLabels {
  /** HTTP status, or the error code when there was no answer. */
  result: number | string;
  /** Until the headers of the answer, ms. */
  durationMs: number;
}

const writeVerbs: ReadonlySet<string> = new Set(['create', 'replace', 'patch', 'delete']);

/** Counts requests by verb, resource and result; the tests of "writes nothing when nothing changed" read it. */
export class RequestCounters {
  readonly #counts = new Map<string, RequestLabels & { result: string; count: number }>();

  observe({ verb, resource, result }: RequestObservation): void {
    const key = `${verb} ${resource} ${result}`;
    const entry = this.#counts.get(key);
    if (entry) entry.count += 1;
    else this.#counts.set(key, { verb, resource, result: String(result), count: 1 });
  }

  /** Sum over the entries that match all given labels. */
  count(match: Partial<RequestLabels & { result: string }> = {}): number {
    let sum = 0;
    for (const entry of this.#counts.values()) {
      if (match.verb !== undefined && entry.verb !== match.verb) continue;
      if (match.resource !== undefined && entry.resource !== match.resource) continue;
      if (match.result !== undefined && entry.result !== match.result) continue;
      sum += entry.count;
    }
    return sum;
  }

  /** Requests that change something, whatever their result; `resource` narrows. */
  writes(resource?: string): number {
    let sum = 0;
    for (const entry of this.#counts.values()) {
      if (writeVerbs.has(entry.verb) && (resource === undefined || entry.resource === resource)) sum += entry.count;
    }
    return sum;
  }

  /** All entries, sorted by verb, resource and result. */
  snapshot(): (RequestLabels & { result: string; count: number })[] {
    const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
    return [...this.#counts.entries()].sort(([a], [b]) => order(a, b)).map(([, entry]) => ({ ...entry }));
  }
}
