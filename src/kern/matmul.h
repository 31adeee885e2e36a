/* SPDX-License-Identifier: MIT */
/* Matrix products over the thread pool: splits outputs into tiles, quantises each distinct input once, never allocates after open. */
#ifndef DV_KERN_MATMUL_H
#define DV_KERN_MATMUL_H

#include "base/pool.h"
#include "drover/error.h"
#include "kern/kern.h"

/** A weight matrix in its GGUF layout. */
typedef struct dv_mat {
    const uint8_t *data; /**< [n_out][row_bytes]; borrowed */
    size_t row_bytes;
    dv_type type;
    uint32_t n_in; /**< a multiple of 32 for integer types */
    uint32_t n_out;
    bool fine; /**< integer types: also multiply what the quantisation of the input lost, as a second column */
} dv_mat;

/** One product y = W x for n_tok tokens. */
typedef struct dv_mm_job {
    const dv_mat *w;
    const float *
        x; /**< [n_tok][w->n_in], row stride ldx; neighbouring jobs with the same x, ldx, n_tok and w->fine share its quantisation */
    size_t ldx;
    float *y; /**< [n_tok][w->n_out], row stride ldy; overwritten; overlaps nothing */
    size_t ldy;
    uint32_t n_tok; /**< may be 0 */
} dv_mm_job;

typedef struct dv_mm dv_mm;

/**
 * Work space for products.
 * @param max_in_total  most elements in the distinct inputs of one call, each row rounded up to a multiple of 256 and counted twice
 *                      where the weights are fine
 * Errors: DV_ENOMEM.  kern and pool are borrowed.
 */
int dv_mm_open(dv_mm **out, const dv_kern *kern, dv_pool *pool, size_t max_in_total, dv_err *err);
void dv_mm_close(dv_mm **mm);
/** Run all jobs; one fork and join for the quantisation and one for the products. Called by the pool's owner thread. */
void dv_mm_run(dv_mm *mm, const dv_mm_job *jobs, size_t n_jobs);

#endif
