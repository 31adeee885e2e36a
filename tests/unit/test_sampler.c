/* SPDX-License-Identifier: MIT */
/* The sampler against a slow reference in double precision that sorts everything, and its promises: distribution, determinism, no
 * allocation, hostile logits. */
#include "engine/sampler.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_VOCAB = 3000 };

typedef struct ref_tok {
    uint32_t id;
    double logit, p, key;
} ref_tok;

static int by_key(const void *a, const void *b)
{
    const ref_tok *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static double normalise(ref_tok *t, size_t n)
{
    double z = 0;
    for (size_t i = 0; i < n; i++)
        z += t[i].p;
    for (size_t i = 0; i < n; i++)
        t[i].p /= z;
    return z;
}

/* Fewest first tokens (in order of key) whose p reach target; *unsure if rounding could change the answer. */
static size_t fewest(ref_tok *t, size_t n, double target, bool *unsure)
{
    qsort(t, n, sizeof *t, by_key);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += t[i].p;
        if (fabs(sum - target) < 1e-5)
            *unsure = true;
        if (sum >= target)
            return i + 1;
    }
    return n;
}

/* The tokens that may be drawn and their probabilities. history is the whole sequence. */
static size_t reference(const dv_sampling *c, const float *logits, uint32_t n_vocab, const uint32_t *history,
                        size_t n_history, ref_tok *t, bool *unsure)
{
    size_t n = 0, from = n_history > c->penalty_last_n ? n_history - c->penalty_last_n : 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        double l = isinf(logits[i]) && logits[i] > 0 ? FLT_MAX : (double)logits[i];
        for (size_t b = 0; b < c->n_bias; b++)
            if (c->bias[b].id == i)
                l += (double)c->bias[b].bias;
        size_t count = 0;
        for (size_t h = from; h < n_history; h++)
            count += history[h] == i;
        if (count > 0) {
            l = l > 0 ? l / (double)c->repeat_penalty : l * (double)c->repeat_penalty;
            l -= (double)c->presence_penalty + (double)c->frequency_penalty * (double)count;
        }
        if (!isnan(l) && l >= -FLT_MAX)
            t[n++] = (ref_tok){.id = i, .logit = l, .key = l};
    }
    if (n == 0)
        return 0;
    qsort(t, n, sizeof *t, by_key);
    if (c->temperature == 0)
        return 1;
    if (c->top_k > 0 && c->top_k < n)
        n = c->top_k;
    double max = t[0].logit;
    for (size_t i = 0; i < n; i++)
        t[i].p = exp((t[i].logit - max) / (double)c->temperature);
    normalise(t, n);
    if (c->typical_p < 1) {
        double h = 0;
        for (size_t i = 0; i < n; i++)
            h -= t[i].p > 0 ? t[i].p * log(t[i].p) : 0;
        for (size_t i = 0; i < n; i++)
            t[i].key = -fabs(-log(t[i].p) - h);
        n = fewest(t, n, (double)c->typical_p, unsure);
        normalise(t, n);
    }
    for (size_t i = 0; i < n; i++)
        t[i].key = t[i].p;
    qsort(t, n, sizeof *t, by_key);
    max = t[0].p;
    if (c->top_p < 1)
        n = fewest(t, n, (double)c->top_p, unsure);
    if (c->min_p > 0) {
        size_t keep = 0;
        for (size_t i = 0; i < n; i++) {
            if (fabs(t[i].p / max - (double)c->min_p) < 1e-5)
                *unsure = true;
            if (t[i].p >= (double)c->min_p * max)
                t[keep++] = t[i];
        }
        n = keep;
    }
    normalise(t, n);
    return n;
}

static float pick(dv_rng *r, const float *v, size_t n) { return v[dv_rng_below(r, n)]; }

