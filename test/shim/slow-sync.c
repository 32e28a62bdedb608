/*
 * LD_PRELOAD: every sync takes SLOW_SYNC_MS longer, as on a slow disk. The delay comes before the real call, so that
 * nothing that waits for the disk can be right by luck. LMDB writes its meta page through a descriptor opened with
 * O_DSYNC: such a write is a sync too. SLOW_SYNC_COUNT, if set, names a file that gets one byte per delayed call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void delay(void) {
  const char *ms = getenv("SLOW_SYNC_MS");
  const char *count = getenv("SLOW_SYNC_COUNT");
  long left = ms ? atol(ms) : 0;
  struct timespec time = {left / 1000, (left % 1000) * 1000000L};
  nanosleep(&time, NULL);
  if (count) {
    int fd = open(count, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
      if (write(fd, ".", 1) != 1) abort();
      close(fd);
    }
  }
}

static int is_sync_fd(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DSYNC);
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  delay();
  return real(fd);
}

int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  delay();
  return real(fd);
}

int msync(void *start, size_t length, int flags) {
  int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
  delay();
  return real(start, length, flags);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (is_sync_fd(fd)) delay();
  return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  return pwrite64(fd, bytes, count, offset);
}
