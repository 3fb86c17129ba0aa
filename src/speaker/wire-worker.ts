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
import type { AssignmentChange, FromWorker, ToWorker, WireReport, WireSettings } from './wire-messages.ts';

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
const logger = loggerWith({});

/** Addresses dealt with in one turn of the event loop: a few ms, so that thousands delay no heartbeat. */
const slice = 250;

const changed = new Set<string>();
let peersChanged = false;
let reporting = false;

/** Changes of one turn travel together, many of them in slices. */
function scheduleReport(): void {
  if (reporting) return;
  reporting = true;
  setImmediate(() => {
    reporting = false;
    if (peersChanged) {
      peersChanged = false;
      post({ kind: 'peers-changed' });
    }
    if (changed.size === 0) return;
    const addresses = [...changed].slice(0, slice);
    for (const address of addresses) changed.delete(address);
    post({ kind: 'changes', changes: addresses.map((address) => ({ address, reports: layer2.reports(address) })) });
    if (changed.size > 0) scheduleReport();
  });
}

const wishes: (() => void)[] = [];
let working = false;

/** Takes the first slice at once and the rest in the turns that follow, in the order in which it came. */
function work(): void {
  wishes.shift()?.();
  working = wishes.length > 0;
  if (working) setImmediate(work);
}

function assign({ nodeSets, set, remove }: AssignmentChange): void {
  const eligible = nodeSets.map((names) => new Set(names));
  for (let from = 0; from < remove.length; from += slice) {
    const part = remove.slice(from, from + slice);
    wishes.push(() => layer2.changeAssignments([], part));
  }
  for (let from = 0; from < set.length; from += slice) {
    const part = set.slice(from, from + slice).map(({ address, interfaces, nodes }) => ({
      address,
      interfaces,
      eligible: eligible[nodes] ?? new Set<string>(),
    }));
    wishes.push(() => layer2.changeAssignments(part, []));
  }
  if (!working) work();
}

const layer2 = new Layer2({
  node: settings.node,
  clusterId: settings.clusterId,
  keys: settings.keys,
  port: settings.port ?? defaultPort,
  timing: timingOf(settings.heartbeatMs ?? defaultHeartbeatMs),
  expectation: settings.expectation,
  clock: systemClock,
  random: Math.random,
  logger,
  openIo: ({ index }, receiver, onError) => openSegmentIo(index, settings.port ?? defaultPort, receiver, onError),
  onChanged(addresses) {
    for (const address of addresses) changed.add(address);
    scheduleReport();
  },
  onPeersChanged() {
    peersChanged = true;
    scheduleReport();
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
    case 'assign':
      assign(message.change);
      return;
    case 'expect':
      layer2.setExpectation(message.expectation);
      return;
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
