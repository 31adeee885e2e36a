/* SPDX-License-Identifier: MIT */
/* Building blocks of the AVX2 unpackers. They work on groups of 8 rows, one row per 32-bit lane: 16 bytes of each row
 * are loaded and transposed to four vectors, so lane r of vector j is bytes 4j..4j+3 of row r. Masks then split a
 * lane's four bytes into the tile's pairs (0,2) and (1,3). */
#ifndef DV_KERN_X86_TILE_AVX2_H
#define DV_KERN_X86_TILE_AVX2_H

#include "kern/kern.h"
#include "kern/x86/avx2.h"

#include <immintrin.h>
#include <string.h>

/** Unpacks columns 0..n_k of 8 rows, p[i] the first byte of row i, into rows r0..r0+7 of the tile. */
typedef void dv__group_fn(const uint8_t *const p[8], uint32_t n_k, dv_tile *t, unsigned r0);

/** 16 bytes at p in the low half and 16 bytes at q in the high half. */
DV_INLINE __m256i dv__load_2x16(const uint8_t *p, const uint8_t *q)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                   _mm_loadu_si128((const __m128i *)q), 1);
}

/** v[j] = lane r: bytes off + 4j + (0..3) of row r. */
DV_INLINE void dv__load_t4(const uint8_t *const p[8], size_t off, __m256i v[4])
{
    __m256i a0 = dv__load_2x16(p[0] + off, p[4] + off), a1 = dv__load_2x16(p[1] + off, p[5] + off);
    __m256i a2 = dv__load_2x16(p[2] + off, p[6] + off), a3 = dv__load_2x16(p[3] + off, p[7] + off);
    __m256i b0 = _mm256_unpacklo_epi32(a0, a1), b1 = _mm256_unpacklo_epi32(a2, a3);
    __m256i b2 = _mm256_unpackhi_epi32(a0, a1), b3 = _mm256_unpackhi_epi32(a2, a3);
    v[0] = _mm256_unpacklo_epi64(b0, b1);
    v[1] = _mm256_unpackhi_epi64(b0, b1);
    v[2] = _mm256_unpacklo_epi64(b2, b3);
    v[3] = _mm256_unpackhi_epi64(b2, b3);
}

/** Lane r: the 32-bit word at off of row r. */
DV_INLINE __m256i dv__load_u32x8(const uint8_t *const p[8], size_t off)
{
    uint32_t u[8];
    for (unsigned i = 0; i < 8; i++)
        memcpy(&u[i], p[i] + off, sizeof u[i]);
    return _mm256_setr_epi32((int)u[0], (int)u[1], (int)u[2], (int)u[3], (int)u[4], (int)u[5], (int)u[6], (int)u[7]);
}

/** Lane r: the f16 at off of row r. */
DV_INLINE __m256 dv__load_f16x8(const uint8_t *const p[8], size_t off)
{
    uint16_t u[8];
    for (unsigned i = 0; i < 8; i++)
        memcpy(&u[i], p[i] + off, sizeof u[i]);
    return _mm256_cvtph_ps(_mm_setr_epi16((short)u[0], (short)u[1], (short)u[2], (short)u[3], (short)u[4], (short)u[5],
                                          (short)u[6], (short)u[7]));
}

/** The f16 in the low half of each lane. */
DV_INLINE __m256 dv__f16_low(__m256i v)
{
    __m256i w = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
    w = _mm256_permute4x64_epi64(_mm256_packus_epi32(w, w), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(w));
}

/** The f16 in the high half of each lane. */
DV_INLINE __m256 dv__f16_high(__m256i v) { return dv__f16_low(_mm256_srli_epi32(v, 16)); }

/** Byte k (a constant) of each lane as a float, unsigned or signed. */
DV_INLINE __m256 dv__byte_ps(__m256i v, int k)
{
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(v, 8 * k), _mm256_set1_epi32(0xff)));
}

DV_INLINE __m256 dv__sbyte_ps(__m256i v, int k)
{
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(v, 24 - 8 * k), 24));
}

DV_INLINE void dv__put_q(dv_tile *t, unsigned pair, unsigned r0, __m256i v)
{
    _mm256_store_si256((__m256i *)t->q[pair][r0], v);
}

/** Store a lane's four unsigned bytes as pairs `pair` and `pair + 1`. */
DV_INLINE void dv__put_u8(dv_tile *t, unsigned pair, unsigned r0, __m256i v)
{
    dv__put_q(t, pair, r0, _mm256_and_si256(v, _mm256_set1_epi16(0xff)));
    dv__put_q(t, pair + 1, r0, _mm256_srli_epi16(v, 8));
}

/** The same for signed bytes. */
DV_INLINE void dv__put_s8(dv_tile *t, unsigned pair, unsigned r0, __m256i v)
{
    dv__put_q(t, pair, r0, _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8));
    dv__put_q(t, pair + 1, r0, _mm256_srai_epi16(v, 8));
}

/** Make rows n_rows..r0+7 of a group zero. */
static inline void dv__clear_rows(dv_tile *t, uint32_t n_rows, uint32_t n_k, unsigned r0, unsigned sb_len, bool offset)
{
    __m256i row = _mm256_add_epi32(_mm256_set1_epi32((int)r0), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i keep = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n_rows), row);
    for (uint32_t i = 0; i < n_k / 2; i++)
        dv__put_q(t, i, r0, _mm256_and_si256(keep, _mm256_load_si256((const __m256i *)t->q[i][r0])));
    for (uint32_t b = 0; b < n_k / sb_len; b++) {
        _mm256_store_ps(t->d[b] + r0, _mm256_and_ps(_mm256_castsi256_ps(keep), _mm256_load_ps(t->d[b] + r0)));
        if (offset)
            _mm256_store_ps(t->m[b] + r0, _mm256_and_ps(_mm256_castsi256_ps(keep), _mm256_load_ps(t->m[b] + r0)));
    }
}

/** Unpack a tile group by group. Missing rows of a group that has some read its first row again, then become zero. */
DV_INLINE void dv__unpack_groups(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t,
                                 unsigned sb_len, bool offset, dv__group_fn *fn)
{
    for (unsigned r0 = 0; r0 < DV_TILE_ROWS; r0 += 8) {
        if (r0 < n_rows) {
            const uint8_t *p[8];
            for (unsigned i = 0; i < 8; i++)
                p[i] = w + (size_t)(r0 + i < n_rows ? r0 + i : r0) * row_bytes;
            fn(p, n_k, t, r0);
        }
        if (DV_UNLIKELY(r0 + 8 > n_rows))
            dv__clear_rows(t, n_rows, n_k, r0, sb_len, offset);
    }
}

#endif
