/* SPDX-License-Identifier: MIT */
/* Building blocks of the AVX-512 unpackers.
 *
 * A tile wants the bytes of four columns of a row as one 32-bit word, and the words of 32 rows side by side. The
 * unpackers read 16 or 32 packed bytes of 16 rows at a time and transpose them as 32-bit words, still packed: vector j
 * holds bytes 4j .. 4j + 3 of every row. Masks and shifts then give the words of the tile. So the costly shuffles run
 * on the packed bytes, and half of the transposition happens in the loads (a 128-bit or 256-bit insertion from memory
 * is cheaper than a shuffle on the one shuffle port).
 *
 * Every load lies inside the block it is for. Tiles with fewer than 32 rows go through a zero-filled copy
 * (unpack_tail). */
#ifndef DV_KERN_X86_UNPACK_AVX512_H
#define DV_KERN_X86_UNPACK_AVX512_H

#include "kern/kern.h"
#include "kern/x86/dot_avx512.h"
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

/* Where the unpacked weights of 16 rows go. A type's function says what it unpacks, by put_*; it is compiled once for tiles and once for
 * each small number of columns, where the products are summed right from the registers. */
typedef struct dest {
    int cols;                                     /* 0: a tile. Constant after inlining */
    bool vnni;                                    /* constant too, */
    int bias_log2;                                /* and this; -1: no bias */
    float (*d)[DV_TILE_ROWS], (*m)[DV_TILE_ROWS]; /* scales and offsets of the sub-blocks, of these 16 rows */
    uint8_t (*q)[DV_TILE_ROWS][4];                /* tile: the words of these 16 rows */
    const dv_act_block *x;                        /* else: the columns, */
    float (*sum)[DV_GEMV_COLS][16];               /* and each sub-block's sums with the columns' scales; */
    const uint8_t *ahead;                         /* and what to prefetch meanwhile: 16 rows, */
    size_t row_bytes, tile_bytes;                 /* with this distance, of so many bytes. The latter is constant */
} dest;

/* Group g of 16 columns: sums of its four words w with each column, as floats with the columns' scales, added to t where g is the second
 * of a sub-block. */
DV_INLINE void dot_group(const dest o, uint32_t g, const __m512i w[4], const bool second, __m512 t[DV_GEMV_COLS])
{
    __m512i s[DV_GEMV_COLS];
    UNROLL(8)
    for (int c = 0; c < o.cols; c++)
        s[c] = dot_start(o.x + c, g, o.bias_log2);
    UNROLL(4)
    for (uint32_t j = 0; j < 4; j++) {
        UNROLL(8)
        for (int c = 0; c < o.cols; c++)
            s[c] = dot_word(o.vnni, s[c], w[j], o.x[c].q + 16 * g + 4 * j);
    }
    UNROLL(8)
    for (int c = 0; c < o.cols; c++) {
        const __m512 d = _mm512_set1_ps(o.x[c].d[g]), f = _mm512_cvtepi32_ps(s[c]);
        t[c] = second ? _mm512_fmadd_ps(f, d, t[c]) : _mm512_mul_ps(f, d);
    }
}

DV_INLINE void put_words(const dest o, uint32_t first, const __m512i *w, const int n)
{
    UNROLL(8)
    for (int j = 0; j < n; j++)
        _mm512_store_si512(o.q[first + (uint32_t)j], w[j]);
}

/* Sub-block b of 32 columns: its 8 words. */
DV_INLINE void put_32(const dest o, uint32_t b, const __m512i w[8])
{
    __m512 t[DV_GEMV_COLS];
    if (o.cols == 0) {
        put_words(o, 8 * b, w, 8);
        return;
    }
    dot_group(o, 2 * b, w, false, t);
    dot_group(o, 2 * b + 1, w + 4, true, t);
    UNROLL(8)
    for (int c = 0; c < o.cols; c++)
        _mm512_store_ps(o.sum[b][c], t[c]);
}

/* Sub-block b of 16 columns: its 4 words. */
DV_INLINE void put_16(const dest o, uint32_t b, const __m512i w[4])
{
    __m512 t[DV_GEMV_COLS];
    if (o.cols == 0) {
        put_words(o, 4 * b, w, 4);
        return;
    }
    dot_group(o, b, w, false, t);
    UNROLL(8)
    for (int c = 0; c < o.cols; c++)
        _mm512_store_ps(o.sum[b][c], t[c]);
}

/* Step i of n of the prefetch. A core has few misses in flight and stalls when it asks for more: so the requests are spread evenly over
 * the work. */
DV_INLINE void fetch(const dest o, uint32_t i, const uint32_t n)
{
    const uint32_t rows = 16 / n;
    if (o.cols == 0)
        return;
    UNROLL(4)
    for (uint32_t r = 0; r < rows; r++) {
        const uint8_t *p = o.ahead + (i * rows + r) * o.row_bytes;
        UNROLL(6)
        for (uint32_t k = 0; k < (uint32_t)o.tile_bytes + 63; k += 64)
            __builtin_prefetch(p + k);
    }
}

