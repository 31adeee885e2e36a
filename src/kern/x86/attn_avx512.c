/* SPDX-License-Identifier: MIT */
/* Attention over a head's KV page with AVX-512. Several query rows share each loaded and converted K or V vector; where
 * there are few rows, several groups of positions (or vectors of the head) run side by side to cover the latency of the
 * multiply-add chains. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>
#include <string.h>

enum { G = DV_KV_GROUP, B = DV_KV_Q8_BLOCK, MAX_Q = 8 };

DV_INLINE __m512 load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
DV_INLINE __m512 load_f32(const void *p) { return _mm512_loadu_ps(p); }
DV_INLINE __m512 load_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* f16 and f32 share their code: how to load 16 elements of `width` bytes each. */
typedef __m512 (*load_fn)(const void *p);

/* --- scores: NQ rows, NG groups of 16 positions (bytes apart) --- */

DV_INLINE void scores_plain_block(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds,
                                  const int NQ, const int NG, load_fn load, const size_t width)
{
    const size_t group = hd * G * width;
    __m512 acc[MAX_Q][4];
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(4)
        for (int g = 0; g < NG; g++)
            acc[i][g] = _mm512_setzero_ps();
    }
    for (uint32_t d = 0; d < hd; d++, k += G * width) {
        __m512 v[4];
        UNROLL(4)
        for (int g = 0; g < NG; g++)
            v[g] = load(k + (size_t)g * group);
        UNROLL(8)
        for (int i = 0; i < NQ; i++) {
            __m512 x = _mm512_set1_ps(q[(size_t)i * ldq + d]);
            UNROLL(4)
            for (int g = 0; g < NG; g++)
                acc[i][g] = _mm512_fmadd_ps(x, v[g], acc[i][g]);
        }
    }
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(4)
        for (int g = 0; g < NG; g++)
            _mm512_storeu_ps(s + (size_t)i * lds + g * G, acc[i][g]);
    }
}

DV_INLINE void scores_f16_block(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds,
                                const int NQ, const int NG)
{
    scores_plain_block(q, ldq, hd, k, s, lds, NQ, NG, load_f16, 2);
}

DV_INLINE void scores_f32_block(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds,
                                const int NQ, const int NG)
{
    scores_plain_block(q, ldq, hd, k, s, lds, NQ, NG, load_f32, 4);
}

DV_INLINE void scores_q8_block(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds,
                               const int NQ, const int NG)
{
    const size_t block = (size_t)G * (B + 2), group = hd / B * block;
    __m512 acc[MAX_Q][4];
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(4)
        for (int g = 0; g < NG; g++)
            acc[i][g] = _mm512_setzero_ps();
    }
    for (uint32_t at = 0; at < hd; at += B, k += block) {
        __m512 a[MAX_Q][4], v[4];
        UNROLL(8)
        for (int i = 0; i < NQ; i++) {
            UNROLL(4)
            for (int g = 0; g < NG; g++)
                a[i][g] = _mm512_setzero_ps();
        }
        for (uint32_t d = 0; d < B; d++) {
            UNROLL(4)
            for (int g = 0; g < NG; g++)
                v[g] = load_i8(k + (size_t)g * group + 2 * G + (size_t)d * G);
            UNROLL(8)
            for (int i = 0; i < NQ; i++) {
                __m512 x = _mm512_set1_ps(q[(size_t)i * ldq + at + d]);
                UNROLL(4)
                for (int g = 0; g < NG; g++)
                    a[i][g] = _mm512_fmadd_ps(x, v[g], a[i][g]);
            }
        }
        UNROLL(4)
        for (int g = 0; g < NG; g++)
            v[g] = load_f16(k + (size_t)g * group);
        UNROLL(8)
        for (int i = 0; i < NQ; i++) {
            UNROLL(4)
            for (int g = 0; g < NG; g++)
                acc[i][g] = _mm512_fmadd_ps(a[i][g], v[g], acc[i][g]);
        }
    }
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(4)
        for (int g = 0; g < NG; g++)
            _mm512_storeu_ps(s + (size_t)i * lds + g * G, acc[i][g]);
    }
}

typedef void (*scores_block_fn)(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, float *s, size_t lds, int NQ,
                                int NG);

