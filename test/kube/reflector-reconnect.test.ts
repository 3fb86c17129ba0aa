import { expect, test } from '@jest/globals';
import { ManualClock, silentLogger } from '../../src/base/index.ts';
import { KubeError, ResourceCache, resources } from '../../src/kube/index.ts';

test('a reflector that waits for the server goes on as soon as anybody has connected', async () => {
  const clock = new ManualClock();
  const listeners = new Set<() => void>();
  let attempts = 0;
  const refuse = () => {
    attempts += 1;
    throw new KubeError('Network', 'connection refused', { retryable: true });
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
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  for (let seconds = 0; seconds < 120; seconds++) await clock.advance(1_000);
  const before = attempts;
  // The back-off is long by now; without the news nothing happens in this time.
  await clock.advance(1);
  expect(attempts).toBe(before);
  expect(listeners.size).toBe(1);
  for (const listener of [...listeners]) listener();
  await clock.advance(1);
  expect(attempts).toBeGreaterThan(before);
  stop.abort();
  await clock.advance(60_000);
  await running;
  expect(listeners.size).toBe(0);
});
