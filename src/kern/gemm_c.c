/* SPDX-License-Identifier: MIT */
/* Tile times tokens, C reference, and the quantisation of activations. */
#include "kern/init_c.h"
#include "kern/round.h"

#include <math.h>
#include <string.h>

/* Exact integer sums of one sub-block for all rows. */
DV_INLINE void isums(const dv_tile *t, uint32_t sub, uint32_t b, const int16_t *x, int32_t *sum)
{
    memset(sum, 0, DV_TILE_ROWS * sizeof *sum);
    for (uint32_t i = b * (sub / 2); i < (b + 1) * (sub / 2); i++)
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
            sum[r] += t->q[i][r][0] * x[2 * i] + t->q[i][r][1] * x[2 * i + 1];
}

DV_INLINE void gemm(uint32_t sub, bool offset, const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols,
                    float *acc)
{
    for (uint32_t c = 0; c < n_cols; c++, x++, acc += DV_TILE_ROWS) {
        const float *xsum = sub == 16 ? x->s16 : x->s32;
        float s[DV_TILE_ROWS] = {0};
        for (uint32_t b = 0; b < n_k / sub; b++) {
            int32_t sum[DV_TILE_ROWS];
            isums(t, sub, b, x->q, sum);
            for (uint32_t r = 0; r < DV_TILE_ROWS; r++) {
                s[r] = fmaf((float)sum[r], t->d[b][r], s[r]);
                if (offset)
                    s[r] = fmaf(t->m[b][r], xsum[b], s[r]);
            }
        }
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
            acc[r] = fmaf(s[r], x->d, acc[r]);
    }
}

static void gemm_32(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(32, false, t, n_k, x, n_cols, acc);
}

static void gemm_32m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(32, true, t, n_k, x, n_cols, acc);
}

static void gemm_16(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(16, false, t, n_k, x, n_cols, acc);
}

static void gemm_16m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc)
{
    gemm(16, true, t, n_k, x, n_cols, acc);
}

static void gemmf(const float *tile, uint32_t n_k, const float *x, size_t ldx, uint32_t n_cols, float *acc)
{
    for (uint32_t c = 0; c < n_cols; c++, x += ldx, acc += DV_TILE_ROWS) {
        float s[DV_TILE_ROWS] = {0};
        for (uint32_t k = 0; k < n_k; k++)
            for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
                s[r] = fmaf(tile[k * DV_TILE_ROWS + r], x[k], s[r]);
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
            acc[r] += s[r];
    }
}

/* n elements of one block, 1..256, a multiple of 32. */
static void quant_block(const float *x, uint32_t n, dv_act_block *out)
{
    float max = dv__abs_max(x, n);
    memset(out, 0, sizeof *out);
    if (!isfinite(max)) {
        out->d = NAN;
        return;
    }
    float inv = 32767.0f / max;
    if (!isfinite(inv))
        return;
    out->d = max / 32767.0f;
    for (uint32_t i = 0; i < n; i++) {
        int32_t q = dv__round_clamp(x[i] * inv, 32767.0f);
        out->q[i / 4 * 4 + i % 2 * 2 + i % 4 / 2] = (int16_t)q;
        /* Integers below 2^24: every partial sum is exact. */
        out->s16[i / 16] += (float)q;
        out->s32[i / 32] += (float)q;
    }
}

static void quant_act(const float *x, uint32_t n, dv_act_block *out, size_t stride)
{
    for (uint32_t at = 0; at < n; at += DV_SB, out += stride)
        quant_block(x + at, DV_MIN(n - at, (uint32_t)DV_SB), out);
}

void dv__kern_init_c_gemm(dv_kern *k)
{
    k->gemm[DV_SHAPE_32] = gemm_32;
    k->gemm[DV_SHAPE_32M] = gemm_32m;
    k->gemm[DV_SHAPE_16] = gemm_16;
    k->gemm[DV_SHAPE_16M] = gemm_16m;
    k->gemmf = gemmf;
    k->quant_act = quant_act;
}
