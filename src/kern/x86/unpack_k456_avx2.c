/* SPDX-License-Identifier: MIT */
/* Unpack Q4_K, Q5_K and Q6_K tiles, AVX2. Block layouts: decode.c. */
#include "kern/x86/tile_avx2.h"

/* The 16-byte header of Q4_K and Q5_K: f16 d, f16 dmin, then 8 scales and 8 offsets of 6 bits in 12 bytes. */
DV_INLINE void k45_scales(const uint8_t *const p[8], dv_tile *t, unsigned r0)
{
    __m256i h[4], sc[2], mn[2];
    dv__load_t4(p, 0, h);
    __m256 d = dv__f16_low(h[0]), neg_dmin = _mm256_xor_ps(dv__f16_high(h[0]), _mm256_set1_ps(-0.0f));
    __m256i m6 = _mm256_set1_epi8(0x3f), m4 = _mm256_set1_epi8(0x0f), m2 = _mm256_set1_epi8(0x30);
    sc[0] = _mm256_and_si256(h[1], m6);
    mn[0] = _mm256_and_si256(h[2], m6);
    sc[1] = _mm256_or_si256(_mm256_and_si256(h[3], m4), _mm256_and_si256(_mm256_srli_epi16(h[1], 2), m2));
    mn[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(h[3], 4), m4),
                            _mm256_and_si256(_mm256_srli_epi16(h[2], 2), m2));
    for (unsigned b = 0; b < 8; b++) {
        _mm256_store_ps(t->d[b] + r0, _mm256_mul_ps(d, dv__byte_ps(sc[b / 4], b % 4)));
        _mm256_store_ps(t->m[b] + r0, _mm256_mul_ps(neg_dmin, dv__byte_ps(mn[b / 4], b % 4)));
    }
}

DV_INLINE void q4k_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i m4 = _mm256_set1_epi16(0x0f);
    k45_scales(p, t, r0);
    /* Each 16 bytes: 16 elements of one sub-block in the low nibbles, of the next sub-block in the high ones. */
    for (unsigned h = 0; h < 8; h++) {
        unsigned pair = h / 2 * 32 + h % 2 * 8;
        __m256i v[4];
        dv__load_t4(p, 16 + 16 * h, v);
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            dv__put_q(t, pair + 2 * j, r0, _mm256_and_si256(v[j], m4));
            dv__put_q(t, pair + 2 * j + 1, r0, _mm256_and_si256(_mm256_srli_epi16(v[j], 8), m4));
            dv__put_q(t, pair + 2 * j + 16, r0, _mm256_and_si256(_mm256_srli_epi16(v[j], 4), m4));
            dv__put_q(t, pair + 2 * j + 17, r0, _mm256_srli_epi16(v[j], 12));
        }
    }
}

void dv__unpack_q4_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, true, q4k_group);
}

/* 64 elements from 16 + 16 nibbles bytes and the fifth bits: bit 2c of qh for the low nibbles, bit 2c + 1 for the high
 * ones. */
DV_INLINE void q5k_half(const uint8_t *const p[8], dv_tile *t, unsigned r0, unsigned half)
{
    __m256i m4 = _mm256_set1_epi8(0x0f), m1 = _mm256_set1_epi8(0x10), h[4];
    dv__load_t4(p, 16 + 16 * half, h);
    for (unsigned c = 0; c < 4; c++) {
        unsigned pair = 32 * c + 8 * half;
        __m256i v[4];
        dv__load_t4(p, 48 + 32 * c + 16 * half, v);
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            __m256i lo_bit = _mm256_and_si256(_mm256_slli_epi32(h[j], 4), m1),
                    hi_bit = _mm256_and_si256(_mm256_slli_epi32(h[j], 3), m1);
            dv__put_u8(t, pair + 2 * j, r0, _mm256_or_si256(_mm256_and_si256(v[j], m4), lo_bit));
            dv__put_u8(t, pair + 2 * j + 16, r0,
                       _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(v[j], 4), m4), hi_bit));
            h[j] = _mm256_srli_epi32(h[j], 2);
        }
    }
}

DV_INLINE void q5k_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    k45_scales(p, t, r0);
    for (unsigned half = 0; half < 2; half++)
        q5k_half(p, t, r0, half);
}

void dv__unpack_q5_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, true, q5k_group);
}

/* Part `part` of 4: 64 elements, at 16 * (part % 2) in each of the four 32-element sub-blocks of half part / 2. */
DV_INLINE void q6k_part(const uint8_t *const p[8], dv_tile *t, unsigned r0, unsigned part)
{
    unsigned n = part / 2, l = part % 2 * 16, pair = 64 * n + l / 2;
    __m256i m4 = _mm256_set1_epi8(0x0f), m2 = _mm256_set1_epi8(0x30), off = _mm256_set1_epi8(32), a[4], b[4], h[4];
    dv__load_t4(p, 64 * n + l, a);
    dv__load_t4(p, 64 * n + 32 + l, b);
    dv__load_t4(p, 128 + 32 * n + l, h);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        __m256i q0 = _mm256_or_si256(_mm256_and_si256(a[j], m4), _mm256_and_si256(_mm256_slli_epi16(h[j], 4), m2));
        __m256i q1 = _mm256_or_si256(_mm256_and_si256(b[j], m4), _mm256_and_si256(_mm256_slli_epi16(h[j], 2), m2));
        __m256i q2 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a[j], 4), m4), _mm256_and_si256(h[j], m2));
        __m256i q3 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b[j], 4), m4),
                                     _mm256_and_si256(_mm256_srli_epi16(h[j], 2), m2));
        dv__put_s8(t, pair + 2 * j, r0, _mm256_sub_epi8(q0, off));
        dv__put_s8(t, pair + 2 * j + 16, r0, _mm256_sub_epi8(q1, off));
        dv__put_s8(t, pair + 2 * j + 32, r0, _mm256_sub_epi8(q2, off));
        dv__put_s8(t, pair + 2 * j + 48, r0, _mm256_sub_epi8(q3, off));
    }
}

DV_INLINE void q6k_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i sc[4];
    __m256 d = dv__load_f16x8(p, 208);
    dv__load_t4(p, 192, sc);
    for (unsigned b = 0; b < 16; b++)
        _mm256_store_ps(t->d[b] + r0, _mm256_mul_ps(d, dv__sbyte_ps(sc[b / 4], b % 4)));
    for (unsigned part = 0; part < 4; part++)
        q6k_part(p, t, r0, part);
}

void dv__unpack_q6_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 16, false, q6k_group);
}
