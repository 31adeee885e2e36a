/* SPDX-License-Identifier: MIT */
/* Quantisation of activations and of KV cache entries, AVX2 + F16C. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"
#include "kern/x86/math_avx2.h"

#include <math.h>
#include <string.h>

/* 16 elements as 16-bit integers in their order. */
DV_INLINE __m256i quant16(const float *x, __m256 f, __m256 limit)
{
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(dv__quant8(x, f, limit), dv__quant8(x + 8, f, limit)), 0xd8);
}

/* Largest |x| of each of 8 groups, as integers (see dv__abs_max8). */
DV_INLINE __m256i max_of_groups(const float *x)
{
    const __m256i abs = _mm256_set1_epi32(0x7fffffff);
    __m256i m[8];
    DV_UNROLL
    for (uint32_t i = 0; i < 8; i++)
        m[i] = _mm256_max_epi32(_mm256_and_si256(abs, _mm256_loadu_si256((const __m256i *)(x + 16 * i))),
                                _mm256_and_si256(abs, _mm256_loadu_si256((const __m256i *)(x + 16 * i + 8))));
    /* Lanes of two vectors become neighbours, until lane i of one vector is what is left of vector i. */
    DV_UNROLL
    for (uint32_t i = 0; i < 8; i += 2)
        m[i] = _mm256_max_epi32(_mm256_unpacklo_epi32(m[i], m[i + 1]), _mm256_unpackhi_epi32(m[i], m[i + 1]));
    DV_UNROLL
    for (uint32_t i = 0; i < 8; i += 4)
        m[i] = _mm256_max_epi32(_mm256_unpacklo_epi64(m[i], m[i + 2]), _mm256_unpackhi_epi64(m[i], m[i + 2]));
    return _mm256_max_epi32(_mm256_permute2x128_si256(m[0], m[4], 0x20), _mm256_permute2x128_si256(m[0], m[4], 0x31));
}

/* 32 elements, two groups with the factors f[0] and f[1]. */
DV_INLINE __m256i quant32(const float *x, const float *f)
{
    const __m256 limit = _mm256_set1_ps(127.0f), f0 = _mm256_broadcast_ss(f), f1 = _mm256_broadcast_ss(f + 1);
    __m256i a = _mm256_packs_epi32(dv__quant8(x, f0, limit), dv__quant8(x + 8, f0, limit));
    __m256i b = _mm256_packs_epi32(dv__quant8(x + 16, f1, limit), dv__quant8(x + 24, f1, limit));
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Minus the sums of 8 groups. */
DV_INLINE __m256i neg_sums(const int8_t *q)
{
    const __m256i one8 = _mm256_set1_epi8(1), minus1 = _mm256_set1_epi16(-1);
    __m256i s[4];
    DV_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        s[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(one8, _mm256_loadu_si256((const __m256i *)(q + 32 * i))), minus1);
    __m256i h = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
    return _mm256_permutevar8x32_epi32(h, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Groups g..g + 7 of a block, x the first of their 128 elements. */
DV_INLINE void act_128(const float *x, uint32_t g, dv_act_block *out)
{
    const __m256 inf = _mm256_set1_ps(INFINITY), c127 = _mm256_set1_ps(127.0f);
    __m256 max = _mm256_castsi256_ps(max_of_groups(x)), inv = _mm256_div_ps(c127, max);
    __m256 used = _mm256_cmp_ps(inv, inf, _CMP_LT_OQ), finite = _mm256_cmp_ps(max, inf, _CMP_LT_OQ);
    __m256 d = _mm256_and_ps(_mm256_div_ps(max, c127), used);
    d = _mm256_blendv_ps(_mm256_set1_ps(NAN), d, finite);
    float f[8];
    _mm256_storeu_ps(f, _mm256_and_ps(inv, used));
    DV_UNROLL
    for (uint32_t i = 0; i < 8; i += 2)
        _mm256_storeu_si256((__m256i *)(out->q + 16 * (g + i)), quant32(x + 16 * i, f + i));
    unsigned bad = ~(unsigned)_mm256_movemask_ps(finite) & 0xff;
    for (; DV_UNLIKELY(bad != 0); bad &= bad - 1)
        memset(out->q + 16 * (g + (unsigned)__builtin_ctz(bad)), 0, 16);
    __m256i neg = neg_sums(out->q + 16 * g);
    __m256 sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_setzero_si256(), neg)), s16 = _mm256_mul_ps(d, sum);
    _mm256_storeu_si256((__m256i *)(out->neg + g), neg);
    _mm256_storeu_ps(out->d + g, d);
    _mm256_storeu_ps(out->s16 + g, s16);
    /* Odd groups' d and sums move next to the even groups' s16. */
    __m256 s32 = _mm256_fmadd_ps(_mm256_movehdup_ps(d), _mm256_movehdup_ps(sum), s16);
    s32 = _mm256_permutevar8x32_ps(s32, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_storeu_ps(out->s32 + g / 2, _mm256_castps256_ps128(s32));
}

void dv__quant_act_avx2(const float *x, uint32_t n, dv_act_block *out, size_t stride)
{
    uint32_t at = 0;
    for (; at + DV_SB <= n; at += DV_SB, out += stride) {
        act_128(x + at, 0, out);
        act_128(x + at + DV_SB / 2, 8, out);
    }
    if (at < n) {
        float rest[DV_SB] = {0};
        memcpy(rest, x + at, (n - at) * sizeof *rest);
        act_128(rest, 0, out);
        act_128(rest + DV_SB / 2, 8, out);
    }
}

void dv__store_k_f16_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint16_t *k = (uint16_t *)kv + (size_t)(pos / DV_KV_GROUP) * hd * DV_KV_GROUP + pos % DV_KV_GROUP;
    for (uint32_t d = 0; d < hd; d += 8) {
        uint16_t h[8];
        _mm_storeu_si128((__m128i *)h, _mm256_cvtps_ph(_mm256_loadu_ps(x + d), _MM_FROUND_TO_NEAREST_INT));
        for (uint32_t i = 0; i < 8; i++)
            k[(size_t)(d + i) * DV_KV_GROUP] = h[i];
    }
}

void dv__store_v_f16_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint16_t *v = (uint16_t *)kv + (size_t)pos * hd;
    for (uint32_t d = 0; d < hd; d += 8)
        _mm_storeu_si128((__m128i *)(v + d), _mm256_cvtps_ph(_mm256_loadu_ps(x + d), _MM_FROUND_TO_NEAREST_INT));
}

