/* SPDX-License-Identifier: MIT */
/* Checked arithmetic for every size or count that comes from outside. */
#ifndef DV_BASE_NUM_H
#define DV_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** *out = a + b; false on overflow (*out then unspecified). */
static inline bool dv_add_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
/** *out = a * b; false on overflow. */
static inline bool dv_mul_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool dv_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool dv_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

/** v rounded up to a multiple of align (a power of two); false on overflow. */
static inline bool dv_align_u64(uint64_t v, uint64_t align, uint64_t *out)
{
    if (!dv_add_u64(v, align - 1, out))
        return false;
    *out &= ~(align - 1);
    return true;
}

static inline bool dv_is_pow2(uint64_t v) { return v != 0 && (v & (v - 1)) == 0; }

/** ceil(a / b) for sizes that are already validated. */
static inline size_t dv_div_up(size_t a, size_t b) { return a / b + (a % b != 0); }

#endif
