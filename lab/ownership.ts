import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../src/base/index.ts';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';
import { isAlive } from './process-table.ts';
import type { Progress } from './progress.ts';
import { readState } from './state.ts';

/** Names the checkout whose lab has this machine's `ovb-` namespaces. */
const ownerFile = '/run/ovenbird-lab';

/** How long a command waits for another one to end; longer than the longest `up` without a warm cache. */
const patienceMs = 20 * 60_000;

/**
 * Runs `work` while no other command changes the lab of this machine, after waiting for the one that does. The lock is
 * an abstract socket: it goes away with its process, however that ends.
 * @throws LabError `Busy` when the other one does not end.
 */
export async function withLock<Result>(progress: Progress, work: () => Promise<Result>): Promise<Result> {
  const deadline = systemClock.monotonicMs() + patienceMs;
  let server = await tryLock();
  if (!server) progress.say('lab', 'another command is changing the lab; waiting until it has ended');
  while (!server) {
    if (systemClock.monotonicMs() > deadline) {
      throw new LabError('Busy', 'another command has been changing the lab for very long; end it and try again');
    }
    await systemClock.sleep(500);
    server = await tryLock();
  }
  server.unref();
  try {
    return await work();
  } finally {
    server.close();
  }
}

/** One name a /run, because that is where the namespaces are: containers with a /run of their own can have a lab each. */
async function tryLock(): Promise<Server | undefined> {
  const { dev, ino } = statSync('/run');
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<Server | undefined>();
  server.once('error', (error: NodeJS.ErrnoException) =>
    error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
  );
  server.listen({ path: `\0ovenbird-lab-${dev}-${ino}` }, () => resolve(server));
  return promise;
}

/** The `.lab` directory that owns this machine's lab, if any. */
function ownerOfMachine(): string | undefined {
  try {
    return readFileSync(ownerFile, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Whether a lab is up there: one whose checkout is gone, or whose processes all are, has only left things behind. */
function isUp(owner: string): boolean {
  return Object.values(readState(owner)?.processes ?? {}).some(isAlive);
}

/**
 * Claims the machine for this checkout.
 * @returns true when the lab of an earlier owner is dead, so that what it left must be swept first.
 * @throws LabError `OtherLab` when another checkout has its lab up.
 */
export function claimMachine(lab: Pick<Lab, 'root'>): { orphaned: boolean } {
  const owner = ownerOfMachine();
  const orphaned = owner !== lab.root && owner !== undefined && !isUp(owner);
  refuseOthers(lab);
  writeFileSync(ownerFile, `${lab.root}\n`);
  return { orphaned };
}

/** @throws LabError `OtherLab` when another checkout has its lab up on this machine. */
export function refuseOthers(lab: Pick<Lab, 'root'>): void {
  const owner = ownerOfMachine();
  if (owner === undefined || owner === lab.root || !isUp(owner)) return;
  const checkout = join(owner, '..');
  throw new LabError(
    'OtherLab',
    `this machine has the lab of ${checkout}; take that down first: npm --prefix ${checkout} run lab -- down`,
  );
}

/** Gives the machine up. */
export function releaseMachine(): void {
  rmSync(ownerFile, { force: true });
}