DV_INLINE void put_d(const dest o, uint32_t b, __m512 v) { _mm512_store_ps(o.d[b], v); }
DV_INLINE void put_m(const dest o, uint32_t b, __m512 v) { _mm512_store_ps(o.m[b], v); }

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
    for (uint32_t i = 0; i < n_k / 4; i++) {
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

/* The float part of dv_gemm_fn for 16 rows, of what the 16-row function left in o. */
DV_INLINE void gemv_finish(const dest o, uint32_t n_blocks, const bool offset, const bool sub16, float *acc)
{
    UNROLL(4)
    for (int c = 0; c < o.cols; c++) {
        __m512 s = _mm512_setzero_ps();
        const float *xsum = sub16 ? o.x[c].s16 : o.x[c].s32;
        for (uint32_t b = 0; b < n_blocks; b++) {
            s = _mm512_fmadd_ps(_mm512_load_ps(o.sum[b][c]), _mm512_load_ps(o.d[b]), s);
            if (offset)
                s = _mm512_fmadd_ps(_mm512_load_ps(o.m[b]), _mm512_set1_ps(xsum[b]), s);
        }
        float *y = acc + c * DV_TILE_ROWS;
        _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), s));
    }
}

typedef struct gemv_room {
    DV_ALIGNED(64) float d[16][DV_TILE_ROWS];
    DV_ALIGNED(64) float m[16][DV_TILE_ROWS];
    DV_ALIGNED(64) float sum[16][DV_GEMV_COLS][16];
} gemv_room;

typedef void (*rows16_fn)(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o);

DV_INLINE void gemv_body(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead, const dv_act_block *x,
                         float *acc, rows16_fn rows16, const dv_shape shape, const int bias_log2,
                         const size_t tile_bytes, const int cols, const bool vnni)
{
    const bool sub16 = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M,
               offset = shape == DV_SHAPE_32M || shape == DV_SHAPE_16M;
    gemv_room room;
    dest o = {.cols = cols,
              .vnni = vnni,
              .bias_log2 = bias_log2,
              .d = room.d,
              .m = room.m,
              .x = x,
              .sum = room.sum,
              .ahead = ahead,
              .row_bytes = row_bytes,
              .tile_bytes = tile_bytes};
    rows16(w, row_bytes, n_k, o);
    gemv_finish(o, n_k / (sub16 ? 16 : 32), offset, sub16, acc);
}

DV_INLINE void tile_body(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv_tile *t, rows16_fn rows16)
{
    for (uint32_t half = 0; half < DV_TILE_ROWS; half += 16) {
        dest o = {.d = (float(*)[DV_TILE_ROWS])(void *)(t->d[0] + half),
                  .m = (float(*)[DV_TILE_ROWS])(void *)(t->m[0] + half),
                  .q = (uint8_t(*)[DV_TILE_ROWS][4])(void *)t->q[0][half]};
        rows16(w + half * row_bytes, row_bytes, n_k, o);
    }
}

/* Defines from `name_rows16`, an inline function for 16 rows, the table's functions: name, and name_gemv and name_gemv_vnni.
 * bias as dv_type_bias_log2 has it, -1 for shapes with offset. */
#define UNPACK_DEFINE(name, shape, bias, block_len, block_bytes)                                               \
    static void name##_full(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv_tile *t)                      \
    {                                                                                                          \
        tile_body(w, row_bytes, n_k, t, name##_rows16);                                                        \
    }                                                                                                          \
    static void name(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)            \
    {                                                                                                          \
        t->bias_log2 = (bias) < 0 ? 0u : (uint32_t)(bias);                                                     \
        if (DV_LIKELY(n_rows == DV_TILE_ROWS))                                                                 \
            name##_full(w, row_bytes, n_k, t);                                                                 \
        else                                                                                                   \
            unpack_tail(w, row_bytes, n_rows, n_k, t, (size_t)n_k / (block_len) * (block_bytes), name##_full); \
    }                                                                                                          \
    GEMV_DEFINE(name##_gemv, name##_rows16, shape, bias, (size_t)DV_SB / (block_len) * (block_bytes), false)   \
    GEMV_DEFINE(name##_gemv_vnni, name##_rows16, shape, bias, (size_t)DV_SB / (block_len) * (block_bytes), true)

#define GEMV_CASE(n, rows16, shape, bias, tile_bytes, vnni)                                    \
    case n:                                                                                    \
        gemv_body(w, row_bytes, n_k, ahead, x, acc, rows16, shape, bias, tile_bytes, n, vnni); \
        break;

#define GEMV_DEFINE(name, rows16, shape, bias, tile_bytes, vnni)                                                    \
    static void name(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead, const dv_act_block *x, \
                     uint32_t n_cols, float *acc)                                                                   \
    {                                                                                                               \
        switch (n_cols) {                                                                                           \
            GEMV_CASE(1, rows16, shape, bias, tile_bytes, vnni)                                                     \
            GEMV_CASE(2, rows16, shape, bias, tile_bytes, vnni)                                                     \
            GEMV_CASE(3, rows16, shape, bias, tile_bytes, vnni)                                                     \
            GEMV_CASE(4, rows16, shape, bias, tile_bytes, vnni)                                                     \
        }                                                                                                           \
    }

/* Enters them into table k. */
#define UNPACK_SET(k, type, name)                                \
    do {                                                         \
        (k)->unpack[type] = name;                                \
        (k)->gemv[type] = vnni ? name##_gemv_vnni : name##_gemv; \
    } while (0)

#endif
