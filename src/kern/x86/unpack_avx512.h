/* SPDX-License-Identifier: MIT */
/* Building blocks of the AVX-512 unpackers.
 *
 * A tile wants, for each pair of columns, the values of 32 rows side by side. The unpackers read 16 or 32 packed bytes
 * of 16 rows at a time and transpose them as 32-bit words, still packed: vector j holds bytes 4j .. 4j + 3 of every
 * row. Splitting a word into 16-bit lanes by masks and shifts then gives exactly the tile's pairs, columns (0, 2) and
 * (1, 3) of each four. So the costly shuffles run on the packed bytes, and half of the transposition happens in the
 * loads (a 128-bit or 256-bit insertion from memory is cheaper than a shuffle on the one shuffle port).
 *
 * Every load lies inside the block it is for. Tiles with fewer than 32 rows go through a zero-filled copy
 * (unpack_tail). */
#ifndef DV_KERN_X86_UNPACK_AVX512_H
#define DV_KERN_X86_UNPACK_AVX512_H

#include "kern/kern.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>
#include <string.h>

/* 4x4 transposition of 32-bit words in each 128-bit lane. */
DV_INLINE void transpose_lanes(__m512i v[4])
{
    __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
    __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm512_unpacklo_epi64(a, c);
    v[1] = _mm512_unpackhi_epi64(a, c);
    v[2] = _mm512_unpacklo_epi64(b, d);
    v[3] = _mm512_unpackhi_epi64(b, d);
}

DV_INLINE __m128i load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
DV_INLINE __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

DV_INLINE __m512i four_rows(const uint8_t *p, size_t step)
{
    __m512i v = _mm512_castsi128_si512(load16(p));
    v = _mm512_inserti32x4(v, load16(p + step), 1);
    v = _mm512_inserti32x4(v, load16(p + 2 * step), 2);
    return _mm512_inserti32x4(v, load16(p + 3 * step), 3);
}

/* 16 bytes of 16 rows, not yet transposed: lane l of v[i] is row i + 4l. */
DV_INLINE void load_16x16(const uint8_t *p, size_t row_bytes, __m512i v[4])
{
    v[0] = four_rows(p, 4 * row_bytes);
    v[1] = four_rows(p + row_bytes, 4 * row_bytes);
    v[2] = four_rows(p + 2 * row_bytes, 4 * row_bytes);
    v[3] = four_rows(p + 3 * row_bytes, 4 * row_bytes);
}

/* 16 bytes of 16 rows: v[j] lane r = word j of row r. */
DV_INLINE void words_16x4(const uint8_t *p, size_t row_bytes, __m512i v[4])
{
    load_16x16(p, row_bytes, v);
    transpose_lanes(v);
}

DV_INLINE __m512i two_rows(const uint8_t *p, size_t step)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load32(p)), load32(p + step), 1);
}

/* 32 bytes of 16 rows: v[j] lane r = word j of row r. */
DV_INLINE void words_16x8(const uint8_t *p, size_t row_bytes, __m512i v[8])
{
    __m512i a[4], b[4];
    const uint8_t *p8 = p + 8 * row_bytes;
    a[0] = two_rows(p, 4 * row_bytes);
    a[1] = two_rows(p + row_bytes, 4 * row_bytes);
    a[2] = two_rows(p + 2 * row_bytes, 4 * row_bytes);
    a[3] = two_rows(p + 3 * row_bytes, 4 * row_bytes);
    b[0] = two_rows(p8, 4 * row_bytes);
    b[1] = two_rows(p8 + row_bytes, 4 * row_bytes);
    b[2] = two_rows(p8 + 2 * row_bytes, 4 * row_bytes);
    b[3] = two_rows(p8 + 3 * row_bytes, 4 * row_bytes);
    transpose_lanes(a);
    transpose_lanes(b);
    UNROLL(4)
    for (int j = 0; j < 4; j++) {
        v[j] = _mm512_shuffle_i32x4(a[j], b[j], 0x88);
        v[j + 4] = _mm512_shuffle_i32x4(a[j], b[j], 0xdd);
    }
}

/* A value at p of 16 rows. Scalar copies use ports that the unpackers leave idle, unlike gathers and insertions; the
 * empty asm keeps the compiler from turning them into insertions. The vector load should come late: it cannot be
 * forwarded from these stores. */
DV_INLINE void copy_u16(const uint8_t *p, size_t row_bytes, uint16_t h[16])
{
    UNROLL(16)
    for (int r = 0; r < 16; r++) {
        uint16_t v;
        memcpy(&v, p + (size_t)r * row_bytes, sizeof v);
        __asm__ volatile("" : "+r"(v));
        h[r] = v;
    }
}

DV_INLINE void copy_u32(const uint8_t *p, size_t row_bytes, uint32_t w[16])
{
    UNROLL(16)
    for (int r = 0; r < 16; r++) {
        uint32_t v;
        memcpy(&v, p + (size_t)r * row_bytes, sizeof v);
        __asm__ volatile("" : "+r"(v));
        w[r] = v;
    }
}

