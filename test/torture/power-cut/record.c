/*
 * LD_PRELOAD for the simulation of power cuts. Two uses, chosen by the environment:
 *
 * POWER_CUT_FILE and POWER_CUT_LOG: every write, truncation and sync of that file goes to the log, in the order in
 * which the kernel sees it, and so does every line written to POWER_CUT_ACKS. Syncs only take a moment: nothing
 * need be on disk, since the replayer decides what was.
 *
 * POWER_CUT_BOOT: the boot id reads differently each time, as after a restart of the machine. LMDB believes pages that
 * were not synced while the boot id is the same.
 *
 * An event: u32 kind, u32 bytes of data, u64 offset, u32 sync number, u32 zero; then the data. Little endian.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC_BEGIN = 2, SYNC_END = 3, ACK = 4, TRUNCATE = 5, SYNCED_WRITE = 6, SYNCED_WRITE_END = 7 };
enum { NOTHING = 0, DATA = 1, SYNCED_DATA = 2, ACKS = 3 };
enum { FDS_MAX = 65536, SYNC_US = 1000 };

static char kinds[FDS_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static uint32_t sync_number;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_close)(int);

__attribute__((constructor)) static void start(void) {
  const char *log = getenv("POWER_CUT_LOG");
  *(void **)&real_open = dlsym(RTLD_NEXT, "open64");
  *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  *(void **)&real_write = dlsym(RTLD_NEXT, "write");
  *(void **)&real_writev = dlsym(RTLD_NEXT, "writev");
  *(void **)&real_close = dlsym(RTLD_NEXT, "close");
  if (log) log_fd = real_open(log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
}

static int kind_of(int fd) { return log_fd >= 0 && fd >= 0 && fd < FDS_MAX ? kinds[fd] : NOTHING; }

/* The mutex is held, so that the log has the order of the writes. */
static void record(uint32_t kind, uint64_t offset, const void *data, uint32_t bytes, uint32_t sync) {
  struct { uint32_t kind, bytes; uint64_t offset; uint32_t sync, zero; } event = {kind, bytes, offset, sync, 0};
  struct iovec parts[2] = {{&event, sizeof event}, {(void *)data, bytes}};
  if (real_writev(log_fd, parts, bytes ? 2 : 1) < 0) abort();
}

static int is_named(const char *path, const char *name) {
  const char *wanted = getenv(name);
  return wanted && !strcmp(path, wanted);
}

int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = va_arg(list, mode_t);
  va_end(list);
  if (!real_open) start();
  if (getenv("POWER_CUT_BOOT") && !strcmp(path, "/proc/sys/kernel/random/boot_id"))
    path = "/proc/sys/kernel/random/uuid";
  int fd = real_open(path, flags, mode);
  if (fd >= 0 && fd < FDS_MAX) {
    kinds[fd] = NOTHING;
    if (is_named(path, "POWER_CUT_FILE")) kinds[fd] = flags & O_DSYNC ? SYNCED_DATA : DATA;
    if (is_named(path, "POWER_CUT_ACKS")) kinds[fd] = ACKS;
  }
  return fd;
}

int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = va_arg(list, mode_t);
  va_end(list);
  return open64(path, flags, mode);
}

int close(int fd) {
  if (fd >= 0 && fd < FDS_MAX) kinds[fd] = NOTHING;
  return real_close(fd);
}

static ssize_t record_write(int fd, const void *data, size_t bytes, off64_t offset) {
  int is_synced = kind_of(fd) == SYNCED_DATA;
  pthread_mutex_lock(&mutex);
  uint32_t number = is_synced ? ++sync_number : 0;
  record(is_synced ? SYNCED_WRITE : WRITE, offset, data, bytes, number);
  ssize_t result = real_pwrite(fd, data, bytes, offset);
  pthread_mutex_unlock(&mutex);
  if (is_synced) {
    usleep(SYNC_US);
    pthread_mutex_lock(&mutex);
    record(SYNCED_WRITE_END, 0, NULL, 0, number);
    pthread_mutex_unlock(&mutex);
  }
  return result;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
  int kind = kind_of(fd);
  if (kind == DATA || kind == SYNCED_DATA) return record_write(fd, data, bytes, offset);
  return real_pwrite(fd, data, bytes, offset);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
  return pwrite64(fd, data, bytes, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  int kind = kind_of(fd);
  if (kind != DATA && kind != SYNCED_DATA) return real_writev(fd, parts, count);
  off64_t offset = lseek64(fd, 0, SEEK_CUR);
  ssize_t total = 0;
  for (int i = 0; i < count; i++) {
    ssize_t result = record_write(fd, parts[i].iov_base, parts[i].iov_len, offset + total);
    if (result < 0) return -1;
    total += result;
  }
  lseek64(fd, offset + total, SEEK_SET);
  return total;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  int kind = kind_of(fd);
  if (kind == ACKS) {
    pthread_mutex_lock(&mutex);
    record(ACK, 0, data, bytes, 0);
    pthread_mutex_unlock(&mutex);
    return bytes;
  }
  struct iovec part = {(void *)data, bytes};
  if (kind == DATA || kind == SYNCED_DATA) return writev(fd, &part, 1);
  return real_write ? real_write(fd, data, bytes) : -1;
}

int ftruncate64(int fd, off64_t length) {
  int (*real)(int, off64_t);
  *(void **)&real = dlsym(RTLD_NEXT, "ftruncate64");
  if (kind_of(fd) == DATA) {
    pthread_mutex_lock(&mutex);
    record(TRUNCATE, length, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
  }
  return real(fd, length);
}

static int record_sync(int fd, const char *name) {
  int (*real)(int);
  *(void **)&real = dlsym(RTLD_NEXT, name);
  if (kind_of(fd) != DATA && kind_of(fd) != SYNCED_DATA) return real(fd);
  pthread_mutex_lock(&mutex);
  uint32_t number = ++sync_number;
  record(SYNC_BEGIN, 0, NULL, 0, number);
  pthread_mutex_unlock(&mutex);
  usleep(SYNC_US);
  pthread_mutex_lock(&mutex);
  record(SYNC_END, 0, NULL, 0, number);
  pthread_mutex_unlock(&mutex);
  return 0;
}

int fdatasync(int fd) { return record_sync(fd, "fdatasync"); }
int fsync(int fd) { return record_sync(fd, "fsync"); }
