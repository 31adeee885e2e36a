/* SPDX-License-Identifier: MIT */
/* Lane sums, tail masks and the exponential of kern/exp.h, 16 lanes wide. */
#ifndef DV_KERN_X86_MATH_AVX512_H
#define DV_KERN_X86_MATH_AVX512_H

#include "kern/exp.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>

/* The first min(n, 16) lanes; n > 0. */
DV_INLINE __mmask16 tail_mask(uint32_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

/* Lanes added pairwise: j + (j + 8), j + (j + 4), j + (j + 2), j + (j + 1). */
DV_INLINE float sum_lanes(__m512 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

/* The steps of kern/exp.h. */
DV_INLINE __m512 exp_ps(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(DV_EXP_MAGIC);
    __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(DV_EXP_LOG2E), magic);
    __m512 n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-DV_EXP_LN2_HI), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-DV_EXP_LN2_LO), r);
    __m512 p = _mm512_set1_ps(DV_EXP_C6);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DV_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DV_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DV_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(DV_EXP_C2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
    p = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(DV_EXP_LO), _CMP_NLT_UQ), p);
    return _mm512_mask_add_ps(p, _mm512_cmp_ps_mask(x, _mm512_set1_ps(DV_EXP_HI), _CMP_NLE_UQ), x,
                              _mm512_set1_ps(INFINITY));
}

#endif
