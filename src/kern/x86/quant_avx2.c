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

/* The block's 64 elements from at on, x the first of them: q, four s16, two s32. */
DV_INLINE void act_64(const float *x, uint32_t at, __m256 f, dv_act_block *out)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1, 4, 5, 2, 3, 6, 7,
                                           8, 9, 12, 13, 10, 11, 14, 15);
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256 limit = _mm256_set1_ps(32767.0f);
    __m256i s[4];
    DV_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        __m256i q = quant16(x + 16 * i, f, limit);
        _mm256_storeu_si256((__m256i *)(out->q + at + 16 * i), _mm256_shuffle_epi8(q, order));
        s[i] = _mm256_madd_epi16(q, ones);
    }
    __m256i h = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    _mm_storeu_ps(out->s16 + at / 16, _mm_cvtepi32_ps(sum));
    _mm_storel_pi((__m64 *)(out->s32 + at / 32), _mm_cvtepi32_ps(_mm_hadd_epi32(sum, sum)));
}

/* n elements of one block, a multiple of 32. */
static void act_block(const float *x, uint32_t n, dv_act_block *out)
{
    float max = dv__abs_max8(x, n), inv = 32767.0f / max, rest[64];
    if (!isfinite(max) || !isfinite(inv)) {
        memset(out, 0, sizeof *out);
        out->d = isfinite(max) ? 0.0f : NAN;
        return;
    }
    const __m256 f = _mm256_set1_ps(inv);
    uint32_t at = 0;
    out->d = max / 32767.0f;
    for (; at + 64 <= n; at += 64)
        act_64(x + at, at, f, out);
    if (at == DV_SB)
        return;
    memset(out->q + at, 0, (DV_SB - at) * sizeof *out->q);
    memset(out->s16 + at / 16, 0, (DV_SB - at) / 16 * sizeof *out->s16);
    memset(out->s32 + at / 32, 0, (DV_SB - at) / 32 * sizeof *out->s32);
    if (at < n) {
        memcpy(rest, x + at, 32 * sizeof *rest);
        memset(rest + 32, 0, 32 * sizeof *rest);
        act_64(rest, at, f, out);
    }
}

void dv__quant_act_avx2(const float *x, uint32_t n, dv_act_block *out, size_t stride)
{
    for (uint32_t at = 0; at < n; at += DV_SB, out += stride)
        act_block(x + at, DV_MIN(n - at, (uint32_t)DV_SB), out);
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
