/* SPDX-License-Identifier: MIT */
/* A fixed team of threads for data-parallel loops. One owner thread calls dv_pool_run and works along; nothing here
 * allocates after dv_pool_open. Results never depend on n_threads as long as the parts of a job are independent. */
#ifndef DV_BASE_POOL_H
#define DV_BASE_POOL_H

#include "drover/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dv_pool dv_pool;

/** Runs part `part` of `n_parts`; `thread` is 0..n_threads-1, to pick per-thread scratch. */
typedef void (*dv_pool_fn)(void *arg, size_t part, size_t n_parts, unsigned thread);

/** @param n_threads  1..256, the calling thread included. */
int dv_pool_open(dv_pool **out, unsigned n_threads, dv_err *err);
void dv_pool_close(dv_pool **pool);
unsigned dv_pool_threads(const dv_pool *pool);
/** Run fn for every part in [0, n_parts), parts handed out in order to whichever thread is free; returns when all are done. */
void dv_pool_run(dv_pool *pool, dv_pool_fn fn, void *arg, size_t n_parts);

#endif
