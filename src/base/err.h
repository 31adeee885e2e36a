/* SPDX-License-Identifier: MIT */
/* Filling a dv_err. Every layer reports through these; only the CLI and the servers print. */
#ifndef DV_BASE_ERR_H
#define DV_BASE_ERR_H

#include "base/attr.h"
#include "drover/error.h"

/**
 * Record a failure in e unless e already holds one (the first failure wins), and return code.
 * Control characters and invalid UTF-8 in the formatted text come out escaped (\xNN), so input can be quoted safely.
 * @param e  may be NULL
 */
int dv_fail(dv_err *e, int code, const char *fmt, ...) DV_PRINTF(3, 4);

/** Put "context: " in front of a recorded failure (for a file name, say). Returns e->code. */
int dv_err_prefix(dv_err *e, const char *fmt, ...) DV_PRINTF(2, 3);

#endif
