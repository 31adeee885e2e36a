/* SPDX-License-Identifier: MIT */
/* Unpack Q2_K and Q3_K, AVX2. Block layouts: decode.c. */
#include "kern/x86/tile_avx2.h"

enum { B_Q2_K = 84, B_Q3_K = 110 };

/* Q2_K: 16 bytes of scale (low nibble) and offset (high nibble), 64 bytes of 2-bit values, f16 d, f16 dmin. */
DV_INLINE void q2k_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    __m256i s[4], dm = dv__load_u32x8(w + 80, row_bytes), m2 = _mm256_set1_epi8(0x03);
    __m256 d = dv__f16_low(dm), neg_dmin = _mm256_xor_ps(dv__f16_high(dm), _mm256_set1_ps(-0.0f));
    dv__load_t4(w, row_bytes, s);
    DV_UNROLL
    for (unsigned b = 0; b < 16; b++) {
        dv__put_d(o, b, _mm256_mul_ps(d, dv__byte_ps(dv__low_nibbles(s[b / 4]), b % 4)));
        dv__put_m(o, b, _mm256_mul_ps(neg_dmin, dv__byte_ps(dv__high_nibbles(s[b / 4]), b % 4)));
    }
    for (unsigned part = 0; part < 4; part++) {
        __m256i v[4], q[4];
        dv__fetch(o, part, 2);
        dv__load_t4(w + 16 + 16 * part, row_bytes, v);
        DV_UNROLL
        for (unsigned k = 0; k < 4; k++) {
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++)
                q[j] = _mm256_and_si256(_mm256_srli_epi16(v[j], (int)(2 * k)), m2);
            dv__put_group(o, part / 2 * 8 + part % 2 + 2 * k, q);
        }
    }
}
DV__UNPACK_DEFINE(q2_k, q2k_rows, DV_SHAPE_16M, 0, DV__DOT_SUM, 256, B_Q2_K)

/* d * (scale - 32); 16 scales of 6 bits in 12 bytes: low nibbles of 8 bytes, high nibbles, then 2 upper bits each. */
DV_INLINE void q3k_scales(const uint8_t *w, size_t row_bytes, const dv__dest o)
{
    __m256i lo[4], x[4], sc[4], m2 = _mm256_set1_epi8(0x30), off = _mm256_set1_epi8(32);
    dv__load_t4(w + 94, row_bytes, lo); /* two bytes early, because 16 bytes at 96 would leave the block */
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        x[j] = j == 3 ? _mm256_srli_epi32(lo[3], 16)
                      : _mm256_or_si256(_mm256_srli_epi32(lo[j], 16), _mm256_slli_epi32(lo[j + 1], 16));
    __m256 d = dv__f16_low(x[3]);
    sc[0] = _mm256_or_si256(dv__low_nibbles(x[0]), _mm256_and_si256(_mm256_slli_epi16(x[2], 4), m2));
    sc[1] = _mm256_or_si256(dv__low_nibbles(x[1]), _mm256_and_si256(_mm256_slli_epi16(x[2], 2), m2));
    sc[2] = _mm256_or_si256(dv__high_nibbles(x[0]), _mm256_and_si256(x[2], m2));
    sc[3] = _mm256_or_si256(dv__high_nibbles(x[1]), _mm256_and_si256(_mm256_srli_epi16(x[2], 2), m2));
    DV_UNROLL
    for (unsigned b = 0; b < 16; b++)
        dv__put_d(o, b, _mm256_mul_ps(d, dv__sbyte_ps(_mm256_sub_epi8(sc[b / 4], off), b % 4)));
}

/* Bit 4n + k of hmask belongs to the k-th sub-block of 32 of half n, whose 2-bit values are in bits 2k of 32 bytes. */
DV_INLINE void q3k_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    const __m256i m2 = _mm256_set1_epi8(0x03), m1 = _mm256_set1_epi8(0x04);
    q3k_scales(w, row_bytes, o);
    for (unsigned part = 0; part < 4; part++) {
        unsigned n = part / 2, l = part % 2 * 16;
        __m256i v[4], h[4], q[4];
        dv__fetch(o, part, 2);
        dv__load_t4(w + l, row_bytes, h);
        dv__load_t4(w + 32 + 32 * n + l, row_bytes, v);
        /* The third bit moves from bit 4n + k to bit 2 of its byte. */
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++)
            h[j] = n == 0 ? _mm256_slli_epi32(h[j], 2) : _mm256_srli_epi32(h[j], 2);
        DV_UNROLL
        for (unsigned k = 0; k < 4; k++) {
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++)
                q[j] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(v[j], (int)(2 * k)), m2),
                                       _mm256_and_si256(_mm256_srli_epi32(h[j], (int)k), m1));
            dv__put_group(o, 8 * n + part % 2 + 2 * k, q);
        }
    }
}
DV__UNPACK_DEFINE(q3_k, q3k_rows, DV_SHAPE_16, 2, DV__DOT_SUM, 256, B_Q3_K)
