/* SPDX-License-Identifier: MIT */
/* The types with blocks of 32 elements in nibbles, and IQ4_XS, into tiles with AVX-512. Of the 16 bytes of nibbles, the
 * low ones are elements 0..15 and the high ones 16..31. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/unpack_avx512.h"

/* Q4_0: f16 d, nibbles. 18 bytes. Weight = d * (q - 8). */
DV_INLINE void q4_0_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    DV_ALIGNED(32) uint16_t d[8][16];
    for (uint32_t b = 0; b < n_k / 32; b++)
        copy_u16(w + 18 * b, row_bytes, d[b]);
    for (uint32_t b = 0; b < n_k / 32; b++) {
        __m512i v[4], q[8];
        fetch(o, b, 8);
        words_16x4(w + 18 * b + 2, row_bytes, v);
        UNROLL(4)
        for (unsigned j = 0; j < 4; j++) {
            q[j] = low_nibbles(v[j]);
            q[j + 4] = high_nibbles(v[j]);
        }
        put_32(o, b, q);
        put_d(o, b, f16_16(d[b]));
    }
}
UNPACK_DEFINE(q4_0, DV_SHAPE_32, 3, 32, 18)

/* Q4_1: f16 d, f16 m, nibbles. 20 bytes. Weight = d * q + m. */
DV_INLINE void q4_1_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    DV_ALIGNED(64) uint32_t dm[8][16];
    for (uint32_t b = 0; b < n_k / 32; b++)
        copy_u32(w + 20 * b, row_bytes, dm[b]);
    for (uint32_t b = 0; b < n_k / 32; b++) {
        __m512i v[4], q[8];
        fetch(o, b, 8);
        words_16x4(w + 20 * b + 4, row_bytes, v);
        UNROLL(4)
        for (unsigned j = 0; j < 4; j++) {
            q[j] = low_nibbles(v[j]);
            q[j + 4] = high_nibbles(v[j]);
        }
        __m512i h = _mm512_load_si512(dm[b]);
        put_32(o, b, q);
        put_d(o, b, low_f16(h));
        put_m(o, b, high_f16(h));
    }
}
UNPACK_DEFINE(q4_1, DV_SHAPE_32M, -1, 32, 20)

/* Nibbles of elements 4j .. 4j + 3 with their fifth bits, of which a row has 32 in a lane of h. Byte j / 2 of the lane, repeated in
 * every byte of it, holds them; each byte tests one bit. */
DV_INLINE __m512i fifth_bit(__m512i nibbles, __m512i h, unsigned j)
{
    const __m512i spread = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const __m512i byte = _mm512_shuffle_epi8(h, _mm512_add_epi8(spread, _mm512_set1_epi8((char)(j / 2))));
    const __m512i bits = _mm512_set1_epi32((int)(j % 2 == 0 ? 0x08040201u : 0x80402010u));
    return _mm512_mask_add_epi8(nibbles, _mm512_test_epi8_mask(byte, bits), nibbles, _mm512_set1_epi8(16));
}

/* Q5_0: f16 d, fifth bits, nibbles. 22 bytes. Weight = d * (q - 16). */
DV_INLINE void q5_0_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    DV_ALIGNED(32) uint16_t d[8][16];
    DV_ALIGNED(64) uint32_t bits[8][16];
    for (uint32_t b = 0; b < n_k / 32; b++) {
        copy_u16(w + 22 * b, row_bytes, d[b]);
        copy_u32(w + 22 * b + 2, row_bytes, bits[b]);
    }
    for (uint32_t b = 0; b < n_k / 32; b++) {
        __m512i v[4], q[8], h = _mm512_load_si512(bits[b]);
        fetch(o, b, 8);
        words_16x4(w + 22 * b + 6, row_bytes, v);
        UNROLL(4)
        for (unsigned j = 0; j < 4; j++) {
            q[j] = fifth_bit(low_nibbles(v[j]), h, j);
            q[j + 4] = fifth_bit(high_nibbles(v[j]), h, j + 4);
        }
        put_32(o, b, q);
        put_d(o, b, f16_16(d[b]));
    }
}
UNPACK_DEFINE(q5_0, DV_SHAPE_32, 4, 32, 22)

