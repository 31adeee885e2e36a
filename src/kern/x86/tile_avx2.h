/* SPDX-License-Identifier: MIT */
/* Building blocks of the AVX2 unpackers. They work on 8 rows at a time, one row per 32-bit lane: 16 bytes of each row are loaded and
 * transposed to four vectors, so lane r of vector j is bytes 4j..4j+3 of row r. Masks and shifts then give the words of a tile, four of
 * them the 16 columns of a group, which go to the tile, or right into the products of a few columns.
 *
 * Every load lies inside the block it is for. */
#ifndef DV_KERN_X86_TILE_AVX2_H
#define DV_KERN_X86_TILE_AVX2_H

#include "kern/kern.h"
#include "kern/x86/avx2.h"
#include "kern/x86/dot_avx2.h"

#include <immintrin.h>
#include <string.h>

/** Where the unpacked weights of 8 rows go. A type's function is compiled once for tiles and once for each small number of columns; what
 * is marked constant is so after inlining. */
typedef struct dv__dest {
    unsigned cols;                            /**< 0: to a tile. Constant */
    dv__dot how;                              /**< of the products; constant */
    bool bias;                                /**< constant */
    uint8_t (*q)[DV_TILE_ROWS][4];            /**< tile: the words of these 8 rows */
    float (*d)[DV_TILE_ROWS];                 /**< scales of the sub-blocks, of these 8 rows */
    float (*m)[DV_TILE_ROWS];                 /**< offsets */
    const dv_act_block *x;                    /**< else: the columns, */
    const int32_t (*start)[16];               /**< what dv__dot_start gives for them, */
    float (*sum)[DV_GEMV_COLS][DV_GEMV_ROWS]; /**< and the sums of each group; */
    const uint8_t *ahead;                     /**< and 8 rows to prefetch meanwhile, */
    size_t row_bytes, tile_bytes;             /**< with this distance, of so many bytes. The latter is constant */
} dv__dest;

/** Unpacks columns 0..n_k of 8 rows. */
typedef void dv__rows8_fn(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv__dest o);

/* --- loads --- */

/** 16 bytes at p in the low half and 16 bytes at q in the high half. */
DV_INLINE __m256i dv__load_2x16(const uint8_t *p, const uint8_t *q)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                   _mm_loadu_si128((const __m128i *)q), 1);
}

/** v[j] = lane r: bytes 4j..4j+3 at w + r * row_bytes. */
DV_INLINE void dv__load_t4(const uint8_t *w, size_t row_bytes, __m256i v[4])
{
    const uint8_t *w4 = w + 4 * row_bytes;
    __m256i a0 = dv__load_2x16(w, w4), a1 = dv__load_2x16(w + row_bytes, w4 + row_bytes);
    __m256i a2 = dv__load_2x16(w + 2 * row_bytes, w4 + 2 * row_bytes);
    __m256i a3 = dv__load_2x16(w + 3 * row_bytes, w4 + 3 * row_bytes);
    __m256i b0 = _mm256_unpacklo_epi32(a0, a1), b1 = _mm256_unpacklo_epi32(a2, a3);
    __m256i b2 = _mm256_unpackhi_epi32(a0, a1), b3 = _mm256_unpackhi_epi32(a2, a3);
    v[0] = _mm256_unpacklo_epi64(b0, b1);
    v[1] = _mm256_unpackhi_epi64(b0, b1);
    v[2] = _mm256_unpacklo_epi64(b2, b3);
    v[3] = _mm256_unpackhi_epi64(b2, b3);
}

/** Lane r: the 32-bit word at w + r * row_bytes. */
DV_INLINE __m256i dv__load_u32x8(const uint8_t *w, size_t row_bytes)
{
    uint32_t u[8];
    DV_UNROLL
    for (unsigned i = 0; i < 8; i++)
        memcpy(&u[i], w + i * row_bytes, sizeof u[i]);
    return _mm256_setr_epi32((int)u[0], (int)u[1], (int)u[2], (int)u[3], (int)u[4], (int)u[5], (int)u[6], (int)u[7]);
}

/** Lane r: the f16 at w + r * row_bytes. */
DV_INLINE __m256 dv__load_f16x8(const uint8_t *w, size_t row_bytes)
{
    uint16_t u[8];
    DV_UNROLL
    for (unsigned i = 0; i < 8; i++)
        memcpy(&u[i], w + i * row_bytes, sizeof u[i]);
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

DV_INLINE __m256i dv__low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(0x0f)); }
DV_INLINE __m256i dv__high_nibbles(__m256i v) { return dv__low_nibbles(_mm256_srli_epi16(v, 4)); }

/* --- what a type's function does with them --- */

DV_INLINE void dv__put_d(const dv__dest o, unsigned b, __m256 v) { _mm256_store_ps(o.d[b], v); }
DV_INLINE void dv__put_m(const dv__dest o, unsigned b, __m256 v) { _mm256_store_ps(o.m[b], v); }

/** Whether dv__put_group takes the weights of 8 bits as signed bytes, that is without the bias of 128. */
DV_INLINE bool dv__is_signed(const dv__dest o) { return o.cols > 0 && o.how == DV__DOT_SIGN; }

