/* SPDX-License-Identifier: MIT */
#include "store/files.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_errno(dv_err *err, const char *path, int e)
{
    return dv_fail(err, dv_errno_code(e), "%s: %s", path, strerror(e));
}

/* ---- the folder ---- */

/* mkdir -p for the owner only. */
static int make_folders(const char *path, dv_err *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return fail_errno(err, path, ENAMETOOLONG);
    for (size_t i = 1; i <= n; i++)
        if (path[i] == '/' || path[i] == 0) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, 0700) != 0 && errno != EEXIST)
                return fail_errno(err, part, errno);
        }
    return 0;
}

static int open_folder(dv__folder *f, const char *path, dv_err *err)
{
    struct stat st;
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return fail_errno(err, path, errno);
    f->fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &st) != 0)
        return fail_errno(err, path, errno);
    /* Who may write to the folder may put another database there. */
    if ((st.st_mode & 022) != 0)
        return dv_fail(err, DV_EACCES, "%s: others may write to this folder: chmod 700 it", path);
    f->owner = st.st_uid;
    f->group = st.st_gid;
    f->path = dv_strndup(DV_MEM_STORE, real, strlen(real));
    return f->path != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s: %s", path, dv_error_text(DV_ENOMEM));
}

int dv__folder_open(dv__folder *f, const char *path, bool create, dv_err *err)
{
    *f = (dv__folder){.fd = -1, .lock = -1};
    int rc = create ? make_folders(path, err) : 0;
    rc = rc != 0 ? rc : open_folder(f, path, err);
    if (rc != 0)
        return rc;
    f->lock = dv__file_open(f, "lock", O_RDWR | O_CREAT, err);
    return f->lock < 0 ? f->lock : 0;
}

void dv__folder_close(dv__folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    if (f->fd >= 0)
        close(f->fd);
    dv_free(f->path);
    *f = (dv__folder){.fd = -1, .lock = -1};
}

char *dv__folder_path(const dv__folder *f, const char *name)
{
    size_t n = strlen(f->path) + strlen(name) + 2;
    char *p = dv_alloc(DV_MEM_STORE, n);
    if (p != NULL)
        snprintf(p, n, "%s/%s", f->path, name);
    return p;
}

/* ---- locks ---- */

/* Of the open file, not of the process: closing another descriptor of the file does not lose them, and two stores of a process exclude each
 * other. Each lock is a byte. */
static int set_lock(const dv__folder *f, dv__lock which, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)which, .l_len = 1};
    while (fcntl(f->lock, F_OFD_SETLK, &l) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* "process 123", as the server signed. */
static void holder(const dv__folder *f, char out[40])
{
    char text[16] = "";
    ssize_t n = pread(f->lock, text, sizeof text - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    snprintf(out, 40, pid > 0 ? "process %ld" : "another process", pid);
}

int dv__folder_lock(dv__folder *f, dv__lock which, bool exclusive, dv_err *err)
{
    char who[40];
    int e = set_lock(f, which, exclusive ? F_WRLCK : F_RDLCK);
    if (e == 0)
        return 0;
    if (e != EAGAIN && e != EACCES)
        return fail_errno(err, f->path, e);
    holder(f, who);
    switch (which) {
    case DV__LOCK_SERVER: return dv_fail(err, DV_EBUSY, "%s: a server runs on this folder (%s)", f->path, who);
    case DV__LOCK_USE:
        return exclusive ? dv_fail(err, DV_EBUSY, "%s: the folder is in use (%s)", f->path, who)
                         : dv_fail(err, DV_EBUSY, "%s: a backup is being restored", f->path);
    case DV__LOCK_LINES: break;
    }
    return dv_fail(err, DV_EBUSY, "%s: another process writes the audit log's lines", f->path);
}

void dv__folder_unlock(dv__folder *f, dv__lock which) { set_lock(f, which, F_UNLCK); }

void dv__folder_sign(dv__folder *f)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%-10ld\n", (long)getpid());
    if (pwrite(f->lock, text, (size_t)n, 0) < 0)
        return; /* it is for a sentence only */
}

/* ---- files ---- */

static int check_file(const dv__folder *f, const char *name, int fd, dv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno(err, name, errno);
    if (!S_ISREG(st.st_mode))
        return dv_fail(err, DV_EACCES, "%s/%s: not a regular file", f->path, name);
    if (st.st_uid != f->owner && st.st_uid != geteuid() && st.st_uid != 0)
        return dv_fail(err, DV_EACCES, "%s/%s: belongs to somebody else", f->path, name);
    if ((st.st_mode & 077) != 0)
        return dv_fail(err, DV_EACCES, "%s/%s: others may read or write it: chmod 600 it", f->path, name);
    return 0;
}

/* A command that root runs must leave files that the server's user can use. */
static void give_to_owner(const dv__folder *f, int fd)
{
    struct stat st;
    if (geteuid() == 0 && fstat(fd, &st) == 0 && st.st_uid != f->owner && fchown(fd, f->owner, f->group) != 0)
        return; /* then opening it fails for the server, with a sentence */
}

int dv__file_open(const dv__folder *f, const char *name, int flags, dv_err *err)
{
    int fd = openat(f->fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0) {
        int e = errno;
        if (e == ENOENT)
            return DV_ENOENT;
        return dv_fail(err, e == ELOOP ? DV_EACCES : dv_errno_code(e), "%s/%s: %s", f->path, name,
                       e == ELOOP ? "is a link" : strerror(e));
    }
    int rc = check_file(f, name, fd, err);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    if ((flags & O_CREAT) != 0)
        give_to_owner(f, fd);
    return fd;
}

int dv__write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k == 0 ? EIO : errno;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

int dv__file_replace(const dv__folder *f, const char *name, const void *data, size_t n, dv_err *err)
{
    char temp[NAME_MAX + 1];
    snprintf(temp, sizeof temp, "%s.%08x.part", name, randombytes_random());
    int fd = dv__file_open(f, temp, O_WRONLY | O_CREAT | O_EXCL, err);
    if (fd < 0)
        return fd;
    int e = dv__write_all(fd, data, n);
    if (e == 0 && fsync(fd) != 0)
        e = errno;
    if (close(fd) != 0 && e == 0)
        e = errno;
    if (e == 0 && renameat(f->fd, temp, f->fd, name) != 0)
        e = errno;
    if (e != 0)
        unlinkat(f->fd, temp, 0);
    else if (fsync(f->fd) != 0)
        e = errno;
    return e != 0 ? dv_fail(err, dv_errno_code(e), "%s/%s: %s", f->path, name, strerror(e)) : 0;
}
