/* SPDX-License-Identifier: MIT */
/* Element-wise kernels: rmsnorm, gated activations, add, mul, axpy, rope. */
#include "checkasm.h"

#include <string.h>

enum { BENCH_N = 4096 };

static uint32_t some_n(ck *c, uint32_t i) { return i <= 70 ? i : ck_between(c, 71, 1500); }

static void check_rmsnorm(ck *c, uint32_t n, enum ck_floats how)
{
    bool weights = dv_rng_below(&c->rng, 3) != 0, in_place = dv_rng_below(&c->rng, 2);
    float *x = ck_mem(c, 0, n * sizeof *x, 4), *w = ck_mem(c, 1, n * sizeof *w, 4);
    float *got = ck_mem(c, 2, n * sizeof *got, 4), *want = ck_mem(c, 3, n * sizeof *want, 4);
    ck_fill_floats(c, how, x, n);
    ck_fill_floats(c, CK_NORMAL, w, n);
    if (in_place)
        memcpy(got, x, n * sizeof *x);
    ck_case(c, "n %u, %s weights, %s, %s", n, weights ? "with" : "no", in_place ? "in place" : "to other",
            ck_floats_name[how]);
    c->ref->rmsnorm(x, weights ? w : NULL, n, 1e-5f, want);
    c->now->rmsnorm(in_place ? got : x, weights ? w : NULL, n, 1e-5f, got);
    ck_same_f32(c, "y", got, want, n);
    ck_canaries(c);
}

static void rmsnorm(ck *c)
{
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++)
        for (uint32_t i = 1; i <= 120; i++)
            check_rmsnorm(c, some_n(c, i), how);
    float *x = ck_mem(c, 0, BENCH_N * sizeof *x, 64), *w = ck_mem(c, 1, BENCH_N * sizeof *x, 64),
          *y = ck_mem(c, 2, BENCH_N * sizeof *x, 64);
    ck_fill_floats(c, CK_NORMAL, x, BENCH_N);
    ck_fill_floats(c, CK_NORMAL, w, BENCH_N);
    CK_BENCH(c, BENCH_N, "el", c->now->rmsnorm(x, w, BENCH_N, 1e-5f, y), "%d", BENCH_N);
}

static void check_glu(ck *c, dv_glu_fn ref, dv_glu_fn now, uint32_t n, enum ck_floats how)
{
    unsigned place = ck_between(c, 0, 2);
    float *g = ck_mem(c, 0, n * sizeof *g, 4), *u = ck_mem(c, 1, n * sizeof *u, 4);
    float *got = ck_mem(c, 2, n * sizeof *got, 4), *want = ck_mem(c, 3, n * sizeof *want, 4);
    ck_fill_floats(c, how, g, n);
    ck_fill_floats(c, CK_NORMAL, u, n);
    for (uint32_t i = 0; i < n && how == CK_NORMAL; i++)
        g[i] *= 40; /* across the whole range where exp neither vanishes nor overflows */
    if (place > 0)
        memcpy(got, place == 1 ? g : u, n * sizeof *g);
    ck_case(c, "n %u, y %s, %s", n, place == 0 ? "apart" : place == 1 ? "is g" : "is u", ck_floats_name[how]);
    ref(g, u, n, want);
    now(place == 1 ? got : g, place == 2 ? got : u, n, got);
    ck_same_f32(c, "y", got, want, n);
    ck_canaries(c);
}

static void glu(ck *c, dv_glu_fn ref, dv_glu_fn now)
{
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++) {
        for (uint32_t i = 1; i <= 120; i++)
            check_glu(c, ref, now, some_n(c, i), how);
        check_glu(c, ref, now, 200000, how);
    }
    float *g = ck_mem(c, 0, BENCH_N * sizeof *g, 64), *u = ck_mem(c, 1, BENCH_N * sizeof *g, 64),
          *y = ck_mem(c, 2, BENCH_N * sizeof *g, 64);
    ck_fill_floats(c, CK_NORMAL, g, BENCH_N);
    ck_fill_floats(c, CK_NORMAL, u, BENCH_N);
    CK_BENCH(c, BENCH_N, "el", now(g, u, BENCH_N, y), "%d", BENCH_N);
}

