/* Preloaded into a program that wants root and a network device before it tries anything (iodine): it is told that it
   has both, so that what it then sends is the attempt, and not its own caution. It gains nothing by it: the kernel is
   not fooled. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>

uid_t getuid(void) { return 0; }
uid_t geteuid(void) { return 0; }
int system(const char *command) { return 0; } /* ifconfig */

int open(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    va_list rest;
    va_start(rest, flags);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    return real(strcmp(path, "/dev/net/tun") ? path : "/dev/null", flags, mode);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int ioctl(int fd, unsigned long request, ...) { return 0; } /* TUNSETIFF */
