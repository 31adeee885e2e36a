/* SPDX-License-Identifier: MIT */
/* tools/quant.c against dv_dequant_row, and whole synthetic models: readable, the same for any number of threads, no row twice. */
#include "base/mem.h"
#include "base/rng.h"
#include "gguf/gguf.h"
#include "kern/kern.h"
#include "tools/quant.h"
#include "tools/shape.h"
#include "tools/synth.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 1024 };

/* Most RMS error, relative to the RMS of normally distributed values; plain rounding comes out a little below. */
static const struct {
    dv_type type;
    float rms;
} bounds[] = {
    {DV_TYPE_F32, 0},       {DV_TYPE_F16, 3e-4f},    {DV_TYPE_BF16, 2.5e-3f}, {DV_TYPE_Q4_0, 0.12f},
    {DV_TYPE_Q4_1, 0.10f},  {DV_TYPE_Q5_0, 0.06f},   {DV_TYPE_Q5_1, 0.05f},   {DV_TYPE_Q8_0, 0.008f},
    {DV_TYPE_Q2_K, 0.42f},  {DV_TYPE_Q3_K, 0.22f},   {DV_TYPE_Q4_K, 0.10f},   {DV_TYPE_Q5_K, 0.05f},
    {DV_TYPE_Q6_K, 0.025f}, {DV_TYPE_IQ4_NL, 0.11f}, {DV_TYPE_IQ4_XS, 0.11f},
};

static void round_trip(dv_type type, const float *x, float *y)
{
    uint8_t buf[N * 4];
    synth_quantise_row(type, x, buf, N);
    dv_dequant_row(type, buf, y, N);
}

static void test_error_of_each_type(void **state)
{
    (void)state;
    float x[N], y[N];
    dv_rng rng;
    dv_rng_seed(&rng, 7);
    for (size_t k = 0; k < DV_ARRAY_LEN(bounds); k++) {
        double err = 0, sum = 0;
        for (int row = 0; row < 8; row++) {
            float size = row % 2 ? 0.02f : 3.0f, offset = row / 2 == 3 ? size : 0;
            for (int i = 0; i < N; i++)
                x[i] = size * (float)dv_rng_normal(&rng) + offset;
            round_trip(bounds[k].type, x, y);
            for (int i = 0; i < N; i++) {
                err += (double)(y[i] - x[i]) * (y[i] - x[i]);
                sum += (double)x[i] * x[i];
            }
        }
        double rms = sqrt(err / sum);
        if (!(rms <= bounds[k].rms))
            fail_msg("%s: relative error %g > %g", dv_type_name(bounds[k].type), rms, (double)bounds[k].rms);
        /* Nor is it much better than it can be: then it would not have been quantised. */
        assert_true(rms >= bounds[k].rms / 3);
    }
}

static void test_special_rows(void **state)
{
    (void)state;
    float x[N], y[N];
    for (size_t k = 0; k < DV_ARRAY_LEN(bounds); k++) {
        memset(x, 0, sizeof(x));
        round_trip(bounds[k].type, x, y);
        for (int i = 0; i < N; i++)
            assert_true(y[i] == 0);
        for (int sign = -1; sign <= 1; sign += 2) { /* one value everywhere: nearly exact */
            for (int i = 0; i < N; i++)
                x[i] = 0.75f * (float)sign;
            round_trip(bounds[k].type, x, y);
            for (int i = 0; i < N; i++)
                assert_true(fabsf(y[i] - x[i]) <= 0.05f);
        }
        for (int i = 0; i < N; i++) /* one large value in each 16 */
            x[i] = i % 16 == 5 ? (i % 32 < 16 ? 8.0f : -8.0f) : 0;
        round_trip(bounds[k].type, x, y);
        for (int i = 0; i < N; i++)
            assert_true(fabsf(y[i] - x[i]) <= 1.4f);
    }
}

typedef struct model {
    char path[64];
    dv_gguf *g;
} model;

static void make(model *m, const char *shape, const char *quant, uint64_t seed, unsigned threads)
{
    dv_err err = {0};
    snprintf(m->path, sizeof(m->path), "/tmp/test_synth_XXXXXX");
    int fd = mkstemp(m->path);
    assert_true(fd >= 0);
    close(fd);
    synth_options o = {.shape = shape, .quant = quant, .seed = seed, .threads = threads};
    if (synth_write(m->path, &o, &err) || dv_gguf_open(&m->g, m->path, &err))
        fail_msg("%s %s: %s", shape, quant, err.msg);
}

static void drop(model *m)
{
    dv_gguf_close(&m->g);
    unlink(m->path);
}

static uint64_t hash(const model *m)
{
    uint64_t h = 0;
    assert_int_equal(synth_hash(m->path, &h, NULL), 0);
    return h;
}