/* Q5_1: f16 d, f16 m, fifth bits, nibbles. 24 bytes. Weight = d * q + m. */
DV_INLINE void q5_1_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    DV_ALIGNED(64) uint32_t dm[8][16], bits[8][16];
    for (uint32_t b = 0; b < n_k / 32; b++) {
        copy_u32(w + 24 * b, row_bytes, dm[b]);
        copy_u32(w + 24 * b + 4, row_bytes, bits[b]);
    }
    for (uint32_t b = 0; b < n_k / 32; b++) {
        __m512i v[4], q[8], h = _mm512_load_si512(bits[b]), scales = _mm512_load_si512(dm[b]);
        fetch(o, b, 8);
        words_16x4(w + 24 * b + 8, row_bytes, v);
        UNROLL(4)
        for (unsigned j = 0; j < 4; j++) {
            q[j] = fifth_bit(low_nibbles(v[j]), h, j);
            q[j + 4] = fifth_bit(high_nibbles(v[j]), h, j + 4);
        }
        put_32(o, b, q);
        put_d(o, b, low_f16(scales));
        put_m(o, b, high_f16(scales));
    }
}
UNPACK_DEFINE(q5_1, DV_SHAPE_32M, -1, 32, 24)

/* The values that the nibbles of the IQ4 types stand for, + 128. */
DV_INLINE __m512i iq4_table(void)
{
    const __m128i values = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    return _mm512_broadcast_i32x4(_mm_xor_si128(values, _mm_set1_epi8(-128)));
}

/* IQ4_NL: f16 d, nibbles. 18 bytes. */
DV_INLINE void iq4_nl_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    const __m512i table = iq4_table();
    DV_ALIGNED(32) uint16_t d[8][16];
    for (uint32_t b = 0; b < n_k / 32; b++)
        copy_u16(w + 18 * b, row_bytes, d[b]);
    for (uint32_t b = 0; b < n_k / 32; b++) {
        __m512i v[4], q[8];
        fetch(o, b, 8);
        words_16x4(w + 18 * b + 2, row_bytes, v);
        UNROLL(4)
        for (unsigned j = 0; j < 4; j++) {
            q[j] = _mm512_shuffle_epi8(table, low_nibbles(v[j]));
            q[j + 4] = _mm512_shuffle_epi8(table, high_nibbles(v[j]));
        }
        put_32(o, b, q);
        put_d(o, b, f16_16(d[b]));
    }
}
UNPACK_DEFINE(iq4_nl, DV_SHAPE_32, 7, 32, 18)

/* IQ4_XS: f16 d, high 2 bits of 8 scales in 16 bits, low 4 bits in 4 bytes, then 8 times 16 bytes of nibbles. 136
 * bytes. Weight = d * (scale - 32) * value. */
DV_INLINE void iq4_xs_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    const __m512i table = iq4_table();
    (void)n_k;
    __m512i head[4], v[8];
    words_16x4(w, row_bytes, head);
    const __m512 d = low_f16(head[0]);
    UNROLL(8)
    for (unsigned s = 0; s < 8; s++) {
        __m512i scale = _mm512_and_si512(_mm512_srli_epi32(head[1], 4 * s), _mm512_set1_epi32(15));
        scale =
            _mm512_or_si512(scale, _mm512_and_si512(_mm512_srli_epi32(head[0], 12 + 2 * s), _mm512_set1_epi32(0x30)));
        scale = _mm512_sub_epi32(scale, _mm512_set1_epi32(32));
        put_d(o, s, _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)));
    }
    for (uint32_t c = 0; c < 4; c++) {
        fetch(o, c, 4);
        words_16x8(w + 8 + 32 * c, row_bytes, v);
        UNROLL(2)
        for (unsigned i = 0; i < 2; i++) {
            __m512i q[8];
            UNROLL(4)
            for (unsigned j = 0; j < 4; j++) {
                q[j] = _mm512_shuffle_epi8(table, low_nibbles(v[4 * i + j]));
                q[j + 4] = _mm512_shuffle_epi8(table, high_nibbles(v[4 * i + j]));
            }
            put_32(o, 2 * c + i, q);
        }
    }
}
UNPACK_DEFINE(iq4_xs, DV_SHAPE_32, 7, 256, 136)

void dv__unpack_32_init_avx512(dv_kern *k, bool vnni)
{
    UNPACK_SET(k, DV_TYPE_Q4_0, q4_0);
    UNPACK_SET(k, DV_TYPE_Q4_1, q4_1);
    UNPACK_SET(k, DV_TYPE_Q5_0, q5_0);
    UNPACK_SET(k, DV_TYPE_Q5_1, q5_1);
    UNPACK_SET(k, DV_TYPE_IQ4_NL, iq4_nl);
    UNPACK_SET(k, DV_TYPE_IQ4_XS, iq4_xs);
}
