/* SPDX-License-Identifier: MIT */
/* Storing a position in the KV cache with AVX-512. V lies as it comes; K is interleaved by 16 positions, so its
 * converted elements are written one by one, 16 (q8_0) or 32 (f16) bytes apart. f32 converts nothing: the C reference
 * copies as fast. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { G = DV_KV_GROUP, B = DV_KV_Q8_BLOCK };

DV_INLINE __m256i f16_from(const float *x)
{
    return _mm512_cvtps_ph(_mm512_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static void store_k_f16(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint8_t *k = (uint8_t *)kv + 2 * ((size_t)(pos / G) * hd * G + pos % G);
    for (uint32_t d = 0; d < hd; d += 16) {
        DV_ALIGNED(32) uint16_t h[16];
        _mm256_store_si256((__m256i *)h, f16_from(x + d));
        UNROLL(16)
        for (uint32_t i = 0; i < 16; i++)
            memcpy(k + 2 * (size_t)(d + i) * G, &h[i], 2);
    }
}

static void store_v_f16(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint8_t *v = (uint8_t *)kv + 2 * (size_t)pos * hd;
    for (uint32_t d = 0; d < hd; d += 16)
        _mm256_storeu_si256((__m256i *)(v + 2 * d), f16_from(x + d));
}

/* 32 elements: their scale as f16, returned, and their rounded quotients. */
DV_INLINE uint16_t quant_block(const float *x, int8_t q[B])
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    __m512i top = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                                   _mm512_and_si512(_mm512_castps_si512(b), magnitude));
    float max = _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_set1_epi32(_mm512_reduce_max_epi32(top))));
    uint16_t h = (uint16_t)_cvtss_sh(max / 127.0f, _MM_FROUND_TO_NEAREST_INT);
    float scale = _cvtsh_ss(h);
    if (!(scale > 0.0f) || !isfinite(scale)) {
        memset(q, 0, B);
        return h;
    }
    const __m512 inv = _mm512_set1_ps(1.0f / scale), hi = _mm512_set1_ps(127.0f), lo = _mm512_set1_ps(-127.0f);
    __m512i qa = _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(_mm512_mul_ps(a, inv), hi), lo));
    __m512i qb = _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(_mm512_mul_ps(b, inv), hi), lo));
    _mm_storeu_si128((__m128i *)q, _mm512_cvtepi32_epi8(qa));
    _mm_storeu_si128((__m128i *)(q + 16), _mm512_cvtepi32_epi8(qb));
    return h;
}

static void store_k_q8(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    const size_t block = (size_t)G * (B + 2);
    uint8_t *k = (uint8_t *)kv + (size_t)(pos / G) * (hd / B) * block;
    for (uint32_t d = 0; d < hd; d += B, k += block) {
        int8_t q[B];
        uint16_t h = quant_block(x + d, q);
        memcpy(k + 2 * (pos % G), &h, 2);
        UNROLL(32)
        for (uint32_t i = 0; i < B; i++)
            k[2 * G + i * G + pos % G] = (uint8_t)q[i];
    }
}

static void store_v_q8(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint8_t *v = (uint8_t *)kv + (size_t)pos * (hd / B) * (B + 2);
    for (uint32_t d = 0; d < hd; d += B, v += B + 2) {
        int8_t q[B];
        uint16_t h = quant_block(x + d, q);
        memcpy(v, &h, 2);
        memcpy(v + 2, q, B);
    }
}

void dv__kv_init_avx512(dv_kern *k)
{
    k->store_k[DV_KV_F16] = store_k_f16;
    k->store_k[DV_KV_Q8_0] = store_k_q8;
    k->store_v[DV_KV_F16] = store_v_f16;
    k->store_v[DV_KV_Q8_0] = store_v_q8;
}
