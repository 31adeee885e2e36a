/* SPDX-License-Identifier: MIT */
/* The kernels against truths that do not come from this code: values of another GGUF implementation, the compiler's half precision,
 * double-precision arithmetic. Every level is tested; that levels agree with each other bit for bit is checkasm's part. */
#include "kern/exp.h"
#include "kern_util.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint32_t read_u32(FILE *f)
{
    uint8_t b[4];
    assert_int_equal(fread(b, 1, 4, f), 4);
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* tests/golden/dequant/make.py made the file with gguf-py. */
static void dequant_equals_gguf_py(void **state)
{
    (void)state;
    static uint8_t raw[8192];
    static float want[1024], got[1024];
    FILE *f = fopen(DV_GOLDEN_DIR "/dequant/dequant.bin", "rb");
    assert_non_null(f);
    for (size_t i = 0; i < DV_ARRAY_LEN(kern_types); i++) {
        uint32_t type = read_u32(f), n = read_u32(f), bytes = read_u32(f);
        uint64_t row;
        assert_true(dv_type_row_bytes(type, n, &row) && row == bytes && n <= DV_ARRAY_LEN(want) && bytes < sizeof raw);
        assert_int_equal(fread(raw + 1, 1, bytes, f), bytes); /* off by one: blocks have no alignment */
        assert_int_equal(fread(want, sizeof(float), n, f), n);
        dv_dequant_row((dv_type)type, raw + 1, got, n);
        for (uint32_t k = 0; k < n; k++)
            if (got[k] != want[k])
                fail_msg("%s element %u: %a, not %a", dv_type_name(type), k, (double)got[k], (double)want[k]);
    }
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
}

/* Tiles hold what dequantisation says, at every level. */
static void unpack_equals_dequant(void **state)
{
    (void)state;
    static dv_tile t;
    static float ft[DV_FTILE_K * DV_TILE_ROWS];
    static uint8_t w[DV_TILE_ROWS][1024];
    float row[DV_SB];
    unsigned level[5], n_levels = kern_levels(level);
    dv_rng r;
    dv_rng_seed(&r, 1);
    for (size_t i = 0; i < DV_ARRAY_LEN(kern_types) * n_levels; i++) {
        dv_kern k;
        dv_kern_init(&k, level[i % n_levels]);
        dv_type type = kern_types[i / n_levels];
        dv_shape shape = dv_type_shape(type);
        uint32_t sub = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M ? 16 : 32;
        uint32_t n_k = shape == DV_SHAPE_FLOAT ? DV_FTILE_K : DV_SB;
        bool offset = shape == DV_SHAPE_16M || shape == DV_SHAPE_32M;
        assert_true((k.unpack[type] == NULL) == (shape == DV_SHAPE_FLOAT));
        assert_true((k.unpackf[type] == NULL) == (shape != DV_SHAPE_FLOAT));
        for (uint32_t n = 0; n < DV_TILE_ROWS; n++)
            kern_random_row(&r, type, w[n], n_k);
        if (shape == DV_SHAPE_FLOAT)
            k.unpackf[type](w[0], sizeof w[0], DV_TILE_ROWS, n_k, ft);
        else
            k.unpack[type](w[0], sizeof w[0], DV_TILE_ROWS, n_k, &t);
        for (uint32_t n = 0; n < DV_TILE_ROWS; n++) {
            dv_dequant_row(type, w[n], row, n_k);
            for (uint32_t c = 0; c < n_k; c++) {
                int q = t.q[c / 4][n][c % 4] - (offset ? 0 : 1 << t.bias_log2);
                float got = shape == DV_SHAPE_FLOAT ? ft[c * DV_TILE_ROWS + n]
                                                    : t.d[c / sub][n] * (float)q + (offset ? t.m[c / sub][n] : 0.0f);
                assert_true(got == row[c]);
            }
        }
    }
}

static double half_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? (double)NAN : (double)INFINITY) : e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);
    return h & 0x8000 ? -v : v;
}