/* All groups for NQ rows: NG at a time, then one by one. */
DV_INLINE void scores_rows(const float *q, size_t ldq, uint32_t hd, const uint8_t *k, uint32_t n_groups, float *s,
                           size_t lds, size_t group_bytes, scores_block_fn block, const int NQ, const int NG)
{
    uint32_t g = 0;
    for (; g + (uint32_t)NG <= n_groups; g += (uint32_t)NG)
        block(q, ldq, hd, k + g * group_bytes, s + g * G, lds, NQ, NG);
    for (; g < n_groups; g++)
        block(q, ldq, hd, k + g * group_bytes, s + g * G, lds, NQ, 1);
}

DV_INLINE void scores(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const uint8_t *k, uint32_t n_groups,
                      float *s, size_t lds, size_t group_bytes, scores_block_fn block)
{
    uint32_t step;
    for (uint32_t i = 0; i < n_q; i += step, q += step * ldq, s += step * lds) {
        uint32_t left = n_q - i;
        step = left >= 8 ? 8 : left >= 6 ? 6 : left >= 4 ? 4 : left;
        switch (step) {
        case 1: scores_rows(q, ldq, hd, k, n_groups, s, lds, group_bytes, block, 1, 4); break;
        case 2: scores_rows(q, ldq, hd, k, n_groups, s, lds, group_bytes, block, 2, 4); break;
        case 3: scores_rows(q, ldq, hd, k, n_groups, s, lds, group_bytes, block, 3, 2); break;
        case 4: scores_rows(q, ldq, hd, k, n_groups, s, lds, group_bytes, block, 4, 2); break;
        case 6: scores_rows(q, ldq, hd, k, n_groups, s, lds, group_bytes, block, 6, 2); break;
        default: scores_rows(q, ldq, hd, k, n_groups, s, lds, group_bytes, block, 8, 2); break;
        }
    }
}

static void scores_f16(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                       float *s, size_t lds)
{
    scores(q, ldq, n_q, hd, k, n_groups, s, lds, (size_t)hd * G * 2, scores_f16_block);
}

static void scores_f32(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                       float *s, size_t lds)
{
    scores(q, ldq, n_q, hd, k, n_groups, s, lds, (size_t)hd * G * 4, scores_f32_block);
}

static void scores_q8(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups, float *s,
                      size_t lds)
{
    scores(q, ldq, n_q, hd, k, n_groups, s, lds, (size_t)(hd / B) * G * (B + 2), scores_q8_block);
}

/* --- values: NQ rows, NV vectors of 16 elements of the head --- */

DV_INLINE void values_plain_block(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                                  size_t ldo, const int NQ, const int NV, load_fn load, const size_t width)
{
    __m512 acc[MAX_Q][8], x[8];
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(8)
        for (int j = 0; j < NV; j++)
            acc[i][j] = _mm512_loadu_ps(out + (size_t)i * ldo + 16 * j);
    }
    for (uint32_t pos = 0; pos < n_pos; pos++, v += hd * width) {
        UNROLL(8)
        for (int j = 0; j < NV; j++)
            x[j] = load(v + 16 * (size_t)j * width);
        UNROLL(8)
        for (int i = 0; i < NQ; i++) {
            __m512 f = _mm512_set1_ps(p[(size_t)i * ldp + pos]);
            UNROLL(8)
            for (int j = 0; j < NV; j++)
                acc[i][j] = _mm512_fmadd_ps(f, x[j], acc[i][j]);
        }
    }
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(8)
        for (int j = 0; j < NV; j++)
            _mm512_storeu_ps(out + (size_t)i * ldo + 16 * j, acc[i][j]);
    }
}

DV_INLINE void values_f16_block(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                                size_t ldo, const int NQ, const int NV)
{
    values_plain_block(p, ldp, hd, v, n_pos, out, ldo, NQ, NV, load_f16, 2);
}

DV_INLINE void values_f32_block(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                                size_t ldo, const int NQ, const int NV)
{
    values_plain_block(p, ldp, hd, v, n_pos, out, ldo, NQ, NV, load_f32, 4);
}

