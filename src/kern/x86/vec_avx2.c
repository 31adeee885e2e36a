/* SPDX-License-Identifier: MIT */
/* Element-wise kernels and normalisation, AVX2 + FMA. Any n: a last, partial vector is padded with zeros. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"
#include "kern/x86/math_avx2.h"

#include <math.h>

void dv__rmsnorm_avx2(const float *x, const float *w, uint32_t n, float eps, float *y)
{
    __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 v0 = _mm256_loadu_ps(x + i), v1 = _mm256_loadu_ps(x + i + 8);
        a = _mm256_fmadd_ps(v0, v0, a);
        b = _mm256_fmadd_ps(v1, v1, b);
    }
    if (i < n) { /* a padded lane adds 0 * 0 to a sum that is not negative */
        float rest[16] = {0};
        memcpy(rest, x + i, (n - i) * sizeof *rest);
        __m256 v0 = _mm256_loadu_ps(rest), v1 = _mm256_loadu_ps(rest + 8);
        a = _mm256_fmadd_ps(v0, v0, a);
        b = _mm256_fmadd_ps(v1, v1, b);
    }
    __m256 r = _mm256_set1_ps(1.0f / sqrtf(dv__sum16(a, b) / (float)n + eps));
    for (i = 0; i + 8 <= n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), r);
        _mm256_storeu_ps(y + i, w != NULL ? _mm256_mul_ps(v, _mm256_loadu_ps(w + i)) : v);
    }
    if (i < n) {
        __m256 v = _mm256_mul_ps(dv__load_first(x + i, n - i), r);
        dv__store_first(y + i, n - i, w != NULL ? _mm256_mul_ps(v, dv__load_first(w + i, n - i)) : v);
    }
}

DV_INLINE __m256 silu(__m256 g)
{
    __m256 e = dv__exp8(_mm256_xor_ps(g, _mm256_set1_ps(-0.0f)));
    return _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

DV_INLINE __m256 gelu(__m256 x)
{
    __m256 b = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(DV_GELU_C3), _mm256_set1_ps(DV_GELU_C1));
    __m256 e = dv__exp8(_mm256_mul_ps(x, b));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

/* y = op(a, b) element by element. */
DV_INLINE void map2(const float *a, const float *b, uint32_t n, float *y, __m256 (*op)(__m256 a, __m256 b))
{
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, op(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    if (i < n)
        dv__store_first(y + i, n - i, op(dv__load_first(a + i, n - i), dv__load_first(b + i, n - i)));
}

DV_INLINE __m256 silu_mul(__m256 g, __m256 u) { return _mm256_mul_ps(silu(g), u); }
DV_INLINE __m256 gelu_mul(__m256 g, __m256 u) { return _mm256_mul_ps(gelu(g), u); }
DV_INLINE __m256 add(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
DV_INLINE __m256 mul(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }

void dv__silu_mul_avx2(const float *g, const float *u, uint32_t n, float *y) { map2(g, u, n, y, silu_mul); }
void dv__gelu_mul_avx2(const float *g, const float *u, uint32_t n, float *y) { map2(g, u, n, y, gelu_mul); }
void dv__add_avx2(float *y, const float *x, uint32_t n) { map2(y, x, n, y, add); }
void dv__mul_avx2(float *y, const float *x, uint32_t n) { map2(y, x, n, y, mul); }

void dv__axpy_avx2(float *y, float a, const float *x, uint32_t n)
{
    const __m256 va = _mm256_set1_ps(a);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(va, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    if (i < n)
        dv__store_first(y + i, n - i, _mm256_fmadd_ps(va, dv__load_first(x + i, n - i), dv__load_first(y + i, n - i)));
}

/* Four neighbouring pairs: even lanes a * c - b * s, odd lanes b * c + a * s. */
DV_INLINE __m256 rotate4(__m256 x, __m256 cs)
{
    __m256 t = _mm256_mul_ps(_mm256_permute_ps(x, 0xb1), _mm256_movehdup_ps(cs));
    return _mm256_fmaddsub_ps(x, _mm256_moveldup_ps(cs), t);
}

void dv__rope_norm_avx2(float *x, uint32_t n_rot, const float *cs)
{
    uint32_t i = 0, n = n_rot / 2 * 2;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, rotate4(_mm256_loadu_ps(x + i), _mm256_loadu_ps(cs + i)));
    if (i < n)
        dv__store_first(x + i, n - i, rotate4(dv__load_first(x + i, n - i), dv__load_first(cs + i, n - i)));
}

/* Eight pairs (a[i], b[i]) and their 2 x 8 cos and sin values. */
DV_INLINE void rotate8(float *a, float *b, const float *cs)
{
    __m256 va = _mm256_loadu_ps(a), vb = _mm256_loadu_ps(b), cs0 = _mm256_loadu_ps(cs), cs1 = _mm256_loadu_ps(cs + 8);
    __m256 c = _mm256_shuffle_ps(cs0, cs1, 0x88), s = _mm256_shuffle_ps(cs0, cs1, 0xdd);
    c = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(c), 0xd8));
    s = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(s), 0xd8));
    _mm256_storeu_ps(a, _mm256_fmsub_ps(va, c, _mm256_mul_ps(vb, s)));
    _mm256_storeu_ps(b, _mm256_fmadd_ps(vb, c, _mm256_mul_ps(va, s)));
}

void dv__rope_neox_avx2(float *x, uint32_t n_rot, const float *cs)
{
    uint32_t n = n_rot / 2, i = 0;
    float *b = x + n;
    for (; i + 8 <= n; i += 8)
        rotate8(x + i, b + i, cs + 2 * i);
    if (i < n) {
        float ta[8] = {0}, tb[8] = {0}, tcs[16] = {0};
        size_t bytes = (n - i) * sizeof *x;
        memcpy(ta, x + i, bytes);
        memcpy(tb, b + i, bytes);
        memcpy(tcs, cs + 2 * i, 2 * bytes);
        rotate8(ta, tb, tcs);
        memcpy(x + i, ta, bytes);
        memcpy(b + i, tb, bytes);
    }
}