static dv_sampling random_sampling(dv_rng *r, uint32_t n_vocab, dv_logit_bias *bias)
{
    static const float p[] = {1, 1, 0.95f, 0.5f, 0.01f, 0.999f}, min_p[] = {0, 0, 0.05f, 0.5f, 1, 1e-4f};
    static const float temp[] = {0, 1, 0.8f, 0.1f, 3}, repeat[] = {1, 1, 1.3f, 0.7f}, pen[] = {0, 0, 0.7f, -1.5f};
    dv_sampling c = dv_sampling_default();
    c.temperature = pick(r, temp, 5);
    c.top_k = dv_rng_below(r, 2) ? (uint32_t)dv_rng_below(r, 2 * n_vocab) : dv_rng_below(r, 2) ? 40 : 0;
    c.top_p = pick(r, p, 6);
    c.min_p = pick(r, min_p, 6);
    c.typical_p = pick(r, p, 6);
    c.repeat_penalty = pick(r, repeat, 4);
    c.presence_penalty = pick(r, pen, 4);
    c.frequency_penalty = pick(r, pen, 4);
    c.penalty_last_n = (uint32_t)dv_rng_below(r, 70);
    c.seed = dv_rng_u64(r);
    c.n_bias = dv_rng_below(r, 5);
    c.bias = bias;
    for (size_t i = 0; i < c.n_bias; i++)
        bias[i] = (dv_logit_bias){(uint32_t)dv_rng_below(r, n_vocab), i == 3 ? -INFINITY : (float)dv_rng_normal(r) * 5};
    return c;
}

static int by_id(const void *a, const void *b)
{
    const dv_sampler_cand *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void check_against(dv_sampler *s, const ref_tok *want, size_t n_want)
{
    qsort(s->cand, s->n_cand, sizeof *s->cand, by_id);
    double z = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        z += (double)s->cand[i].p;
    for (size_t i = 0; i < n_want; i++) {
        dv_sampler_cand probe = {.id = want[i].id};
        const dv_sampler_cand *have = bsearch(&probe, s->cand, s->n_cand, sizeof probe, by_id);
        if (want[i].p < 1e-30)
            continue;
        assert_non_null(have);
        n++;
        assert_true(fabs((double)have->p / z - want[i].p) < 1e-5 * want[i].p + 1e-9);
    }
    for (size_t i = 0; i < s->n_cand; i++)
        n -= (double)s->cand[i].p / z >= 1e-30;
    assert_int_equal(n, 0);
}

/* The distribution that is shown is the one that was drawn from. */
static void check_probs(const dv_sampler *s, uint32_t id, const ref_tok *want, size_t n_want)
{
    enum { TOP = 7 };
    dv_sampler_cand top[TOP];
    float p, last = 2;
    double total = 0, mine = 0;
    uint32_t n = dv_sampler_probs(s, id, top, TOP, &p);
    for (size_t i = 0; i < n_want; i++) {
        total += want[i].p;
        mine = want[i].id == id ? want[i].p : mine;
    }
    assert_true(fabs((double)p - mine / total) < 1e-4);
    assert_true(n >= 1 && n <= TOP && n <= n_want);
    for (uint32_t i = 0; i < n; i++) {
        double same = -1;
        for (size_t k = 0; k < n_want; k++)
            same = want[k].id == top[i].id ? want[k].p / total : same;
        assert_true(fabs((double)top[i].p - same) < 1e-4);
        assert_true(top[i].p <= last);
        last = top[i].p;
    }
    assert_int_equal(dv_sampler_probs(s, UINT32_MAX, top, 0, &p), 0);
    assert_true(p == 0);
}

static void test_filters_match_reference(void **state)
{
    static float logits[MAX_VOCAB];
    static ref_tok want[MAX_VOCAB];
    uint32_t history[100];
    dv_logit_bias bias[5];
    dv_rng r;
    dv_rng_seed(&r, 11);
    unsigned compared = 0;
    for (int round = 0; round < 4000; round++) {
        uint32_t n_vocab = 1 + (uint32_t)dv_rng_below(&r, round % 10 ? 300 : MAX_VOCAB);
        double spread = (double)pick(&r, (const float[]){0, 1, 3, 10}, 4);
        for (uint32_t i = 0; i < n_vocab; i++)
            logits[i] = (float)(dv_rng_normal(&r) * spread);
        if (round % 4 == 1) { /* ties, and what broken models produce */
            for (uint32_t i = 0; i < n_vocab; i++)
                logits[i] = roundf(logits[i]);
            logits[dv_rng_below(&r, n_vocab)] = NAN;
            logits[dv_rng_below(&r, n_vocab)] = -INFINITY;
            if (round % 8 == 1)
                logits[dv_rng_below(&r, n_vocab)] = INFINITY;
        }
        size_t n_history = dv_rng_below(&r, 100);
        for (size_t i = 0; i < n_history; i++)
            history[i] = (uint32_t)dv_rng_below(&r, n_vocab);
        dv_sampling c = random_sampling(&r, n_vocab, bias);
        dv_sampler s;
        dv_err err = {0};
        assert_int_equal(dv_sampler_init(&s, n_vocab, &c, &err), 0);
        for (size_t i = 0; i < n_history; i++)
            dv_sampler_accept(&s, history[i]);
        bool unsure = false;
        size_t n_want = reference(&c, logits, n_vocab, history, n_history, want, &unsure);
        uint32_t id = UINT32_MAX;
        int code = dv_sampler_draw(&s, logits, &id, &err);
        if (n_want == 0) {
            assert_int_equal(code, DV_EINTERNAL);
            assert_string_equal(err.msg, "the model produced no usable logits");
        } else {
            assert_int_equal(code, 0);
            assert_true(id < n_vocab && !isnan(logits[id]) && logits[id] > -INFINITY);
        }
        bool filtered = (c.top_k > 0 && c.top_k < n_vocab) || c.top_p < 1 || c.min_p > 0 || c.typical_p < 1;
        if (n_want > 0 && c.temperature == 0) {
            assert_true(id == want[0].id || want[0].logit - want[1].logit < 1e-5);
        } else if (n_want > 0 && filtered && !unsure) {
            check_against(&s, want, n_want);
            check_probs(&s, id, want, n_want);
            compared++;
        } else if (n_want > 0 && !unsure) {
            check_probs(&s, id, want, n_want);
        }
        dv_sampler_fini(&s);
    }
    assert_true(compared > 1500);
}

/* Draws follow the softmax: chi-square of 20000 draws over 12 tokens stays below its 0.1 % point (11 degrees of freedom: 31.3). */
static void check_distribution(dv_sampling c)
{
    enum { N = 12, DRAWS = 20000 };
    float logits[N];
    double p[N], z = 0, chi = 0;
    unsigned count[N] = {0};
    for (int i = 0; i < N; i++) {
        logits[i] = (float)(i % 5) * 0.6f;
        z += p[i] = exp((double)logits[i] / (double)c.temperature);
    }
    dv_sampler s;
    assert_int_equal(dv_sampler_init(&s, N, &c, NULL), 0);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t id;
        assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
        count[id]++;
    }
    for (int i = 0; i < N; i++) {
        double want = p[i] / z * DRAWS;
        chi += (count[i] - want) * (count[i] - want) / want;
    }
    assert_true(chi < 31.3);
    dv_sampler_fini(&s);
}

