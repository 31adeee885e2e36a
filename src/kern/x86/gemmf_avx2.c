/* SPDX-License-Identifier: MIT */
/* Matrix products of a float tile with any number of tokens, AVX2 + FMA. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"

#include <immintrin.h>

/* Float tiles: one running sum per row and column, in the order of k, so more columns are the only parallelism. */
DV_INLINE void gemmf_block(const float *tile, unsigned r0, uint32_t n_k, const float *x, size_t ldx, float *acc,
                           unsigned n_cols, unsigned n_vec)
{
    __m256 s[12];
    DV_UNROLL
    for (unsigned i = 0; i < n_cols * n_vec; i++)
        s[i] = _mm256_setzero_ps();
    for (uint32_t k = 0; k < n_k; k++) {
        __m256 w[4];
        DV_UNROLL
        for (unsigned v = 0; v < n_vec; v++)
            w[v] = _mm256_loadu_ps(tile + (size_t)k * DV_TILE_ROWS + r0 + 8 * v);
        DV_UNROLL
        for (unsigned c = 0; c < n_cols; c++) {
            __m256 a = _mm256_broadcast_ss(x + c * ldx + k);
            DV_UNROLL
            for (unsigned v = 0; v < n_vec; v++)
                s[c * n_vec + v] = _mm256_fmadd_ps(w[v], a, s[c * n_vec + v]);
        }
    }
    DV_UNROLL
    for (unsigned c = 0; c < n_cols; c++) {
        DV_UNROLL
        for (unsigned v = 0; v < n_vec; v++) {
            float *y = acc + (size_t)c * DV_TILE_ROWS + r0 + 8 * v;
            _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), s[c * n_vec + v]));
        }
    }
}

void dv__gemmf_avx2(const float *tile, uint32_t n_k, const float *x, size_t ldx, uint32_t n_cols, float *acc)
{
    for (; n_cols >= 6; n_cols -= 6, x += 6 * ldx, acc += 6 * DV_TILE_ROWS) {
        gemmf_block(tile, 0, n_k, x, ldx, acc, 6, 2);
        gemmf_block(tile, 16, n_k, x, ldx, acc, 6, 2);
    }
    if (n_cols >= 3) {
        gemmf_block(tile, 0, n_k, x, ldx, acc, 3, 2);
        gemmf_block(tile, 16, n_k, x, ldx, acc, 3, 2);
        n_cols -= 3;
        x += 3 * ldx;
        acc += 3 * DV_TILE_ROWS;
    }
    if (n_cols == 2)
        gemmf_block(tile, 0, n_k, x, ldx, acc, 2, 4);
    else if (n_cols == 1)
        gemmf_block(tile, 0, n_k, x, ldx, acc, 1, 4);
}
