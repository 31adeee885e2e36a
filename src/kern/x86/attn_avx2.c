/* SPDX-License-Identifier: MIT */
/* Attention over one head's KV page, and softmax, AVX2 + FMA + F16C. Up to six query rows share each loaded and widened
 * vector of K or V. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"
#include "kern/x86/math_avx2.h"

#include <string.h>

enum { MAX_Q = 6 };

DV_INLINE __m256 load_f16(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

DV_INLINE __m256 load_s8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/* Vector i of a row of elements. */
DV_INLINE __m256 load(const uint8_t *row, unsigned i, dv_kv_type type)
{
    switch (type) {
    case DV_KV_Q8_0: return load_s8(row + 8 * i);
    case DV_KV_F32: return _mm256_loadu_ps((const float *)(const void *)row + 8 * i);
    default: return load_f16(row + 16 * i);
    }
}

DV_INLINE size_t width(dv_kv_type type) { return type == DV_KV_Q8_0 ? 1 : type == DV_KV_F32 ? 4 : 2; }

/* The f16 at p in all lanes, as f32. */
DV_INLINE __m256 load_scale(const uint8_t *p)
{
    int16_t h;
    memcpy(&h, p, sizeof h);
    return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

/* s[i][0..1] += q_i[d] * K[d], d = 0..n; K's rows are 16 positions of f16, f32, or int8. */
DV_INLINE void dots(const float *q, size_t ldq, unsigned n_q, const uint8_t *k, uint32_t n, dv_kv_type type,
                    __m256 s[MAX_Q][2])
{
    for (uint32_t d = 0; d < n; d++) {
        const uint8_t *row = k + (size_t)d * DV_KV_GROUP * width(type);
        __m256 k0 = load(row, 0, type), k1 = load(row, 1, type);
        DV_UNROLL
        for (unsigned i = 0; i < n_q; i++) {
            __m256 a = _mm256_broadcast_ss(q + i * ldq + d);
            s[i][0] = _mm256_fmadd_ps(a, k0, s[i][0]);
            s[i][1] = _mm256_fmadd_ps(a, k1, s[i][1]);
        }
    }
}

DV_INLINE void zero(__m256 s[MAX_Q][2], unsigned n_q)
{
    DV_UNROLL
    for (unsigned i = 0; i < n_q; i++)
        s[i][0] = s[i][1] = _mm256_setzero_ps();
}

/* n_q (a constant) rows times one group of 16 positions. */
DV_INLINE void scores_plain(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds,
                            dv_kv_type type, unsigned n_q)
{
    __m256 a[MAX_Q][2];
    zero(a, n_q);
    dots(q, ldq, n_q, k, hd, type, a);
    DV_UNROLL
    for (unsigned i = 0; i < n_q; i++) {
        _mm256_storeu_ps(s + i * lds, a[i][0]);
        _mm256_storeu_ps(s + i * lds + 8, a[i][1]);
    }
}

/* The running sums wait in s between blocks: registers are for the sums within a block. */
DV_INLINE void scores_q8(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds, unsigned n_q)
{
    for (uint32_t at = 0; at < hd; at += DV_KV_Q8_BLOCK, k += DV__K_Q8_BYTES) {
        __m256 a[MAX_Q][2], d0 = load_f16(k), d1 = load_f16(k + 16);
        zero(a, n_q);
        dots(q + at, ldq, n_q, k + 2 * DV_KV_GROUP, DV_KV_Q8_BLOCK, DV_KV_Q8_0, a);
        DV_UNROLL
        for (unsigned i = 0; i < n_q; i++) {
            __m256 s0 = at == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(s + i * lds);
            __m256 s1 = at == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(s + i * lds + 8);
            _mm256_storeu_ps(s + i * lds, _mm256_fmadd_ps(a[i][0], d0, s0));
            _mm256_storeu_ps(s + i * lds + 8, _mm256_fmadd_ps(a[i][1], d1, s1));
        }
    }
}

DV_INLINE void scores_rows(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, uint32_t n_groups, float *s,
                           size_t lds, dv_kv_type type, unsigned n_q)
{
    bool q8 = type == DV_KV_Q8_0;
    size_t step = q8 ? (size_t)(hd / DV_KV_Q8_BLOCK) * DV__K_Q8_BYTES : hd * DV_KV_GROUP * width(type);
    for (uint32_t g = 0; g < n_groups; g++, k += step, s += DV_KV_GROUP) {
        if (q8)
            scores_q8(q, ldq, hd, k, s, lds, n_q);
        else
            scores_plain(q, ldq, hd, k, s, lds, type, n_q);
    }
}

DV_INLINE void scores(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const uint8_t *k, uint32_t n_groups,
                      float *s, size_t lds, dv_kv_type type)
{
    for (; n_q >= MAX_Q; n_q -= MAX_Q, q += MAX_Q * ldq, s += MAX_Q * lds)
        scores_rows(q, ldq, hd, k, n_groups, s, lds, type, MAX_Q);
    switch (n_q) {
    case 1: scores_rows(q, ldq, hd, k, n_groups, s, lds, type, 1); break;
    case 2: scores_rows(q, ldq, hd, k, n_groups, s, lds, type, 2); break;
    case 3: scores_rows(q, ldq, hd, k, n_groups, s, lds, type, 3); break;
    case 4: scores_rows(q, ldq, hd, k, n_groups, s, lds, type, 4); break;
    case 5: scores_rows(q, ldq, hd, k, n_groups, s, lds, type, 5); break;
    default: break;
    }
}

void dv__attn_scores_f16_avx2(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                              float *s, size_t lds)
{
    scores(q, ldq, n_q, hd, k, n_groups, s, lds, DV_KV_F16);
}

void dv__attn_scores_f32_avx2(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                              float *s, size_t lds)
{
    scores(q, ldq, n_q, hd, k, n_groups, s, lds, DV_KV_F32);
}

void dv__attn_scores_q8_0_avx2(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                               float *s, size_t lds)
{
    scores(q, ldq, n_q, hd, k, n_groups, s, lds, DV_KV_Q8_0);
}

/* n_q rows times 8 * n_vec elements of V from element d0 on; the outputs stay in registers for all positions. */
DV_INLINE void values_block(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                            size_t ldo, uint32_t d0, dv_kv_type type, unsigned n_q, unsigned n_vec)
{
    bool q8 = type == DV_KV_Q8_0;
    size_t step = q8 ? (size_t)(hd / DV_KV_Q8_BLOCK) * DV__V_Q8_BYTES : hd * width(type);
    v += q8 ? (size_t)(d0 / DV_KV_Q8_BLOCK) * DV__V_Q8_BYTES : d0 * width(type);
    out += d0;
    __m256 o[12];
    DV_UNROLL
    for (unsigned i = 0; i < n_q * n_vec; i++)
        o[i] = _mm256_loadu_ps(out + i / n_vec * ldo + i % n_vec * 8);
    for (uint32_t pos = 0; pos < n_pos; pos++, v += step) {
        __m256 w[8], scale = q8 ? load_scale(v) : _mm256_setzero_ps();
        DV_UNROLL
        for (unsigned j = 0; j < n_vec; j++)
            w[j] = load(q8 ? v + 2 + d0 % DV_KV_Q8_BLOCK : v, j, type);
        DV_UNROLL
        for (unsigned i = 0; i < n_q; i++) {
            __m256 a = _mm256_broadcast_ss(p + i * ldp + pos);
            if (q8)
                a = _mm256_mul_ps(a, scale);
            DV_UNROLL
            for (unsigned j = 0; j < n_vec; j++)
                o[i * n_vec + j] = _mm256_fmadd_ps(a, w[j], o[i * n_vec + j]);
        }
    }
    DV_UNROLL
    for (unsigned i = 0; i < n_q * n_vec; i++)
        _mm256_storeu_ps(out + i / n_vec * ldo + i % n_vec * 8, o[i]);
}

/* n_vec: vectors per block while they fit, then two at a time (hd is a multiple of 16). */
DV_INLINE void values_rows(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                           size_t ldo, dv_kv_type type, unsigned n_q, unsigned n_vec)
{
    uint32_t d = 0;
    for (; d + 8 * n_vec <= hd; d += 8 * n_vec)
        values_block(p, ldp, hd, v, n_pos, out, ldo, d, type, n_q, n_vec);
    for (; d < hd; d += 16)
        values_block(p, ldp, hd, v, n_pos, out, ldo, d, type, n_q, 2);
}

DV_INLINE void values(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const uint8_t *v, uint32_t n_pos,
                      float *out, size_t ldo, dv_kv_type type)
{
    bool q8 = type == DV_KV_Q8_0;
    for (; n_q >= MAX_Q; n_q -= MAX_Q, p += MAX_Q * ldp, out += MAX_Q * ldo)
        values_rows(p, ldp, hd, v, n_pos, out, ldo, type, MAX_Q, 2);
    switch (n_q) {
    case 1: values_rows(p, ldp, hd, v, n_pos, out, ldo, type, 1, q8 ? 4 : 8); break;
    case 2: values_rows(p, ldp, hd, v, n_pos, out, ldo, type, 2, 4); break;
    case 3: values_rows(p, ldp, hd, v, n_pos, out, ldo, type, 3, q8 ? 2 : 4); break;
    case 4: values_rows(p, ldp, hd, v, n_pos, out, ldo, type, 4, 2); break;
    case 5: values_rows(p, ldp, hd, v, n_pos, out, ldo, type, 5, 2); break;
    default: break;
    }
}

void dv__attn_values_f16_avx2(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                              uint32_t n_pos, float *out, size_t ldo)
{
    values(p, ldp, n_q, hd, (const uint8_t *)v + (size_t)first * hd * 2, n_pos, out, ldo, DV_KV_F16);
}

void dv__attn_values_f32_avx2(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                              uint32_t n_pos, float *out, size_t ldo)
{
    values(p, ldp, n_q, hd, (const uint8_t *)v + (size_t)first * hd * 4, n_pos, out, ldo, DV_KV_F32);
}

void dv__attn_values_q8_0_avx2(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                               uint32_t n_pos, float *out, size_t ldo)
{
    const uint8_t *row = (const uint8_t *)v + (size_t)first * (hd / DV_KV_Q8_BLOCK) * DV__V_Q8_BYTES;
    values(p, ldp, n_q, hd, row, n_pos, out, ldo, DV_KV_Q8_0);
}

/* Lanes i..i+7 that lie in [lo, hi). */
DV_INLINE __m256 inside(uint32_t i, uint32_t lo, uint32_t hi)
{
    __m256i at = _mm256_add_epi32(_mm256_set1_epi32((int)i), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i in = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)lo), at),
                                     _mm256_cmpgt_epi32(_mm256_set1_epi32((int)hi), at));
    return _mm256_castsi256_ps(in);
}

