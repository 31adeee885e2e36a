/* SPDX-License-Identifier: MIT */
/* Products of an integer tile with any number of quantised columns, 512 bits wide. The includer defines gemm_dot (acc +
 * the two products of 16-bit pairs per 32-bit lane) and gets static gemm_32, gemm_32m, gemm_16, gemm_16m.
 *
 * A body handles NC columns with both halves of the 32 rows in registers: 2 * NC integer accumulators per sub-block, 2
 * * NC float sums. Six columns use 24 of the 32 registers and keep both multiply ports busy (12 chains cover the
 * latency of 5 cycles at 2 a cycle). Fewer columns have too few chains, so they run NB sub-blocks side by side; the
 * float sums still take the sub-blocks in order. */
#ifndef DV_KERN_X86_GEMM_BODY_AVX512_H
#define DV_KERN_X86_GEMM_BODY_AVX512_H

#include "kern/kern.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>
#include <string.h>

enum { GEMM_MAX_COLS = 6, GEMM_MAX_BLOCKS = 4 };

DV_INLINE __m512i gemm_pair(const int16_t *q)
{
    int32_t v;
    memcpy(&v, q, sizeof v);
    return _mm512_set1_epi32(v);
}

/* Sub-blocks b .. b + NB - 1 of PAIRS column pairs each, added to the float sums s. */
DV_INLINE void gemm_blocks(const dv_tile *t, uint32_t b, const dv_act_block *x, __m512 s[GEMM_MAX_COLS][2],
                           const int NC, const int NB, const int PAIRS, const bool OFFSET)
{
    __m512i a[GEMM_MAX_BLOCKS][GEMM_MAX_COLS][2];
    UNROLL(4)
    for (int i = 0; i < NB; i++) {
        UNROLL(6)
        for (int c = 0; c < NC; c++)
            a[i][c][0] = a[i][c][1] = _mm512_setzero_si512();
    }
    const int16_t(*q)[DV_TILE_ROWS][2] = t->q + b * (uint32_t)PAIRS;
    const int16_t *xq = x->q + 2 * b * (uint32_t)PAIRS;
    UNROLL(16)
    for (int p = 0; p < PAIRS; p++) {
        UNROLL(4)
        for (int i = 0; i < NB; i++) {
            __m512i q0 = _mm512_load_si512(q[i * PAIRS + p][0]);
            __m512i q1 = _mm512_load_si512(q[i * PAIRS + p][16]);
            UNROLL(6)
            for (int c = 0; c < NC; c++) {
                __m512i v =
                    gemm_pair((const int16_t *)((const char *)xq + (size_t)c * sizeof *x) + 2 * (i * PAIRS + p));
                a[i][c][0] = gemm_dot(a[i][c][0], q0, v);
                a[i][c][1] = gemm_dot(a[i][c][1], q1, v);
            }
        }
    }
    UNROLL(4)
    for (int i = 0; i < NB; i++) {
        __m512 d0 = _mm512_load_ps(t->d[b + (uint32_t)i]), d1 = _mm512_load_ps(t->d[b + (uint32_t)i] + 16);
        UNROLL(6)
        for (int c = 0; c < NC; c++) {
            s[c][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[i][c][0]), d0, s[c][0]);
            s[c][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[i][c][1]), d1, s[c][1]);
        }
        if (!OFFSET)
            continue;
        __m512 m0 = _mm512_load_ps(t->m[b + (uint32_t)i]), m1 = _mm512_load_ps(t->m[b + (uint32_t)i] + 16);
        UNROLL(6)
        for (int c = 0; c < NC; c++) {
            __m512 sum = _mm512_set1_ps(PAIRS == 16 ? x[c].s32[b + (uint32_t)i] : x[c].s16[b + (uint32_t)i]);
            s[c][0] = _mm512_fmadd_ps(m0, sum, s[c][0]);
            s[c][1] = _mm512_fmadd_ps(m1, sum, s[c][1]);
        }
    }
}

DV_INLINE void gemm_cols(const dv_tile *t, uint32_t n_blocks, const dv_act_block *x, float *acc, const int NC,
                         const int NB, const int PAIRS, const bool OFFSET)
{
    __m512 s[GEMM_MAX_COLS][2];
    UNROLL(6)
    for (int c = 0; c < NC; c++)
        s[c][0] = s[c][1] = _mm512_setzero_ps();
    uint32_t b = 0;
    for (; b + (uint32_t)NB <= n_blocks; b += (uint32_t)NB)
        gemm_blocks(t, b, x, s, NC, NB, PAIRS, OFFSET);
    if (NB > 1)
        for (; b < n_blocks; b++)
            gemm_blocks(t, b, x, s, NC, 1, PAIRS, OFFSET);
    UNROLL(6)
    for (int c = 0; c < NC; c++) {
        __m512 d = _mm512_set1_ps(x[c].d);
        float *y = acc + c * DV_TILE_ROWS;
        _mm512_storeu_ps(y, _mm512_fmadd_ps(s[c][0], d, _mm512_loadu_ps(y)));
        _mm512_storeu_ps(y + 16, _mm512_fmadd_ps(s[c][1], d, _mm512_loadu_ps(y + 16)));
    }
}

/* The last 1..8 columns are split evenly: 7 = 4 + 3, 8 = 4 + 4. */
DV_INLINE void gemm_all(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc,
                        const int PAIRS, const bool OFFSET)
{
    uint32_t nb = n_k / (2 * (uint32_t)PAIRS), step;
    for (uint32_t c = 0; c < n_cols; c += step) {
        uint32_t left = n_cols - c;
        const dv_act_block *xc = x + c;
        float *y = acc + (size_t)c * DV_TILE_ROWS;
        step = left == 7 || left == 8 ? 4 : DV_MIN(left, 6u);
        switch (step) {
        case 1: gemm_cols(t, nb, xc, y, 1, 4, PAIRS, OFFSET); break;
        case 2: gemm_cols(t, nb, xc, y, 2, 2, PAIRS, OFFSET); break;
        case 3: gemm_cols(t, nb, xc, y, 3, 2, PAIRS, OFFSET); break;
        case 4: gemm_cols(t, nb, xc, y, 4, 1, PAIRS, OFFSET); break;
        case 5: gemm_cols(t, nb, xc, y, 5, 1, PAIRS, OFFSET); break;
        default: gemm_cols(t, nb, xc, y, 6, 1, PAIRS, OFFSET); break;
        }
    }
}

static void gemm_32(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm_all(t, n_k, x, n_cols, acc, 16, false);
}

static void gemm_32m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm_all(t, n_k, x, n_cols, acc, 16, true);
}

static void gemm_16(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm_all(t, n_k, x, n_cols, acc, 8, false);
}

static void gemm_16m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm_all(t, n_k, x, n_cols, acc, 8, true);
}

#endif