static void f16_every_value_and_every_border(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = dv_f16_to_f32((uint16_t)h);
        double want = half_value((uint16_t)h);
        if (want != want) {
            assert_true(f != f && (dv_f32_to_f16(f) & 0x7fff) > 0x7c00);
            continue;
        }
        assert_true((double)f == want && !signbit(f) == (h < 0x8000));
        assert_int_equal(dv_f32_to_f16(f), h);
        if ((h & 0x7fff) >= 0x7c00)
            continue;
        /* Half way to the next magnitude rounds to the even one; one step to either side of that does not. */
        double next = (h & 0x7fff) == 0x7bff ? 65536.0 : fabs(half_value((uint16_t)(h + 1)));
        float mid = copysignf((float)((fabs(want) + next) / 2), f);
        assert_int_equal(dv_f32_to_f16(mid), h + (h & 1));
        assert_int_equal(dv_f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(dv_f32_to_f16(nextafterf(mid, mid * 2)), h + 1);
    }
    assert_int_equal(dv_f32_to_f16(FLT_MAX), 0x7c00);
    assert_int_equal(dv_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(dv_f32_to_f16(FLT_TRUE_MIN), 0);
}

static void bf16_rounds_to_even(void **state)
{
    (void)state;
    dv_rng r;
    dv_rng_seed(&r, 2);
    for (int i = 0; i < 1000000; i++) {
        uint32_t u = (uint32_t)dv_rng_u64(&r) & (i % 2 ? ~0u : 0xffff8000u);
        float f;
        memcpy(&f, &u, sizeof f);
        uint16_t h = dv_f32_to_bf16(f), lo = (uint16_t)(u >> 16);
        if (f != f) {
            assert_true(dv_bf16_to_f32(h) != dv_bf16_to_f32(h));
            continue;
        }
        uint32_t rest = u & 0xffff;
        assert_int_equal(h, (uint16_t)(lo + (rest > 0x8000 || (rest == 0x8000 && (lo & 1)))));
    }
}

/* Every 241st float of the whole range: 18 million. */
static void exp_within_an_ulp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t u = 0; u <= UINT32_MAX; u += 241) {
        uint32_t bits = (uint32_t)u;
        float x;
        memcpy(&x, &bits, sizeof x);
        float y = dv_expf_ref(x);
        if (x != x) {
            assert_true(y != y);
        } else if (x < DV_EXP_LO) {
            assert_true(y == 0 && !signbit(y));
        } else if (x > DV_EXP_HI) {
            assert_true(y == INFINITY);
        } else if (fabsf(x) < 0x1p-26f) {
            assert_true(y == 1.0f);
        } else {
            double want = exp((double)x), ulp = ldexp(1, ilogb(want) - 23);
            worst = fmax(worst, fabs((double)y - want) / ulp);
        }
    }
    assert_true(worst < 1.0);
    assert_true(dv_expf_ref(0) == 1 && dv_expf_ref(-0.0f) == 1);
    assert_true(dv_expf_ref(INFINITY) == INFINITY && dv_expf_ref(-INFINITY) == 0);
}

static void glu_norm_and_rope(void **state)
{
    (void)state;
    enum { N = 1003 };
    static float g[N], u[N], y[N], cs[N + 1];
    unsigned level[5], n_levels = kern_levels(level);
    dv_rng r;
    dv_rng_seed(&r, 3);
    for (unsigned l = 0; l < n_levels; l++) {
        dv_kern k;
        dv_kern_init(&k, level[l]);
        kern_random_floats(&r, g, N);
        kern_random_floats(&r, u, N);
        for (int i = 0; i < N; i++)
            g[i] *= 4;
        double sq = 0;
        k.silu_mul(g, u, N, y);
        for (int i = 0; i < N; i++) {
            double want = (double)g[i] / (1 + exp(-(double)g[i])) * (double)u[i];
            assert_true(fabs((double)y[i] - want) <= 1e-6 * fabs(want));
            sq += (double)g[i] * (double)g[i];
        }
        k.gelu_mul(g, u, N, y);
        for (int i = 0; i < N; i++) {
            double x = (double)g[i], t = tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x));
            assert_true(fabs((double)y[i] - 0.5 * x * (1 + t) * (double)u[i]) <= 2e-6 * fabs(x * (double)u[i]));
        }
        k.rmsnorm(g, u, N, 1e-5f, y);
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)y[i] - (double)g[i] / sqrt(sq / N + 1e-5) * (double)u[i]) <=
                        1e-5 * fabs((double)y[i]));
        k.rmsnorm(g, NULL, N, 1e-5f, y);
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)y[i] - (double)g[i] / sqrt(sq / N + 1e-5)) <= 1e-5 * fabs((double)y[i]));
        kern_random_floats(&r, cs, N + 1);
        for (int neox = 0; neox < 2; neox++) {
            memcpy(y, g, sizeof y);
            (neox ? k.rope_neox : k.rope_norm)(y, 96, cs);
            for (int i = 0; i < 48; i++) {
                int a = neox ? i : 2 * i, b = neox ? i + 48 : 2 * i + 1;
                double c = (double)cs[2 * i], s = (double)cs[2 * i + 1];
                assert_true(fabs((double)y[a] - ((double)g[a] * c - (double)g[b] * s)) < 1e-5);
                assert_true(fabs((double)y[b] - ((double)g[b] * c + (double)g[a] * s)) < 1e-5);
            }
            assert_true(y[96] == g[96]);
        }
    }
}

