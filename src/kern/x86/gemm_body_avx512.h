/* SPDX-License-Identifier: MIT */
/* Products of an integer tile with any number of quantised columns, 512 bits wide. The includer defines GEMM_VNNI and gets static
 * gemm_32, gemm_32m, gemm_16, gemm_16m.
 *
 * A body handles NC columns with both halves of the 32 rows in registers: 2 * NC integer sums of a group, 2 * NC float sums of a
 * sub-block, and 2 * NC of all. Four columns fill 24 of the 32 registers, and their 8 chains keep both multiply ports busy. */
#ifndef DV_KERN_X86_GEMM_BODY_AVX512_H
#define DV_KERN_X86_GEMM_BODY_AVX512_H

#include "kern/kern.h"
#include "kern/x86/dot_avx512.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>

enum { GEMM_MAX_COLS = 4 };

typedef __m512 gemm_sums[GEMM_MAX_COLS][2];

/* Group g: t = its sums with the columns' scales, added to t where it is the second of a sub-block. */
DV_INLINE void gemm_group(const dv_tile *t, uint32_t g, const dv_act_block *x, gemm_sums f, const int NC,
                          const bool SECOND, const bool OFFSET)
{
    __m512i s[GEMM_MAX_COLS][2];
    UNROLL(4)
    for (int c = 0; c < NC; c++)
        s[c][0] = s[c][1] =
            OFFSET ? _mm512_setzero_si512()
                   : _mm512_sllv_epi32(_mm512_set1_epi32(x[c].neg[g]), _mm512_set1_epi32((int)t->bias_log2));
    UNROLL(4)
    for (uint32_t j = 0; j < 4; j++) {
        __m512i q0 = _mm512_load_si512(t->q[4 * g + j][0]), q1 = _mm512_load_si512(t->q[4 * g + j][16]);
        UNROLL(4)
        for (int c = 0; c < NC; c++) {
            __m512i v = dot_broadcast(x[c].q + DV_ACT_GROUP * g + 4 * j);
            s[c][0] = dot_bytes(GEMM_VNNI, s[c][0], q0, v);
            s[c][1] = dot_bytes(GEMM_VNNI, s[c][1], q1, v);
        }
    }
    UNROLL(4)
    for (int c = 0; c < NC; c++) {
        __m512 d = _mm512_set1_ps(x[c].d[g]);
        UNROLL(2)
        for (int h = 0; h < 2; h++) {
            __m512 v = _mm512_cvtepi32_ps(s[c][h]);
            f[c][h] = SECOND ? _mm512_fmadd_ps(v, d, f[c][h]) : _mm512_mul_ps(v, d);
        }
    }
}

/* ahead: this body's share of the rows */
DV_INLINE void gemm_cols(const dv_tile *t, uint32_t n_blocks, const dv_act_block *x, const dv_ahead *ahead, float *acc,
                         const int NC, const uint32_t SUB, const bool OFFSET)
{
    gemm_sums y;
    UNROLL(4)
    for (int c = 0; c < NC; c++)
        y[c][0] = y[c][1] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; b++) {
        gemm_sums f;
        UNROLL(4)
        for (int c = 0; c < NC; c++)
            __builtin_prefetch((const char *)(x + NC + c) + 2 * SUB * b); /* two bytes of a block for each element */
        if (ahead->n_rows > 0)
            dv_ahead_fetch(ahead, b, n_blocks);
        gemm_group(t, b * (SUB / DV_ACT_GROUP), x, f, NC, false, OFFSET);
        if (SUB == 32)
            gemm_group(t, 2 * b + 1, x, f, NC, true, OFFSET);
        UNROLL(4)
        for (int c = 0; c < NC; c++) {
            UNROLL(2)
            for (int h = 0; h < 2; h++) {
                y[c][h] = _mm512_fmadd_ps(f[c][h], _mm512_load_ps(t->d[b] + 16 * h), y[c][h]);
                if (OFFSET)
                    y[c][h] = _mm512_fmadd_ps(_mm512_load_ps(t->m[b] + 16 * h),
                                              _mm512_set1_ps(SUB == 32 ? x[c].s32[b] : x[c].s16[b]), y[c][h]);
            }
        }
    }
    UNROLL(4)
    for (int c = 0; c < NC; c++) {
        float *to = acc + c * DV_TILE_ROWS;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), y[c][0]));
        _mm512_storeu_ps(to + 16, _mm512_add_ps(_mm512_loadu_ps(to + 16), y[c][1]));
    }
}

/* The last 5 or 6 columns are split evenly. */
DV_INLINE void gemm_all(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                        float *acc, const uint32_t SUB, const bool OFFSET)
{
    uint32_t nb = n_k / SUB, step, row = 0;
    for (uint32_t c = 0; c < n_cols; c += step) {
        uint32_t left = n_cols - c;
        const dv_act_block *xc = x + c;
        float *y = acc + (size_t)c * DV_TILE_ROWS;
        dv_ahead a = *ahead;
        step = left == 5 || left == 6 ? 3 : DV_MIN(left, 4u);
        uint32_t end_row = ahead->n_rows * (c + step) / n_cols;
        a.w += row * a.row_bytes;
        a.n_rows = end_row - row;
        row = end_row;
        switch (step) {
        case 1: gemm_cols(t, nb, xc, &a, y, 1, SUB, OFFSET); break;
        case 2: gemm_cols(t, nb, xc, &a, y, 2, SUB, OFFSET); break;
        case 3: gemm_cols(t, nb, xc, &a, y, 3, SUB, OFFSET); break;
        default: gemm_cols(t, nb, xc, &a, y, 4, SUB, OFFSET); break;
        }
    }
}

static void gemm_32(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                    float *acc)
{
    gemm_all(t, n_k, x, n_cols, ahead, acc, 32, false);
}

static void gemm_32m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                     float *acc)
{
    gemm_all(t, n_k, x, n_cols, ahead, acc, 32, true);
}

static void gemm_16(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                    float *acc)
{
    gemm_all(t, n_k, x, n_cols, ahead, acc, 16, false);
}

static void gemm_16m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                     float *acc)
{
    gemm_all(t, n_k, x, n_cols, ahead, acc, 16, true);
}

#endif
