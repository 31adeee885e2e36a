/* SPDX-License-Identifier: MIT */
/* Growable arrays for compiling, all charged to one budget: memory, and work as a bound of time. */
#ifndef DV_GRAMMAR_VEC_H
#define DV_GRAMMAR_VEC_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dv__budget {
    size_t used, limit;      /**< bytes */
    uint64_t work, max_work; /**< elementary steps */
    dv_err *err;
} dv__budget;

typedef struct dv__vec {
    void *p; /**< owned */
    size_t n, cap;
} dv__vec;

/** Append k uninitialised elements of a size; a pointer to the first, valid until the next push; NULL when out of memory or over
 * the budget (reported in bud->err). */
void *dv__vec_push(dv__vec *v, size_t elem, size_t k, dv__budget *bud);
void dv__vec_free(dv__vec *v, size_t elem, dv__budget *bud);
/** Zeroed array charged to the budget; free with dv__take_back. */
void *dv__take(size_t n, size_t elem, dv__budget *bud);
void dv__take_back(void *p, size_t n, size_t elem, dv__budget *bud);
/** Count steps; false (reported) when there were too many. */
bool dv__work(dv__budget *bud, uint64_t steps);

#define DV__AT(v, type, i) (((type *)(v).p)[i])

#endif
