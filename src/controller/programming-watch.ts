import { conditionTypes } from '../api/index.ts';
import type { Service } from '../kube/index.ts';
import type { NorthboundPort } from './northbound-port.ts';
import type { Programming } from './service-changes.ts';

export interface ProgrammingWatchOptions {
  port: NorthboundPort;
  /** True while changes of the Service have not been handed over to the writer yet. */
  isPending(key: string): boolean;
  /** True when OVN is to carry the Service, as far as it was handed over. */
  isCarried(key: string): boolean;
}

/** Says whether OVN carries a Service, for its condition. */
export class ProgrammingWatch {
  readonly #options: ProgrammingWatchOptions;

  constructor(options: ProgrammingWatchOptions) {
    this.#options = options;
  }

  /** The judgement as far as it is known now. */
  now(key: string, service: Service): Programming {
    const { port, isPending, isCarried } = this.#options;
    const { state, message } = port.status();
    // Not carried: another proxy serves it (KEP-2447).
    if (state === 'off' || !(isPending(key) || isCarried(key))) return { kind: 'unused' };
    const answer = isPending(key) ? ({ kind: 'pending' } as const) : port.programming(key);
    switch (answer.kind) {
      case 'programmed':
        return known('True', 'Programmed', 'the OVN load balancers are in the database');
      case 'problem':
        return known('False', 'NotExpressible', answer.message);
      case 'pending': {
        const settling = state === 'ready';
        // What was true before the database went away is still in it.
        const before = service.status?.conditions?.some(({ type }) => type === conditionTypes.programmed);
        return before ? { kind: 'unknown', settling } : { ...known('Unknown', 'NotYetProgrammed', message), settling };
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
}

function known(status: 'True' | 'False' | 'Unknown', reason: string, message: string) {
  return { kind: 'known', condition: { type: conditionTypes.programmed, status, reason, message } } as const;
}
