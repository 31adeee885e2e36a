/* SPDX-License-Identifier: MIT */
/* Matrix products through the pool: accuracy against double precision, and that neither batch nor threads nor level change a bit. */
#include "kern/matmul.h"
#include "kern_util.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t *random_matrix(dv_rng *r, dv_type type, uint32_t n_out, uint32_t n_in, dv_mat *w)
{
    uint64_t row_bytes = 0;
    assert_true(dv_type_row_bytes(type, n_in, &row_bytes));
    uint8_t *data = malloc(n_out * row_bytes);
    assert_non_null(data);
    for (uint32_t i = 0; i < n_out; i++)
        kern_random_row(r, type, data + i * row_bytes, n_in);
    *w = (dv_mat){.data = data, .row_bytes = row_bytes, .type = type, .n_in = n_in, .n_out = n_out};
    return data;
}

static float *floats(size_t n)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    return p;
}

/* Elements of the longest row of a type that is not whole super-blocks where the type allows that. */
static uint32_t odd_n_in(dv_type type)
{
    uint32_t len = dv_type_get(type)->block_len;
    return len == 256 ? 768 : len == 32 ? 544 : 333;
}

/* |y - y_exact| <= 2^-8 sum |w| |x| for activations of ordinary spread, 2^-15 where the weights are fine; float types 2^-18. */
static void error_is_bounded_at(bool fine)
{
    enum { OUT = 70, TOK = 5 };
    unsigned level[5], n_levels = kern_levels(level);
    dv_rng r;
    dv_rng_seed(&r, 10);
    for (size_t i = 0; i < DV_ARRAY_LEN(kern_types) * n_levels; i++) {
        dv_type type = kern_types[i / n_levels];
        uint32_t n = odd_n_in(type), ldx = n + 3, ldy = OUT + 5;
        dv_kern k;
        dv_pool *pool;
        dv_mm *mm;
        dv_mat w;
        dv_kern_init(&k, level[i % n_levels]);
        uint8_t *data = random_matrix(&r, type, OUT, n, &w);
        w.fine = fine;
        float *x = floats(TOK * ldx), *y = floats(TOK * ldy), *row = floats(n);
        kern_random_floats(&r, x, TOK * ldx);
        assert_int_equal(dv_pool_open(&pool, 1, NULL), 0);
        assert_int_equal(dv_mm_open(&mm, &k, pool, (fine ? 2 : 1) * TOK * (n + DV_SB), NULL), 0);
        for (size_t e = 0; e < TOK * ldy; e++)
            y[e] = -77;
        dv_mm_job job = {.w = &w, .x = x, .ldx = ldx, .y = y, .ldy = ldy, .n_tok = TOK};
        dv_mm_run(mm, &job, 1);
        for (uint32_t o = 0; o < OUT; o++) {
            dv_dequant_row(type, data + o * w.row_bytes, row, n);
            for (uint32_t t = 0; t < TOK; t++) {
                double want = 0, scale = 0;
                for (uint32_t e = 0; e < n; e++) {
                    want += (double)row[e] * (double)x[t * ldx + e];
                    scale += fabs((double)row[e] * (double)x[t * ldx + e]);
                }
                double bound = scale * (dv_type_shape(type) == DV_SHAPE_FLOAT ? 0x1p-18 : fine ? 0x1p-15 : 0x1p-8);
                if (fabs((double)y[t * ldy + o] - want) > bound)
                    fail_msg("%s row %u token %u: %g, not %g", dv_type_name(type), o, t, (double)y[t * ldy + o], want);
            }
        }
        for (uint32_t t = 0; t < TOK; t++)
            for (uint32_t e = OUT; e < ldy; e++)
                assert_true(y[t * ldy + e] == -77);
        dv_mm_close(&mm);
        assert_null(mm);
        dv_pool_close(&pool);
        free(data);
        free(x);
        free(y);
        free(row);
    }
}

static void error_is_bounded(void **state)
{
    (void)state;
    error_is_bounded_at(false);
    error_is_bounded_at(true);
}