/* One head, one page: store, scores, softmax and values against double arithmetic on the same numbers. */
static void attention(dv_kern *k, dv_kv_type type, uint32_t hd, dv_rng *r)
{
    enum { POS = 64, NQ = 3 };
    static float key[POS][256], val[POS][256], q[NQ][256], s[NQ][POS], out[NQ][256];
    uint8_t *kc = calloc(1, dv_kv_bytes(type, hd, POS)), *vc = calloc(1, dv_kv_bytes(type, hd, POS));
    assert_true(kc != NULL && vc != NULL);
    /* An element of q8_0 is off by half a step and by the rounding of the scale; with f32 the sums are all that rounds. */
    static const double tols[DV_KV_TYPE_N] = {[DV_KV_F16] = 0x1p-11, [DV_KV_Q8_0] = 1.0 / 250, [DV_KV_F32] = 0x1p-19};
    const double tol = tols[type];
    kern_random_floats(r, key[0], POS * 256);
    kern_random_floats(r, val[0], POS * 256);
    kern_random_floats(r, q[0], NQ * 256);
    for (uint32_t p = 0; p < POS; p++) {
        k->store_k[type](kc, hd, p, key[p]);
        k->store_v[type](vc, hd, p, val[p]);
    }
    k->attn_scores[type](q[0], 256, NQ, hd, kc, POS / DV_KV_GROUP, s[0], POS);
    memset(out, 0, sizeof out);
    for (uint32_t i = 0; i < NQ; i++) {
        const uint32_t lo = 5, hi = 60;
        double prob[POS], sum = 0;
        for (uint32_t p = 0; p < POS; p++) {
            double dot = 0, bound = 0;
            for (uint32_t d = 0; d < hd; d++) {
                dot += (double)q[i][d] * (double)key[p][d];
                bound += fabs((double)q[i][d]) * (type == DV_KV_Q8_0 ? 5.0 : fabs((double)key[p][d]));
            }
            assert_true(fabs((double)s[i][p] - dot) <= tol * bound);
            prob[p] = (double)s[i][p];
        }
        double max = prob[lo];
        for (uint32_t p = lo; p < hi; p++)
            max = fmax(max, prob[p]);
        for (uint32_t p = 0; p < POS; p++) {
            prob[p] = p < lo || p >= hi ? 0 : exp(prob[p] - max);
            sum += prob[p];
        }
        float got_sum = k->softmax(s[i], lo, hi, POS);
        assert_true(fabs((double)got_sum - sum) < 1e-5 * sum);
        for (uint32_t p = 0; p < POS; p++)
            assert_true(fabs((double)s[i][p] - prob[p]) <= 1e-5 * prob[p] + 1e-37);
        k->attn_values[type](s[i] + 3, POS, 1, hd, vc, 3, POS - 3, out[i], 256);
        for (uint32_t d = 0; d < hd; d++) {
            double want = 0;
            for (uint32_t p = 0; p < POS; p++)
                want += prob[p] * (double)val[p][d];
            assert_true(fabs((double)out[i][d] - want) <= tol * sum * 5);
        }
    }
    free(kc);
    free(vc);
}

static void attention_against_double(void **state)
{
    (void)state;
    unsigned level[5], n_levels = kern_levels(level);
    dv_rng r;
    dv_rng_seed(&r, 4);
    for (unsigned l = 0; l < n_levels; l++) {
        dv_kern k;
        dv_kern_init(&k, level[l]);
        for (uint32_t hd = 16; hd <= 256; hd += 16) {
            attention(&k, DV_KV_F16, hd, &r);
            attention(&k, DV_KV_F32, hd, &r);
            if (hd % DV_KV_Q8_BLOCK == 0)
                attention(&k, DV_KV_Q8_0, hd, &r);
        }
    }
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dequant_equals_gguf_py), cmocka_unit_test(unpack_equals_dequant),
        cmocka_unit_test(f16_every_value_and_every_border), cmocka_unit_test(bf16_rounds_to_even),
        cmocka_unit_test(exp_within_an_ulp), cmocka_unit_test(glu_norm_and_rope), cmocka_unit_test(attention_against_double),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