static dv_sampling plain(float temperature, uint64_t seed)
{
    return (dv_sampling){.temperature = temperature, .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .seed = seed};
}

static void test_distribution(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        dv_sampling c = plain(1, seed);
        check_distribution(c);
        c.temperature = 0.7f;
        check_distribution(c);
        c.top_p = 0.9999f; /* the other way of drawing */
        check_distribution(c);
        c.min_p = 1e-6f;
        check_distribution(c);
    }
}

static void test_greedy_and_ties(void **state)
{
    float logits[40];
    for (int i = 0; i < 40; i++)
        logits[i] = i == 7 || i == 33 || i == 21 ? 5.0f : (float)-i;
    dv_logit_bias bias[] = {{7, -INFINITY}, {39, 44.0f}};
    dv_sampling c = plain(0, 0);
    dv_sampler s;
    uint32_t id;
    assert_int_equal(dv_sampler_init(&s, 40, &c, NULL), 0);
    assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
    assert_int_equal(id, 7);
    dv_sampler_fini(&s);
    c.bias = bias;
    c.n_bias = 2; /* 39 now has 5 as well, 7 is forbidden */
    assert_int_equal(dv_sampler_init(&s, 40, &c, NULL), 0);
    assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
    assert_int_equal(id, 21);
    dv_sampler_fini(&s);
    c.presence_penalty = 1;
    c.penalty_last_n = 2;
    assert_int_equal(dv_sampler_init(&s, 40, &c, NULL), 0);
    static const uint32_t want[] = {21, 33, 39, 21, 33, 39};
    for (int i = 0; i < 6; i++) { /* a window of two: what was drawn twice ago comes back */
        assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
        assert_int_equal(id, want[i]);
        dv_sampler_accept(&s, id);
    }
    uint32_t history[] = {39, 33, 33, 21};
    dv_sampler_set_history(&s, history, 4);
    assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
    assert_int_equal(id, 39);
    dv_sampler_fini(&s);
}

