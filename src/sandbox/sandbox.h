/* SPDX-License-Identifier: MIT */
/* A process that gives up what it does not need, in three steps:
 *
 * confine  before anything that strangers wrote is parsed and before the first thread starts: no new privileges, no core dump, a bounded
 *          number of descriptors, Landlock for files and TCP. Threads inherit it, which is why it comes first: Landlock has no way to reach
 *          threads that run already.
 * latch    once all listeners are open and before the first connection is accepted: an allow-list of system calls for every thread, old and
 *          new, with what loading a model needs. From here on there is no new socket and no new process.
 * seal     once the model is mapped and all threads run: the same without what loading needed, which is opening files and making memory
 *          executable.
 *
 * A mechanism that this kernel does not have is left out and reported; one that it has and that fails is an error. docs/sandbox.md. */
#ifndef DV_SANDBOX_SANDBOX_H
#define DV_SANDBOX_SANDBOX_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DV_SANDBOX_FILES = 1024 + 128, /**< default of max_files: the connections of an HTTP server, and some */
    DV_SANDBOX_TEXT = 512          /**< a report always fits */
};

/** Zero-initialise: then nothing is allowed. Strings and lists are borrowed for the call. What does not exist is allowed to nobody. */
typedef struct dv_sandbox_options {
    const char *const *read; /**< [n_read] regular files that may be read */
    size_t n_read;
    const char *const *folders; /**< [n_folders] folders in which files are listed, read, made, renamed and removed */
    size_t n_folders;
    const char *socket; /**< path of a unix socket: made, and removed at the end. NULL: none */
    bool tcp;           /**< TCP is listened on, at this port only: */
    uint16_t port;      /**< 0: any that is free */
    bool resolve;       /**< the address is a name: files of the resolver may be read */
    unsigned max_files; /**< open at once; 0: DV_SANDBOX_FILES; never more than the limit that there is */
} dv_sandbox_options;

typedef struct dv_sandbox_report {
    int landlock;       /**< ABI that is enforced, from 1; 0: none */
    int landlock_error; /**< errno that says why there is none */
    bool net;           /**< Landlock confines TCP too (ABI 4) */
    bool sealed;        /**< dv_sandbox_seal was called */
    unsigned n_calls;   /**< system calls that seccomp allows; 0: no seccomp */
    int seccomp_error;  /**< errno that says why there is none */
    bool folders;       /**< files can still be opened, below folders */
    bool extended;      /**< a build for tests: more is allowed, for the sanitizers' own work */
} dv_sandbox_report;

/**
 * First step. Call it while the process has one thread. It cannot be undone.
 * @param out  overwritten
 * Errors: DV_EINVAL (other threads run: they would stay outside), DV_EIO (the system refused; err says what), DV_ENOMEM.
 */
int dv_sandbox_confine(const dv_sandbox_options *o, dv_sandbox_report *out, dv_err *err);

/**
 * Second step, for all threads at once; any thread. The same options. May be left out.
 * Errors: DV_EIO (a thread could not be reached, say), DV_ENOMEM.
 */
int dv_sandbox_latch(const dv_sandbox_options *o, dv_err *err);

/**
 * Third step, as the second one.
 * @param out  as the first step left it; completed
 */
int dv_sandbox_seal(const dv_sandbox_options *o, dv_sandbox_report *out, dv_err *err);

/** True if no mechanism is missing. */
bool dv_sandbox_whole(const dv_sandbox_report *r);
/** One line for people: what holds, what is missing, and what that leaves open. */
void dv_sandbox_text(const dv_sandbox_report *r, char out[DV_SANDBOX_TEXT]);

#endif