/* Rows of 1, 2, 7, 64 and 200 tokens on 1..4 threads equal those of one token alone at the lowest level, byte for byte. */
static void batch_threads_and_level_change_nothing(void **state)
{
    (void)state;
    static const dv_type types[] = {DV_TYPE_F16, DV_TYPE_Q8_0, DV_TYPE_Q4_K, DV_TYPE_Q6_K, DV_TYPE_Q2_K};
    static const uint32_t batch[] = {1, 2, 7, 64, 200};
    enum { OUT = 75, MAX_TOK = 200 };
    unsigned level[5], n_levels = kern_levels(level);
    dv_rng r;
    dv_rng_seed(&r, 11);
    for (size_t i = 0; i < DV_ARRAY_LEN(types); i++) {
        uint32_t n = types[i] == DV_TYPE_Q8_0 ? 288 : 512;
        dv_mat w;
        uint8_t *data = random_matrix(&r, types[i], OUT, n, &w);
        w.fine = i % 2 == 0;
        float *x = floats(MAX_TOK * n), *want = floats(MAX_TOK * OUT), *y = floats(MAX_TOK * OUT);
        kern_random_floats(&r, x, MAX_TOK * n);
        bool first = true;
        for (unsigned threads = 1; threads <= 4; threads++)
            for (unsigned l = threads == 1 ? 0 : n_levels - 1; l < n_levels; l++)
                for (size_t b = 0; b < DV_ARRAY_LEN(batch); b++) {
                    dv_kern k;
                    dv_pool *pool;
                    dv_mm *mm;
                    dv_kern_init(&k, level[l]);
                    assert_int_equal(dv_pool_open(&pool, threads, NULL), 0);
                    assert_int_equal(dv_mm_open(&mm, &k, pool, 2 * MAX_TOK * 512, NULL), 0);
                    for (uint32_t t = 0; t < MAX_TOK; t += batch[b]) {
                        uint32_t n_tok = DV_MIN(batch[b], MAX_TOK - t);
                        dv_mm_job job = {
                            .w = &w, .x = x + t * n, .ldx = n, .y = y + t * OUT, .ldy = OUT, .n_tok = n_tok};
                        dv_mm_run(mm, &job, 1);
                    }
                    if (first)
                        memcpy(want, y, MAX_TOK * OUT * sizeof *y);
                    first = false;
                    assert_memory_equal(y, want, MAX_TOK * OUT * sizeof *y);
                    dv_mm_close(&mm);
                    dv_pool_close(&pool);
                }
        free(data);
        free(x);
        free(want);
        free(y);
    }
}

/* Many jobs: shared, distinct, empty and float inputs, more than one planning slice, a buffer that holds a few inputs only. */
static void many_jobs_equal_single_jobs(void **state)
{
    (void)state;
    enum { JOBS = 300, OUT = 40, IN = 256, TOK = 3 };
    static dv_mat w[4];
    static dv_mm_job jobs[JOBS];
    static float x[JOBS / 4][TOK * IN], y[JOBS][TOK * OUT], want[TOK * OUT];
    static const dv_type types[] = {DV_TYPE_Q4_K, DV_TYPE_Q6_K, DV_TYPE_F32, DV_TYPE_Q8_0};
    uint8_t *data[4];
    dv_rng r;
    dv_rng_seed(&r, 12);
    for (int i = 0; i < 4; i++)
        data[i] = random_matrix(&r, types[i], OUT, IN, &w[i]);
    w[1].fine = w[2].fine = true; /* floats stay as they are */
    kern_random_floats(&r, x[0], sizeof x / sizeof x[0][0]);
    for (uint32_t i = 0; i < JOBS; i++)
        jobs[i] = (dv_mm_job){
            .w = &w[i % 4], .x = x[i / 4], .ldx = IN, .y = y[i], .ldy = OUT, .n_tok = i % 7 == 0 ? 0 : TOK - i / 4 % 2};
    dv_kern k;
    dv_pool *pool;
    dv_mm *mm;
    dv_kern_init(&k, dv_cpu_detect());
    for (unsigned threads = 1; threads <= 3; threads++)
        for (size_t room = 2 * TOK * IN; room <= 1000 * IN; room *= 7) {
            assert_int_equal(dv_pool_open(&pool, threads, NULL), 0);
            assert_int_equal(dv_mm_open(&mm, &k, pool, room, NULL), 0);
            memset(y, 0, sizeof y);
            uint64_t before = dv_mem_count();
            dv_mm_run(mm, jobs, JOBS);
            assert_true(dv_mem_count() == before);
            for (uint32_t i = 0; i < JOBS; i++) {
                dv_mm_job alone = jobs[i];
                alone.y = want;
                memset(want, 0, sizeof want);
                dv_mm_run(mm, &alone, 1);
                assert_memory_equal(y[i], want, sizeof want);
            }
            dv_mm_close(&mm);
            dv_pool_close(&pool);
        }
    for (int i = 0; i < 4; i++)
        free(data[i]);
}

