/* SPDX-License-Identifier: MIT */
/* Files of the data folder: for the owner only, no links, replaced as a whole. */
#ifndef DV_STORE_FILES_H
#define DV_STORE_FILES_H

#include "base/buf.h"
#include "drover/error.h"

#include <stdbool.h>
#include <sys/types.h>

/** The folder and what locks it holds. */
typedef struct dv__folder {
    char *path; /**< real path, owned */
    int fd;
    int lock;    /**< of the file "lock" */
    uid_t owner; /**< of the folder; files made by root become his */
    gid_t group;
} dv__folder;

/** Open (create: and make) the folder; nothing is locked yet. Errors: DV_ENOENT, DV_EACCES (others may write to it), DV_EINVAL (no folder, a path with NUL),
 *  those of files. */
int dv__folder_open(dv__folder *f, const char *path, bool create, dv_err *err);
/** Also after a failed open. Gives up the locks. */
void dv__folder_close(dv__folder *f);
/** path/name, owned by the caller; NULL without memory. */
char *dv__folder_path(const dv__folder *f, const char *name);

/** Locks on the folder. They go when the process ends, however it does. */
typedef enum dv__lock {
    DV__LOCK_USE,    /**< the folder is used: many at once; exclusive for who replaces the database */
    DV__LOCK_SERVER, /**< one server */
    DV__LOCK_LINES   /**< who writes audit.jsonl */
} dv__lock;

/** Without waiting. Errors: DV_EBUSY with a sentence; those of files. */
int dv__folder_lock(dv__folder *f, dv__lock which, bool exclusive, dv_err *err);
void dv__folder_unlock(dv__folder *f, dv__lock which);
/** Write the process id to the lock file, for the sentence. */
void dv__folder_sign(dv__folder *f);

/** A regular file of the folder's owner, or ours, or root's, that others can neither read nor write; flags as for open(2), with O_CREAT it is
 *  made 0600. Returns the descriptor or a DV_E*: DV_ENOENT (not recorded in err), DV_EACCES, those of files. */
int dv__file_open(const dv__folder *f, const char *name, int flags, dv_err *err);
/** Put data[0..n) in the place of the file name: on the disk when this returns 0, and whole at any time. */
int dv__file_replace(const dv__folder *f, const char *name, const void *data, size_t n, dv_err *err);
/** All bytes, whatever the signals; 0 or the errno. */
int dv__write_all(int fd, const void *data, size_t n);

#endif
