/* SPDX-License-Identifier: MIT */
/* Unpack tiles of types with blocks of 32 (Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL), and IQ4_XS, AVX2. Block layouts:
 * decode.c. */
#include "kern/x86/tile_avx2.h"

/* Bytes of a block. */
enum { B_Q4_0 = 18, B_Q4_1 = 20, B_Q5_0 = 22, B_Q5_1 = 24, B_Q8_0 = 34, B_IQ4_NL = 18 };

DV_INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(0x0f)); }

DV_INLINE __m256i high_nibbles(__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f)); }

DV_INLINE void q4_0_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i m4 = _mm256_set1_epi16(0x0f), off = _mm256_set1_epi16(8);
    for (unsigned b = 0; b < n_k / 32; b++) {
        __m256i v[4];
        dv__load_t4(p, B_Q4_0 * b + 2, v);
        _mm256_store_ps(t->d[b] + r0, dv__load_f16x8(p, B_Q4_0 * b));
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            unsigned i = 16 * b + 2 * j;
            dv__put_q(t, i, r0, _mm256_sub_epi16(_mm256_and_si256(v[j], m4), off));
            dv__put_q(t, i + 1, r0, _mm256_sub_epi16(_mm256_and_si256(_mm256_srli_epi16(v[j], 8), m4), off));
            dv__put_q(t, i + 8, r0, _mm256_sub_epi16(_mm256_and_si256(_mm256_srli_epi16(v[j], 4), m4), off));
            dv__put_q(t, i + 9, r0, _mm256_sub_epi16(_mm256_srli_epi16(v[j], 12), off));
        }
    }
}

DV_INLINE void q4_1_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    for (unsigned b = 0; b < n_k / 32; b++) {
        __m256i v[4], dm = dv__load_u32x8(p, B_Q4_1 * b);
        dv__load_t4(p, B_Q4_1 * b + 4, v);
        _mm256_store_ps(t->d[b] + r0, dv__f16_low(dm));
        _mm256_store_ps(t->m[b] + r0, dv__f16_high(dm));
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            dv__put_u8(t, 16 * b + 2 * j, r0, low_nibbles(v[j]));
            dv__put_u8(t, 16 * b + 8 + 2 * j, r0, high_nibbles(v[j]));
        }
    }
}

/* 0xff in each byte whose fifth bit is set. Bits 4j..4j+3 of qh belong to the four bytes of low-nibble word j, bits 16
 * + 4j.. to the high nibbles: spread the byte that holds them over the lane, then test one bit per byte. half: 0 low, 1
 * high nibbles. */
DV_INLINE __m256i fifth_bits(__m256i qh, unsigned j, unsigned half)
{
    unsigned k = 2 * half + j / 2;
    __m256i spread =
        _mm256_add_epi8(_mm256_set1_epi8((char)k), _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0,
                                                                     0x04040404, 0x08080808, 0x0c0c0c0c));
    __m256i bit = _mm256_set1_epi32(j % 2 == 0 ? 0x08040201 : (int)0x80402010u);
    return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(qh, spread), bit), bit);
}

DV_INLINE void q5_0_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i top = _mm256_set1_epi8((char)0xf0);
    for (unsigned b = 0; b < n_k / 32; b++) {
        __m256i v[4], qh = dv__load_u32x8(p, B_Q5_0 * b + 2);
        dv__load_t4(p, B_Q5_0 * b + 6, v);
        _mm256_store_ps(t->d[b] + r0, dv__load_f16x8(p, B_Q5_0 * b));
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            /* Without its fifth bit a value is nibble - 16: the nibble with the upper four bits set. */
            __m256i lo = _mm256_or_si256(low_nibbles(v[j]), _mm256_andnot_si256(fifth_bits(qh, j, 0), top));
            __m256i hi = _mm256_or_si256(high_nibbles(v[j]), _mm256_andnot_si256(fifth_bits(qh, j, 1), top));
            dv__put_s8(t, 16 * b + 2 * j, r0, lo);
            dv__put_s8(t, 16 * b + 8 + 2 * j, r0, hi);
        }
    }
}

