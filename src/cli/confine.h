/* SPDX-License-Identifier: MIT */
/* The sandbox of a command that serves: from what its options name to what sandbox/sandbox.h is told. */
#ifndef DV_CLI_CONFINE_H
#define DV_CLI_CONFINE_H

#include "base/buf.h"
#include "sandbox/sandbox.h"

typedef struct dv_confine {
    bool off;     /**< --no-sandbox */
    bool require; /**< --require-sandbox */
    dv_sandbox_options o;
    dv_sandbox_report report;
    dv_buf names;       /**< paths of the model's files, each terminated */
    const char **files; /**< [o.n_read] into names */
} dv_confine;

/**
 * First step, before the model is opened and before any thread. Fill off, require and o (but for read) before; strings are borrowed until
 * dv_confine_end.
 * @param host  what is listened on; NULL with a unix socket
 * Errors: those of dv_sandbox_confine.
 */
int dv_confine_begin(dv_confine *c, const char *model, const char *host, dv_err *err);
/** Second step, once everything listens and before anybody is listened to. Errors: those of dv_sandbox_latch. */
int dv_confine_latch(const dv_confine *c, dv_err *err);
/**
 * Third step, once the model is loaded: say in one line what holds now.
 * Errors: those of dv_sandbox_seal; DV_EUNSUPPORTED if something is missing that --require-sandbox asks for.
 */
int dv_confine_seal(dv_confine *c, void (*log)(void *arg, int level, const char *text), dv_err *err);
void dv_confine_end(dv_confine *c);

#endif
