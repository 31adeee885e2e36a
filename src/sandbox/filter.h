/* SPDX-License-Identifier: MIT */
/* The allow-list of system calls. */
#ifndef DV_SANDBOX_FILTER_H
#define DV_SANDBOX_FILTER_H

#include "sandbox/sandbox.h"

/** True if this kernel filters system calls; else *why is an errno. */
bool dv__seccomp_there(int *why);
/**
 * Filter all threads of the process, beside the filters that there are.
 * @param loading  what opening a model needs may pass, and another filter
 * @param n_calls  how many calls may pass, some of them with certain arguments only
 */
int dv__seccomp_enforce(const dv_sandbox_options *o, bool loading, unsigned *n_calls, dv_err *err);

#endif
