import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';

/** Names the checkout whose lab has this machine's `ovb-` namespaces. */
const ownerFile = '/run/ovenbird-lab';

/**
 * Runs `work` while no other command changes a lab of this machine. The lock is an abstract socket: it goes away with
 * its process, however that ends.
 * @throws LabError `Busy` when another command is at work.
 */
export async function withLock<Result>(work: () => Promise<Result>): Promise<Result> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (cause) =>
    reject(new LabError('Busy', 'another command is changing the lab now; try again when it has ended', { cause })),
  );
  server.listen({ path: '\0ovenbird-lab' }, resolve);
  await promise;
  server.unref();
  try {
    return await work();
  } finally {
    server.close();
  }
}

/** The `.lab` directory that owns this machine's lab, if any. */
export function ownerOfMachine(): string | undefined {
  try {
    return readFileSync(ownerFile, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/**
 * Claims the machine for this checkout.
 * @returns true when an earlier owner's checkout is gone, so that what it left must be swept first.
 * @throws LabError `OtherLab` when another checkout has its lab up.
 */
export function claimMachine(lab: Pick<Lab, 'root'>): { orphaned: boolean } {
  const owner = ownerOfMachine();
  const orphaned = owner !== lab.root && owner !== undefined && !existsSync(join(owner, 'state.json'));
  refuseOthers(lab);
  writeFileSync(ownerFile, `${lab.root}\n`);
  return { orphaned };
}

/** @throws LabError `OtherLab` when another checkout has its lab up on this machine. */
export function refuseOthers(lab: Pick<Lab, 'root'>): void {
  const owner = ownerOfMachine();
  if (owner === undefined || owner === lab.root || !existsSync(join(owner, 'state.json'))) return;
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
