import { expect, test } from '@jest/globals';
import { ManualClock, silentLogger } from '../../src/base/index.ts';
import { KubeError, ResourceCache, resources } from '../../src/kube/index.ts';

/** A cache whose every attempt fails with what `failure` gives, and a clock that is 120 s into that. */
async function failing(failure: () => KubeError) {
  const clock = new ManualClock();
  const listeners = new Set<() => void>();
  const state = { attempts: 0 };
  const refuse = () => {
    state.attempts += 1;
    throw failure();
  };
  const cache = new ResourceCache({
    client: {
      // biome-ignore lint/correctness/useYield: it fails before there is anything to yield
      async *pages() {
        refuse();
      },
      // biome-ignore lint/correctness/useYield: as above
      async *watch() {
        refuse();
      },
      onConnect(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    resource: resources.services,
    clock,
    logger: silentLogger,
    random: () => 0,
  });
  const abort = new AbortController();
  const running = cache.run(abort.signal);
  for (let seconds = 0; seconds < 120; seconds++) await clock.advance(1_000);
  const stop = async () => {
    abort.abort();
    await clock.advance(60_000);
    await running;
    expect(listeners.size).toBe(0);
  };
  return { clock, listeners, state, stop };
}
const refused = () => new KubeError('Network', 'connection refused', { retryable: true });

test('a reflector that waits for the server goes on as soon as anybody has connected', async () => {
  const { clock, listeners, state, stop } = await failing(refused);
  const before = state.attempts;
  // The back-off is long by now; without the news nothing happens in this time.
  await clock.advance(1);
  expect(state.attempts).toBe(before);
  expect(listeners.size).toBe(1);
  for (const listener of [...listeners]) listener();
  await clock.advance(1);
  expect(state.attempts).toBeGreaterThan(before);
  await stop();
});

test('a server that is back and refuses at first, as one does that is just starting, is asked again soon', async () => {
  let failure = refused;
  const { clock, listeners, state, stop } = await failing(() => failure());
  failure = () => new KubeError('Forbidden', 'services is forbidden: no role is known yet');
  for (const listener of [...listeners]) listener();
  await clock.advance(1);
  const before = state.attempts;
  await clock.advance(3_000);
  expect(state.attempts - before).toBeGreaterThanOrEqual(3);
  // A refusal that stays is asked about less and less.
  for (let seconds = 0; seconds < 120; seconds++) await clock.advance(1_000);
  const later = state.attempts;
  await clock.advance(3_000);
  expect(state.attempts - later).toBeLessThanOrEqual(1);
  await stop();
});
