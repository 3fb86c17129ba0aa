/*
 * Gives back the memory that a program's start has touched and its running does not need: pages of executables and
 * libraries. They stay in the page cache; a page that is needed again is mapped again by a minor fault.
 */
#define _DEFAULT_SOURCE
#include "addon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Calls madvise(MADV_DONTNEED) on each file mapping that cannot hold changes of ours: neither writable nor shared, and
 * without a single page of our own, in memory or swapped out (relocated data that was made read-only has some, and would
 * be lost). Pages called dirty are the file's: those of an image that was unpacked a moment ago are, until they are
 * written to the disk. Returns how many bytes were resident in the mappings.
 */
napi_value release_file_pages(napi_env env, napi_callback_info info) {
  (void)info;
  FILE *maps = fopen("/proc/self/smaps", "re");
  if (maps == NULL) return throw_errno(env, "open", errno);
  char line[4352];
  uintptr_t start = 0, end = 0;
  bool candidate = false;
  uint64_t resident_kb = 0, released_kb = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    uintptr_t from, to;
    char permissions[5];
    unsigned long inode;
    uint64_t kb;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu", &from, &to, permissions, &inode) == 4) {
      start = from;
      end = to;
      candidate = inode != 0 && permissions[0] == 'r' && permissions[1] == '-' && permissions[3] == 'p';
      resident_kb = 0;
    } else if (sscanf(line, "Rss: %" SCNu64, &kb) == 1) {
      resident_kb = kb;
    } else if (sscanf(line, "Anonymous: %" SCNu64, &kb) == 1 || sscanf(line, "Swap: %" SCNu64, &kb) == 1) {
      if (kb != 0) candidate = false;
    } else if (candidate && strncmp(line, "VmFlags:", 8) == 0) {
      /* The last line of a mapping: everything about it is known. */
      candidate = false;
      if (resident_kb > 0 && madvise((void *)start, end - start, MADV_DONTNEED) == 0) released_kb += resident_kb;
    }
  }
  int failed = ferror(maps);
  fclose(maps);
  if (failed) return throw_errno(env, "read", EIO);
  return number_value(env, (double)released_kb * 1024);
}