DV_INLINE __m512 f16_16(const uint16_t h[16]) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h)); }

/* The low half of each word as f16. */
DV_INLINE __m512 low_f16(__m512i w) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w)); }
DV_INLINE __m512 high_f16(__m512i w) { return low_f16(_mm512_srli_epi32(w, 16)); }

/* Two pairs of columns from 4 bytes per row, unsigned or signed, into pairs i and i + 1 of 16 rows from `half` on. */
DV_INLINE void store_u8(dv_tile *t, uint32_t i, uint32_t half, __m512i v)
{
    _mm512_store_si512(t->q[i][half], _mm512_and_si512(v, _mm512_set1_epi32(0x00ff00ff)));
    _mm512_store_si512(t->q[i + 1][half], _mm512_srli_epi16(v, 8));
}

/* A multiplication by (1, 0) and (0, 1) sign-extends in one instruction that has two ports; the shifts would be three
 * on one port. */
DV_INLINE void store_s8(dv_tile *t, uint32_t i, uint32_t half, __m512i v)
{
    _mm512_store_si512(t->q[i][half], _mm512_maddubs_epi16(_mm512_set1_epi16(0x0001), v));
    _mm512_store_si512(t->q[i + 1][half], _mm512_maddubs_epi16(_mm512_set1_epi16(0x0100), v));
}

/* The same from nibbles: the low ones are columns of pairs i and i + 1, the high ones of i + high and i + high + 1. */
DV_INLINE void store_nibbles(dv_tile *t, uint32_t i, uint32_t high, uint32_t half, __m512i v)
{
    const __m512i low = _mm512_set1_epi32(0x000f000f);
    _mm512_store_si512(t->q[i][half], _mm512_and_si512(v, low));
    _mm512_store_si512(t->q[i + 1][half], _mm512_and_si512(_mm512_srli_epi16(v, 8), low));
    _mm512_store_si512(t->q[i + high][half], _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
    _mm512_store_si512(t->q[i + high + 1][half], _mm512_srli_epi16(v, 12));
}

DV_INLINE __m512i low_nibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi32(0x0f0f0f0f)); }
DV_INLINE __m512i high_nibbles(__m512i v)
{
    return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi32(0x0f0f0f0f));
}

typedef void (*unpack_full_fn)(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv_tile *t);

enum { UNPACK_MAX_BYTES = 272 }; /**< of 256 elements of any type: 8 blocks of Q8_0 */

/* Fewer than 32 rows: unpack a copy, then make the missing rows exact zeros. */
static inline void unpack_tail(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t,
                               size_t bytes, unpack_full_fn full)
{
    uint8_t copy[DV_TILE_ROWS][UNPACK_MAX_BYTES];
    for (uint32_t r = 0; r < DV_TILE_ROWS; r++) {
        if (r < n_rows)
            memcpy(copy[r], w + r * row_bytes, bytes);
        else
            memset(copy[r], 0, bytes);
    }
    full(copy[0], UNPACK_MAX_BYTES, n_k, t);
    const __mmask32 keep = (1u << n_rows) - 1;
    const __mmask16 lo = (__mmask16)keep, hi = (__mmask16)(keep >> 16);
    for (uint32_t i = 0; i < n_k / 2; i++) {
        _mm512_store_si512(t->q[i][0], _mm512_maskz_mov_epi32(lo, _mm512_load_si512(t->q[i][0])));
        _mm512_store_si512(t->q[i][16], _mm512_maskz_mov_epi32(hi, _mm512_load_si512(t->q[i][16])));
    }
    for (uint32_t b = 0; b < n_k / 16; b++) {
        _mm512_store_ps(t->d[b], _mm512_maskz_mov_ps(lo, _mm512_load_ps(t->d[b])));
        _mm512_store_ps(t->d[b] + 16, _mm512_maskz_mov_ps(hi, _mm512_load_ps(t->d[b] + 16)));
        _mm512_store_ps(t->m[b], _mm512_maskz_mov_ps(lo, _mm512_load_ps(t->m[b])));
        _mm512_store_ps(t->m[b] + 16, _mm512_maskz_mov_ps(hi, _mm512_load_ps(t->m[b] + 16)));
    }
}

/* Defines the table's function `name` from `name_full`, which unpacks 32 rows. */
#define UNPACK_DEFINE(name, block_len, block_bytes)                                                            \
    static void name(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)            \
    {                                                                                                          \
        if (DV_LIKELY(n_rows == DV_TILE_ROWS))                                                                 \
            name##_full(w, row_bytes, n_k, t);                                                                 \
        else                                                                                                   \
            unpack_tail(w, row_bytes, n_rows, n_k, t, (size_t)n_k / (block_len) * (block_bytes), name##_full); \
    }

#endif
