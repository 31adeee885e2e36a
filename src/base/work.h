/* SPDX-License-Identifier: MIT */
/* A few threads that work off a bounded queue of tasks, so that what takes long (parsing, templates, files, a database) holds up neither an
 * event loop nor a scheduler. */
#ifndef DV_BASE_WORK_H
#define DV_BASE_WORK_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct dv_work dv_work;

/** @param n_queue  tasks that may wait. Errors: DV_ENOMEM, DV_EIO (threads). */
int dv_work_open(dv_work **out, unsigned n_threads, size_t n_queue, dv_err *err);
/** What waits is still done; returns when the threads have ended. *w may be NULL. */
void dv_work_close(dv_work **w);
/** Any thread. DV_EBUSY: the queue is full, fn is not called. */
int dv_work_add(dv_work *w, void (*fn)(void *arg), void *arg);
/** Whether nothing waits and nothing runs. Any thread. */
bool dv_work_idle(dv_work *w);

#endif
