/* SPDX-License-Identifier: MIT */
/* Matrix products of an unpacked tile with any number of tokens, AVX2 + FMA.
 *
 * A block holds its integer sums and float sums in registers: 16 rows x 3 columns (six sums of each kind), or 32 rows x
 * 1 column for the last one. The columns run in the outer loop, so that the tile and three activation blocks stay in
 * L1. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"

#include <immintrin.h>

enum { MAX_SUMS = 6 };

/* n_vec vectors of 8 rows from row r0, n_cols columns; sb_pairs column pairs in a sub-block. All but n_sb are constants
 * at the call. */
DV_INLINE void gemm_block(const dv_tile *t, unsigned r0, unsigned n_sb, const dv_act_block *x, float *acc,
                          unsigned n_cols, unsigned n_vec, unsigned sb_pairs, bool offset)
{
    const int16_t(*q)[DV_TILE_ROWS][2] = t->q;
    size_t xo = 0;
    __m256 s[MAX_SUMS];
    DV_UNROLL
    for (unsigned i = 0; i < n_cols * n_vec; i++)
        s[i] = _mm256_setzero_ps();
    for (unsigned b = 0; b < n_sb; b++) {
        __m256i sum[MAX_SUMS];
        DV_UNROLL
        for (unsigned i = 0; i < n_cols * n_vec; i++)
            sum[i] = _mm256_setzero_si256();
        for (unsigned p = 0; p < sb_pairs; p += 4) {
            DV_UNROLL
            for (unsigned u = 0; u < 4; u++) {
                __m256i w[4];
                DV_UNROLL
                for (unsigned v = 0; v < n_vec; v++)
                    w[v] = _mm256_load_si256((const __m256i *)q[u][r0 + 8 * v]);
                DV_UNROLL
                for (unsigned c = 0; c < n_cols; c++) {
                    __m256i a = _mm256_set1_epi32(((const dv__i32_alias *)(x[c].q + xo))[u]);
                    DV_UNROLL
                    for (unsigned v = 0; v < n_vec; v++) {
                        sum[c * n_vec + v] = _mm256_add_epi32(sum[c * n_vec + v], _mm256_madd_epi16(w[v], a));
                        DV_KEEP(sum[c * n_vec + v]);
                    }
                }
            }
            q += 4;
            xo += 8;
        }
        DV_UNROLL
        for (unsigned c = 0; c < n_cols; c++) {
            const float *x_sum = sb_pairs == 16 ? &x[c].s32[b] : &x[c].s16[b];
            __m256 xs = offset ? _mm256_broadcast_ss(x_sum) : _mm256_setzero_ps();
            DV_UNROLL
            for (unsigned v = 0; v < n_vec; v++) {
                unsigned i = c * n_vec + v;
                s[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]), _mm256_load_ps(t->d[b] + r0 + 8 * v), s[i]);
                if (offset)
                    s[i] = _mm256_fmadd_ps(_mm256_load_ps(t->m[b] + r0 + 8 * v), xs, s[i]);
            }
        }
    }
    DV_UNROLL
    for (unsigned c = 0; c < n_cols; c++) {
        __m256 d = _mm256_broadcast_ss(&x[c].d);
        DV_UNROLL
        for (unsigned v = 0; v < n_vec; v++) {
            float *y = acc + (size_t)c * DV_TILE_ROWS + r0 + 8 * v;
            _mm256_storeu_ps(y, _mm256_fmadd_ps(s[c * n_vec + v], d, _mm256_loadu_ps(y)));
        }
    }
}

DV_INLINE void gemm(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc,
                    unsigned sb_pairs, bool offset)
{
    unsigned n_sb = n_k / (2 * sb_pairs);
    for (; n_cols >= 3; n_cols -= 3, x += 3, acc += 3 * DV_TILE_ROWS) {
        gemm_block(t, 0, n_sb, x, acc, 3, 2, sb_pairs, offset);
        gemm_block(t, 16, n_sb, x, acc, 3, 2, sb_pairs, offset);
    }
    if (n_cols == 2) {
        gemm_block(t, 0, n_sb, x, acc, 2, 2, sb_pairs, offset);
        gemm_block(t, 16, n_sb, x, acc, 2, 2, sb_pairs, offset);
    } else if (n_cols == 1) {
        gemm_block(t, 0, n_sb, x, acc, 1, 4, sb_pairs, offset);
    }
}

void dv__gemm_32_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(t, n_k, x, n_cols, acc, 16, false);
}

void dv__gemm_32m_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(t, n_k, x, n_cols, acc, 16, true);
}

void dv__gemm_16_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(t, n_k, x, n_cols, acc, 8, false);
}

void dv__gemm_16m_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(t, n_k, x, n_cols, acc, 8, true);
}

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
