import { BgpOptionsError } from '../errors.ts';
import type { BgpSpeaker, CloseOptions } from '../speaker/speaker.ts';
import { createSpeaker } from '../speaker/speaker.ts';
import { type CommandLine, readText } from './arguments.ts';
import { eventJson, eventLine, screenLines, sessionTable } from './print.ts';
import { type Route, readRoutes } from './routes-file.ts';

export interface Terminal {
  columns(): number;
  rows(): number;
}

/** What the program has of the world. */
export interface Surroundings {
  line: CommandLine;
  write(text: string): void;
  /** Where a table can be kept up to date; undefined for files and pipes. */
  terminal: Terminal | undefined;
  /** Tells "SIGTERM" (drain), "SIGINT" (end) and "SIGHUP" (read the routes again) as events. */
  wish: EventTarget;
}

const refreshMs = 500;

/** Announces until it is told to end. @throws BgpOptionsError, BgpTransportError */
export async function announce({ line, write, terminal, wish }: Surroundings): Promise<void> {
  let routes = readAll(line);
  const speaker = await createSpeaker({
    localAs: line.localAs,
    identifier: line.identifier,
    listen: line.listen,
    routesComplete: true,
  });
  const show = line.json || !terminal ? printEvents(speaker, line.json, write) : keepTable(speaker, terminal, write);
  const isOver = ending(speaker, line, wish);
  const readAgain = () => {
    try {
      routes = readAll(line);
      speaker.replaceAll(routes);
    } catch (thrown) {
      // What is announced stays.
      write(`${line.json ? JSON.stringify({ type: 'error', text: String(thrown) }) : String(thrown)}\n`);
    }
  };
  try {
    // Before the peers, so that each gets all at once.
    speaker.replaceAll(routes);
    for (const peer of line.peers) {
      const name = peer.name ?? String(peer.address ?? peer.interface);
      named(name, () => speaker.addPeer(line.text === undefined ? peer : { shutdownText: line.text, ...peer }));
    }
    for (const { prefix, ...options } of line.acceptPeers) named(prefix, () => speaker.acceptPeers(prefix, options));
    wish.addEventListener('SIGHUP', readAgain);
    await isOver;
  } finally {
    wish.removeEventListener('SIGHUP', readAgain);
    await speaker.close();
    await show;
  }
}

/** Says of whom the fields are that are wrong. */
function named(peer: string, run: () => void): void {
  try {
    run();
  } catch (thrown) {
    if (!(thrown instanceof BgpOptionsError)) throw thrown;
    throw new BgpOptionsError(thrown.problems.map(({ field, text }) => ({ field: `peer ${peer}: ${field}`, text })));
  }
}

/** @throws BgpOptionsError */
function readAll({ prefixes, routesFile, defaults }: CommandLine): Route[] {
  const given = readRoutes(prefixes.join('\n'), 'PREFIX', defaults);
  if (routesFile === undefined) return given;
  return [...given, ...readRoutes(readText('--routes', routesFile), routesFile, defaults)];
}

/** Resolves when the speaker has closed as it was asked to. */
async function ending(speaker: BgpSpeaker, { drainMs, text }: CommandLine, wish: EventTarget): Promise<void> {
  const impatience = new AbortController();
  const { promise, resolve } = Promise.withResolvers<CloseOptions>();
  let wishes = 0;
  const onWish = ({ type }: Event) => {
    wishes += 1;
    if (wishes > 1) impatience.abort();
    else resolve(type === 'SIGTERM' ? { mode: 'drain', waitMs: drainMs, signal: impatience.signal } : {});
  };
  for (const name of ['SIGINT', 'SIGTERM']) wish.addEventListener(name, onWish);
  try {
    const how = await promise;
    await speaker.close(text === undefined ? how : { ...how, text });
  } catch (thrown) {
    if (!impatience.signal.aborted) throw thrown;
  } finally {
    for (const name of ['SIGINT', 'SIGTERM']) wish.removeEventListener(name, onWish);
  }
}

async function printEvents(speaker: BgpSpeaker, json: boolean, write: (text: string) => void): Promise<void> {
  for await (const event of speaker.events({ buffer: 10_000 })) {
    const text = json ? eventJson(event) : eventLine(event);
    if (text !== undefined) write(`${text}\n`);
  }
}

/** The sessions as a table that is written over itself, and below it the last events. */
async function keepTable(speaker: BgpSpeaker, terminal: Terminal, write: (text: string) => void): Promise<void> {
  const lately: string[] = [];
  let height = 0;
  let sessions = speaker.sessions;
  const draw = () => {
    // A speaker that has closed has none; how its peers were left is what one wants to see.
    const { sessions: now } = speaker;
    sessions = now.length > 0 ? now : sessions.filter(({ options }) => !options.dynamic);
    const size = { columns: terminal.columns(), rows: terminal.rows() };
    const lines = screenLines(sessionTable(sessions, Date.now(), size.columns), lately, size);
    const up = height > 0 ? `\u001b[${height}A\r` : '';
    write(`${up}${lines.map((one) => `\u001b[2K${one}\n`).join('')}\u001b[J`);
    height = lines.length;
  };
  const timer = setInterval(draw, refreshMs);
  try {
    for await (const event of speaker.events()) {
      const text = eventLine(event);
      if (text === undefined) continue;
      lately.push(text);
      if (lately.length > 10) lately.shift();
      draw();
    }
  } finally {
    clearInterval(timer);
    draw();
  }
}
