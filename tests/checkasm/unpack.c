/* SPDX-License-Identifier: MIT */
/* unpack (integer types) and unpackf. The weights end at a guard page: in a mapped file they may end with the last page. */
#include "../unit/kern_util.h"
#include "checkasm.h"

enum pattern {
    ORDINARY,
    ANY,
    ONES,
    ZEROS,
    HIGH_BITS,
    SCALE_MAX,
    SCALE_SUBNORMAL,
    SCALE_INF,
    SCALE_NAN,
    SCALE_ZERO,
    PATTERN_N
};
static const char *const pattern_name[PATTERN_N] = {"ordinary",  "any bytes", "all ff",          "all 0",
                                                    "all 80",    "max scale", "subnormal scale", "infinite scale",
                                                    "NaN scale", "zero scale"};

static void fill_row(ck *c, dv_type type, enum pattern how, uint8_t *dst, uint32_t n)
{
    static const uint16_t scale[PATTERN_N] = {
        [SCALE_MAX] = 0x7bff, [SCALE_SUBNORMAL] = 0x0201, [SCALE_INF] = 0x7c00, [SCALE_NAN] = 0x7e01};
    const dv_type_info *info = dv_type_get(type);
    size_t bytes = n / info->block_len * info->block_bytes;
    kern_random_row(&c->rng, type, dst, n);
    if (how == ANY)
        ck_fill_bytes(c, dst, bytes);
    if (how == ONES || how == ZEROS || how == HIGH_BITS)
        memset(dst, how == ONES ? 0xff : how == HIGH_BITS ? 0x80 : 0, bytes);
    if (how < SCALE_MAX || dv_type_shape(type) == DV_SHAPE_FLOAT)
        return;
    int at[2];
    kern_halves(type, at);
    for (size_t b = 0; b < bytes; b += info->block_bytes)
        for (int i = 0; i < 2; i++)
            if (at[i] >= 0)
                kern_put16(dst + b + at[i], (uint16_t)(scale[how] | (dv_rng_below(&c->rng, 2) << 15)));
}

/* Rows of the input with a stride; returns the first byte. */
static const uint8_t *make_rows(ck *c, dv_type type, enum pattern how, uint32_t n_rows, uint32_t n_k, size_t *row_bytes)
{
    const dv_type_info *info = dv_type_get(type);
    size_t bytes = n_k / info->block_len * info->block_bytes;
    *row_bytes = bytes + (dv_rng_below(&c->rng, 2) ? ck_between(c, 0, 200) : 0);
    uint8_t *w = ck_mem(c, 0, (n_rows - 1) * *row_bytes + bytes, 1);
    for (uint32_t r = 0; r < n_rows; r++)
        fill_row(c, type, how, w + r * *row_bytes, n_k);
    return w;
}

static void same_scales(ck *c, const char *field, float (*got)[DV_TILE_ROWS], float (*want)[DV_TILE_ROWS], uint32_t n,
                        uint32_t n_rows)
{
    for (uint32_t b = 0; b < n; b++) {
        ck_same_f32(c, field, got[b], want[b], n_rows);
        for (uint32_t r = n_rows; r < DV_TILE_ROWS; r++)
            if (got[b][r] != 0)
                ck_fail(c, "%s[%u] of unused row %u is %a, not 0", field, b, r, (double)got[b][r]);
    }
}

static void check(ck *c, dv_type type, enum pattern how, uint32_t n_rows, uint32_t n_k)
{
    dv_shape shape = dv_type_shape(type);
    uint32_t sub = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M ? 16 : 32;
    size_t row_bytes;
    const uint8_t *w = make_rows(c, type, how, n_rows, n_k, &row_bytes);
    dv_tile *got = ck_mem(c, 1, sizeof *got, 64), *want = ck_mem(c, 2, sizeof *want, 64);
    memset(got, 0x55, sizeof *got);
    ck_case(c, "n_rows %u, n_k %u, row_bytes %zu, %s", n_rows, n_k, row_bytes, pattern_name[how]);
    c->ref->unpack[type](w, row_bytes, n_rows, n_k, want);
    c->now->unpack[type](w, row_bytes, n_rows, n_k, got);
    for (uint32_t k = 0; k < n_k; k++)
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
            if (got->q[k / 4][r][k % 4] != want->q[k / 4][r][k % 4])
                ck_fail(c, "q of column %u, row %u is %d, not %d", k, r, got->q[k / 4][r][k % 4],
                        want->q[k / 4][r][k % 4]);
    if (got->bias_log2 != want->bias_log2)
        ck_fail(c, "bias_log2 is %u, not %u", got->bias_log2, want->bias_log2);
    same_scales(c, "d", got->d, want->d, n_k / sub, n_rows);
    if (shape == DV_SHAPE_32M || shape == DV_SHAPE_16M)
        same_scales(c, "m", got->m, want->m, n_k / sub, n_rows);
    ck_canaries(c);
}

