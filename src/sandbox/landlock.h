/* SPDX-License-Identifier: MIT */
/* Landlock, of any ABI from 1 on. Constants and structures are our own, so that the program can use what its kernel has and not only what the
 * headers of the build machine knew. Source: Linux, Documentation/userspace-api/landlock.rst and uapi/linux/landlock.h. */
#ifndef DV_SANDBOX_LANDLOCK_H
#define DV_SANDBOX_LANDLOCK_H

#include "sandbox/sandbox.h"

/** The kernel's ABI, from 1; 0 and *why (an errno) if there is no Landlock. */
int dv__landlock_abi(int *why);
/** Confine the calling thread, and the threads and processes it starts, to o. no_new_privs must be set. */
int dv__landlock_enforce(const dv_sandbox_options *o, int abi, dv_err *err);

#endif
