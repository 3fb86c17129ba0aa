import { addon } from './addon.ts';
import { attempt, RawSocketError } from './errors.ts';

/**
 * Real-time scheduling (SCHED_FIFO) for the calling thread only, 1-99; 0 returns it to the ordinary scheduler. Threads
 * and processes that it starts do not inherit it. Needs SYS_NICE or an RLIMIT_RTPRIO.
 * @throws RawSocketError `NotPermitted`, `BadArgument`
 */
export function setRealtimePriority(priority: number): void {
  if (!Number.isInteger(priority) || priority < 0 || priority > 99) {
    throw new RawSocketError('BadArgument', `a real-time priority is 0-99, not ${priority}`);
  }
  attempt(`set real-time priority ${priority}`, () => addon().setRealtimePriority(priority));
}

/** CLOCK_BOOTTIME in ms: monotonic, and counts time in suspend. The clock of the gates. */
export function boottimeMs(): number {
  return addon().boottimeMs();
}

/** The index of an interface in this network namespace. @throws RawSocketError `NoSuchInterface` */
export function interfaceIndex(name: string): number {
  return attempt(`look up interface ${name}`, () => addon().interfaceIndex(name));
}