/* A NaN or infinite activation reaches the outputs of its own token and no other. */
static void nan_stays_in_its_token(void **state)
{
    (void)state;
    enum { OUT = 33, IN = 256, TOK = 20 };
    static float x[TOK * IN], y[TOK * OUT];
    unsigned level[5], n_levels = kern_levels(level);
    dv_rng r;
    dv_rng_seed(&r, 13);
    for (size_t i = 0; i < DV_ARRAY_LEN(kern_types) * n_levels; i++) {
        dv_kern k;
        dv_pool *pool;
        dv_mm *mm;
        dv_mat w;
        dv_kern_init(&k, level[i % n_levels]);
        uint8_t *data = random_matrix(&r, kern_types[i / n_levels], OUT, IN, &w);
        kern_random_floats(&r, x, TOK * IN);
        x[4 * IN + 100] = NAN;
        x[9 * IN + 255] = -INFINITY;
        memset(x + 11 * IN, 0, IN * sizeof *x);
        assert_int_equal(dv_pool_open(&pool, 2, NULL), 0);
        assert_int_equal(dv_mm_open(&mm, &k, pool, TOK * IN, NULL), 0);
        dv_mm_job job = {.w = &w, .x = x, .ldx = IN, .y = y, .ldy = OUT, .n_tok = TOK};
        dv_mm_run(mm, &job, 1);
        for (uint32_t t = 0; t < TOK; t++)
            for (uint32_t o = 0; o < OUT; o++) {
                assert_true((t == 4 || t == 9) == !isfinite(y[t * OUT + o]));
                assert_true(t != 11 || y[t * OUT + o] == 0);
            }
        dv_mm_close(&mm);
        dv_pool_close(&pool);
        free(data);
    }
}

static void open_survives_no_memory(void **state)
{
    (void)state;
    dv_kern k;
    dv_pool *pool;
    dv_mm *mm;
    dv_kern_init(&k, 0);
    assert_int_equal(dv_pool_open(&pool, 1, NULL), 0);
    for (uint64_t n = 1; n <= 3; n++) {
        dv_err e = {0};
        dv_mem_fail_after(n);
        assert_int_equal(dv_mm_open(&mm, &k, pool, 4096, &e), DV_ENOMEM);
        assert_null(mm);
        assert_int_equal(e.code, DV_ENOMEM);
    }
    dv_mem_fail_after(0);
    assert_int_equal(dv_mm_open(&mm, &k, pool, SIZE_MAX, NULL), DV_ENOMEM);
    dv_pool_close(&pool);
    assert_int_equal(dv_mem_used(DV_MEM_SCRATCH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_bounded),
        cmocka_unit_test(batch_threads_and_level_change_nothing),
        cmocka_unit_test(many_jobs_equal_single_jobs),
        cmocka_unit_test(nan_stays_in_its_token),
        cmocka_unit_test(open_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
