/*
 * LD_PRELOAD: while the file named by FAIL_SYNC_FLAG exists, every sync of data fails with an input/output error, after all
 * writes went well: what a failing disk behind a write cache does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int is_failing(void) {
  const char *flag = getenv("FAIL_SYNC_FLAG");
  if (!flag || access(flag, F_OK) != 0) return 0;
  errno = EIO;
  return 1;
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  return is_failing() ? -1 : real(fd);
}

int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  return is_failing() ? -1 : real(fd);
}
