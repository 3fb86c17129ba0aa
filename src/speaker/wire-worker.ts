/**
 * The speaker's worker thread: everything whose timers must hold while the main thread lists 20 000 objects. It has a
 * small heap of its own, gets wishes by message and reports changes.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, type Logger, OvenbirdError, systemClock } from '../base/index.ts';
import { RawSocketError, setRealtimePriority, watchLinks } from '../raw-socket/index.ts';
import { Layer2 } from './l2/layer2.ts';
import { openSegmentIo } from './l2/segment-io.ts';
import { timingOf } from './l2/timing.ts';
import type { FromWorker, ToWorker, WireReport, WireSettings } from './wire-messages.ts';

const defaultPort = 7472;
const defaultHeartbeatMs = 100;

const port = parentPort;
if (port === null) throw new OvenbirdError('NotAWorker', 'wire-worker is started by the speaker, not by hand');
const settings = workerData as WireSettings;

const post = (message: FromWorker): void => port.postMessage(message);

function loggerWith(common: object): Logger {
  const log = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, text: string) =>
    post({ kind: 'log', level, fields: { ...common, ...fields }, text });
  return {
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    child: (fields) => loggerWith({ ...common, ...fields }),
  };
}
const logger = loggerWith({ component: 'wire' });

const changed = new Set<string>();
let peersChanged = false;
let scheduled = false;

/** Changes of one turn of the event loop travel together. */
function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    if (changed.size > 0) {
      const changes = [...changed].map((address) => ({ address, reports: layer2.reports(address) }));
      changed.clear();
      post({ kind: 'changes', changes });
    }
    if (peersChanged) {
      peersChanged = false;
      post({ kind: 'peers-changed' });
    }
  });
}

const layer2 = new Layer2({
  node: settings.node,
  clusterId: settings.clusterId,
  keys: settings.keys,
  port: settings.port ?? defaultPort,
  timing: timingOf(settings.heartbeatMs ?? defaultHeartbeatMs),
  clock: systemClock,
  random: Math.random,
  logger,
  openIo: ({ index }, receiver, onError) => openSegmentIo(index, settings.port ?? defaultPort, receiver, onError),
  onChanged(addresses) {
    for (const address of addresses) changed.add(address);
    schedule();
  },
  onPeersChanged() {
    peersChanged = true;
    schedule();
  },
});

if (settings.realtimePriority !== undefined) {
  try {
    setRealtimePriority(settings.realtimePriority);
  } catch (thrown) {
    if (!(thrown instanceof RawSocketError)) throw thrown;
    logger.warn({ error: describeError(thrown) }, 'no real-time priority; going on without');
  }
}

const links = watchLinks({
  onEvent: (event) => layer2.onLinkEvent(event),
  onSynced: () => layer2.onLinksSynced(),
  onError: (error) => logger.warn({ error: describeError(error) }, 'link events were lost; reading all links anew'),
});

function report(): WireReport {
  return { segments: layer2.segments(), heapBytes: process.memoryUsage().heapUsed };
}

async function onMessage(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'ping':
      post({ kind: 'reply', id: message.id });
      return;
    case 'assign': {
      const { nodeSets, set, remove } = message.change;
      const eligible = nodeSets.map((names) => new Set(names));
      layer2.changeAssignments(
        set.map(({ address, interfaces, nodes }) => ({
          address,
          interfaces,
          eligible: eligible[nodes] ?? new Set<string>(),
        })),
        remove,
      );
      return;
    }
    case 'keys':
      layer2.setKeys(message.keys);
      return;
    case 'resign':
      await layer2.resign(message.withinMs);
      links.close();
      post({ kind: 'reply', id: message.id });
      return;
    case 'status':
      post({ kind: 'reply', id: message.id, report: report() });
      return;
  }
}

port.on('message', (message: ToWorker) => {
  onMessage(message).catch((thrown: unknown) => {
    // Not a rejected promise somewhere: the worker must end, so that the process does.
    setImmediate(() => {
      throw thrown;
    });
  });
});
