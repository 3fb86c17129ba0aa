import { conditionTypes } from '../api/index.ts';
import type { Clock } from '../base/index.ts';
import type { Service } from '../kube/index.ts';
import type { NorthboundPort } from './northbound-port.ts';
import type { Programming } from './service-changes.ts';

export interface ProgrammingWatchOptions {
  port: NorthboundPort;
  /** True while changes of the Service have not been handed over to the writer yet. */
  isPending(key: string): boolean;
  clock: Clock;
  /** Longest time a new address waits to be carried before it is published all the same, ms. Default 2000: longer than a
   * burst of a thousand Services takes the writer, shorter than people wait. */
  patienceMs?: number;
}

/**
 * Says whether OVN carries a Service, for its condition.
 *
 * A new address is held back for a moment until the database has it, so that who reads it can use it; but OVN being
 * away never keeps a Service from getting its address.
 */
export class ProgrammingWatch {
  readonly #options: ProgrammingWatchOptions;

  constructor(options: ProgrammingWatchOptions) {
    this.#options = options;
  }

  /**
   * @param isNew the Service's status does not say its addresses yet
   */
  async judge(key: string, service: Service, isNew: boolean, signal: AbortSignal): Promise<Programming> {
    const { port } = this.#options;
    if (port.status().state === 'off') return { kind: 'unused' };
    if (isNew && port.status().state === 'ready') await this.#settled(key, signal);
    return this.now(key, service);
  }

  /** The judgement as far as it is known now. */
  now(key: string, service: Service): Programming {
    const { port, isPending } = this.#options;
    const { state, message } = port.status();
    if (state === 'off') return { kind: 'unused' };
    const answer = isPending(key) ? ({ kind: 'pending' } as const) : port.programming(key);
    switch (answer.kind) {
      case 'programmed':
        return known('True', 'Programmed', 'the OVN load balancers are in the database');
      case 'problem':
        return known('False', 'NotExpressible', answer.message);
      case 'pending': {
        // What was true before the database went away is still in it.
        const before = service.status?.conditions?.some(({ type }) => type === conditionTypes.programmed);
        return before ? { kind: 'unknown' } : known('Unknown', 'NotYetProgrammed', message);
      }
    }
  }

  /** Whether the condition on a Service says something else than what is known now. */
  isStale(key: string, service: Service): boolean {
    const programming = this.now(key, service);
    if (programming.kind !== 'known') return false;
    const condition = service.status?.conditions?.find(({ type }) => type === conditionTypes.programmed);
    const { status, reason, message } = programming.condition;
    return condition?.status !== status || condition.reason !== reason || condition.message !== message;
  }

  /** Resolves when the Service is handed over and written, or after the patience. */
  async #settled(key: string, signal: AbortSignal): Promise<void> {
    const { port, isPending, clock, patienceMs = 2_000 } = this.#options;
    const done = Promise.withResolvers<void>();
    const look = () => {
      if (!isPending(key) && port.programming(key).kind !== 'pending') done.resolve();
    };
    const stop = () => done.resolve();
    const unsubscribe = port.subscribe(look);
    const timer = clock.setTimer(patienceMs, stop);
    signal.addEventListener('abort', stop, { once: true });
    try {
      look();
      await done.promise;
    } finally {
      unsubscribe();
      timer.cancel();
      signal.removeEventListener('abort', stop);
    }
  }
}

function known(status: 'True' | 'False' | 'Unknown', reason: string, message: string): Programming {
  return { kind: 'known', condition: { type: conditionTypes.programmed, status, reason, message } };
}
