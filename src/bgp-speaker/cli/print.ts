import type { SpeakerEvent } from '../speaker/events.ts';
import type { Session } from '../speaker/session.ts';

const columns = ['PEER', 'AS', 'STATE', 'SINCE', 'SENT', 'RECEIVED', 'FLAPS', 'LAST ERROR'] as const;

/** The sessions as a table, no line wider than `width`. */
export function sessionTable(sessions: readonly Session[], nowMs: number, width: number): string[] {
  const rows = sessions.map((session) => {
    const { counters, negotiated } = session;
    const since = counters.establishedSinceMs;
    return [
      session.name,
      negotiated ? String(negotiated.peer.asNumber) : '-',
      session.state,
      since === undefined ? '-' : duration(nowMs - since),
      String(counters.prefixesOut),
      String(counters.prefixesIn),
      String(counters.flaps),
      counters.lastError ?? '',
    ];
  });
  const widths = columns.map((name, index) => Math.max(name.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd()
      .slice(0, width);
  return [line(columns), ...rows.map(line)];
}

/**
 * What a terminal of this size shows: the table, an empty line, the last events; never a line more than fit, for the
 * cursor cannot go back above the top. Where there are too many, the latest three events stay and sessions are left out.
 */
export function screenLines(
  table: readonly string[],
  lately: readonly string[],
  { columns, rows }: { columns: number; rows: number },
): string[] {
  // The cursor is below the last line.
  const room = Math.max(1, rows - 1);
  const events = lately.slice(-Math.max(3, room - table.length - 1)).map((one) => one.slice(0, columns));
  const most = room - 1 - events.length;
  const hidden = table.length - most;
  const shown = hidden <= 0 ? table : [...table.slice(0, Math.max(0, most - 1)), `and ${hidden + 1} more`];
  return [...shown, '', ...events].slice(0, room);
}

/** "12 s", "3 min", "5 h", "2 d" */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** An event as one line for people; undefined for those that say nothing new to them. */
export function eventLine(event: SpeakerEvent): string | undefined {
  const text = eventText(event);
  return text === undefined ? undefined : `${new Date(event.atMs).toISOString()} ${text}`;
}

function eventText(event: SpeakerEvent): string | undefined {
  switch (event.type) {
    case 'peer-added':
      return event.dynamic ? `${event.peer}: has come` : undefined;
    case 'peer-removed':
      return `${event.peer}: is gone`;
    case 'state':
      return undefined;
    case 'established': {
      const { peer, families, holdTimeSeconds } = event.negotiated;
      return `${event.peer}: established with AS ${peer.asNumber}, ${families.join(' and ')}, hold time ${holdTimeSeconds} s`;
    }
    case 'down':
      return `${event.peer}: down, ${event.text}`;
    case 'failed':
      return `${event.peer}: not established, ${event.text}`;
    case 'malformed-update':
      return `${event.peer}: malformed UPDATE (${event.action}): ${event.problems.map(({ text }) => text).join('; ')}: ${Buffer.from(event.message).toString('hex')}`;
    case 'end-of-rib':
      return `${event.peer}: end of ${event.family} ${event.direction === 'in' ? 'received' : 'sent'}`;
    case 'refresh-requested':
      return `${event.peer}: asks for ${event.family} again`;
    case 'unsendable':
      return `${event.peer}: goes without ${event.first}${more(event.prefixes - 1)}: ${event.text}`;
    case 'bfd':
      return `${event.peer}: BFD ${event.state}`;
    case 'drain':
      return `${event.peer}: drain, ${event.step}`;
    case 'refused':
      return `refused a connection from ${event.address}: ${event.reason}`;
    case 'listener-failed':
      return `no more connections on ${event.address}: ${event.error.message}`;
    case 'gap':
      return `${event.lost} events were lost`;
  }
}

function more(count: number): string {
  return count === 0 ? '' : ` and ${count} more`;
}

/** An event as JSON: bytes in hexadecimal, errors as their message. */
export function eventJson(event: SpeakerEvent): string {
  return JSON.stringify(event, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (value instanceof Error) return value.message;
    return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
  });
}