DV_INLINE bool all_inside(uint32_t i, uint32_t lo, uint32_t hi) { return i >= lo && i + 8 <= hi; }

/* Largest of s[lo..hi), which may be read to the end of its group of 16; NaN if one is NaN. */
static float max_range(const float *s, uint32_t lo, uint32_t hi)
{
    const __m256 none = _mm256_set1_ps(-INFINITY);
    __m256 max[2] = {none, none}, nan = _mm256_setzero_ps();
    for (uint32_t i = lo / 16 * 16; i < hi; i += 16) {
        DV_UNROLL
        for (uint32_t h = 0; h < 2; h++) {
            __m256 v = _mm256_loadu_ps(s + i + 8 * h);
            if (DV_UNLIKELY(!all_inside(i + 8 * h, lo, hi)))
                v = _mm256_blendv_ps(none, v, inside(i + 8 * h, lo, hi));
            max[h] = _mm256_max_ps(max[h], v);
            nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        }
    }
    if (_mm256_movemask_ps(nan) != 0)
        return NAN;
    max[0] = _mm256_max_ps(max[0], max[1]);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(max[0]), _mm256_extractf128_ps(max[0], 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

float dv__softmax_avx2(float *s, uint32_t lo, uint32_t hi, uint32_t n)
{
    const __m256 max = _mm256_set1_ps(max_range(s, lo, hi));
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    uint32_t begin = lo / 16 * 16, end = (hi + 15) / 16 * 16;
    memset(s, 0, begin * sizeof *s);
    for (uint32_t i = begin; i < end; i += 16) {
        DV_UNROLL
        for (uint32_t h = 0; h < 2; h++) {
            uint32_t at = i + 8 * h;
            __m256 e = dv__exp8(_mm256_sub_ps(_mm256_loadu_ps(s + at), max));
            if (DV_UNLIKELY(!all_inside(at, lo, hi)))
                e = _mm256_and_ps(e, inside(at, lo, hi));
            _mm256_storeu_ps(s + at, e);
            sum[h] = _mm256_add_ps(sum[h], e);
        }
    }
    memset(s + end, 0, (n - end) * sizeof *s);
    return dv__sum16(sum[0], sum[1]);
}
