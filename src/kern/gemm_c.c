/* SPDX-License-Identifier: MIT */
/* Tile times tokens, C reference, and the quantisation of activations. */
#include "kern/init_c.h"
#include "kern/round.h"

#include <math.h>
#include <string.h>

/* Exact integer sum of a row over group g. */
DV_INLINE float isum(const dv_tile *t, bool offset, const dv_act_block *x, uint32_t g, uint32_t r)
{
    int32_t sum = offset ? 0 : x->neg[g] * (1 << t->bias_log2);
    for (uint32_t k = g * DV_ACT_GROUP; k < (g + 1) * DV_ACT_GROUP; k++)
        sum += t->q[k / 4][r][k % 4] * x->q[k];
    return (float)sum;
}

DV_INLINE void gemm(uint32_t sub, bool offset, const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols,
                    float *acc)
{
    for (uint32_t c = 0; c < n_cols; c++, x++, acc += DV_TILE_ROWS) {
        const float *xsum = sub == 16 ? x->s16 : x->s32;
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++) {
            float s = 0;
            for (uint32_t b = 0; b < n_k / sub; b++) {
                uint32_t g = b * (sub / DV_ACT_GROUP);
                float v = isum(t, offset, x, g, r) * x->d[g];
                if (sub == 32)
                    v = fmaf(isum(t, offset, x, g + 1, r), x->d[g + 1], v);
                s = fmaf(v, t->d[b][r], s);
                if (offset)
                    s = fmaf(t->m[b][r], xsum[b], s);
            }
            acc[r] += s;
        }
    }
}

static void gemm_32(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                    float *acc)
{
    (void)ahead;
    gemm(32, false, t, n_k, x, n_cols, acc);
}

static void gemm_32m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                     float *acc)
{
    (void)ahead;
    gemm(32, true, t, n_k, x, n_cols, acc);
}

static void gemm_16(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                    float *acc)
{
    (void)ahead;
    gemm(16, false, t, n_k, x, n_cols, acc);
}

static void gemm_16m(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                     float *acc)
{
    (void)ahead;
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

/* Quantises a group; returns its scale. */
static float quant_group(const float *x, int8_t *q, int32_t *neg)
{
    float max = dv__abs_max(x, DV_ACT_GROUP);
    if (!isfinite(max))
        return NAN;
    float inv = 127.0f / max;
    if (!isfinite(inv))
        return 0;
    for (uint32_t i = 0; i < DV_ACT_GROUP; i++) {
        q[i] = (int8_t)dv__round_clamp(x[i] * inv, 127.0f);
        *neg -= q[i];
    }
    return max / 127.0f;
}

/* n elements of one block, 32..256, a multiple of 32. */
static void quant_block(const float *x, uint32_t n, dv_act_block *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t g = 0; g < n / DV_ACT_GROUP; g++) {
        out->d[g] = quant_group(x + g * DV_ACT_GROUP, out->q + g * DV_ACT_GROUP, &out->neg[g]);
        out->s16[g] = out->d[g] * (float)-out->neg[g];
    }
    for (uint32_t b = 0; b < n / 32; b++)
        out->s32[b] = fmaf(out->d[2 * b + 1], (float)-out->neg[2 * b + 1], out->s16[2 * b]);
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
