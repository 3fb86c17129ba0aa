import { BgpOptionsError } from '../errors.ts';
import type { Conditions } from './conditions.ts';
import type { OutboundPolicy } from './outbound-policy.ts';

export interface StopOptions {
  /** For the operator on the other side (RFC 9003); default: `shutdownText` of the peer's options. */
  text?: string;
}

export interface DrainOptions extends StopOptions {
  /** `graceful-shutdown`: first say that the routes will go (RFC 8326), then withdraw. Default. `withdraw`: at once. */
  mode?: 'graceful-shutdown' | 'withdraw';
  /** Between both, for the peer to find other ways, ms; 0 to 3,600,000; default 5000. */
  waitMs?: number;
  /** Aborting ends the session at once. */
  signal?: AbortSignal;
}

/** A session, as far as it matters here. */
export interface DrainedSession {
  isEstablished(): boolean;
  isInStep(): boolean;
  resend(mode: OutboundPolicy['mode']): void;
  stop(): void;
  onStep(step: 'graceful-shutdown' | 'withdrawn' | 'ended'): void;
  readonly conditions: Conditions;
}

/** After the withdrawals the peer has this long to take them, ms. */
const withdrawalMs = 1_000;

const longestWaitMs = 3_600_000;

/** What is wrong with `waitMs`, if anything. */
export function drainProblem({ waitMs = 0 }: Pick<DrainOptions, 'waitMs'>): BgpOptionsError | undefined {
  if (waitMs >= 0 && waitMs <= longestWaitMs) return undefined;
  return new BgpOptionsError([{ field: 'waitMs', text: `${waitMs}: give 0 to ${longestWaitMs} ms` }]);
}

/**
 * Takes traffic away, then ends the session.
 * @throws the signal's reason; the session has ended all the same. BgpOptionsError; then nothing was done
 */
export async function drain(session: DrainedSession, options: DrainOptions): Promise<void> {
  const problem = drainProblem(options);
  if (problem) throw problem;
  const { mode = 'graceful-shutdown', waitMs = 5_000, signal } = options;
  const { conditions } = session;
  try {
    signal?.throwIfAborted();
    if (mode === 'graceful-shutdown' && session.isEstablished()) {
      session.resend('graceful-shutdown');
      session.onStep('graceful-shutdown');
      // A session that ends meanwhile has nothing to wait for.
      await conditions.within(waitMs, () => !session.isEstablished(), signal);
    }
    if (session.isEstablished()) {
      session.resend('withdraw');
      session.onStep('withdrawn');
      await conditions.within(withdrawalMs, () => session.isInStep() || !session.isEstablished(), signal);
    }
  } finally {
    session.stop();
    session.onStep('ended');
  }
}
