/* SPDX-License-Identifier: MIT */
/* A password from a person or a pipe; never from the command line, which everybody on the machine can read. */
#ifndef DV_CLI_PASSWORD_H
#define DV_CLI_PASSWORD_H

#include "drover/error.h"

#include <stddef.h>

enum { DV_CLI_PASSWORD_CAP = 1100 };

/**
 * Ask for it twice on a terminal, without showing it; else read the first line of standard input.
 * @param what  for the question: "Password for ada"
 * @param n     bytes without the NUL; the caller wipes out
 * Errors: DV_EINVAL (too long, none, the two differ), DV_ECANCELED (interrupted), DV_EIO.
 */
int dv_cli_password(const char *what, char out[DV_CLI_PASSWORD_CAP], size_t *n, dv_err *err);

#endif
