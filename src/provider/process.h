/* SPDX-License-Identifier: MIT */
/* A child process that dies with this one.
 *
 * The kernel kills it when its parent dies (PR_SET_PDEATHSIG). To the kernel the parent is the thread that forked and not the process, so a thread
 * of a program that opens a provider and ends would take the engine along. Hence each child has a keeper: a thread that forks it, reads
 * what it writes, waits for it, and ends with it. It runs nothing of the program's and blocks all signals.
 *
 * The child is held by a pidfd: whatever the program does with SIGCHLD and wait(), no signal of ours can reach another process. */
#ifndef DV_PROVIDER_PROCESS_H
#define DV_PROVIDER_PROCESS_H

#include "drover/error.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/types.h>

enum { DV__LAST_WORDS = 1024 };

typedef struct dv__process {
    const char *const *argv; /* NULL-terminated, argv[0] a path; borrowed until dv__process_start returns */
    const char *const *env;  /* the same */
    bool there;              /* started, and not stopped yet; it may have ended by itself */
    /* Private. */
    pthread_t keeper;
    sem_t started;
    int start_errno;
    pid_t pid;
    int pidfd, out;
    int status;                    /* once the keeper has ended: as of waitpid; -1: somebody else has taken it */
    char last[DV__LAST_WORDS + 1]; /* the end of what it wrote */
    size_t n_last;
} dv__process;

/** Errors: DV_ENOENT, DV_EACCES, DV_ENOMEM, DV_EIO; nothing is there then. */
int dv__process_start(dv__process *p, dv_err *err);
/** Whether it runs. */
bool dv__process_runs(const dv__process *p);
/** Wait until it has ended, for at most so long. @return whether it has */
bool dv__process_wait(const dv__process *p, unsigned ms);
/** End it: SIGTERM, and SIGKILL after grace_ms (0: SIGKILL at once). Nothing happens if none is there. */
void dv__process_stop(dv__process *p, unsigned grace_ms);
/** How it ended and the last line it wrote, as a sentence. After dv__process_stop. */
int dv__process_why(const dv__process *p, int code, const char *what, dv_err *err);

#endif
