/* SPDX-License-Identifier: MIT */
/* Unpack types with blocks of 32 (Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL), and IQ4_XS, AVX2. Block layouts: decode.c. */
#include "kern/x86/tile_avx2.h"

/* Bytes of a block. */
enum { B_Q4_0 = 18, B_Q4_1 = 20, B_Q5_0 = 22, B_Q5_1 = 24, B_Q8_0 = 34, B_IQ4_NL = 18, B_IQ4_XS = 136 };

/* 16 bytes with two elements each: groups g in the low nibbles and g + 1 in the high ones. */
DV_INLINE void put_nibbles(const dv__dest o, unsigned g, const __m256i v[4])
{
    __m256i q[4];
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = dv__low_nibbles(v[j]);
    dv__put_group(o, g, q);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = dv__high_nibbles(v[j]);
    dv__put_group(o, g + 1, q);
}

DV_INLINE void q4_0_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    for (unsigned b = 0; b < n_k / 32; b++, w += B_Q4_0) {
        __m256i v[4];
        dv__fetch(o, b, 1);
        dv__load_t4(w + 2, row_bytes, v);
        dv__put_d(o, b, dv__load_f16x8(w, row_bytes));
        put_nibbles(o, 2 * b, v);
    }
}
DV__UNPACK_DEFINE(q4_0, q4_0_rows, DV_SHAPE_32, 3, DV__DOT_SUM, 32, B_Q4_0)

/* f16 d and m at w. */
DV_INLINE void put_d_m(const dv__dest o, unsigned b, const uint8_t *w, size_t row_bytes)
{
    __m256i dm = dv__load_u32x8(w, row_bytes);
    dv__put_d(o, b, dv__f16_low(dm));
    dv__put_m(o, b, dv__f16_high(dm));
}

DV_INLINE void q4_1_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    for (unsigned b = 0; b < n_k / 32; b++, w += B_Q4_1) {
        __m256i v[4];
        dv__fetch(o, b, 1);
        dv__load_t4(w + 4, row_bytes, v);
        put_d_m(o, b, w, row_bytes);
        put_nibbles(o, 2 * b, v);
    }
}
DV__UNPACK_DEFINE(q4_1, q4_1_rows, DV_SHAPE_32M, 0, DV__DOT_SUM, 32, B_Q4_1)

/* 16 in each byte whose fifth bit is set. Bits 4j..4j+3 of qh belong to the four bytes of low-nibble word j, bits 16 + 4j.. to the high
 * nibbles: spread the byte that holds them over the lane, then test one bit per byte. half: 0 low, 1 high nibbles. */
DV_INLINE __m256i fifth_bits(__m256i qh, unsigned j, unsigned half)
{
    unsigned k = 2 * half + j / 2;
    __m256i spread =
        _mm256_add_epi8(_mm256_set1_epi8((char)k), _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0,
                                                                     0x04040404, 0x08080808, 0x0c0c0c0c));
    __m256i bit = _mm256_set1_epi32(j % 2 == 0 ? 0x08040201 : (int)0x80402010u);
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(qh, spread), bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(0x10));
}

/* Sub-block b: qh, then nibbles, at w. */
DV_INLINE void put_q5(const dv__dest o, unsigned b, const uint8_t *w, size_t row_bytes)
{
    __m256i v[4], q[4], qh = dv__load_u32x8(w, row_bytes);
    dv__load_t4(w + 4, row_bytes, v);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_or_si256(dv__low_nibbles(v[j]), fifth_bits(qh, j, 0));
    dv__put_group(o, 2 * b, q);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_or_si256(dv__high_nibbles(v[j]), fifth_bits(qh, j, 1));
    dv__put_group(o, 2 * b + 1, q);
}

DV_INLINE void q5_0_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    for (unsigned b = 0; b < n_k / 32; b++, w += B_Q5_0) {
        dv__fetch(o, b, 1);
        dv__put_d(o, b, dv__load_f16x8(w, row_bytes));
        put_q5(o, b, w + 2, row_bytes);
    }
}
DV__UNPACK_DEFINE(q5_0, q5_0_rows, DV_SHAPE_32, 4, DV__DOT_SUM, 32, B_Q5_0)

