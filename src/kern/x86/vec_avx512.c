/* SPDX-License-Identifier: MIT */
/* Element-wise kernels, normalisation, softmax and rotary positions with AVX-512. Tails are masked: no element outside
 * is touched. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/math_avx512.h"

#include <math.h>

static void rmsnorm(const float *x, const float *w, uint32_t n, float eps, float *y)
{
    __m512 lane = _mm512_setzero_ps();
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        lane = _mm512_fmadd_ps(v, v, lane);
    }
    if (i < n) {
        __mmask16 k = tail_mask(n - i);
        __m512 v = _mm512_maskz_loadu_ps(k, x + i);
        lane = _mm512_mask3_fmadd_ps(v, v, lane, k);
    }
    float sum = sum_lanes(lane);
    const __m512 r = _mm512_set1_ps(1.0f / sqrtf(sum / (float)n + eps));
    for (i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), r);
        if (w != NULL)
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(k, w + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

static void silu_mul(const float *g, const float *u, uint32_t n, float *y)
{
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        __m512 v = _mm512_maskz_loadu_ps(k, g + i);
        __m512 e = exp_ps(_mm512_xor_ps(v, sign));
        v = _mm512_mul_ps(_mm512_div_ps(v, _mm512_add_ps(one, e)), _mm512_maskz_loadu_ps(k, u + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

static void gelu_mul(const float *g, const float *u, uint32_t n, float *y)
{
    const __m512 one = _mm512_set1_ps(1.0f), c1 = _mm512_set1_ps(DV_GELU_C1), c3 = _mm512_set1_ps(DV_GELU_C3);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        __m512 v = _mm512_maskz_loadu_ps(k, g + i);
        __m512 e = exp_ps(_mm512_mul_ps(v, _mm512_fmadd_ps(_mm512_mul_ps(v, v), c3, c1)));
        v = _mm512_mul_ps(_mm512_div_ps(v, _mm512_add_ps(one, e)), _mm512_maskz_loadu_ps(k, u + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

static void add(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        _mm512_mask_storeu_ps(y + i, k,
                              _mm512_add_ps(_mm512_maskz_loadu_ps(k, y + i), _mm512_maskz_loadu_ps(k, x + i)));
    }
}

static void mul(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        _mm512_mask_storeu_ps(y + i, k,
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(k, y + i), _mm512_maskz_loadu_ps(k, x + i)));
    }
}

static void axpy(float *y, float a, const float *x, uint32_t n)
{
    const __m512 f = _mm512_set1_ps(a);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        _mm512_mask_storeu_ps(y + i, k,
                              _mm512_fmadd_ps(f, _mm512_maskz_loadu_ps(k, x + i), _mm512_maskz_loadu_ps(k, y + i)));
    }
}

/* Even lanes hold a, odd lanes b: x * cos -+ swapped x * sin. */
static void rope_norm(float *x, uint32_t n_rot, const float *cs)
{
    for (uint32_t i = 0; i < n_rot; i += 16) {
        __mmask16 k = tail_mask(n_rot - i);
        __m512 v = _mm512_maskz_loadu_ps(k, x + i), f = _mm512_maskz_loadu_ps(k, cs + i);
        __m512 other = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(f));
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmaddsub_ps(v, _mm512_moveldup_ps(f), other));
    }
}

static void rope_neox(float *x, uint32_t n_rot, const float *cs)
{
    const uint32_t n = n_rot / 2;
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = tail_mask(n - i);
        __m512 f0 = _mm512_maskz_loadu_ps(tail_mask(2 * (n - i)), cs + 2 * i);
        __m512 f1 =
            n - i > 8 ? _mm512_maskz_loadu_ps(tail_mask(2 * (n - i) - 16), cs + 2 * i + 16) : _mm512_setzero_ps();
        __m512 c = _mm512_permutex2var_ps(f0, even, f1), s = _mm512_permutex2var_ps(f0, odd, f1);
        __m512 a = _mm512_maskz_loadu_ps(k, x + i), b = _mm512_maskz_loadu_ps(k, x + n + i);
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + n + i, k, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

/* Lanes of s[i..i+16) that lie in [lo, hi). */
DV_INLINE __mmask16 inside(uint32_t i, uint32_t lo, uint32_t hi)
{
    uint32_t from = lo > i ? lo - i : 0, to = hi > i ? hi - i : 0;
    if (from >= 16 || to == 0)
        return 0;
    return (__mmask16)(tail_mask(to) & (0xffffu << from));
}

static float softmax(float *s, uint32_t lo, uint32_t hi, uint32_t n)
{
    /* A NaN in s[lo] stays the maximum, one elsewhere is passed over (vmaxps gives its second operand): as in the
     * reference. */
    __m512 max = _mm512_set1_ps(s[lo]);
    for (uint32_t i = lo / 16 * 16; i < hi; i += 16)
        max = _mm512_mask_max_ps(max, inside(i, lo, hi), _mm512_loadu_ps(s + i), max);
    max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
    __m512 lane = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 k = inside(i, lo, hi);
        __m512 v = _mm512_setzero_ps();
        if (k != 0)
            v = _mm512_maskz_mov_ps(k, exp_ps(_mm512_sub_ps(_mm512_loadu_ps(s + i), max)));
        _mm512_storeu_ps(s + i, v);
        lane = _mm512_add_ps(lane, v);
    }
    return sum_lanes(lane);
}

void dv__vec_init_avx512(dv_kern *k)
{
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->add = add;
    k->mul = mul;
    k->axpy = axpy;
    k->rope_norm = rope_norm;
    k->rope_neox = rope_neox;
    k->softmax = softmax;
}