/** The words of group g. */
DV_INLINE void dv__put_group(const dv__dest o, unsigned g, const __m256i w[4])
{
    if (o.cols == 0) {
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++)
            _mm256_store_si256((__m256i *)o.q[4 * g + j], w[j]);
    }
    DV_UNROLL
    for (unsigned c = 0; c < o.cols; c++) {
        const int32_t *start = o.bias && !dv__is_signed(o) ? &o.start[c][g] : NULL;
        __m256i s = dv__dot_begin(o.how, start);
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++)
            s = dv__dot_word(o.how, s, j, w[j], dv__act_word(o.x + c, 4 * g + j));
        _mm256_store_ps(o.sum[g][c], _mm256_cvtepi32_ps(dv__dot_end(o.how, s, start)));
    }
}

/** Step i of the prefetch, of n_rows rows (a constant). A core has few misses in flight and stalls when it asks for more: so the requests
 * are spread evenly over the work. */
DV_INLINE void dv__fetch(const dv__dest o, unsigned i, const unsigned n_rows)
{
    if (o.cols == 0)
        return;
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *p = o.ahead + (i * n_rows + r) * o.row_bytes;
        for (unsigned k = 0; k < (unsigned)o.tile_bytes + 63; k += 64)
            __builtin_prefetch(p + k);
    }
}

/* --- tiles --- */

enum { DV__TILE_MAX_BYTES = 272 }; /**< of 256 elements of any type: 8 blocks of Q8_0 */

/** Make rows n_rows..r0+7 of a group of 8 zero. */
static inline void dv__clear_rows(dv_tile *t, uint32_t n_rows, uint32_t n_k, unsigned r0, bool sub16, bool offset)
{
    __m256i row = _mm256_add_epi32(_mm256_set1_epi32((int)r0), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i keep = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n_rows), row);
    for (uint32_t i = 0; i < n_k / 4; i++) {
        __m256i *q = (__m256i *)t->q[i][r0];
        _mm256_store_si256(q, _mm256_and_si256(keep, _mm256_load_si256(q)));
    }
    for (uint32_t b = 0; b < n_k / (sub16 ? 16 : 32); b++) {
        _mm256_store_ps(t->d[b] + r0, _mm256_and_ps(_mm256_castsi256_ps(keep), _mm256_load_ps(t->d[b] + r0)));
        if (offset)
            _mm256_store_ps(t->m[b] + r0, _mm256_and_ps(_mm256_castsi256_ps(keep), _mm256_load_ps(t->m[b] + r0)));
    }
}

/** dv_unpack_fn. bytes: of n_k columns */
DV_INLINE void dv__unpack_tile(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t,
                               dv_shape shape, uint32_t bias_log2, size_t bytes, dv__rows8_fn *rows8)
{
    const bool sub16 = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M;
    const bool offset = shape == DV_SHAPE_32M || shape == DV_SHAPE_16M;
    uint8_t copy[8][DV__TILE_MAX_BYTES];
    t->bias_log2 = bias_log2;
    for (uint32_t r0 = 0; r0 < DV_TILE_ROWS; r0 += 8, w += 8 * row_bytes) {
        const uint8_t *from = w;
        size_t step = row_bytes;
        if (DV_UNLIKELY(r0 + 8 > n_rows)) {
            for (uint32_t r = 0; r0 + r < n_rows; r++)
                memcpy(copy[r], w + r * row_bytes, bytes);
            for (uint32_t r = n_rows > r0 ? n_rows - r0 : 0; r < 8; r++)
                memset(copy[r], 0, bytes);
            from = copy[0];
            step = DV__TILE_MAX_BYTES;
        }
        rows8(from, step, n_k,
              (dv__dest){.q = (uint8_t(*)[DV_TILE_ROWS][4])(void *)t->q[0][r0],
                         .d = (float(*)[DV_TILE_ROWS])(void *)(t->d[0] + r0),
                         .m = (float(*)[DV_TILE_ROWS])(void *)(t->m[0] + r0)});
        if (DV_UNLIKELY(r0 + 8 > n_rows))
            dv__clear_rows(t, n_rows, n_k, r0, sub16, offset);
    }
}

/* --- products without a tile --- */

typedef struct dv__gemv_room {
    DV_ALIGNED(64) float d[16][DV_TILE_ROWS];
    DV_ALIGNED(64) float m[16][DV_TILE_ROWS];
    DV_ALIGNED(64) float sum[16][DV_GEMV_COLS][DV_GEMV_ROWS];
    DV_ALIGNED(64) int32_t start[DV_GEMV_COLS][16];
} dv__gemv_room;

