/* SPDX-License-Identifier: MIT */
/* gemm of each tile shape, gemmf and quant_act. */
#include "checkasm.h"

#include <math.h>
#include <string.h>

enum pattern { ORDINARY, EXTREME, SMALL, SPECIAL, PATTERN_N };
static const char *const pattern_name[PATTERN_N] = {"ordinary", "extreme", "small", "special"};

static int extreme(ck *c, int lo, int hi) { return dv_rng_below(&c->rng, 4) ? lo : hi; }

/* A tile whose unset part (past n_k) would be noticed if it were read. */
static dv_tile *make_tile(ck *c, enum pattern how, uint32_t n_k, dv_shape shape)
{
    static const uint32_t bias_log2[] = {2, 3, 4, 5, 7};
    bool offset = shape == DV_SHAPE_32M || shape == DV_SHAPE_16M;
    uint32_t sub = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M ? 16 : 32;
    dv_tile *t = ck_mem(c, 0, sizeof *t, 64);
    memset(t, 0xff, sizeof *t);
    t->bias_log2 = offset ? 0 : bias_log2[dv_rng_below(&c->rng, DV_ARRAY_LEN(bias_log2))];
    int top = offset ? 31 : (2 << t->bias_log2) - 1; /* the widest type with offset has 5 bits */
    for (uint32_t i = 0; i < n_k / 4; i++)
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
            for (int h = 0; h < 4; h++)
                t->q[i][r][h] =
                    (uint8_t)(how == EXTREME ? extreme(c, 0, top) : (int)dv_rng_below(&c->rng, (uint32_t)top + 1));
    ck_fill_floats(c,
                   how == SPECIAL   ? CK_BITS
                   : how == SMALL   ? CK_TINY
                   : how == EXTREME ? CK_WIDE
                                    : CK_NORMAL,
                   t->d[0], n_k / sub * DV_TILE_ROWS);
    ck_fill_floats(c, how == SPECIAL ? CK_BITS : CK_NORMAL, t->m[0], n_k / sub * DV_TILE_ROWS);
    return t;
}

static dv_act_block *make_blocks(ck *c, enum pattern how, uint32_t n_k, uint32_t n)
{
    dv_act_block *x = ck_mem(c, 1, n * sizeof *x, 64);
    memset(x, 0, n * sizeof *x);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < n_k; k++) {
            x[i].q[k] = (int8_t)(how == EXTREME ? extreme(c, 127, -127) : (int)dv_rng_below(&c->rng, 255) - 127);
            x[i].neg[k / 16] -= x[i].q[k];
        }
        for (uint32_t g = 0; g < n_k / 16; g++) {
            x[i].d[g] = how == SPECIAL && (i + g) % 7 == 0 ? NAN : (float)dv_rng_double(&c->rng) * 1e-3f;
            x[i].s16[g] = (float)-x[i].neg[g] * x[i].d[g];
            x[i].s32[g / 2] += x[i].s16[g];
        }
    }
    return x;
}

static void check_gemm(ck *c, dv_shape shape, enum pattern how, uint32_t n_k, uint32_t n_cols)
{
    size_t n = (size_t)n_cols * DV_TILE_ROWS;
    const dv_tile *t = make_tile(c, how, n_k, shape);
    const dv_act_block *x = make_blocks(c, how, n_k, n_cols);
    float *got = ck_mem(c, 2, n * sizeof *got, 64), *want = ck_mem(c, 3, n * sizeof *want, 64);
    ck_fill_floats(c, CK_NORMAL, want, n);
    memcpy(got, want, n * sizeof *got);
    ck_case(c, "n_k %u, n_cols %u, %s", n_k, n_cols, pattern_name[how]);
    dv_ahead ahead = {.w = t->q[0][0],
                      .row_bytes = dv_rng_below(&c->rng, 999),
                      .n_rows = ck_between(c, 0, 32),
                      .len = ck_between(c, 0, 300)};
    c->ref->gemm[shape](t, n_k, x, n_cols, &ahead, want);
    c->now->gemm[shape](t, n_k, x, n_cols, &ahead, got);
    ck_same_f32(c, "acc", got, want, n);
    ck_canaries(c);
}

static void check_gemmf(ck *c, enum ck_floats how, uint32_t n_k, uint32_t n_cols)
{
    size_t n = (size_t)n_cols * DV_TILE_ROWS, ldx = n_k + (dv_rng_below(&c->rng, 2) ? ck_between(c, 0, 50) : 0);
    size_t n_x = (n_cols - 1) * ldx + n_k, n_w = (size_t)n_k * DV_TILE_ROWS;
    float *w = ck_mem(c, 0, n_w * sizeof *w, 64), *x = ck_mem(c, 1, n_x * sizeof *x, 4);
    float *got = ck_mem(c, 2, n * sizeof *got, 64), *want = ck_mem(c, 3, n * sizeof *want, 64);
    ck_fill_floats(c, how == CK_TINY ? CK_TINY : CK_NORMAL, w, n_w);
    ck_fill_floats(c, how, x, n_x);
    ck_fill_floats(c, CK_NORMAL, want, n);
    memcpy(got, want, n * sizeof *got);
    ck_case(c, "n_k %u, n_cols %u, ldx %zu, %s", n_k, n_cols, ldx, ck_floats_name[how]);
    c->ref->gemmf(w, n_k, x, ldx, n_cols, want);
    c->now->gemmf(w, n_k, x, ldx, n_cols, got);
    ck_same_f32(c, "acc", got, want, n);
    ck_canaries(c);
}

