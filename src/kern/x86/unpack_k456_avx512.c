/* SPDX-License-Identifier: MIT */
/* Q4_K, Q5_K, Q6_K into tiles with AVX-512. Block layouts: GGUF, 256 elements a block. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/unpack_avx512.h"

/* The 16 header bytes of Q4_K and Q5_K: f16 d, f16 dmin, then 6-bit scales and offsets of 8 sub-blocks in 12 bytes:
 * bytes 0..3 and 4..7 hold those of sub-blocks 0..3 in their low bits; sub-blocks 4..7 have their low nibbles in
 * bytes 8..11 and their high bits on top of the former. Weight = d * scale * q - dmin * offset. */
DV_INLINE void scales_k4(const uint8_t *p, size_t row_bytes, const dest o)
{
    __m512i w[4];
    words_16x4(p, row_bytes, w);
    const __m512i low4 = _mm512_set1_epi32(0x0f0f0f0f), top2 = _mm512_set1_epi32(0x30303030);
    __m512i sc[2] = {w[1]}, mn[2] = {w[2]};
    sc[1] = _mm512_or_si512(_mm512_and_si512(w[3], low4), _mm512_and_si512(_mm512_srli_epi32(w[1], 2), top2));
    mn[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(w[3], 4), low4),
                            _mm512_and_si512(_mm512_srli_epi32(w[2], 2), top2));
    __m512 d = low_f16(w[0]), dmin = _mm512_xor_ps(high_f16(w[0]), _mm512_set1_ps(-0.0f));
    UNROLL(4)
    for (int j = 0; j < 4; j++) {
        /* Byte j stays where it is, 2^8j times its value, and d is 2^-8j times its own: exact, and cheaper than a shift
         * each. */
        const __m512i byte = _mm512_set1_epi32(0x3f << (8 * j));
        UNROLL(2)
        for (int i = 0; i < 2; i++) {
            put_d(o, 4 * i + j, _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_and_si512(sc[i], byte))));
            put_m(o, 4 * i + j, _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(_mm512_and_si512(mn[i], byte))));
        }
        d = _mm512_mul_ps(d, _mm512_set1_ps(0x1p-8f));
        dmin = _mm512_mul_ps(dmin, _mm512_set1_ps(0x1p-8f));
    }
}

/* Q4_K: header; 4 times 32 bytes whose low nibbles are one sub-block and high nibbles the next. 144 bytes. */
DV_INLINE void q4_k_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    (void)n_k;
    scales_k4(w, row_bytes, o);
    for (uint32_t c = 0; c < 4; c++) {
        __m512i v[8], q[8];
        fetch(o, c, 4);
        words_16x8(w + 16 + 32 * c, row_bytes, v);
        UNROLL(8)
        for (int j = 0; j < 8; j++)
            q[j] = low_nibbles(v[j]);
        put_32(o, 2 * c, q);
        UNROLL(8)
        for (int j = 0; j < 8; j++)
            q[j] = high_nibbles(v[j]);
        put_32(o, 2 * c + 1, q);
    }
}
UNPACK_DEFINE(q4_k, DV_SHAPE_32M, -1, 256, 144)

