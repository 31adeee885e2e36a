/* SPDX-License-Identifier: MIT */
/* Prefetching weights. A core has few misses in flight and stalls when it asks for more, so kernels ask for what will be read soon
 * evenly over their work. Only a type and a static function: included by code of any instruction set. */
#ifndef DV_KERN_AHEAD_H
#define DV_KERN_AHEAD_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

/** Rows that will be read soon. */
typedef struct dv_ahead {
    const uint8_t *w;     /**< first byte of row 0; any address will do */
    size_t row_bytes;     /**< distance between rows */
    uint32_t n_rows, len; /**< len bytes of each */
} dv_ahead;

/** Asks for share number `part` of n_parts equal shares of the rows. */
DV_INLINE void dv_ahead_fetch(const dv_ahead *a, uint32_t part, uint32_t n_parts)
{
    uint32_t row = a->n_rows * part / n_parts, end = a->n_rows * (part + 1) / n_parts;
    for (; row < end; row++)
        for (uint32_t i = 0; i < a->len; i += 64)
            __builtin_prefetch(a->w + row * a->row_bytes + i);
}

#endif