/* 32 elements as signed bytes; returns their f16 scale. */
DV_INLINE uint16_t quant_q8(const float *x, int8_t q[DV_KV_Q8_BLOCK])
{
    __m128i h = _mm_cvtps_ph(_mm_set_ss(dv__abs_max8(x, DV_KV_Q8_BLOCK) / 127.0f), _MM_FROUND_TO_NEAREST_INT);
    float scale = _mm_cvtss_f32(_mm_cvtph_ps(h));
    if (scale > 0.0f && isfinite(scale)) {
        const __m256 f = _mm256_set1_ps(1.0f / scale), limit = _mm256_set1_ps(127.0f);
        __m256i v = _mm256_packs_epi16(quant16(x, f, limit), quant16(x + 16, f, limit));
        _mm256_storeu_si256((__m256i *)q, _mm256_permute4x64_epi64(v, 0xd8));
    } else {
        memset(q, 0, DV_KV_Q8_BLOCK);
    }
    return (uint16_t)_mm_extract_epi16(h, 0);
}

void dv__store_k_q8_0_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint8_t *b = (uint8_t *)kv + (size_t)(pos / DV_KV_GROUP) * (hd / DV_KV_Q8_BLOCK) * DV__K_Q8_BYTES;
    uint32_t lane = pos % DV_KV_GROUP;
    for (uint32_t at = 0; at < hd; at += DV_KV_Q8_BLOCK, b += DV__K_Q8_BYTES) {
        int8_t q[DV_KV_Q8_BLOCK];
        uint16_t h = quant_q8(x + at, q);
        memcpy(b + 2 * lane, &h, sizeof h);
        for (uint32_t i = 0; i < DV_KV_Q8_BLOCK; i++)
            b[2 * DV_KV_GROUP + DV_KV_GROUP * i + lane] = (uint8_t)q[i];
    }
}

void dv__store_v_q8_0_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint8_t *b = (uint8_t *)kv + (size_t)pos * (hd / DV_KV_Q8_BLOCK) * DV__V_Q8_BYTES;
    for (uint32_t at = 0; at < hd; at += DV_KV_Q8_BLOCK, b += DV__V_Q8_BYTES) {
        int8_t q[DV_KV_Q8_BLOCK];
        uint16_t h = quant_q8(x + at, q);
        memcpy(b, &h, sizeof h);
        memcpy(b + 2, q, sizeof q);
    }
}