static void test_same_bytes_for_any_threads(void **state)
{
    (void)state;
    model a, b, c;
    make(&a, "tiny-qwen3", "Q4_K_M", 5, 1);
    make(&b, "tiny-qwen3", "Q4_K_M", 5, 3);
    make(&c, "tiny-qwen3", "Q4_K_M", 6, 1);
    assert_true(hash(&a) == hash(&b));
    assert_true(hash(&a) != hash(&c));
    drop(&a);
    drop(&b);
    drop(&c);
}

static uint64_t fnv(const uint8_t *p, uint64_t n)
{
    uint64_t h = 14695981039346656037u;
    for (uint64_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* No two rows of a matrix are equal, and its values have the wanted spread. */
static void check_matrix(const dv_gguf_tensor *t)
{
    uint64_t row_bytes, n_rows = t->ne[1] * t->ne[2];
    assert_true(dv_type_row_bytes(t->type, t->ne[0], &row_bytes));
    uint64_t *h = calloc(n_rows, sizeof(*h));
    assert_non_null(h);
    for (uint64_t r = 0; r < n_rows; r++)
        h[r] = fnv(t->data + r * row_bytes, row_bytes);
    qsort(h, n_rows, sizeof(*h), by_value);
    for (uint64_t r = 1; r < n_rows; r++)
        assert_true(h[r] != h[r - 1]);
    free(h);

    float x[N];
    double sum = 0, sum2 = 0;
    assert_true(t->ne[0] <= N);
    for (uint64_t r = 0; r < n_rows; r++) {
        dv_dequant_row((dv_type)t->type, t->data + r * row_bytes, x, t->ne[0]);
        for (uint64_t i = 0; i < t->ne[0]; i++) {
            sum += (double)x[i];
            sum2 += (double)x[i] * x[i];
        }
    }
    double n = (double)(n_rows * t->ne[0]), std = sqrt(sum2 / n);
    assert_true(fabs(sum / n) < 0.05 * std);
    assert_true(std > 0.025 && std < 1.1);
}

static void test_every_tiny_shape(void **state)
{
    (void)state;
    static const char *const quants[] = {"F16",  "Q2_K",   "Q3_K_M", "Q4_K_M",   "Q5_K_S",
                                         "Q6_K", "IQ4_XS", "Q4_1",   "pure-Q5_0"};
    size_t n, k = 0;
    const synth_shape *s = synth_shapes(&n);
    for (size_t i = 0; i < n; i++) {
        if (strncmp(s[i].name, "tiny-", 5) != 0)
            continue;
        model m;
        make(&m, s[i].name, quants[k++ % DV_ARRAY_LEN(quants)], 1, 2);
        dv_str arch;
        assert_int_equal(dv_gguf_get_str(m.g, "general.architecture", &arch, NULL), 0);
        assert_true(arch.n == strlen(s[i].arch) && memcmp(arch.p, s[i].arch, arch.n) == 0);
        assert_int_equal(dv_gguf_kv_len(dv_gguf_find(m.g, "tokenizer.ggml.tokens")), s[i].n_vocab);
        for (size_t t = 0; t < dv_gguf_n_tensors(m.g); t++)
            if (dv_gguf_tensor_at(m.g, t)->n_dims > 1)
                check_matrix(dv_gguf_tensor_at(m.g, t));
        drop(&m);
    }
    assert_true(k >= 7);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *quant, *vocab, *path, *msg;
    } bad[] = {
        {"tiny-lama", "F16", NULL, "/tmp/test_synth_never", "unknown shape tiny-lama"},
        {"tiny-llama", "Q4_K_X", NULL, "/tmp/test_synth_never", "unknown quantisation Q4_K_X"},
        {"tiny-llama", "pure-IQ2_XXS", NULL, "/tmp/test_synth_never", "unknown quantisation"},
        {"tiny-llama", "F16", "/nonexistent.gguf", "/tmp/test_synth_never", "/nonexistent.gguf"},
        {"tiny-llama", "F16", NULL, "/nonexistent/x", "/nonexistent/x"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        dv_err err = {0};
        synth_options o = {
            .shape = bad[i].shape, .quant = bad[i].quant, .vocab = bad[i].vocab, .seed = 1, .threads = 1};
        assert_true(synth_write(bad[i].path, &o, &err) < 0);
        assert_non_null(strstr(err.msg, bad[i].msg));
        assert_int_equal(access("/tmp/test_synth_never", F_OK), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_of_each_type),
        cmocka_unit_test(test_special_rows),
        cmocka_unit_test(test_same_bytes_for_any_threads),
        cmocka_unit_test(test_every_tiny_shape),
        cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
