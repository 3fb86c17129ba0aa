/**
 * Fills a cache of Services from the server of a benchmark and measures itself: `node client-child.ts WHO PORT N`, the CA
 * on standard input. WHO: `projected` and `whole` are our cache, `client-node` is the peer's informer. One line of JSON.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeClient, ResourceCache, resources, type Service } from '../../../src/kube/index.ts';

const [who, port, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const url = `https://127.0.0.1:${port}`;
const ca = await text(process.stdin);
const megabytes = () => process.memoryUsage.rss() / 1e6;

/** What a controller needs of a Service. */
function project({ metadata, spec, status }: Service): Service {
  const { namespace, name, uid, resourceVersion, annotations } = metadata;
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(annotations ?? {})) if (key.includes('ovenbird.dev/')) kept[key] = value;
  return {
    metadata: {
      name,
      annotations: kept,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    spec,
    ...(status ? { status } : {}),
  };
}

/** Gives how many objects are cached so far. */
async function ours(): Promise<() => number> {
  const client = new KubeClient(
    {
      servers: [url],
      tls: async () => ({ ca }),
      headers: async () => ({}),
      forgetCredentials() {},
    },
    { fieldManager: 'bench' },
  );
  const cache = new ResourceCache<Service>({
    client,
    resource: resources.services,
    ...(who === 'projected' ? { project } : {}),
  });
  cache.run(new AbortController().signal).catch(() => {});
  return () => cache.store.size;
}

async function theirs(): Promise<() => number> {
  const { CoreV1Api, KubeConfig, makeInformer } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'bench', server: url, caData: Buffer.from(ca).toString('base64'), skipTLSVerify: false },
    { name: 'bench' },
  );
  const api = config.makeApiClient(CoreV1Api);
  const informer = makeInformer(config, '/api/v1/services', () => api.listServiceForAllNamespaces());
  informer.start().catch((thrown: unknown) => {
    throw thrown;
  });
  return () => informer.list().length;
}

const cached = who === 'client-node' ? await theirs() : await ours();
const baseMb = megabytes();
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const begunMs = performance.now();
let peakMb = baseMb;
while (cached() < count) {
  if (performance.now() - begunMs > 120_000) throw new Error(`${who} has ${cached()} objects of ${count} after 120 s`);
  await sleep(2);
  peakMb = Math.max(peakMb, megabytes());
}
const syncMs = performance.now() - begunMs;
await sleep(50);
delay.disable();
await sleep(1_500);
const restMb = megabytes();
const result = { syncMs, stallMs: delay.max / 1e6, baseMb, peakMb: Math.max(peakMb, restMb), restMb };
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