static void test_unusable_logits(void **state)
{
    float logits[100], one[100];
    dv_logit_bias forbid = {57, -INFINITY};
    for (int i = 0; i < 100; i++)
        one[i] = logits[i] = i % 2 ? NAN : -INFINITY;
    one[57] = -FLT_MAX;
    dv_sampling c = plain(1, 0);
    for (int kind = 0; kind < 5; kind++) {
        c.temperature = kind == 0 ? 0 : 1e-30f;
        c.top_k = kind == 1 ? 3 : 0;
        c.top_p = kind == 2 ? 0.5f : 1;
        c.typical_p = kind == 3 ? 0.5f : 1;
        c.n_bias = 0;
        dv_sampler s;
        dv_err err = {0};
        uint32_t id;
        assert_int_equal(dv_sampler_init(&s, 100, &c, NULL), 0);
        assert_int_equal(dv_sampler_draw(&s, logits, &id, &err), DV_EINTERNAL);
        assert_string_equal(err.msg, "the model produced no usable logits");
        assert_int_equal(dv_sampler_draw(&s, one, &id, NULL), 0);
        assert_int_equal(id, 57);
        dv_sampler_fini(&s);
        c.bias = &forbid;
        c.n_bias = 1;
        assert_int_equal(dv_sampler_init(&s, 100, &c, NULL), 0);
        assert_int_equal(dv_sampler_draw(&s, one, &id, NULL), DV_EINTERNAL);
        dv_sampler_fini(&s);
    }
}

static void test_options_are_checked(void **state)
{
    dv_logit_bias far = {10, 0}, inf = {1, INFINITY}, nan_bias = {1, NAN};
    struct {
        const char *field;
        dv_sampling c;
    } bad[] = {
        {"temperature", plain(-1, 0)}, {"temperature", plain(NAN, 0)},  {"temperature", plain(INFINITY, 0)},
        {"top_p", plain(1, 0)},        {"top_p", plain(1, 0)},          {"min_p", plain(1, 0)},
        {"typical_p", plain(1, 0)},    {"repeat_penalty", plain(1, 0)}, {"presence", plain(1, 0)},
        {"frequency", plain(1, 0)},    {"last_n", plain(1, 0)},         {"token 10", plain(1, 0)},
        {"token 1", plain(1, 0)},      {"token 1", plain(1, 0)},        {"bias", plain(1, 0)},
    };
    bad[3].c.top_p = 0, bad[4].c.top_p = 1.01f, bad[5].c.min_p = -0.1f, bad[6].c.typical_p = NAN,
    bad[7].c.repeat_penalty = 0;
    bad[8].c.presence_penalty = 2.1f, bad[9].c.frequency_penalty = -INFINITY, bad[10].c.penalty_last_n = UINT32_MAX;
    bad[11].c.bias = &far, bad[11].c.n_bias = 1, bad[12].c.bias = &inf, bad[12].c.n_bias = 1,
    bad[13].c.bias = &nan_bias, bad[13].c.n_bias = 1;
    bad[14].c.n_bias = SIZE_MAX;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dv_sampler s;
        dv_err err = {0};
        assert_int_equal(dv_sampler_init(&s, 10, &bad[i].c, &err), DV_EINVAL);
        assert_non_null(strstr(err.msg, bad[i].field));
    }
}

