/* SPDX-License-Identifier: MIT */
/* The exponential and what is built on it, as scalar definitions. SIMD versions repeat the numbered steps bit for bit, lane by lane.
 *
 * exp(x), error at most 1.0 ulp:
 *   1. t = fma(x, LOG2E, MAGIC)           round-half-even(x * log2 e) sits in t's low mantissa bits
 *   2. n = t - MAGIC
 *   3. r = fma(n, -LN2_HI, x)             exact: n * LN2_HI ends where the ulp of x begins
 *   4. r = fma(n, -LN2_LO, r)
 *   5. p = C6; p = fma(p, r, C5); ... C4, C3, C2; p = fma(p, r, 1); p = fma(p, r, 1)
 *   6. the result's bits are bits(p) + (bits(t) << 23), modulo 2^32
 *   7. selected after the fact: x < LO gives 0 (so no result is subnormal), x > HI gives infinity, NaN gives NaN (step 6 can destroy one;
 *      "if not x <= HI then x + infinity" covers the last two).
 *      (For x in [LO, HI] step 6 cannot leave the normal range, except that it may give infinity itself for x next to HI.)
 * C2..C6: minimax fit of exp(r) = 1 + r + C2 r^2 + ... on |r| <= ln2 / 2, relative error 2^-28.2, each rounded to f32 before the next
 * was fitted. */
#ifndef DV_KERN_EXP_H
#define DV_KERN_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DV_EXP_LOG2E 0x1.715476p+0f
#define DV_EXP_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define DV_EXP_LN2_HI 0x1.62e430p-1f
#define DV_EXP_LN2_LO -0x1.05c610p-29f
#define DV_EXP_C2 0x1.fffffcp-2f
#define DV_EXP_C3 0x1.555492p-3f
#define DV_EXP_C4 0x1.5558b0p-5f
#define DV_EXP_C5 0x1.12398ap-7f
#define DV_EXP_C6 0x1.6a4d14p-10f
#define DV_EXP_LO -87.3f
#define DV_EXP_HI 0x1.62e42ep+6f /* 88.72283 */

/* gelu(x) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3), because tanh(u) = 2 / (1 + exp(-2u)) - 1. */
#define DV_GELU_C1 -0x1.988454p+0f /* -2 sqrt(2/pi) */
#define DV_GELU_C3 -0x1.2444f2p-4f /* -2 sqrt(2/pi) * 0.044715 */

static inline float dv_expf_ref(float x)
{
    float t = fmaf(x, DV_EXP_LOG2E, DV_EXP_MAGIC);
    float n = t - DV_EXP_MAGIC;
    float r = fmaf(n, -DV_EXP_LN2_HI, x);
    r = fmaf(n, -DV_EXP_LN2_LO, r);
    float p = DV_EXP_C6;
    p = fmaf(p, r, DV_EXP_C5);
    p = fmaf(p, r, DV_EXP_C4);
    p = fmaf(p, r, DV_EXP_C3);
    p = fmaf(p, r, DV_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    uint32_t bits_p, bits_t;
    memcpy(&bits_p, &p, sizeof bits_p);
    memcpy(&bits_t, &t, sizeof bits_t);
    bits_p += bits_t << 23;
    memcpy(&p, &bits_p, sizeof p);
    if (x < DV_EXP_LO)
        return 0.0f;
    if (x > DV_EXP_HI)
        return INFINITY;
    return x != x ? x : p;
}

/** g / (1 + exp(-g)): e = exp(-g), d = 1 + e, g / d. */
static inline float dv_silu_ref(float g) { return g / (1.0f + dv_expf_ref(-g)); }

/** a = x * x; b = fma(a, C3, C1); e = exp(x * b); x / (1 + e). */
static inline float dv_gelu_ref(float x)
{
    float b = fmaf(x * x, DV_GELU_C3, DV_GELU_C1);
    return x / (1.0f + dv_expf_ref(x * b));
}

#endif
