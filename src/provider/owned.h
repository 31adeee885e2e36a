/* SPDX-License-Identifier: MIT */
/* An engine of our own: a `drover engine` process for a model file, on a unix socket in a folder that only this user can enter. */
#ifndef DV_PROVIDER_OWNED_H
#define DV_PROVIDER_OWNED_H

#include "base/arena.h"
#include "drover/provider.h"
#include "provider/process.h"
#include "provider/transfer.h"

#include <limits.h>

enum { DV__ENGINE_ARGS = 64, DV__SOCKET_MAX = 108 };

typedef struct dv__owned {
    dv__process process;
    dv_arena arena; /* of what does not change */
    const char *alias;
    const char *args[DV__ENGINE_ARGS]; /* the user's */
    size_t n_args;
    char program[PATH_MAX];
    char model[PATH_MAX];     /* the file to run */
    char profile[64];         /* what it runs with; "": nothing */
    char dir[DV__SOCKET_MAX]; /* "": not made yet */
    char socket[DV__SOCKET_MAX];
    unsigned start_ms;
    bool ready;   /* it has loaded its model */
    bool suspect; /* it was silent for too long: not to be asked again */
} dv__owned;

/** Errors: DV_EINVAL, DV_ENOENT, DV_EACCES, DV_EIO, DV_ENOMEM; dv__owned_close in any case. */
int dv__owned_open(dv__owned *o, const char *model, const dv_provider_options *options, dv_err *err);
void dv__owned_close(dv__owned *o);
/** A file that can be read, as its absolute path. Errors: DV_ENOENT, DV_EACCES, DV_EINVAL. */
int dv__owned_file(const char *model, char out[PATH_MAX], dv_err *err);
/**
 * It runs, with this profile (NULL: none), and is ready, when this returns 0. One that runs with another profile or is suspect is
 * stopped first.
 * Errors: DV_EIO if it ends or takes too long; DV_ECANCELED; DV_ENOENT, DV_EACCES, DV_ENOMEM.
 */
int dv__owned_ensure(dv__owned *o, dv__wire *w, const char *profile, dv_err *err);
/** Whether it ends in the next moment. */
bool dv__owned_ends(const dv__owned *o);
/** Something went wrong on the connection to it: whatever is left of it is stopped. */
void dv__owned_lost(dv__owned *o);
/** Stop it as one does. */
void dv__owned_stop(dv__owned *o);

/** Where the program is; out: an absolute path. @param program  NULL: look for it. Errors: DV_ENOENT. */
int dv__owned_find(const char *program, char *out, size_t cap, dv_err *err);

#endif
