/* SPDX-License-Identifier: MIT */
/* What several AVX2 kernels share: exp, the 16-lane sum, maxima, tails. */
#ifndef DV_KERN_X86_MATH_AVX2_H
#define DV_KERN_X86_MATH_AVX2_H

#include "base/attr.h"
#include "kern/exp.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/** Eight lanes of dv_expf_ref, step by step. */
DV_INLINE __m256 dv__exp8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f), magic = _mm256_set1_ps(DV_EXP_MAGIC);
    __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(DV_EXP_LOG2E), magic);
    __m256 n = _mm256_sub_ps(t, magic);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-DV_EXP_LN2_HI), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-DV_EXP_LN2_LO), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(DV_EXP_C6), r, _mm256_set1_ps(DV_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DV_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DV_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(DV_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
    p = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(DV_EXP_LO), _CMP_LT_OQ), p);
    __m256 high = _mm256_add_ps(x, _mm256_set1_ps(INFINITY));
    return _mm256_blendv_ps(p, high, _mm256_cmp_ps(x, _mm256_set1_ps(DV_EXP_HI), _CMP_NLE_UQ));
}

/** The end of a 16-lane sum, lanes 0..7 in a and 8..15 in b. */
DV_INLINE float dv__sum16(__m256 a, __m256 b)
{
    a = _mm256_add_ps(a, b);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/** Largest of eight non-negative integers. */
DV_INLINE uint32_t dv__max_u31(__m256i v)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

/** |x| of n elements (a multiple of 8) as integers: ordered as magnitudes are, infinity above all numbers and NaN above
 * infinity. */
DV_INLINE float dv__abs_max8(const float *x, uint32_t n)
{
    const __m256i abs = _mm256_set1_epi32(0x7fffffff);
    __m256i max = _mm256_setzero_si256();
    for (uint32_t i = 0; i < n; i += 8)
        max = _mm256_max_epi32(max, _mm256_and_si256(abs, _mm256_loadu_si256((const __m256i *)(x + i))));
    union {
        uint32_t u;
        float f;
    } m = {dv__max_u31(max)};
    return m.f;
}

/** The first n < 8 elements at x, zeros behind them. (Through memory: masked loads and stores are slow on some CPUs and
 * not emulated faithfully by some emulators, and n is rarely odd.) */
DV_INLINE __m256 dv__load_first(const float *x, uint32_t n)
{
    float v[8] = {0};
    memcpy(v, x, n * sizeof *v);
    return _mm256_loadu_ps(v);
}

DV_INLINE void dv__store_first(float *x, uint32_t n, __m256 v)
{
    float t[8];
    _mm256_storeu_ps(t, v);
    memcpy(x, t, n * sizeof *t);
}

/** x * f, clamped to +-limit, rounded half to even. */
DV_INLINE __m256i dv__quant8(const float *x, __m256 f, __m256 limit)
{
    __m256 v = _mm256_min_ps(_mm256_mul_ps(_mm256_loadu_ps(x), f), limit);
    return _mm256_cvtps_epi32(_mm256_max_ps(v, _mm256_xor_ps(limit, _mm256_set1_ps(-0.0f))));
}

#endif
