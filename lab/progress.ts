import { systemClock } from '../src/base/index.ts';

/** Says what the lab is doing: one short line a step, with the seconds since the command began. */
export interface Progress {
  /** A step that begins, or a line of news within one. */
  say(subject: string, text: string): void;
  /** Runs a step and says `text` with its duration when it is over. */
  step<Result>(subject: string, text: string, work: () => Promise<Result>): Promise<Result>;
}

/** Progress for people, on `stream` (stderr, so that stdout carries results only). */
export function terminalProgress(stream: { write(text: string): unknown } = process.stderr): Progress {
  const start = systemClock.monotonicMs();
  const seconds = (sinceMs: number) => ((systemClock.monotonicMs() - sinceMs) / 1000).toFixed(1);
  const say = (subject: string, text: string) => {
    stream.write(`${seconds(start).padStart(6)} s  ${subject.padEnd(12)}  ${text}\n`);
  };
  return {
    say,
    async step(subject, text, work) {
      const begun = systemClock.monotonicMs();
      const result = await work();
      say(subject, `${text} (${seconds(begun)} s)`);
      return result;
    },
  };
}

/** Says nothing: for tests. */
export const silentProgress: Progress = { say() {}, step: (_subject, _text, work) => work() };