DV_INLINE void q5_1_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    for (unsigned b = 0; b < n_k / 32; b++, w += B_Q5_1) {
        dv__fetch(o, b, 1);
        put_d_m(o, b, w, row_bytes);
        put_q5(o, b, w + 4, row_bytes);
    }
}
DV__UNPACK_DEFINE(q5_1, q5_1_rows, DV_SHAPE_32M, 0, DV__DOT_SUM, 32, B_Q5_1)

DV_INLINE void q8_0_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    const __m256i bias = _mm256_set1_epi8(dv__is_signed(o) ? 0 : (char)0x80);
    for (unsigned b = 0; b < n_k / 32; b++, w += B_Q8_0) {
        dv__fetch(o, b, 1);
        dv__put_d(o, b, dv__load_f16x8(w, row_bytes));
        DV_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            __m256i v[4];
            dv__load_t4(w + 2 + 16 * half, row_bytes, v);
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++)
                v[j] = _mm256_xor_si256(v[j], bias);
            dv__put_group(o, 2 * b + half, v);
        }
    }
}
DV__UNPACK_DEFINE(q8_0, q8_0_rows, DV_SHAPE_32, 7, DV__DOT_SIGN, 32, B_Q8_0)

/* Sub-block b, 16 bytes with two elements each at w, through the table of IQ4 values. */
DV_INLINE void put_iq4(const dv__dest o, unsigned b, const uint8_t *w, size_t row_bytes)
{
    const __m256i bias = _mm256_set1_epi8(dv__is_signed(o) ? 0 : (char)0x80);
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    const __m256i table = _mm256_xor_si256(values, bias);
    __m256i v[4], q[4];
    dv__load_t4(w, row_bytes, v);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_shuffle_epi8(table, dv__low_nibbles(v[j]));
    dv__put_group(o, 2 * b, q);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++)
        q[j] = _mm256_shuffle_epi8(table, dv__high_nibbles(v[j]));
    dv__put_group(o, 2 * b + 1, q);
}

DV_INLINE void iq4_nl_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    for (unsigned b = 0; b < n_k / 32; b++, w += B_IQ4_NL) {
        dv__fetch(o, b, 1);
        dv__put_d(o, b, dv__load_f16x8(w, row_bytes));
        put_iq4(o, b, w + 2, row_bytes);
    }
}
DV__UNPACK_DEFINE(iq4_nl, iq4_nl_rows, DV_SHAPE_32, 7, DV__DOT_SIGN, 32, B_IQ4_NL)

/* IQ4_XS: f16 d, 8 x 2 upper scale bits, 8 x 4 lower scale bits, 128 bytes of nibbles; scale - 32. */
DV_INLINE void iq4_xs_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o)
{
    __m256i h[4], m4 = _mm256_set1_epi32(0x0f), m2 = _mm256_set1_epi32(0x30), off = _mm256_set1_epi32(32);
    dv__load_t4(w, row_bytes, h);
    __m256 d = dv__f16_low(h[0]);
    __m256i up = _mm256_srli_epi32(h[0], 12), low = h[1]; /* sub-block 0's two bits at 4 and 5, its four at 0 */
    for (unsigned b = 0; b < 8; b++) {
        __m256i sc = _mm256_or_si256(_mm256_and_si256(low, m4), _mm256_and_si256(up, m2));
        dv__fetch(o, b, 1);
        dv__put_d(o, b, _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_sub_epi32(sc, off))));
        low = _mm256_srli_epi32(low, 4);
        up = _mm256_srli_epi32(up, 2);
        put_iq4(o, b, w + 8 + 16 * b, row_bytes);
    }
}
DV__UNPACK_DEFINE(iq4_xs, iq4_xs_rows, DV_SHAPE_32, 7, DV__DOT_SIGN, 256, B_IQ4_XS)