static void check_add(ck *c, dv_add_fn ref, dv_add_fn now, dv_axpy_fn ref_a, dv_axpy_fn now_a, uint32_t n,
                      enum ck_floats how)
{
    float *x = ck_mem(c, 0, n * sizeof *x, 4), *got = ck_mem(c, 1, n * sizeof *got, 4),
          *want = ck_mem(c, 2, n * sizeof *want, 4), a;
    ck_fill_floats(c, how, x, n);
    ck_fill_floats(c, CK_NORMAL, want, n);
    ck_fill_floats(c, CK_NORMAL, &a, 1);
    memcpy(got, want, n * sizeof *got);
    ck_case(c, "n %u, %s", n, ck_floats_name[how]);
    if (ref != NULL) {
        ref(want, x, n);
        now(got, x, n);
    } else {
        ref_a(want, a, x, n);
        now_a(got, a, x, n);
    }
    ck_same_f32(c, "y", got, want, n);
    ck_canaries(c);
}

/* add and mul, or axpy when ref is NULL. */
static void add(ck *c, dv_add_fn ref, dv_add_fn now, dv_axpy_fn ref_a, dv_axpy_fn now_a)
{
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++)
        for (uint32_t i = 1; i <= 120; i++)
            check_add(c, ref, now, ref_a, now_a, some_n(c, i), how);
    float *x = ck_mem(c, 0, BENCH_N * sizeof *x, 64), *y = ck_mem(c, 1, BENCH_N * sizeof *y, 64);
    memset(x, 0, BENCH_N * sizeof *x);
    memset(y, 0, BENCH_N * sizeof *y);
    if (now != NULL)
        CK_BENCH(c, BENCH_N, "el", now(y, x, BENCH_N), "%d", BENCH_N);
    else
        CK_BENCH(c, BENCH_N, "el", now_a(y, 0.5f, x, BENCH_N), "%d", BENCH_N);
}

static void check_rope(ck *c, dv_rope_fn ref, dv_rope_fn now, uint32_t n_rot, enum ck_floats how)
{
    float *cs = ck_mem(c, 0, n_rot * sizeof *cs, 4), *got = ck_mem(c, 1, n_rot * sizeof *got, 4),
          *want = ck_mem(c, 2, n_rot * sizeof *want, 4);
    ck_fill_floats(c, CK_NORMAL, cs, n_rot);
    ck_fill_floats(c, how, want, n_rot);
    memcpy(got, want, n_rot * sizeof *got);
    ck_case(c, "n_rot %u, %s", n_rot, ck_floats_name[how]);
    ref(want, n_rot, cs);
    now(got, n_rot, cs);
    ck_same_f32(c, "x", got, want, n_rot);
    ck_canaries(c);
}

static void rope(ck *c, dv_rope_fn ref, dv_rope_fn now)
{
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++)
        for (uint32_t n_rot = 2; n_rot <= 256; n_rot += 2)
            check_rope(c, ref, now, n_rot, how);
    float *cs = ck_mem(c, 0, 128 * sizeof *cs, 64), *x = ck_mem(c, 1, 128 * sizeof *x, 64);
    memset(cs, 0, 128 * sizeof *cs);
    memset(x, 0, 128 * sizeof *x);
    CK_BENCH(c, 128, "el", now(x, 128, cs), "128");
}

void ck_vec(ck *c)
{
    if (CK_BEGIN(c, rmsnorm, "rmsnorm")) {
        rmsnorm(c);
        ck_end(c);
    }
    if (CK_BEGIN(c, silu_mul, "silu_mul")) {
        glu(c, c->ref->silu_mul, c->now->silu_mul);
        ck_end(c);
    }
    if (CK_BEGIN(c, gelu_mul, "gelu_mul")) {
        glu(c, c->ref->gelu_mul, c->now->gelu_mul);
        ck_end(c);
    }
    if (CK_BEGIN(c, add, "add")) {
        add(c, c->ref->add, c->now->add, NULL, NULL);
        ck_end(c);
    }
    if (CK_BEGIN(c, mul, "mul")) {
        add(c, c->ref->mul, c->now->mul, NULL, NULL);
        ck_end(c);
    }
    if (CK_BEGIN(c, axpy, "axpy")) {
        add(c, NULL, NULL, c->ref->axpy, c->now->axpy);
        ck_end(c);
    }
    if (CK_BEGIN(c, rope_norm, "rope_norm")) {
        rope(c, c->ref->rope_norm, c->now->rope_norm);
        ck_end(c);
    }
    if (CK_BEGIN(c, rope_neox, "rope_neox")) {
        rope(c, c->ref->rope_neox, c->now->rope_neox);
        ck_end(c);
    }
}
