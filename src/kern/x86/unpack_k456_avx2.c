/* SPDX-License-Identifier: MIT */
/* Unpack Q4_K, Q5_K and Q6_K, AVX2. Block layouts: decode.c. */
#include "kern/x86/tile_avx2.h"

enum { B_Q4_K = 144, B_Q5_K = 176, B_Q6_K = 210 };

/* The 16-byte header of Q4_K and Q5_K: f16 d, f16 dmin, then 8 scales and 8 offsets of 6 bits in 12 bytes. */
DV_INLINE void k45_scales(const uint8_t *w, size_t row_bytes, const dv__dest o)
{
    __m256i h[4], sc[2], mn[2];
    dv__load_t4(w, row_bytes, h);
    __m256 d = dv__f16_low(h[0]), neg_dmin = _mm256_xor_ps(dv__f16_high(h[0]), _mm256_set1_ps(-0.0f));
    __m256i m6 = _mm256_set1_epi8(0x3f), m2 = _mm256_set1_epi8(0x30);
    sc[0] = _mm256_and_si256(h[1], m6);
    mn[0] = _mm256_and_si256(h[2], m6);
    sc[1] = _mm256_or_si256(dv__low_nibbles(h[3]), _mm256_and_si256(_mm256_srli_epi16(h[1], 2), m2));
    mn[1] = _mm256_or_si256(dv__high_nibbles(h[3]), _mm256_and_si256(_mm256_srli_epi16(h[2], 2), m2));
    DV_UNROLL
    for (unsigned b = 0; b < 8; b++) {
        dv__put_d(o, b, _mm256_mul_ps(d, dv__byte_ps(sc[b / 4], b % 4)));
        dv__put_m(o, b, _mm256_mul_ps(neg_dmin, dv__byte_ps(mn[b / 4], b % 4)));
    }
}

/* Each 16 bytes: 16 elements of one sub-block in the low nibbles, of the next sub-block in the high ones. */
DV_INLINE void q4k_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    k45_scales(w, row_bytes, o);
    for (unsigned h = 0; h < 8; h++) {
        unsigned g = h / 2 * 4 + h % 2;
        __m256i v[4], q[4];
        dv__fetch(o, h, 1);
        dv__load_t4(w + 16 + 16 * h, row_bytes, v);
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++)
            q[j] = dv__low_nibbles(v[j]);
        dv__put_group(o, g, q);
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++)
            q[j] = dv__high_nibbles(v[j]);
        dv__put_group(o, g + 2, q);
    }
}
DV__UNPACK_DEFINE(q4_k, q4k_rows, DV_SHAPE_32M, 0, DV__DOT_SUM, 256, B_Q4_K)

/* 64 elements from 16 + 16 bytes of nibbles and the fifth bits: bit 2c of qh for the low nibbles, bit 2c + 1 for the high ones. */
DV_INLINE void q5k_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    const __m256i m1 = _mm256_set1_epi8(0x10);
    k45_scales(w, row_bytes, o);
    for (unsigned half = 0; half < 2; half++) {
        __m256i h[4];
        dv__load_t4(w + 16 + 16 * half, row_bytes, h);
        for (unsigned c = 0; c < 4; c++) {
            __m256i v[4], q[4];
            dv__fetch(o, 4 * half + c, 1);
            dv__load_t4(w + 48 + 32 * c + 16 * half, row_bytes, v);
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++)
                q[j] = _mm256_or_si256(dv__low_nibbles(v[j]), _mm256_and_si256(_mm256_slli_epi32(h[j], 4), m1));
            dv__put_group(o, 4 * c + half, q);
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++) {
                q[j] = _mm256_or_si256(dv__high_nibbles(v[j]), _mm256_and_si256(_mm256_slli_epi32(h[j], 3), m1));
                h[j] = _mm256_srli_epi32(h[j], 2);
            }
            dv__put_group(o, 4 * c + half + 2, q);
        }
    }
}
DV__UNPACK_DEFINE(q5_k, q5k_rows, DV_SHAPE_32M, 0, DV__DOT_SUM, 256, B_Q5_K)

/* Part `part` of 4: 64 elements, at 16 * (part % 2) in each of the four 32-element runs of half part / 2. */
DV_INLINE void q6k_part(const uint8_t *w, size_t row_bytes, const dv__dest o, unsigned part)
{
    unsigned n = part / 2, l = part % 2 * 16, g = 8 * n + part % 2;
    const __m256i m2 = _mm256_set1_epi8(0x30);
    __m256i a[4], b[4], h[4], q[4];
    dv__load_t4(w + 128 + 32 * n + l, row_bytes, h);
    dv__load_t4(w + 64 * n + l, row_bytes, a);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_or_si256(dv__low_nibbles(a[j]), _mm256_and_si256(_mm256_slli_epi16(h[j], 4), m2));
    dv__put_group(o, g, q);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_or_si256(dv__high_nibbles(a[j]), _mm256_and_si256(h[j], m2));
    dv__put_group(o, g + 4, q);
    dv__load_t4(w + 64 * n + 32 + l, row_bytes, b);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_or_si256(dv__low_nibbles(b[j]), _mm256_and_si256(_mm256_slli_epi16(h[j], 2), m2));
    dv__put_group(o, g + 2, q);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_or_si256(dv__high_nibbles(b[j]), _mm256_and_si256(_mm256_srli_epi16(h[j], 2), m2));
    dv__put_group(o, g + 6, q);
}

DV_INLINE void q6k_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    __m256i sc[4];
    __m256 d = dv__load_f16x8(w + 208, row_bytes);
    dv__load_t4(w + 192, row_bytes, sc);
    DV_UNROLL
    for (unsigned b = 0; b < 16; b++)
        dv__put_d(o, b, _mm256_mul_ps(d, dv__sbyte_ps(sc[b / 4], b % 4)));
    for (unsigned part = 0; part < 4; part++) {
        dv__fetch(o, part, 2);
        q6k_part(w, row_bytes, o, part);
    }
}
DV__UNPACK_DEFINE(q6_k, q6k_rows, DV_SHAPE_16, 5, DV__DOT_LANES, 256, B_Q6_K)