/* NV is even: blocks of 32 elements are two vectors and share a scale. */
DV_INLINE void values_q8_block(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                               size_t ldo, const int NQ, const int NV)
{
    __m512 acc[MAX_Q][8], x[8], scale[4];
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(8)
        for (int j = 0; j < NV; j++)
            acc[i][j] = _mm512_loadu_ps(out + (size_t)i * ldo + 16 * j);
    }
    for (uint32_t pos = 0; pos < n_pos; pos++, v += hd / B * (B + 2)) {
        UNROLL(8)
        for (int j = 0; j < NV; j++) {
            const uint8_t *block = v + j / 2 * (B + 2);
            int16_t h;
            memcpy(&h, block, sizeof h);
            if (j % 2 == 0)
                scale[j / 2] = _mm512_cvtph_ps(_mm256_set1_epi16(h));
            x[j] = load_i8(block + 2 + j % 2 * 16);
        }
        UNROLL(8)
        for (int i = 0; i < NQ; i++) {
            __m512 f = _mm512_set1_ps(p[(size_t)i * ldp + pos]);
            UNROLL(4)
            for (int j = 0; j < NV / 2; j++) {
                __m512 fs = _mm512_mul_ps(f, scale[j]);
                acc[i][2 * j] = _mm512_fmadd_ps(fs, x[2 * j], acc[i][2 * j]);
                acc[i][2 * j + 1] = _mm512_fmadd_ps(fs, x[2 * j + 1], acc[i][2 * j + 1]);
            }
        }
    }
    UNROLL(8)
    for (int i = 0; i < NQ; i++) {
        UNROLL(8)
        for (int j = 0; j < NV; j++)
            _mm512_storeu_ps(out + (size_t)i * ldo + 16 * j, acc[i][j]);
    }
}

typedef void (*values_block_fn)(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                                size_t ldo, int NQ, int NV);

/* The whole head for NQ rows: NV vectors at a time, then LEAST at a time. v_bytes: of LEAST vectors. */
DV_INLINE void values_rows(const float *p, size_t ldp, uint32_t hd, const uint8_t *v, uint32_t n_pos, float *out,
                           size_t ldo, size_t v_bytes, values_block_fn block, const int NQ, const int NV,
                           const int LEAST)
{
    uint32_t d = 0;
    for (; d + 16 * (uint32_t)NV <= hd; d += 16 * (uint32_t)NV, v += (size_t)(NV / LEAST) * v_bytes)
        block(p, ldp, hd, v, n_pos, out + d, ldo, NQ, NV);
    for (; d < hd; d += 16 * (uint32_t)LEAST, v += v_bytes)
        block(p, ldp, hd, v, n_pos, out + d, ldo, NQ, LEAST);
}

DV_INLINE void values(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const uint8_t *v, uint32_t n_pos,
                      float *out, size_t ldo, size_t v_bytes, values_block_fn block, const int LEAST)
{
    uint32_t step;
    for (uint32_t i = 0; i < n_q; i += step, p += step * ldp, out += step * ldo) {
        uint32_t left = n_q - i;
        step = left >= 8 ? 8 : left >= 6 ? 6 : left >= 4 ? 4 : left;
        switch (step) {
        case 1: values_rows(p, ldp, hd, v, n_pos, out, ldo, v_bytes, block, 1, 8, LEAST); break;
        case 2: values_rows(p, ldp, hd, v, n_pos, out, ldo, v_bytes, block, 2, 8, LEAST); break;
        case 3: values_rows(p, ldp, hd, v, n_pos, out, ldo, v_bytes, block, 3, 4, LEAST); break;
        case 4: values_rows(p, ldp, hd, v, n_pos, out, ldo, v_bytes, block, 4, 4, LEAST); break;
        case 6: values_rows(p, ldp, hd, v, n_pos, out, ldo, v_bytes, block, 6, 2, LEAST); break;
        default: values_rows(p, ldp, hd, v, n_pos, out, ldo, v_bytes, block, 8, 2, LEAST); break;
        }
    }
}

static void values_f16(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                       uint32_t n_pos, float *out, size_t ldo)
{
    values(p, ldp, n_q, hd, (const uint8_t *)v + (size_t)first * hd * 2, n_pos, out, ldo, 32, values_f16_block, 1);
}

static void values_f32(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                       uint32_t n_pos, float *out, size_t ldo)
{
    values(p, ldp, n_q, hd, (const uint8_t *)v + (size_t)first * hd * 4, n_pos, out, ldo, 64, values_f32_block, 1);
}

static void values_q8(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                      uint32_t n_pos, float *out, size_t ldo)
{
    values(p, ldp, n_q, hd, (const uint8_t *)v + (size_t)first * (hd / B * (B + 2)), n_pos, out, ldo, B + 2,
           values_q8_block, 2);
}

void dv__attn_init_avx512(dv_kern *k)
{
    k->attn_scores[DV_KV_F16] = scores_f16;
    k->attn_scores[DV_KV_Q8_0] = scores_q8;
    k->attn_scores[DV_KV_F32] = scores_f32;
    k->attn_values[DV_KV_F16] = values_f16;
    k->attn_values[DV_KV_Q8_0] = values_q8;
    k->attn_values[DV_KV_F32] = values_f32;
}