static void check_float(ck *c, dv_type type, enum pattern how, uint32_t n_rows, uint32_t n_k)
{
    size_t row_bytes, n = (size_t)n_k * DV_TILE_ROWS;
    const uint8_t *w = make_rows(c, type, how, n_rows, n_k, &row_bytes);
    float *got = ck_mem(c, 1, n * sizeof *got, 64), *want = ck_mem(c, 2, n * sizeof *want, 64);
    memset(got, 0x55, n * sizeof *got);
    ck_case(c, "n_rows %u, n_k %u, row_bytes %zu, %s", n_rows, n_k, row_bytes, pattern_name[how]);
    c->ref->unpackf[type](w, row_bytes, n_rows, n_k, want);
    c->now->unpackf[type](w, row_bytes, n_rows, n_k, got);
    ck_same_f32(c, "tile", got, want, n);
    ck_canaries(c);
}

static void lower(const char *name, char out[16])
{
    size_t i = 0;
    for (; name[i] != 0 && i < 15; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    out[i] = 0;
}

static void check_type(ck *c, dv_type type)
{
    uint32_t step = DV_MAX(dv_type_get(type)->block_len, 32u);
    for (int how = 0; how < PATTERN_N && ck_checking(c); how++)
        for (uint32_t n_k = step; n_k <= DV_SB; n_k += step)
            for (uint32_t n_rows = 1; n_rows <= DV_TILE_ROWS; n_rows += how == ORDINARY ? 1 : ck_between(c, 1, 31))
                check(c, type, how, n_rows, n_k);
    size_t row_bytes;
    dv_tile *t = ck_mem(c, 1, sizeof *t, 64);
    const uint8_t *w = make_rows(c, type, ORDINARY, DV_TILE_ROWS, DV_SB, &row_bytes);
    CK_BENCH(c, DV_TILE_ROWS * DV_SB, "el", c->now->unpack[type](w, row_bytes, DV_TILE_ROWS, DV_SB, t), "32 x 256");
}

static void check_float_type(ck *c, dv_type type)
{
    for (int how = 0; how <= HIGH_BITS && ck_checking(c); how++)
        for (uint32_t n_k = 1; n_k <= DV_FTILE_K; n_k += how == ORDINARY ? 1 : ck_between(c, 1, 40))
            for (uint32_t n_rows = n_k % 5 + 1; n_rows <= DV_TILE_ROWS;
                 n_rows += n_k % 32 == 0 ? 1 : ck_between(c, 1, 12))
                check_float(c, type, how, n_rows, n_k);
    size_t row_bytes;
    float *t = ck_mem(c, 1, DV_FTILE_K * DV_TILE_ROWS * sizeof *t, 64);
    const uint8_t *w = make_rows(c, type, ORDINARY, DV_TILE_ROWS, DV_FTILE_K, &row_bytes);
    CK_BENCH(c, DV_TILE_ROWS * DV_FTILE_K, "el", c->now->unpackf[type](w, row_bytes, DV_TILE_ROWS, DV_FTILE_K, t),
             "32 x 128");
}

/* gemv against unpack and gemm of the reference. */
static void check_gemv(ck *c, dv_type type, enum pattern how, uint32_t n_k, uint32_t n_cols)
{
    size_t row_bytes, n = (size_t)n_cols * DV_TILE_ROWS;
    const uint8_t *w = make_rows(c, type, how, DV_GEMV_ROWS, n_k, &row_bytes);
    float *x = ck_mem(c, 1, DV_SB * sizeof *x, 4);
    dv_act_block *blocks = ck_mem(c, 2, n_cols * sizeof *blocks, 64);
    dv_tile *t = ck_mem(c, 3, sizeof *t, 64);
    float *got = ck_mem(c, 4, n * sizeof *got, 64), *want = ck_mem(c, 5, n * sizeof *want, 64);
    float *before = ck_mem(c, 6, n * sizeof *before, 64);
    for (uint32_t i = 0; i < n_cols; i++) {
        ck_fill_floats(c, dv_rng_below(&c->rng, 4) ? CK_NORMAL : CK_WIDE, x, n_k);
        c->ref->quant_act(x, n_k, blocks + i, 1);
    }
    ck_fill_floats(c, CK_NORMAL, want, n);
    memcpy(got, want, n * sizeof *got);
    memcpy(before, want, n * sizeof *got);
    ck_case(c, "n_k %u, n_cols %u, row_bytes %zu, %s", n_k, n_cols, row_bytes, pattern_name[how]);
    const dv_ahead nothing = {0};
    c->ref->unpack[type](w, row_bytes, DV_GEMV_ROWS, n_k, t);
    c->ref->gemm[dv_type_shape(type)](t, n_k, blocks, n_cols, &nothing, want);
    c->now->gemv[type](w, row_bytes, n_k, w, blocks, n_cols, got);
    for (uint32_t i = 0; i < n_cols; i++)
        ck_same_f32(c, "acc", got + i * DV_TILE_ROWS, want + i * DV_TILE_ROWS, DV_GEMV_ROWS);
    for (uint32_t i = 0; i < n_cols; i++)
        ck_same_f32(c, "acc of other rows", got + i * DV_TILE_ROWS + DV_GEMV_ROWS,
                    before + i * DV_TILE_ROWS + DV_GEMV_ROWS, DV_TILE_ROWS - DV_GEMV_ROWS);
    ck_canaries(c);
}

static void gemv_of_type(ck *c, dv_type type)
{
    uint32_t step = DV_MAX(dv_type_get(type)->block_len, 32u);
    for (int how = 0; how < PATTERN_N && ck_checking(c); how++)
        for (uint32_t n_k = step; n_k <= DV_SB; n_k += step)
            for (uint32_t n_cols = 1; n_cols <= DV_GEMV_COLS; n_cols++)
                check_gemv(c, type, how, n_k, n_cols);
    for (uint32_t n_cols = 1; n_cols <= DV_GEMV_COLS && c->bench; n_cols++) {
        size_t row_bytes;
        const uint8_t *w = make_rows(c, type, ORDINARY, DV_GEMV_ROWS, DV_SB, &row_bytes);
        dv_act_block *x = ck_mem(c, 1, n_cols * sizeof *x, 64);
        float *acc = ck_mem(c, 2, n_cols * DV_TILE_ROWS * sizeof *acc, 64);
        memset(x, 0, n_cols * sizeof *x);
        memset(acc, 0, n_cols * DV_TILE_ROWS * sizeof *acc);
        CK_BENCH(c, (double)DV_GEMV_ROWS * DV_SB * n_cols, "mac",
                 c->now->gemv[type](w, row_bytes, DV_SB, w, x, n_cols, acc), "16 x 256, %u columns", n_cols);
    }
}

void ck_unpack(ck *c)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(kern_types); i++) {
        dv_type type = kern_types[i];
        bool is_float = dv_type_shape(type) == DV_SHAPE_FLOAT;
        char name[16];
        lower(dv_type_name(type), name);
        if (!(is_float ? CK_BEGIN(c, unpackf[type], "unpack_%s", name) : CK_BEGIN(c, unpack[type], "unpack_%s", name)))
            continue;
        (is_float ? check_float_type : check_type)(c, type);
        ck_end(c);
    }
    for (size_t i = 0; i < DV_ARRAY_LEN(kern_types); i++) {
        char name[16];
        lower(dv_type_name(kern_types[i]), name);
        if (c->now->gemv[kern_types[i]] != NULL && CK_BEGIN(c, gemv[kern_types[i]], "gemv_%s", name)) {
            gemv_of_type(c, kern_types[i]);
            ck_end(c);
        }
    }
}
