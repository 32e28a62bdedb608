/*
 * LD_PRELOAD: while the file named by FAIL_DISK_FLAG exists, writes at a position and syncs fail as on a full or
 * broken disk. Its first byte chooses the error: 'S' no space (ENOSPC), anything else an input/output error (EIO).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_failing(void) {
  const char *flag = getenv("FAIL_DISK_FLAG");
  int fd = flag ? open(flag, O_RDONLY | O_CLOEXEC) : -1;
  char kind = 0;
  if (fd < 0) return 0;
  if (read(fd, &kind, 1) < 0) kind = 0;
  close(fd);
  errno = kind == 'S' ? ENOSPC : EIO;
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

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  return is_failing() ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  return pwrite64(fd, bytes, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  ssize_t (*real)(int, const struct iovec *, int, off64_t) =
      (ssize_t(*)(int, const struct iovec *, int, off64_t))dlsym(RTLD_NEXT, "pwritev64");
  return is_failing() ? -1 : real(fd, parts, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  return pwritev64(fd, parts, count, offset);
}
