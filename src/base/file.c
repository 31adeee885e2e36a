/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int dv_errno_code(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR: return DV_ENOENT;
    case EACCES:
    case EPERM:
    case EROFS: return DV_EACCES;
    case EEXIST: return DV_EEXIST;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return DV_ENOSPC;
    case ENOMEM: return DV_ENOMEM;
    default: return DV_EIO;
    }
}

/* O_NONBLOCK: opening a FIFO must not wait for a writer before fstat can refuse it. */
static int open_regular(const char *path, struct stat *st, dv_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dv_fail(err, dv_errno_code(errno), "%s: %s", path, strerror(errno));
    if (fstat(fd, st) != 0) {
        int e = errno;
        close(fd);
        return dv_fail(err, dv_errno_code(e), "%s: %s", path, strerror(e));
    }
    if (!S_ISREG(st->st_mode)) {
        close(fd);
        return dv_fail(err, DV_EINVAL, "%s: not a regular file", path);
    }
    return fd;
}

int dv_map_open(dv_map *out, const char *path, dv_err *err)
{
    struct stat st;
    *out = (dv_map){0};
    int fd = open_regular(path, &st, err);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            rc = dv_fail(err, dv_errno_code(errno), "%s: cannot map: %s", path, strerror(errno));
        else
            *out = (dv_map){.data = p, .len = (size_t)st.st_size};
    }
    close(fd);
    return rc;
}

void dv_map_close(dv_map *m)
{
    if (m->data != NULL)
        munmap((void *)(uintptr_t)m->data, m->len);
    *m = (dv_map){0};
}

int dv_fd_read(dv_buf *b, int fd, dv_err *err)
{
    for (;;) {
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dv_fail(err, dv_errno_code(errno), "read: %s", strerror(errno));
        if (n == 0)
            return 0;
        int rc = dv_buf_add(b, chunk, (size_t)n);
        if (rc == DV_ELIMIT)
            return dv_fail(err, rc, "input is larger than %zu bytes", b->limit);
        if (rc != 0)
            return dv_fail(err, rc, "input: %s", dv_error_text(rc));
    }
}

int dv_file_read(dv_buf *b, const char *path, dv_err *err)
{
    struct stat st;
    int fd = open_regular(path, &st, err);
    if (fd < 0)
        return fd;
    int rc = dv_fd_read(b, fd, err);
    close(fd);
    return rc;
}