/* Q5_K: header; 32 bytes whose bit s is the fifth bit of sub-block s; then as Q4_K. 176 bytes. */
DV_INLINE void q5_k_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    (void)n_k;
    const __m512i low4 = _mm512_set1_epi32(0x0f0f0f0f), low5 = _mm512_set1_epi32(0x1f1f1f1f);
    scales_k4(w, row_bytes, o);
    __m512i h[8];
    words_16x8(w + 16, row_bytes, h);
    UNROLL(8)
    for (int j = 0; j < 8; j++)
        h[j] = _mm512_rol_epi32(h[j], 4); /* bit s of a byte is bit 4 after a right rotation by s */
    for (uint32_t c = 0; c < 4; c++) {
        __m512i v[8], q[8];
        fetch(o, c, 4);
        words_16x8(w + 48 + 32 * c, row_bytes, v);
        UNROLL(8)
        for (int j = 0; j < 8; j++) {
            q[j] = _mm512_and_si512(_mm512_ternarylogic_epi32(low4, v[j], h[j], 0xca), low5);
            h[j] = _mm512_ror_epi32(h[j], 1);
        }
        put_32(o, 2 * c, q);
        UNROLL(8)
        for (int j = 0; j < 8; j++) {
            q[j] = _mm512_and_si512(_mm512_ternarylogic_epi32(low4, _mm512_srli_epi16(v[j], 4), h[j], 0xca), low5);
            h[j] = _mm512_ror_epi32(h[j], 1);
        }
        put_32(o, 2 * c + 1, q);
    }
}
UNPACK_DEFINE(q5_k, DV_SHAPE_32M, -1, 256, 176)

/* Q6_K: low nibbles [2][64], high pairs of bits [2][32], 16 int8 scales, f16 d. Half n: byte l of 64 holds elements l
 * (low nibble) and l + 64 (high); byte l of 32 holds the high bits of l, l + 32, l + 64, l + 96 from the bottom up.
 * Weight = d * scale * (q - 32). */
DV_INLINE void scales_q6_k(const uint8_t *w, size_t row_bytes, const uint16_t d16[16], const dest o)
{
    __m512i s[4];
    words_16x4(w + 192, row_bytes, s);
    const __m512 d = f16_16(d16);
    UNROLL(4)
    for (int i = 0; i < 4; i++) {
        UNROLL(4)
        for (int j = 0; j < 4; j++) {
            __m512i v = _mm512_srai_epi32(_mm512_slli_epi32(s[i], 24u - 8u * (unsigned)j), 24);
            put_d(o, 4 * i + j, _mm512_mul_ps(d, _mm512_cvtepi32_ps(v)));
        }
    }
}

DV_INLINE void q6_k_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    (void)n_k;
    const __m512i low4 = _mm512_set1_epi32(0x0f0f0f0f), low6 = _mm512_set1_epi32(0x3f3f3f3f);
    DV_ALIGNED(32) uint16_t d16[16];
    copy_u16(w + 208, row_bytes, d16);
    for (uint32_t n = 0; n < 2; n++) {
        __m512i h[8], v[8], q[8];
        words_16x8(w + 128 + 32 * n, row_bytes, h);
        UNROLL(2)
        for (unsigned g = 0; g < 2; g++) {
            const uint32_t b = 8 * n + 2 * g;
            fetch(o, 2 * n + g, 4);
            words_16x8(w + 64 * n + 32 * g, row_bytes, v);
            UNROLL(8)
            for (int j = 0; j < 8; j++) {
                __m512i top = _mm512_slli_epi16(h[j], g == 0 ? 4 : 2);
                q[j] = _mm512_and_si512(_mm512_ternarylogic_epi32(low4, v[j], top, 0xca), low6);
            }
            put_16(o, b, q);
            put_16(o, b + 1, q + 4);
            UNROLL(8)
            for (int j = 0; j < 8; j++) {
                __m512i top = g == 0 ? h[j] : _mm512_srli_epi16(h[j], 2);
                q[j] = _mm512_and_si512(_mm512_ternarylogic_epi32(low4, _mm512_srli_epi16(v[j], 4), top, 0xca), low6);
            }
            put_16(o, b + 4, q);
            put_16(o, b + 5, q + 4);
        }
    }
    scales_q6_k(w, row_bytes, d16, o);
}
UNPACK_DEFINE(q6_k, DV_SHAPE_16, 5, 256, 210)

void dv__unpack_k456_init_avx512(dv_kern *k, bool vnni)
{
    UNPACK_SET(k, DV_TYPE_Q4_K, q4_k);
    UNPACK_SET(k, DV_TYPE_Q5_K, q5_k);
    UNPACK_SET(k, DV_TYPE_Q6_K, q6_k);
}
