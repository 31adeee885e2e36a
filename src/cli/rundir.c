/* SPDX-License-Identifier: MIT */
#include "cli/rundir.h"

#include "base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of ours: made if its parent is there, nobody else's, closed to others. */
static int own_folder(const char *path, dv_err *err)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return dv_fail(err, errno == EACCES ? DV_EACCES : DV_EIO, "run_dir: %s: %s", path, strerror(errno));
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return dv_fail(err, DV_EINVAL, "run_dir: %s is no folder", path);
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return dv_fail(err, DV_EACCES, "run_dir: others may write to %s", path);
    return 0;
}

/* Sockets only: nothing else is ever put there, and nothing else is removed. */
static void empty(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

void dv_rundir_remove(const char *path)
{
    empty(path);
    (void)rmdir(path);
}

/* The process of a folder "s123"; 0: it is none. */
static pid_t owner_of(const char *name)
{
    char *end;
    if (name[0] != 's' || name[1] < '1' || name[1] > '9')
        return 0;
    long pid = strtol(name + 1, &end, 10);
    return *end == 0 && pid > 0 && pid < 1 << 30 ? (pid_t)pid : 0;
}

/* Our own number on a folder is one that somebody before us had. */
static bool lives(pid_t pid) { return pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM); }

static void sweep(const char *parent)
{
    DIR *d = opendir(parent);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        pid_t pid = owner_of(e->d_name);
        if (pid == 0 || lives(pid))
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", parent, e->d_name) < sizeof path)
            dv_rundir_remove(path);
    }
    closedir(d);
}

int dv_rundir_make(const char *parent, dv_buf *out, dv_err *err)
{
    int rc = own_folder(parent, err);
    if (rc != 0)
        return rc;
    sweep(parent);
    rc = dv_buf_printf(out, "%s/s%ld", parent, (long)getpid());
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : own_folder(out->data, err);
}