DV_INLINE void q5_1_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i m1 = _mm256_set1_epi8(0x10);
    for (unsigned b = 0; b < n_k / 32; b++) {
        __m256i v[4], dm = dv__load_u32x8(p, B_Q5_1 * b), qh = dv__load_u32x8(p, B_Q5_1 * b + 4);
        dv__load_t4(p, B_Q5_1 * b + 8, v);
        _mm256_store_ps(t->d[b] + r0, dv__f16_low(dm));
        _mm256_store_ps(t->m[b] + r0, dv__f16_high(dm));
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            __m256i lo = _mm256_or_si256(low_nibbles(v[j]), _mm256_and_si256(fifth_bits(qh, j, 0), m1));
            __m256i hi = _mm256_or_si256(high_nibbles(v[j]), _mm256_and_si256(fifth_bits(qh, j, 1), m1));
            dv__put_u8(t, 16 * b + 2 * j, r0, lo);
            dv__put_u8(t, 16 * b + 8 + 2 * j, r0, hi);
        }
    }
}

DV_INLINE void q8_0_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    for (unsigned b = 0; b < n_k / 32; b++) {
        _mm256_store_ps(t->d[b] + r0, dv__load_f16x8(p, B_Q8_0 * b));
        DV_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            __m256i v[4];
            dv__load_t4(p, B_Q8_0 * b + 2 + 16 * half, v);
            DV_UNROLL
            for (unsigned j = 0; j < 4; j++)
                dv__put_s8(t, 16 * b + 8 * half + 2 * j, r0, v[j]);
        }
    }
}

/* 16 bytes at off, two elements each, through the table of IQ4 values; the tile's pairs from 16 * b on. */
DV_INLINE void iq4_block(const uint8_t *const p[8], size_t off, unsigned b, dv_tile *t, unsigned r0)
{
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    __m256i v[4];
    dv__load_t4(p, off, v);
    DV_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        dv__put_s8(t, 16 * b + 2 * j, r0, _mm256_shuffle_epi8(table, low_nibbles(v[j])));
        dv__put_s8(t, 16 * b + 8 + 2 * j, r0, _mm256_shuffle_epi8(table, high_nibbles(v[j])));
    }
}

DV_INLINE void iq4_nl_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    for (unsigned b = 0; b < n_k / 32; b++) {
        _mm256_store_ps(t->d[b] + r0, dv__load_f16x8(p, B_IQ4_NL * b));
        iq4_block(p, B_IQ4_NL * b + 2, b, t, r0);
    }
}

/* IQ4_XS: f16 d, 8 x 2 upper scale bits, 8 x 4 lower scale bits, 128 bytes of nibbles; scale - 32. */
DV_INLINE void iq4_xs_group(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0)
{
    __m256i h[4], m4 = _mm256_set1_epi32(0x0f), m2 = _mm256_set1_epi32(0x30), off = _mm256_set1_epi32(32);
    dv__load_t4(p, 0, h);
    __m256 d = dv__f16_low(h[0]);
    __m256i up = _mm256_srli_epi32(h[0], 12), low = h[1]; /* sub-block 0's two bits at 4 and 5, its four at 0 */
    for (unsigned b = 0; b < 8; b++) {
        __m256i sc = _mm256_or_si256(_mm256_and_si256(low, m4), _mm256_and_si256(up, m2));
        _mm256_store_ps(t->d[b] + r0, _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_sub_epi32(sc, off))));
        low = _mm256_srli_epi32(low, 4);
        up = _mm256_srli_epi32(up, 2);
        iq4_block(p, 8 + 16 * b, b, t, r0);
    }
}

void dv__unpack_q4_0_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, false, q4_0_group);
}

void dv__unpack_q4_1_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, true, q4_1_group);
}

void dv__unpack_q5_0_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, false, q5_0_group);
}

void dv__unpack_q5_1_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, true, q5_1_group);
}

void dv__unpack_q8_0_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, false, q8_0_group);
}

void dv__unpack_iq4_nl_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, false, iq4_nl_group);
}

void dv__unpack_iq4_xs_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    dv__unpack_groups(w, row_bytes, n_rows, n_k, t, 32, false, iq4_xs_group);
}