static void check_quant(ck *c, enum ck_floats how, uint32_t n)
{
    uint32_t n_blocks = (n + DV_SB - 1) / DV_SB, stride = ck_between(c, 1, 3);
    size_t total = (size_t)(n_blocks - 1) * stride + 1;
    float *x = ck_mem(c, 0, n * sizeof *x, 4);
    dv_act_block *got = ck_mem(c, 1, total * sizeof *got, 64), *want = ck_mem(c, 2, total * sizeof *want, 64);
    ck_fill_floats(c, how, x, n);
    memset(got, 0x77, total * sizeof *got);
    memset(want, 0x77, total * sizeof *want);
    ck_case(c, "n %u, stride %u, %s", n, stride, ck_floats_name[how]);
    c->ref->quant_act(x, n, want, stride);
    c->now->quant_act(x, n, got, stride);
    for (size_t b = 0; b < total; b++) {
        ck_same_bytes(c, "q", got[b].q, want[b].q, sizeof got[b].q);
        ck_same_bytes(c, "neg", got[b].neg, want[b].neg, sizeof got[b].neg);
        ck_same_f32(c, "d", got[b].d, want[b].d, 16);
        ck_same_f32(c, "s16", got[b].s16, want[b].s16, 16);
        ck_same_f32(c, "s32", got[b].s32, want[b].s32, 8);
    }
    ck_canaries(c);
}

static void gemm_of_shape(ck *c, dv_shape shape)
{
    static const uint32_t bench_cols[] = {1, 2, 4, 8, 128};
    for (int how = 0; how < PATTERN_N && ck_checking(c); how++)
        for (uint32_t n_k = 32; n_k <= DV_SB; n_k += 32)
            for (uint32_t n_cols = 1; n_cols <= 19; n_cols += how == ORDINARY ? 1 : 3)
                check_gemm(c, shape, how, n_k, n_cols);
    if (ck_checking(c))
        check_gemm(c, shape, ORDINARY, DV_SB, 67);
    const dv_ahead nothing = {0};
    for (size_t i = 0; i < DV_ARRAY_LEN(bench_cols) && c->bench; i++) {
        uint32_t n = bench_cols[i];
        const dv_tile *t = make_tile(c, ORDINARY, DV_SB, shape);
        const dv_act_block *x = make_blocks(c, ORDINARY, DV_SB, n);
        float *acc = ck_mem(c, 2, n * DV_TILE_ROWS * sizeof *acc, 64);
        memset(acc, 0, n * DV_TILE_ROWS * sizeof *acc);
        CK_BENCH(c, (double)DV_TILE_ROWS * DV_SB * n, "mac", c->now->gemm[shape](t, DV_SB, x, n, &nothing, acc),
                 "32 x 256, %u columns", n);
    }
}

static void gemm_of_floats(ck *c)
{
    static const uint32_t bench_cols[] = {1, 4, 128};
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++)
        for (uint32_t n_k = 1; n_k <= DV_FTILE_K; n_k += how == CK_NORMAL ? ck_between(c, 1, 4) : 127)
            for (uint32_t n_cols = 1; n_cols <= 19; n_cols++)
                check_gemmf(c, how, n_k, n_cols);
    for (size_t i = 0; i < DV_ARRAY_LEN(bench_cols) && c->bench; i++) {
        uint32_t n = bench_cols[i];
        float *w = ck_mem(c, 0, DV_FTILE_K * DV_TILE_ROWS * sizeof *w, 64),
              *x = ck_mem(c, 1, n * DV_FTILE_K * sizeof *x, 64);
        float *acc = ck_mem(c, 2, n * DV_TILE_ROWS * sizeof *acc, 64);
        ck_fill_floats(c, CK_NORMAL, w, DV_FTILE_K * DV_TILE_ROWS);
        ck_fill_floats(c, CK_NORMAL, x, n * DV_FTILE_K);
        memset(acc, 0, n * DV_TILE_ROWS * sizeof *acc);
        CK_BENCH(c, (double)DV_TILE_ROWS * DV_FTILE_K * n, "mac", c->now->gemmf(w, DV_FTILE_K, x, DV_FTILE_K, n, acc),
                 "32 x 128, %u columns", n);
    }
}

static void quantise(ck *c)
{
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++)
        for (uint32_t n = 32; n <= 1088; n += 32)
            check_quant(c, how, n);
    float *x = ck_mem(c, 0, 4096 * sizeof *x, 64);
    dv_act_block *out = ck_mem(c, 1, 16 * sizeof *out, 64);
    ck_fill_floats(c, CK_NORMAL, x, 4096);
    CK_BENCH(c, 4096, "el", c->now->quant_act(x, 4096, out, 1), "4096");
}

void ck_gemm(ck *c)
{
    static const char *const shape_name[DV_SHAPE_N] = {"gemm_32", "gemm_32m", "gemm_16", "gemm_16m"};
    for (int s = 0; s < DV_SHAPE_N; s++)
        if (CK_BEGIN(c, gemm[s], "%s", shape_name[s])) {
            gemm_of_shape(c, (dv_shape)s);
            ck_end(c);
        }
    if (CK_BEGIN(c, gemmf, "gemmf")) {
        gemm_of_floats(c);
        ck_end(c);
    }
    if (CK_BEGIN(c, quant_act, "quant_act")) {
        quantise(c);
        ck_end(c);
    }
}
