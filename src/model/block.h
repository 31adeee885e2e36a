/* SPDX-License-Identifier: MIT */
#ifndef DV_MODEL_BLOCK_H
#define DV_MODEL_BLOCK_H

#include "model/forward.h"

/** Run fn over all rows of the batch in slices, in parallel where there are enough of them. Rows are independent. arg goes through to fn. */
void dv__for_rows(dv_forward *f, void (*fn)(dv_forward *f, const void *arg, uint32_t first, uint32_t n),
                  const void *arg);
/** y = W x for all rows of the batch. */
void dv__project(dv_forward *f, const dv_mat *w, const float *x, float *y);

#endif
