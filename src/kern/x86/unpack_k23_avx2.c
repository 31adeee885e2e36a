/* SPDX-License-Identifier: MIT */
/* Unpack Q2_K and Q3_K tiles, AVX2. Block layouts: decode.c. */
#include "kern/x86/tile_avx2.h"

/* Q2_K: 16 bytes of scale (low nibble) and offset (high nibble), 64 bytes of 2-bit values, f16 d, f16 dmin. */
DV_INLINE void q2k_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i s[4], dm = dv__load_u32x8(p, 80), m4 = _mm256_set1_epi8(0x0f), m2 = _mm256_set1_epi8(0x03);
    __m256 d = dv__f16_low(dm), neg_dmin = _mm256_xor_ps(dv__f16_high(dm), _mm256_set1_ps(-0.0f));
    dv__load_t4(p, 0, s);
    for (unsigned b = 0; b < 16; b++) {
        __m256i sc = _mm256_and_si256(s[b / 4], m4), mn = _mm256_and_si256(_mm256_srli_epi16(s[b / 4], 4), m4);
        _mm256_store_ps(t->d[b] + r0, _mm256_mul_ps(d, dv__byte_ps(sc, b % 4)));
        _mm256_store_ps(t->m[b] + r0, _mm256_mul_ps(neg_dmin, dv__byte_ps(mn, b % 4)));
    }
    for (unsigned part = 0; part < 4; part++) {
        unsigned pair = part / 2 * 64 + part % 2 * 8;
        __m256i v[4];
        dv__load_t4(p, 16 + 16 * part, v);
        for (unsigned k = 0; k < 4; k++) {
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++) {
                dv__put_u8(t, pair + 16 * k + 2 * j, r0, _mm256_and_si256(v[j], m2));
                v[j] = _mm256_srli_epi16(v[j], 2);
            }
        }
    }
}

void dv__unpack_q2_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 16, true, q2k_group);
}

/* d * (scale - 32); 16 scales of 6 bits in 12 bytes: low nibbles of 8 bytes, high nibbles, then 2 upper bits each. */
DV_INLINE void q3k_scales(const uint8_t *const p[8], dv_tile *t, unsigned r0)
{
    __m256i lo[4], x[4], sc[4], m4 = _mm256_set1_epi8(0x0f), m2 = _mm256_set1_epi8(0x30), off = _mm256_set1_epi8(32);
    dv__load_t4(p, 94, lo); /* two bytes early, because 16 bytes at 96 would leave the block */
    for (unsigned j = 0; j < 4; j++)
        x[j] = j == 3 ? _mm256_srli_epi32(lo[3], 16)
                      : _mm256_or_si256(_mm256_srli_epi32(lo[j], 16), _mm256_slli_epi32(lo[j + 1], 16));
    __m256 d = dv__f16_low(x[3]);
    sc[0] = _mm256_or_si256(_mm256_and_si256(x[0], m4), _mm256_and_si256(_mm256_slli_epi16(x[2], 4), m2));
    sc[1] = _mm256_or_si256(_mm256_and_si256(x[1], m4), _mm256_and_si256(_mm256_slli_epi16(x[2], 2), m2));
    sc[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(x[0], 4), m4), _mm256_and_si256(x[2], m2));
    sc[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(x[1], 4), m4),
                            _mm256_and_si256(_mm256_srli_epi16(x[2], 2), m2));
    for (unsigned b = 0; b < 16; b++)
        _mm256_store_ps(t->d[b] + r0, _mm256_mul_ps(d, dv__sbyte_ps(_mm256_sub_epi8(sc[b / 4], off), b % 4)));
}

/* 64 elements from 16 bytes of 2-bit values; bit 4 * (part / 2) + k of hmask says "do not subtract 4" for the k-th
 * sub-block of 32. */
DV_INLINE void q3k_part(const uint8_t *const p[8], dv_tile *t, unsigned r0, unsigned part)
{
    unsigned n = part / 2, l = part % 2 * 16, pair = 64 * n + l / 2;
    __m256i m2 = _mm256_set1_epi8(0x03), m1 = _mm256_set1_epi8(0x04), v[4], h[4];
    dv__load_t4(p, l, h);
    dv__load_t4(p, 32 + 32 * n + l, v);
    /* The third bit moves from bit 4n + k to bit 2 of its byte; then q = bits - 4. */
    for (unsigned j = 0; j < 4; j++)
        h[j] = n == 0 ? _mm256_slli_epi32(h[j], 2) : _mm256_srli_epi32(h[j], 2);
    for (unsigned k = 0; k < 4; k++) {
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            __m256i q = _mm256_or_si256(_mm256_and_si256(v[j], m2), _mm256_and_si256(h[j], m1));
            dv__put_s8(t, pair + 16 * k + 2 * j, r0, _mm256_sub_epi8(q, m1));
            v[j] = _mm256_srli_epi16(v[j], 2);
            h[j] = _mm256_srli_epi32(h[j], 1);
        }
    }
}

DV_INLINE void q3k_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    q3k_scales(p, t, r0);
    for (unsigned part = 0; part < 4; part++)
        q3k_part(p, t, r0, part);
}

void dv__unpack_q3_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 16, false, q3k_group);
}
