/* SPDX-License-Identifier: MIT */
/* Quantisation of activations with AVX-512. The maxima and the sums of 16 groups are taken by halving: 16 vectors of a group each become
 * one vector with a lane for each group. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

typedef __m512i (*combine_fn)(__m512i a, __m512i b);

DV_INLINE __m512i largest(__m512i a, __m512i b) { return _mm512_max_epi32(a, b); }
DV_INLINE __m512i sum(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }

/* Lane g of the result is f over the lanes of v[g]. */
DV_INLINE __m512i of_groups(const __m512i v[16], combine_fn f)
{
    __m512i a[8], b[4], c[2];
    UNROLL(8)
    for (int i = 0; i < 8; i++)
        a[i] = f(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    UNROLL(4)
    for (int i = 0; i < 4; i++)
        b[i] = f(_mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]));
    UNROLL(2)
    for (int i = 0; i < 2; i++)
        c[i] =
            f(_mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0x88), _mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0xdd));
    return f(_mm512_shuffle_i32x4(c[0], c[1], 0x88), _mm512_shuffle_i32x4(c[0], c[1], 0xdd));
}

/* The part of a block that depends on the groups' maxima and sums only. */
DV_INLINE void finish(__m512 d, __m512i total, dv_act_block *out)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512 f = _mm512_cvtepi32_ps(total), s16 = _mm512_mul_ps(d, f);
    _mm512_storeu_si512(out->neg, _mm512_sub_epi32(_mm512_setzero_si512(), total));
    _mm512_storeu_ps(out->d, d);
    _mm512_storeu_ps(out->s16, s16);
    __m512 s32 =
        _mm512_fmadd_ps(_mm512_permutexvar_ps(odd, d), _mm512_permutexvar_ps(odd, f), _mm512_permutexvar_ps(even, s16));
    _mm256_storeu_ps(out->s32, _mm512_castps512_ps256(s32));
    memset(out->pad, 0, sizeof out->pad);
}

/* n_groups groups of a block; the others are zero. */
DV_INLINE void quant_block(const float *x, uint32_t n_groups, dv_act_block *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 v[16];
    __m512i q[16];
    UNROLL(16)
    for (uint32_t g = 0; g < 16; g++) {
        v[g] = g < n_groups ? _mm512_loadu_ps(x + 16 * g) : _mm512_setzero_ps();
        q[g] = _mm512_and_si512(_mm512_castps_si512(v[g]), magnitude); /* order as integers: finite < infinite < NaN */
    }
    const __m512 max = _mm512_castsi512_ps(of_groups(q, largest));
    const __m512 factor = _mm512_div_ps(_mm512_set1_ps(127.0f), max), most = _mm512_set1_ps(INFINITY);
    const __mmask16 finite = _mm512_cmp_ps_mask(max, most, _CMP_LT_OQ),
                    use = finite & _mm512_cmp_ps_mask(factor, most, _CMP_LT_OQ);
    DV_ALIGNED(64) float scale[16];
    _mm512_store_ps(scale, factor);
    UNROLL(16)
    for (uint32_t g = 0; g < 16; g++) {
        const __mmask16 keep = (__mmask16) - (use >> g & 1);
        __m512 y = _mm512_maskz_mul_ps(keep, v[g], _mm512_set1_ps(scale[g]));
        y = _mm512_max_ps(_mm512_min_ps(y, _mm512_set1_ps(127.0f)), _mm512_set1_ps(-127.0f));
        q[g] = _mm512_cvtps_epi32(y);
        _mm_storeu_si128((__m128i *)(out->q + 16 * g), _mm512_cvtepi32_epi8(q[g]));
    }
    __m512 d = _mm512_maskz_div_ps(use, max, _mm512_set1_ps(127.0f));
    finish(_mm512_mask_mov_ps(d, (__mmask16)~finite, _mm512_set1_ps(NAN)), of_groups(q, sum), out);
}

static void quant_act(const float *x, uint32_t n, dv_act_block *out, size_t stride)
{
    for (; n >= DV_SB; n -= DV_SB, x += DV_SB, out += stride)
        quant_block(x, 16, out);
    if (n > 0)
        quant_block(x, n / DV_ACT_GROUP, out);
}

void dv__quant_init_avx512(dv_kern *k) { k->quant_act = quant_act; }
