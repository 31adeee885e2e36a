/* SPDX-License-Identifier: MIT */
/* What the kernel tests share: levels of this machine, random blocks of any type. */
#ifndef DV_TESTS_KERN_UTIL_H
#define DV_TESTS_KERN_UTIL_H

#include "base/cpu.h"
#include "base/rng.h"
#include "kern/kern.h"

#include <string.h>

static const dv_type kern_types[] = {
    DV_TYPE_F32,  DV_TYPE_F16,  DV_TYPE_BF16, DV_TYPE_Q4_0, DV_TYPE_Q4_1, DV_TYPE_Q5_0,   DV_TYPE_Q5_1,   DV_TYPE_Q8_0,
    DV_TYPE_Q2_K, DV_TYPE_Q3_K, DV_TYPE_Q4_K, DV_TYPE_Q5_K, DV_TYPE_Q6_K, DV_TYPE_IQ4_NL, DV_TYPE_IQ4_XS,
};

/** Masks of the levels from C to the best this machine has; returns how many. */
static inline unsigned kern_levels(unsigned level[5])
{
    static const unsigned all[] = {0, DV_CPU_AVX2, DV_CPU_AVX2 | DV_CPU_AVX_VNNI, DV_CPU_AVX2 | DV_CPU_AVX512,
                                   DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_AVX512_VNNI};
    unsigned n = 0, have = dv_cpu_detect();
    for (unsigned i = 0; i < DV_ARRAY_LEN(all); i++)
        if ((all[i] & have) == all[i])
            level[n++] = all[i];
    return n;
}

/** Offsets of the f16 fields in a block of an integer type, -1 for none. */
static inline void kern_halves(dv_type type, int at[2])
{
    at[0] = 0;
    at[1] = -1;
    if (type == DV_TYPE_Q4_1 || type == DV_TYPE_Q5_1 || type == DV_TYPE_Q4_K || type == DV_TYPE_Q5_K)
        at[1] = 2;
    else if (type == DV_TYPE_Q2_K)
        at[0] = 80, at[1] = 82;
    else if (type == DV_TYPE_Q3_K)
        at[0] = 108;
    else if (type == DV_TYPE_Q6_K)
        at[0] = 208;
}

static inline void kern_put16(uint8_t *p, uint16_t h)
{
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

/** n elements (whole blocks) with scales of ordinary size. */
static inline void kern_random_row(dv_rng *r, dv_type type, uint8_t *dst, size_t n)
{
    const dv_type_info *info = dv_type_get(type);
    int at[2];
    kern_halves(type, at);
    for (size_t b = 0; b < n / info->block_len; b++, dst += info->block_bytes) {
        float normal = (float)dv_rng_normal(r);
        if (type == DV_TYPE_F32) {
            memcpy(dst, &normal, sizeof normal);
        } else if (type == DV_TYPE_F16) {
            kern_put16(dst, dv_f32_to_f16(normal));
        } else if (type == DV_TYPE_BF16) {
            kern_put16(dst, dv_f32_to_bf16(normal));
        } else {
            for (uint32_t i = 0; i < info->block_bytes; i++)
                dst[i] = (uint8_t)dv_rng_u64(r);
            for (int i = 0; i < 2; i++)
                if (at[i] >= 0)
                    kern_put16(dst + at[i], dv_f32_to_f16(0.02f * (float)dv_rng_normal(r)));
        }
    }
}

static inline void kern_random_floats(dv_rng *r, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)dv_rng_normal(r);
}

#endif
