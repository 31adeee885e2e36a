/* SPDX-License-Identifier: MIT */
/* A few threads that work off a bounded queue of requests, so that parsing, templates, tokenization and grammars hold up neither the I/O
 * thread nor the scheduler. */
#ifndef DV_API_WORK_H
#define DV_API_WORK_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct dv__work dv__work;

/** @param n_queue  tasks that may wait. Errors: DV_ENOMEM, DV_EIO (threads). */
int dv__work_open(dv__work **out, unsigned n_threads, size_t n_queue, dv_err *err);
/** What waits is still done; returns when the threads have ended. *w may be NULL. */
void dv__work_close(dv__work **w);
/** Any thread. DV_EBUSY: the queue is full, fn is not called. */
int dv__work_add(dv__work *w, void (*fn)(void *arg), void *arg);
/** Whether nothing waits and nothing runs. Any thread. */
bool dv__work_idle(dv__work *w);

#endif
