import { randomBytes } from 'node:crypto';
import { Backoff, type Clock, describeError, type Logger } from '../base/index.ts';
import { isKubeError, type KubeClient, resources } from '../kube/index.ts';

/** Bytes of the key that authenticates the speakers' heartbeats. */
const speakerKeyBytes = 32;

export interface SpeakerKeyOptions {
  client: Pick<KubeClient, 'get' | 'create'>;
  namespace: string;
  /** Name of the Secret. */
  name: string;
  clock: Clock;
  logger: Logger;
  /** How often the Secret is looked at, ms. Default 60 000. */
  intervalMs?: number;
}

/**
 * Sees to it that the Secret with the heartbeat key exists: 32 random bytes under `key`. An existing Secret is never
 * changed, also not when it is unusable: another key would cut the speakers that run off from those that start.
 */
export async function keepSpeakerKey(options: SpeakerKeyOptions, signal: AbortSignal): Promise<void> {
  const { clock, logger, namespace, name, intervalMs = 60_000 } = options;
  const backoff = new Backoff({ initialMs: 250, maximumMs: 30_000 });
  while (!signal.aborted) {
    let pauseMs = intervalMs;
    try {
      await ensureSpeakerKey(options, signal);
      backoff.reset();
    } catch (thrown) {
      if (signal.aborted) return;
      pauseMs = backoff.next();
      logger.warn({ secret: `${namespace}/${name}`, error: describeError(thrown) }, 'no heartbeat key yet, trying on');
    }
    await clock.sleep(pauseMs, signal).catch(() => {});
  }
}

async function ensureSpeakerKey(options: SpeakerKeyOptions, signal: AbortSignal): Promise<void> {
  const { client, namespace, name, logger } = options;
  try {
    const secret = await client.get(resources.secrets, { namespace, name }, { signal });
    if (Buffer.from(secret.data?.key ?? '', 'base64').length < speakerKeyBytes) {
      const hint = `delete the Secret, then a new one is made; restart the speakers`;
      logger.error({ secret: `${namespace}/${name}`, hint }, 'the heartbeat key is shorter than 32 bytes');
    }
    return;
  } catch (thrown) {
    if (!isKubeError(thrown, 'NotFound')) throw thrown;
  }
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace, name, labels: { 'app.kubernetes.io/name': 'ovenbird' } },
    type: 'Opaque',
    data: { key: randomBytes(speakerKeyBytes).toString('base64') },
  };
  try {
    await client.create(resources.secrets, secret, { signal });
    logger.info({ secret: `${namespace}/${name}` }, 'made the heartbeat key');
  } catch (thrown) {
    if (!isKubeError(thrown, 'AlreadyExists')) throw thrown;
  }
}
