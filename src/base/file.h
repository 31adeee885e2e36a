/* SPDX-License-Identifier: MIT */
/* Reading files that somebody else wrote. Only regular files are accepted: no FIFO, device or directory can stall or flood us. */
#ifndef DV_BASE_FILE_H
#define DV_BASE_FILE_H

#include "base/buf.h"
#include "drover/error.h"

typedef struct dv_map {
    const uint8_t *data; /**< NULL when len is 0 */
    size_t len;
} dv_map;

/** The DV_E* of an errno: DV_ENOENT, DV_EACCES, DV_EEXIST, DV_ENOSPC (quotas and size limits too), DV_ENOMEM, else DV_EIO. */
int dv_errno_code(int e);

/** Map a regular file read-only and shared. Errors: DV_ENOENT, DV_EACCES, DV_EINVAL (not a regular file), DV_EIO. */
int dv_map_open(dv_map *out, const char *path, dv_err *err);
void dv_map_close(dv_map *m);
/** Append a whole regular file to b; b->limit bounds it. */
int dv_file_read(dv_buf *b, const char *path, dv_err *err);
/** Append everything up to the end of fd (a pipe, standard input); b->limit bounds it. */
int dv_fd_read(dv_buf *b, int fd, dv_err *err);

#endif
