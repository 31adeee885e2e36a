/* SPDX-License-Identifier: MIT */
/* Float tiles with AVX-512: unpacking (a transposition) and the product. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/unpack_avx512.h"

/* --- product --- */

enum { GEMMF_MAX_COLS = 12 }; /* 24 sums, 2 tile vectors, a broadcast */

DV_INLINE void gemmf_cols(const float *tile, uint32_t n_k, const float *x, size_t ldx, float *acc, const int NC)
{
    __m512 s[GEMMF_MAX_COLS][2];
    UNROLL(12)
    for (int c = 0; c < NC; c++)
        s[c][0] = s[c][1] = _mm512_setzero_ps();
    for (uint32_t k = 0; k < n_k; k++, tile += DV_TILE_ROWS) {
        __m512 w0 = _mm512_loadu_ps(tile), w1 = _mm512_loadu_ps(tile + 16);
        UNROLL(12)
        for (int c = 0; c < NC; c++) {
            __m512 v = _mm512_set1_ps(x[(size_t)c * ldx + k]);
            s[c][0] = _mm512_fmadd_ps(w0, v, s[c][0]);
            s[c][1] = _mm512_fmadd_ps(w1, v, s[c][1]);
        }
    }
    UNROLL(12)
    for (int c = 0; c < NC; c++) {
        float *y = acc + c * DV_TILE_ROWS;
        _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), s[c][0]));
        _mm512_storeu_ps(y + 16, _mm512_add_ps(_mm512_loadu_ps(y + 16), s[c][1]));
    }
}

static void gemmf(const float *tile, uint32_t n_k, const float *x, size_t ldx, uint32_t n_cols, float *acc)
{
    uint32_t step;
    for (uint32_t c = 0; c < n_cols; c += step) {
        uint32_t left = n_cols - c;
        const float *xc = x + c * ldx;
        float *y = acc + (size_t)c * DV_TILE_ROWS;
        step = left >= 12 ? 12 : left >= 8 ? 8 : left >= 6 ? 6 : left;
        switch (step) {
        case 1: gemmf_cols(tile, n_k, xc, ldx, y, 1); break;
        case 2: gemmf_cols(tile, n_k, xc, ldx, y, 2); break;
        case 3: gemmf_cols(tile, n_k, xc, ldx, y, 3); break;
        case 4: gemmf_cols(tile, n_k, xc, ldx, y, 4); break;
        case 5: gemmf_cols(tile, n_k, xc, ldx, y, 5); break;
        case 6: gemmf_cols(tile, n_k, xc, ldx, y, 6); break;
        case 8: gemmf_cols(tile, n_k, xc, ldx, y, 8); break;
        default: gemmf_cols(tile, n_k, xc, ldx, y, 12); break;
        }
    }
}

/* --- tiles --- */

/* 8 words (8 f32, or 16 elements of 16 bits) of 16 rows to tile columns. n: columns that exist, at least 1. */
DV_INLINE void store_f32(const __m512i v[8], uint32_t n, float *tile)
{
    UNROLL(8)
    for (uint32_t j = 0; j < 8; j++)
        if (j < n)
            _mm512_storeu_si512(tile + j * DV_TILE_ROWS, v[j]);
}

DV_INLINE void store_f16(const __m512i v[8], uint32_t n, float *tile)
{
    UNROLL(8)
    for (uint32_t j = 0; j < 8; j++) {
        if (2 * j < n)
            _mm512_storeu_ps(tile + 2 * j * DV_TILE_ROWS, low_f16(v[j]));
        if (2 * j + 1 < n)
            _mm512_storeu_ps(tile + (2 * j + 1) * DV_TILE_ROWS, high_f16(v[j]));
    }
}

DV_INLINE void store_bf16(const __m512i v[8], uint32_t n, float *tile)
{
    UNROLL(8)
    for (uint32_t j = 0; j < 8; j++) {
        if (2 * j < n)
            _mm512_storeu_si512(tile + 2 * j * DV_TILE_ROWS, _mm512_slli_epi32(v[j], 16));
        if (2 * j + 1 < n)
            _mm512_storeu_si512(tile + (2 * j + 1) * DV_TILE_ROWS,
                                _mm512_and_si512(v[j], _mm512_set1_epi32((int)0xffff0000u)));
    }
}

/* 32 bytes of 16 rows at a time; what is left of a row, and missing rows, come from a zero-filled copy. */
DV_INLINE void unpackf(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile,
                       const uint32_t SIZE, void (*store)(const __m512i v[8], uint32_t n, float *tile))
{
    const uint32_t step = 32 / SIZE;
    for (uint32_t half = 0; half < 32; half += 16) {
        uint32_t rows = n_rows > half ? DV_MIN(n_rows - half, 16u) : 0;
        for (uint32_t k = 0; k < n_k; k += step) {
            __m512i v[8];
            const uint8_t *p = w + half * row_bytes + k * SIZE;
            uint32_t n = DV_MIN(n_k - k, step);
            if (DV_LIKELY(rows == 16 && n == step)) {
                words_16x8(p, row_bytes, v);
                store(v, step, tile + k * DV_TILE_ROWS + half);
                continue;
            }
            uint8_t copy[16][32] = {{0}};
            for (uint32_t r = 0; r < rows; r++)
                memcpy(copy[r], p + r * row_bytes, n * SIZE);
            words_16x8(copy[0], 32, v);
            store(v, n, tile + k * DV_TILE_ROWS + half);
        }
    }
}

static void unpackf_f32(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    unpackf(w, row_bytes, n_rows, n_k, tile, 4, store_f32);
}

static void unpackf_f16(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    unpackf(w, row_bytes, n_rows, n_k, tile, 2, store_f16);
}

static void unpackf_bf16(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    unpackf(w, row_bytes, n_rows, n_k, tile, 2, store_bf16);
}

void dv__gemmf_init_avx512(dv_kern *k)
{
    k->gemmf = gemmf;
    k->unpackf[DV_TYPE_F32] = unpackf_f32;
    k->unpackf[DV_TYPE_F16] = unpackf_f16;
    k->unpackf[DV_TYPE_BF16] = unpackf_bf16;
}
