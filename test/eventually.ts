import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

/** How long to wait for what comes without being told, ms. Default 30000. */
export interface Patience {
  timeoutMs?: number;
}

const longestPauseMs = 50;

/**
 * Asks again, ever less often, until the answer is as wanted; without `wanted`, until it is anything but false, undefined
 * and null. A question that throws is asked again too, so put no expectation into it.
 * @throws Error that names `what` and shows the last answer, or has the last failure as its cause
 */
export async function eventually<Value>(
  what: string,
  ask: () => Promise<Value> | Value,
  wanted: (value: Value) => boolean,
  patience?: Patience,
): Promise<Value>;
export async function eventually<Value>(
  what: string,
  ask: () => Promise<Value> | Value,
  patience?: Patience,
): Promise<Exclude<Value, false | undefined | null>>;
export async function eventually<Value>(
  what: string,
  ask: () => Promise<Value> | Value,
  third: ((value: Value) => boolean) | Patience = {},
  fourth: Patience = {},
): Promise<unknown> {
  const [wanted, { timeoutMs = 30_000 }] = typeof third === 'function' ? [third, fourth] : [isSomething, third];
  const beganMs = performance.now();
  for (let pauseMs = 2; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const askedMs = performance.now();
    const answer = await attempt(ask);
    if (!answer.failed && wanted(answer.value)) return answer.value;
    const nowMs = performance.now();
    const leftMs = beganMs + timeoutMs - nowMs;
    if (leftMs <= 0) throw inVain(what, timeoutMs, answer);
    // A question that takes long is one that costs: it gets at most half of the time.
    await sleep(Math.min(Math.max(pauseMs, nowMs - askedMs), leftMs));
  }
}

type Answer<Value> = { failed: false; value: Value } | { failed: true; cause: unknown };

async function attempt<Value>(ask: () => Promise<Value> | Value): Promise<Answer<Value>> {
  try {
    return { failed: false, value: await ask() };
  } catch (cause) {
    return { failed: true, cause };
  }
}

function isSomething(value: unknown): boolean {
  return value !== false && value !== undefined && value !== null;
}

function inVain(what: string, timeoutMs: number, answer: Answer<unknown>): Error {
  const shown = answer.failed ? String(answer.cause) : inspect(answer.value, { depth: 6, breakLength: 120 });
  const text = `${what}: not within ${timeoutMs} ms; last: ${shown.slice(0, 3000)}`;
  return answer.failed ? new Error(text, { cause: answer.cause }) : new Error(text);
}
