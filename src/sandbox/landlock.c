/* SPDX-License-Identifier: MIT */
#include "sandbox/landlock.h"

#include "base/attr.h"
#include "base/err.h"
#include "sandbox/extended.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers on every architecture. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };
enum { CREATE_VERSION = 1, RULE_PATH = 1, RULE_PORT = 2 };

#define BIT(n) (UINT64_C(1) << (n))
enum {
    EXECUTE,
    WRITE_FILE,
    READ_FILE,
    READ_DIR,
    REMOVE_DIR,
    REMOVE_FILE,
    MAKE_CHAR,
    MAKE_DIR,
    MAKE_REG,
    MAKE_SOCK,
    MAKE_FIFO,
    MAKE_BLOCK,
    MAKE_SYM,  /* up to here ABI 1 */
    REFER,     /* 2 */
    TRUNCATE,  /* 3 */
    IOCTL_DEV, /* 5 */
};
enum { BIND_TCP, CONNECT_TCP };        /* 4 */
enum { SCOPE_ABSTRACT, SCOPE_SIGNAL }; /* 6 */

typedef struct ruleset_attr {
    uint64_t fs, net, scoped;
} ruleset_attr;
typedef struct __attribute__((packed)) path_attr {
    uint64_t allowed;
    int32_t parent_fd;
} path_attr;
typedef struct port_attr {
    uint64_t allowed, port;
} port_attr;
_Static_assert(sizeof(ruleset_attr) == 24 && sizeof(path_attr) == 12 && sizeof(port_attr) == 16, "the kernel's layout");

static const uint64_t folder_rights =
    BIT(READ_FILE) | BIT(READ_DIR) | BIT(WRITE_FILE) | BIT(MAKE_REG) | BIT(REMOVE_FILE);

/* What the C library looks at for numbers of the machine. */
static const char *const system_files[] = {"/proc/meminfo", "/sys/devices/system/cpu/online",
                                           "/sys/devices/system/cpu/possible"};
/* What getaddrinfo reads of a name such as localhost. */
static const char *const resolver_files[] = {"/etc/hosts",     "/etc/nsswitch.conf", "/etc/resolv.conf",
                                             "/etc/host.conf", "/etc/gai.conf",      "/etc/services"};

int dv__landlock_abi(int *why)
{
    long abi = syscall(CREATE_RULESET, NULL, 0, CREATE_VERSION);
    *why = abi < 0 ? errno : 0;
    return abi > 0 ? (int)abi : 0;
}

/* Everything that this ABI can refuse is refused unless a rule allows it. */
static ruleset_attr handled(int abi)
{
    ruleset_attr a = {.fs = BIT(MAKE_SYM + 1) - 1};
    a.fs |= abi >= 2 ? BIT(REFER) : 0;
    a.fs |= abi >= 3 ? BIT(TRUNCATE) : 0;
    a.fs |= abi >= 5 ? BIT(IOCTL_DEV) : 0;
    a.net = abi >= 4 ? BIT(BIND_TCP) | BIT(CONNECT_TCP) : 0;
    a.scoped = abi >= 6 ? BIT(SCOPE_ABSTRACT) | BIT(SCOPE_SIGNAL) : 0;
    return a;
}

static size_t attr_size(int abi)
{
    return abi >= 6 ? sizeof(ruleset_attr) : abi >= 4 ? offsetof(ruleset_attr, scoped) : offsetof(ruleset_attr, net);
}

static int refused(dv_err *err, const char *what)
{
    int e = errno;
    return dv_fail(err, e == ENOMEM ? DV_ENOMEM : DV_EIO, "sandbox: Landlock: %s: %s", what, strerror(e));
}

/* Rights on a file or folder of that type; what is missing or something else gets none: whoever wants it will say so. */
static int allow_path(int set, const char *path, mode_t type, uint64_t rights, dv_err *err)
{
    struct stat st;
    path_attr rule = {.allowed = rights, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0)
        return 0;
    bool fits = fstat(rule.parent_fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
    int rc = fits && syscall(ADD_RULE, set, RULE_PATH, &rule, 0) != 0 ? refused(err, path) : 0;
    close(rule.parent_fd);
    return rc;
}

static int allow_files(int set, const char *const *path, size_t n, dv_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = allow_path(set, path[i], S_IFREG, BIT(READ_FILE), err);
    return rc;
}

/* The folder that a path names something in. */
static int allow_socket(int set, const char *path, dv_err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == path ? 1 : slash != NULL ? (size_t)(slash - path) : 0;
    if (n >= sizeof folder)
        return dv_fail(err, DV_EINVAL, "sandbox: the path of the socket is too long");
    memcpy(folder, path, n);
    folder[n] = 0;
    return allow_path(set, n > 0 ? folder : ".", S_IFDIR, BIT(MAKE_SOCK) | BIT(REMOVE_FILE), err);
}

static int add_rules(int set, const dv_sandbox_options *o, int abi, dv_err *err)
{
    int rc = allow_files(set, o->read, o->n_read, err);
    if (rc == 0)
        rc = allow_files(set, system_files, DV_ARRAY_LEN(system_files), err);
    if (rc == 0)
        rc = allow_path(set, "/dev/urandom", S_IFCHR, BIT(READ_FILE), err);
    if (rc == 0 && o->resolve)
        rc = allow_files(set, resolver_files, DV_ARRAY_LEN(resolver_files), err);
    for (size_t i = 0; i < o->n_folders && rc == 0; i++)
        rc = allow_path(set, o->folders[i], S_IFDIR, folder_rights, err);
    if (rc == 0 && o->socket != NULL)
        rc = allow_socket(set, o->socket, err);
    const port_attr port = {.allowed = BIT(BIND_TCP), .port = o->port};
    if (rc == 0 && abi >= 4 && o->tcp && syscall(ADD_RULE, set, RULE_PORT, &port, 0) != 0)
        rc = refused(err, "port");
#if DV_SANDBOX_EXTENDED
    /* A sanitizer reads /proc, and what it needs to name a place in the program. */
    if (rc == 0)
        rc = allow_path(set, "/", S_IFDIR, BIT(READ_FILE) | BIT(READ_DIR), err);
#endif
    return rc;
}

int dv__landlock_enforce(const dv_sandbox_options *o, int abi, dv_err *err)
{
    const ruleset_attr attr = handled(abi);
    int set = (int)syscall(CREATE_RULESET, &attr, attr_size(abi), 0);
    if (set < 0)
        return refused(err, "no ruleset");
    int rc = add_rules(set, o, abi, err);
    if (rc == 0 && syscall(RESTRICT_SELF, set, 0) != 0)
        rc = refused(err, "not enforced");
    close(set);
    return rc;
}
