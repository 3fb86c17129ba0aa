/**
 * BFD in a process of its own, in a network namespace: carries out the requests that it reads as JSON lines, and prints
 * answers and events. `node speaker-process.ts '{"thread": "worker", "blockMs": 0}'`.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type BfdEngineStatus,
  type BfdOptions,
  type BfdSessionEvent,
  type BfdSessionHandle,
  type BfdSessionOptions,
  type BfdSessionStatus,
  type BfdTiming,
  startBfd,
} from '../../../src/bgp-speaker/bfd/index.ts';

export interface ProcessSettings {
  thread?: NonNullable<BfdOptions['thread']>;
  realtimePriority?: number;
  /** The main thread does nothing else for this long, again and again with a short pause. */
  blockMs?: number;
  /** The main thread reads a list of so many objects into a cache every 200 ms, as when a large cluster is listed anew. */
  relistObjects?: number;
}

export type Request =
  | { do: 'add'; session: string; options: BfdSessionOptions }
  | { do: 'configure'; session: string; change: BfdTiming }
  | { do: 'admin-down'; session: string; adminDown: boolean }
  | { do: 'status'; session: string }
  | { do: 'engine-status' }
  | { do: 'remove'; session: string }
  | { do: 'close' };

export type Answer = BfdSessionStatus | BfdEngineStatus | { resources: string[] } | { error: string } | null;

export type Line = { ready: true } | { session: string; event: BfdSessionEvent } | { answer: Answer };

// Synchronously: a main thread that is about to be blocked says what it knows first.
const say = (line: Line): void => void writeSync(1, `${JSON.stringify(line)}\n`);

async function main(settings: ProcessSettings): Promise<void> {
  const bfd = await startBfd({
    ...(settings.thread === undefined ? {} : { thread: settings.thread }),
    ...(settings.realtimePriority === undefined ? {} : { realtimePriority: settings.realtimePriority }),
    onFailure: (error) => {
      throw error;
    },
  });
  const sessions = new Map<string, BfdSessionHandle>();
  const follow = async (session: string, handle: BfdSessionHandle) => {
    for await (const event of handle.events()) say({ session, event });
  };
  const sessionOf = (name: string): BfdSessionHandle => {
    const session = sessions.get(name);
    if (!session) throw new Error(`no session ${name}`);
    return session;
  };
  const carryOut = async (request: Request): Promise<Answer> => {
    switch (request.do) {
      case 'add': {
        const handle = bfd.addSession(request.options);
        sessions.set(request.session, handle);
        void follow(request.session, handle);
        return null;
      }
      case 'configure':
        sessionOf(request.session).configure(request.change);
        return null;
      case 'admin-down':
        sessionOf(request.session).setAdminDown(request.adminDown);
        return null;
      case 'status':
        return sessionOf(request.session).status();
      case 'engine-status':
        return bfd.status();
      case 'remove':
        await sessionOf(request.session).remove();
        return null;
      case 'close':
        await bfd.close();
        return { resources: process.getActiveResourcesInfo() };
    }
  };
  let blocking: NodeJS.Timeout | undefined;
  const block = () => {
    const untilMs = performance.now() + (settings.blockMs ?? 0);
    while (performance.now() < untilMs) JSON.parse(JSON.stringify(new Array(5000).fill({ some: 'object' })));
    blocking = setTimeout(block, 5);
  };
  if (settings.blockMs !== undefined && settings.blockMs > 0) block();
  if (settings.relistObjects !== undefined) blocking = relist(settings.relistObjects);
  say({ ready: true });
  const lines = createInterface({ input: process.stdin });
  for await (const line of lines) {
    const request = JSON.parse(line) as Request;
    if (request.do === 'close') {
      clearTimeout(blocking);
      clearInterval(blocking);
      lines.close();
      process.stdin.destroy();
    }
    try {
      say({ answer: await carryOut(request) });
    } catch (thrown) {
      say({ answer: { error: String(thrown) } });
    }
    // Nothing is ended by force: what is left open would keep this process alive, which a test would see.
    if (request.do === 'close') break;
  }
}

function relist(objects: number): NodeJS.Timeout {
  const item = {
    metadata: { name: '', namespace: 'default', labels: { app: 'web' }, annotations: { note: 'x'.repeat(800) } },
    spec: { ports: [{ port: 80, protocol: 'TCP' }], selector: { app: 'web' } },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
  };
  const list = Array.from({ length: objects }, (_, i) => ({ ...item, metadata: { ...item.metadata, name: `s${i}` } }));
  const text = JSON.stringify({ items: list });
  let cache = new Map<string, object>();
  return setInterval(() => {
    const { items } = JSON.parse(text) as { items: (typeof item)[] };
    cache = new Map(items.map((one) => [one.metadata.name, one]));
    if (cache.size !== objects) throw new Error(`${cache.size} objects`);
  }, 200);
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as ProcessSettings);
