/* SPDX-License-Identifier: MIT */
/* Q2_K and Q3_K into tiles with AVX-512. Element 32 s + i of a half of 128 is bits 2s, 2s + 1 of the half's byte i. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/unpack_avx512.h"

/* Q2_K: 16 bytes of scale (low nibble) and offset (high), 2-bit elements [2][32], f16 d, f16 dmin. 84 bytes.
 * Weight = d * scale * q - dmin * offset. */
DV_INLINE void scales_q2_k(const uint8_t *p, size_t row_bytes, const uint32_t dm[16], const dest o)
{
    __m512i s[4], w = _mm512_load_si512(dm);
    words_16x4(p, row_bytes, s);
    /* A nibble stays where it is, a power of two times its value, and the factor is smaller by as much: exact. */
    __m512 d = low_f16(w), m = _mm512_mul_ps(high_f16(w), _mm512_set1_ps(-0x1p-4f));
    UNROLL(4)
    for (int j = 0; j < 4; j++) {
        const __m512i low = _mm512_set1_epi32(0x0f << (8 * j)), high = _mm512_set1_epi32((int)(0xf0u << (8 * j)));
        UNROLL(4)
        for (int i = 0; i < 4; i++) {
            put_d(o, 4 * i + j, _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_and_si512(s[i], low))));
            put_m(o, 4 * i + j, _mm512_mul_ps(m, _mm512_cvtepu32_ps(_mm512_and_si512(s[i], high))));
        }
        d = _mm512_mul_ps(d, _mm512_set1_ps(0x1p-8f));
        m = _mm512_mul_ps(m, _mm512_set1_ps(0x1p-8f));
    }
}

DV_INLINE void q2_k_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    const __m512i low = _mm512_set1_epi32(0x03030303);
    (void)n_k;
    DV_ALIGNED(64) uint32_t dm[16];
    copy_u32(w + 80, row_bytes, dm);
    for (uint32_t n = 0; n < 2; n++) {
        __m512i v[8], q[8];
        words_16x8(w + 16 + 32 * n, row_bytes, v);
        UNROLL(4)
        for (unsigned s = 0; s < 4; s++) {
            fetch(o, 4 * n + s, 8);
            UNROLL(8)
            for (int j = 0; j < 8; j++)
                q[j] = _mm512_and_si512(_mm512_srli_epi16(v[j], 2 * s), low);
            put_16(o, 8 * n + 2 * s, q);
            put_16(o, 8 * n + 2 * s + 1, q + 4);
        }
    }
    scales_q2_k(w, row_bytes, dm, o);
}
UNPACK_DEFINE(q2_k, DV_SHAPE_16M, -1, 256, 84)

/* Q3_K: third bits (bit m of byte i for element 32 m + i), low 2 bits [2][32], 16 scales of 6 bits in 12 bytes, f16 d.
 * 110 bytes. Weight = d * (scale - 32) * (q - 4). Scales: low nibbles of 0..7 and 8..15 in 8 bytes, high pairs of bits
 * of s, s + 4, s + 8, s + 12 in byte 8 + s from the bottom up. */
DV_INLINE void scales_q3_k(const uint8_t *p, size_t row_bytes, const dest o)
{
    __m512i w[4];
    load_16x16(p + 94, row_bytes, w); /* the block's last 16 bytes: two of the bits before the scales */
    UNROLL(4)
    for (int i = 0; i < 4; i++)
        w[i] = _mm512_bsrli_epi128(w[i], 2);
    transpose_lanes(w);
    const __m512i two = _mm512_set1_epi32(0x30303030);
    const __m512i s[4] = {
        _mm512_or_si512(low_nibbles(w[0]), _mm512_and_si512(_mm512_slli_epi32(w[2], 4), two)),
        _mm512_or_si512(low_nibbles(w[1]), _mm512_and_si512(_mm512_slli_epi32(w[2], 2), two)),
        _mm512_or_si512(high_nibbles(w[0]), _mm512_and_si512(w[2], two)),
        _mm512_or_si512(high_nibbles(w[1]), _mm512_and_si512(_mm512_srli_epi32(w[2], 2), two)),
    };
    __m512 d = low_f16(w[3]);
    UNROLL(4)
    for (int j = 0; j < 4; j++) {
        const __m512i byte = _mm512_set1_epi32(0x3f << (8 * j)), bias = _mm512_set1_epi32(32 << (8 * j));
        UNROLL(4)
        for (int i = 0; i < 4; i++) {
            __m512i v = _mm512_sub_epi32(_mm512_and_si512(s[i], byte), bias);
            put_d(o, 4 * i + j, _mm512_mul_ps(d, _mm512_cvtepi32_ps(v)));
        }
        d = _mm512_mul_ps(d, _mm512_set1_ps(0x1p-8f));
    }
}

DV_INLINE void q3_k_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    const __m512i low2 = _mm512_set1_epi32(0x03030303), low3 = _mm512_set1_epi32(0x07070707);
    (void)n_k;
    __m512i h[8];
    words_16x8(w, row_bytes, h);
    UNROLL(8)
    for (int j = 0; j < 8; j++)
        h[j] = _mm512_rol_epi32(h[j], 2); /* bit m of a byte is bit 2 after a right rotation by m */
    for (uint32_t n = 0; n < 2; n++) {
        __m512i v[8], q[8];
        words_16x8(w + 32 + 32 * n, row_bytes, v);
        UNROLL(4)
        for (unsigned s = 0; s < 4; s++) {
            fetch(o, 4 * n + s, 8);
            UNROLL(8)
            for (int j = 0; j < 8; j++) {
                q[j] = _mm512_ternarylogic_epi32(low2, _mm512_srli_epi16(v[j], 2 * s), h[j], 0xca);
                q[j] = _mm512_and_si512(q[j], low3);
                h[j] = _mm512_ror_epi32(h[j], 1);
            }
            put_16(o, 8 * n + 2 * s, q);
            put_16(o, 8 * n + 2 * s + 1, q + 4);
        }
    }
    scales_q3_k(w, row_bytes, o);
}
UNPACK_DEFINE(q3_k, DV_SHAPE_16, 2, 256, 110)

void dv__unpack_k23_init_avx512(dv_kern *k, bool vnni)
{
    UNPACK_SET(k, DV_TYPE_Q2_K, q2_k);
    UNPACK_SET(k, DV_TYPE_Q3_K, q3_k);
}