static void test_same_seed_same_tokens_without_allocation(void **state)
{
    enum { N = 5000, DRAWS = 200 };
    static float logits[N];
    static uint32_t first[DRAWS];
    dv_rng r;
    dv_rng_seed(&r, 3);
    dv_sampling c = dv_sampling_default();
    c.seed = 42;
    c.frequency_penalty = 0.5f;
    for (int kind = 0; kind < 4; kind++) {
        c.top_k = kind == 0 ? 40 : 0;
        c.top_p = kind == 3 ? 1 : 0.95f;
        c.min_p = kind >= 2 ? 0 : 0.05f;
        dv_sampler s;
        assert_int_equal(dv_sampler_init(&s, N, &c, NULL), 0);
        uint64_t before = dv_mem_count();
        unsigned differ = 0;
        for (int pass = 0; pass < 3; pass++) {
            dv_rng_seed(&r, 9);
            for (int i = 0; i < DRAWS; i++) {
                for (int k = 0; k < N; k++)
                    logits[k] = (float)((int64_t)(dv_rng_u64(&r) >> 40) - (1 << 23)) * 1e-6f;
                uint32_t id;
                assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
                dv_sampler_accept(&s, id);
                if (pass == 1)
                    assert_int_equal(id, first[i]);
                differ += pass == 2 && id != first[i];
                first[i] = id;
            }
            if (pass == 0)
                dv_sampler_reset(&s);
            else
                dv_sampler_set_history(&s, NULL, 0);
        }
        assert_true(differ > DRAWS / 2); /* without a reset the random numbers go on */
        assert_int_equal(dv_mem_count(), before);
        dv_sampler_fini(&s);
    }
}

static void test_out_of_memory(void **state)
{
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    for (uint64_t n = 1;; n++) {
        dv_sampler s;
        dv_mem_fail_after(n);
        int code = dv_sampler_init(&s, 100, NULL, NULL);
        dv_mem_fail_after(0);
        if (code == 0) {
            dv_sampler_fini(&s);
            dv_sampler_fini(&s);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(code, DV_ENOMEM);
    }
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
}

/* What a draw costs on a vocabulary of 128k; printed, and held to a bound that only a wrong algorithm misses. */
static void test_cost(void **state)
{
    enum { N = 131072, DRAWS = 50 };
    static float logits[N];
    static const struct {
        const char *name;
        float temperature, top_p, min_p, typical_p, frequency;
        uint32_t top_k;
    } kind[] = {
        {"greedy", 0, 1, 0, 1, 0, 0},
        {"default", 0.8f, 0.95f, 0.05f, 1, 0, 40},
        {"default, penalties", 0.8f, 0.95f, 0.05f, 1, 0.3f, 40},
        {"top-k 1000", 1, 1, 0, 1, 0, 1000},
        {"temperature only", 1, 1, 0, 1, 0, 0},
        {"min-p only", 1, 1, 0.05f, 1, 0, 0},
        {"top-p only", 1, 0.95f, 0, 1, 0, 0},
        {"typical-p only", 1, 1, 0, 0.9f, 0, 0},
    };
    dv_rng r;
    dv_rng_seed(&r, 5);
    for (int i = 0; i < N; i++)
        logits[i] = (float)dv_rng_normal(&r) * 2.5f;
    for (int i = 0; i < 50; i++)
        logits[dv_rng_below(&r, N)] += 12;
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        dv_sampling c = plain(kind[k].temperature, 1);
        c.top_p = kind[k].top_p, c.min_p = kind[k].min_p, c.typical_p = kind[k].typical_p, c.top_k = kind[k].top_k;
        c.frequency_penalty = kind[k].frequency, c.penalty_last_n = 64;
        dv_sampler s;
        assert_int_equal(dv_sampler_init(&s, N, &c, NULL), 0);
        uint64_t best = UINT64_MAX;
        for (int i = 0; i < DRAWS; i++) {
            uint32_t id;
            uint64_t t = dv_clock_ns();
            assert_int_equal(dv_sampler_draw(&s, logits, &id, NULL), 0);
            t = dv_clock_ns() - t;
            best = t < best ? t : best;
            dv_sampler_accept(&s, id);
        }
        print_message("# %-20s %6.1f us of 131072 logits\n", kind[k].name, (double)best / 1e3);
        assert_true(best < 100000000);
        dv_sampler_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_match_reference), cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_greedy_and_ties),         cmocka_unit_test(test_unusable_logits),
        cmocka_unit_test(test_options_are_checked),     cmocka_unit_test(test_same_seed_same_tokens_without_allocation),
        cmocka_unit_test(test_out_of_memory),           cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
