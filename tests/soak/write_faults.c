/* Preloaded into a process: the n-th call that changes a file under one folder fails, as on a full disk.

   What is counted: opening for writing, write, pwrite, writev, fsync, fdatasync, ftruncate, fallocate, rename,
   mkdir. Deleting is not: it frees space.
   With n = 0 nothing fails and calls are counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long fail_at, seen;
static int error_number;

void write_faults_arm(const char *path, long n, int number) {
  snprintf(folder, sizeof folder, "%s", path);
  fail_at = n, seen = 0, error_number = number;
}

void write_faults_disarm(void) { folder[0] = 0; }
long write_faults_seen(void) { return seen; }

static int fails(const char *path) {
  if (!folder[0] || strncmp(path, folder, strlen(folder))) return 0;
  if (++seen != fail_at) return 0;
  errno = error_number;
  return 1;
}

static int fails_at(int directory, const char *path) {
  if (!folder[0]) return 0;
  if (path[0] == '/' ) return fails(path);
  char link[64], base[PATH_MAX];
  ssize_t length = 0;
  if (directory == AT_FDCWD) {
    if (!getcwd(base, sizeof base)) return 0;
    length = strlen(base);
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    if ((length = readlink(link, base, sizeof base - 1)) < 0) return 0;
  }
  snprintf(base + length, sizeof base - length, "/%s", path);
  return fails(base);
}

static int fails_fd(int descriptor) {
  if (!folder[0]) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails(path);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); \
  mode = va_arg(list, mode_t); va_end(list); }
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))

int open(const char *path, int flags, ...) {
  REAL(open); MODE(flags)
  return WRITES(flags) && fails_at(AT_FDCWD, path) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  REAL(open64); MODE(flags)
  return WRITES(flags) && fails_at(AT_FDCWD, path) ? -1 : real(path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
  REAL(openat); MODE(flags)
  return WRITES(flags) && fails_at(at, path) ? -1 : real(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
  REAL(openat64); MODE(flags)
  return WRITES(flags) && fails_at(at, path) ? -1 : real(at, path, flags, mode);
}
FILE *fopen(const char *path, const char *how) {
  REAL(fopen);
  return strpbrk(how, "wa+") && fails_at(AT_FDCWD, path) ? NULL : real(path, how);
}
FILE *fopen64(const char *path, const char *how) {
  REAL(fopen64);
  return strpbrk(how, "wa+") && fails_at(AT_FDCWD, path) ? NULL : real(path, how);
}
ssize_t write(int fd, const void *data, size_t size) { REAL(write); return fails_fd(fd) ? -1 : real(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  REAL(pwrite); return fails_fd(fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(pwrite64); return fails_fd(fd) ? -1 : real(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev); return fails_fd(fd) ? -1 : real(fd, parts, count);
}
int fsync(int fd) { REAL(fsync); return fails_fd(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return fails_fd(fd) ? -1 : real(fd); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); return fails_fd(fd) ? -1 : real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); return fails_fd(fd) ? -1 : real(fd, size); }
int fallocate(int fd, int mode, off_t at, off_t size) {
  REAL(fallocate); return fails_fd(fd) ? -1 : real(fd, mode, at, size);
}
int rename(const char *from, const char *to) {
  REAL(rename); return fails_at(AT_FDCWD, to) ? -1 : real(from, to);
}
int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  if (!access(path, F_OK)) return real(path, mode); /* changes nothing */
  return fails_at(AT_FDCWD, path) ? -1 : real(path, mode);
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
  REAL(copy_file_range); return fails_fd(out) ? -1 : real(in, from, out, to, size, flags);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size);
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
  REAL(sendfile64); return fails_fd(out) ? -1 : real(out, in, at, size);
}
