/* SPDX-License-Identifier: MIT */
/* Rounding and maxima as the quantising kernels define them. */
#ifndef DV_KERN_ROUND_H
#define DV_KERN_ROUND_H

#include <stdint.h>
#include <string.h>

/** Largest |x|; NaN if any x is NaN: as integers, magnitudes order finite < infinite < NaN. */
static inline float dv__abs_max(const float *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        u &= 0x7fffffff;
        max = u > max ? u : max;
    }
    float f;
    memcpy(&f, &max, sizeof f);
    return f;
}

/** v clamped to +-limit (below 2^22), then rounded half to even. v is not NaN. */
static inline int32_t dv__round_clamp(float v, float limit)
{
    v = v > limit ? limit : v < -limit ? -limit : v;
    return (int32_t)((v + 12582912.0f) - 12582912.0f); /* 1.5 * 2^23: the sum has no fraction bits left */
}

#endif
