import { addon } from './addon.ts';
import { attempt } from './errors.ts';

/**
 * Unmaps the clean pages of executables and libraries (madvise MADV_DONTNEED; see madvise(2)), for daemons that start
 * big and then do little: a third of a Node process is code that only its start has used. The pages stay in the page
 * cache, now free to age; one that is needed again costs a minor fault.
 *
 * @returns bytes that were resident in those mappings
 * @throws RawSocketError when /proc/self/smaps cannot be read
 */
export function releaseFilePages(): number {
  return attempt('release file pages', () => addon().releaseFilePages());
}
