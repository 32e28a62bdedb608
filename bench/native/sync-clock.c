/*
 * LD_PRELOAD: adds up how long a process waits in syncs, and how many there are, in the file that SYNC_CLOCK names: two numbers of 64 bits,
 * nanoseconds and syncs. LMDB writes its meta page through a descriptor opened with O_DSYNC: such a write is a sync too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t *totals;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SYNC_CLOCK");
  if (!path) return;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, 16) != 0) abort();
  void *map = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) abort();
  totals = map;
  close(fd);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void count(uint64_t since) {
  if (!totals) return;
  atomic_fetch_add(&totals[0], now() - since);
  atomic_fetch_add(&totals[1], 1);
}

static int is_sync_fd(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DSYNC);
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  uint64_t since = now();
  int result = real(fd);
  count(since);
  return result;
}

int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  uint64_t since = now();
  int result = real(fd);
  count(since);
  return result;
}

int msync(void *start, size_t length, int flags) {
  int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
  uint64_t since = now();
  int result = real(start, length, flags);
  count(since);
  return result;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (!is_sync_fd(fd)) return real(fd, bytes, length, offset);
  uint64_t since = now();
  ssize_t result = real(fd, bytes, length, offset);
  count(since);
  return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return pwrite64(fd, bytes, length, offset);
}