/** The float part of dv_gemm_fn for 16 rows. cols and shape are constants. */
DV_INLINE void dv__gemv_finish(const dv__gemv_room *room, uint32_t n_k, const dv_act_block *x, unsigned cols,
                               dv_shape shape, float *acc)
{
    const bool sub16 = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M;
    const bool offset = shape == DV_SHAPE_32M || shape == DV_SHAPE_16M;
    const unsigned groups = sub16 ? 1 : 2;
    __m256 s[DV_GEMV_COLS][2];
    DV_UNROLL
    for (unsigned c = 0; c < cols; c++)
        s[c][0] = s[c][1] = _mm256_setzero_ps();
    for (unsigned b = 0; b < n_k / (16 * groups); b++) {
        DV_UNROLL
        for (unsigned c = 0; c < cols; c++) {
            const unsigned g = b * groups;
            DV_UNROLL
            for (unsigned v = 0; v < 2; v++) {
                __m256 t = _mm256_mul_ps(_mm256_load_ps(room->sum[g][c] + 8 * v), _mm256_broadcast_ss(&x[c].d[g]));
                if (groups == 2)
                    t = _mm256_fmadd_ps(_mm256_load_ps(room->sum[g + 1][c] + 8 * v),
                                        _mm256_broadcast_ss(&x[c].d[g + 1]), t);
                s[c][v] = _mm256_fmadd_ps(t, _mm256_load_ps(room->d[b] + 8 * v), s[c][v]);
                if (offset)
                    s[c][v] = _mm256_fmadd_ps(_mm256_load_ps(room->m[b] + 8 * v),
                                              _mm256_broadcast_ss(sub16 ? &x[c].s16[b] : &x[c].s32[b]), s[c][v]);
            }
        }
    }
    DV_UNROLL
    for (unsigned c = 0; c < cols; c++) {
        float *y = acc + c * DV_TILE_ROWS;
        _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), s[c][0]));
        _mm256_storeu_ps(y + 8, _mm256_add_ps(_mm256_loadu_ps(y + 8), s[c][1]));
    }
}

/** dv_gemv_fn; what follows acc are constants. */
DV_INLINE void dv__gemv_rows(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead,
                             const dv_act_block *x, float *acc, unsigned cols, dv__dot how, dv_shape shape,
                             uint32_t bias_log2, size_t tile_bytes, dv__rows8_fn *rows8)
{
    dv__gemv_room room;
    const bool bias = shape == DV_SHAPE_32 || shape == DV_SHAPE_16;
    DV_UNROLL
    for (unsigned c = 0; c < cols && bias; c++)
        dv__dot_start(how, x + c, bias_log2, room.start[c]);
    for (unsigned r = 0; r < DV_GEMV_ROWS; r += 8)
        rows8(w + r * row_bytes, row_bytes, n_k,
              (dv__dest){.cols = cols,
                         .how = how,
                         .bias = bias,
                         .d = (float(*)[DV_TILE_ROWS])(void *)(room.d[0] + r),
                         .m = (float(*)[DV_TILE_ROWS])(void *)(room.m[0] + r),
                         .x = x,
                         .start = (const int32_t(*)[16])room.start,
                         .sum = (float(*)[DV_GEMV_COLS][DV_GEMV_ROWS])(void *)(room.sum[0][0] + r),
                         .ahead = ahead + r * row_bytes,
                         .row_bytes = row_bytes,
                         .tile_bytes = tile_bytes});
    dv__gemv_finish(&room, n_k, x, cols, shape, acc);
}

/** Defines the table's functions of a type from rows8, its inline function for 8 rows. how: of products without VNNI */
#define DV__UNPACK_DEFINE(type, rows8, shape, bias_log2, how, block_len, block_bytes)                                  \
    void dv__unpack_##type##_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)       \
    {                                                                                                                  \
        dv__unpack_tile(w, row_bytes, n_rows, n_k, t, shape, bias_log2, (size_t)n_k / (block_len) * (block_bytes),     \
                        rows8);                                                                                        \
    }                                                                                                                  \
    DV__GEMV_DEFINE(dv__gemv_##type##_avx2, rows8, shape, bias_log2, how, (size_t)DV_SB / (block_len) * (block_bytes)) \
    DV__GEMV_DEFINE(dv__gemv_##type##_avxvnni, rows8, shape, bias_log2, DV__DOT_VNNI,                                  \
                    (size_t)DV_SB / (block_len) * (block_bytes))

#define DV__GEMV_DEFINE(name, rows8, shape, bias_log2, how, tile_bytes)                                               \
    void name(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead, const dv_act_block *x,          \
              uint32_t n_cols, float *acc)                                                                            \
    {                                                                                                                 \
        switch (n_cols) {                                                                                             \
        case 1: dv__gemv_rows(w, row_bytes, n_k, ahead, x, acc, 1, how, shape, bias_log2, tile_bytes, rows8); break;  \
        case 2: dv__gemv_rows(w, row_bytes, n_k, ahead, x, acc, 2, how, shape, bias_log2, tile_bytes, rows8); break;  \
        case 3: dv__gemv_rows(w, row_bytes, n_k, ahead, x, acc, 3, how, shape, bias_log2, tile_bytes, rows8); break;  \
        default: dv__gemv_rows(w, row_bytes, n_k, ahead, x, acc, 4, how, shape, bias_log2, tile_bytes, rows8); break; \
        }                                                                                                             \
    }

#endif
