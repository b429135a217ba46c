/* Makes a chosen write below a folder fail, for tests: preload it, then arm it by ctypes.

   Every write, sync, rename and new folder below the folder counts as one event. From the event
   with the chosen number on (a full disk), or at that one alone, the call fails as the mode says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NONE, FULL, BROKEN, SHORT, LOST };

static char place[PATH_MAX];
static long chosen, counted;
static int mode;

void faults_arm(const char *folder, long number, int how) {
    strncpy(place, folder, sizeof place - 1);
    chosen = number;
    mode = how;
    counted = 0;
}

long faults_counted(void) { return counted; }

static int below(const char *path) {
    size_t size = strlen(place);
    return size && strncmp(path, place, size) == 0 && (path[size] == '/' || !path[size]);
}

static int below_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!*place) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return below(path);
}

static int is_due(void) {
    counted++;
    if (!chosen) return 0;
    return mode == FULL || mode == LOST ? counted >= chosen : counted == chosen;
}

static int fails(void) {
    if (mode == SHORT || mode == LOST) return 0;
    errno = mode == FULL ? ENOSPC : EIO;
    return 1;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write);
    if (size && below_fd(fd) && is_due()) {
        if (fails()) return -1;
        if (mode == SHORT) size = size > 1 ? size / 2 : size;
    }
    return real(fd, bytes, size);
}

static ssize_t put(const char *name, int fd, const void *bytes, size_t size, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
    if (size && below_fd(fd) && is_due()) {
        if (fails()) return -1;
        if (mode == SHORT) size = size > 1 ? size / 2 : size;
    }
    return real(fd, bytes, size, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    return put("pwrite", fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) {
    return put("pwrite64", fd, bytes, size, at);
}

int fsync(int fd) {
    REAL(fsync);
    if (below_fd(fd) && is_due() && fails()) return -1;
    return mode == LOST ? 0 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    if (below_fd(fd) && is_due() && fails()) return -1;
    return mode == LOST ? 0 : real(fd);
}

int mkdir(const char *path, mode_t rights) {
    REAL(mkdir);
    char whole[PATH_MAX];
    if (path[0] != '/' && getcwd(whole, sizeof whole)) {
        strncat(whole, "/", sizeof whole - strlen(whole) - 1);
        strncat(whole, path, sizeof whole - strlen(whole) - 1);
    } else {
        strncpy(whole, path, sizeof whole - 1);
    }
    if (below(whole) && is_due() && fails()) return -1;
    return real(path, rights);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    char whole[PATH_MAX] = "";
    if (from[0] != '/' && getcwd(whole, sizeof whole)) {
        strncat(whole, "/", sizeof whole - strlen(whole) - 1);
        strncat(whole, from, sizeof whole - strlen(whole) - 1);
    } else {
        strncpy(whole, from, sizeof whole - 1);
    }
    if (below(whole) && is_due()) {
        if (fails()) return -1;
        if (mode == LOST) {
            /* The name is there and its content is not, as after a power cut. */
            int done = real(from, to);
            struct stat found;
            if (done == 0 && stat(to, &found) == 0 && S_ISREG(found.st_mode)) {
                if (truncate(to, found.st_size / 2) != 0) _exit(97);
            }
            kill(getpid(), SIGKILL);
        }
    }
    return real(from, to);
}
