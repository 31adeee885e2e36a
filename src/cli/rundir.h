/* SPDX-License-Identifier: MIT */
/* A folder for sockets that one process has for itself, below one that several may share. */
#ifndef DV_CLI_RUNDIR_H
#define DV_CLI_RUNDIR_H

#include "base/buf.h"
#include "drover/error.h"

/**
 * Make parent (if its own parent is there) and in it "sPID", both 0700 and this user's; what processes left there that are no more is removed.
 * @param out  the folder's path is appended
 * Errors: DV_EACCES (others may write to parent), DV_EINVAL (no folder), DV_EIO, DV_ENOMEM.
 */
int dv_rundir_make(const char *parent, dv_buf *out, dv_err *err);
/** Remove it with the sockets that are left in it. */
void dv_rundir_remove(const char *path);

#endif
