/* SPDX-License-Identifier: MIT */
/* Rate limits in this process: the algorithm against a definition of it that looks at everything that ever happened, and identities that come in
 * floods. */
#include "base/mem.h"
#include "base/rng.h"
#include "limit/gcra.h"
#include "limit/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

__extension__ typedef __int128 wide;

typedef struct event {
    uint64_t ns, cost;
} event;

/* Whether cost may be had: from no event on was more used than the burst and what the time since then gives. */
static bool may(const event *e, size_t n, const dv_rate_rule *r, uint64_t now_ns, uint64_t cost)
{
    wide window = (wide)r->window_ms * 1000000, used = 0, worst = 0;
    for (size_t i = n; i-- > 0;) {
        used += (wide)e[i].cost * window;
        wide debt = used - (wide)(now_ns - e[i].ns) * r->limit;
        worst = debt > worst ? debt : worst;
    }
    return worst + (wide)(cost < r->burst ? cost : r->burst) * window <= (wide)r->burst * window;
}

static bool could(dv__gcra g, const dv_rate_rule *rule, uint64_t ns, uint64_t cost)
{
    dv_rate_answer a;
    dv__gcra_take(&g, rule, ns, cost, false, &a);
    return a.allowed;
}

static uint64_t step(dv_rng *rng, uint64_t window_ns)
{
    switch (dv_rng_below(rng, 4)) {
    case 0: return 0;
    case 1: return dv_rng_below(rng, 3);
    case 2: return dv_rng_below(rng, window_ns / 10 + 2);
    default: return dv_rng_below(rng, window_ns * 2);
    }
}

static void one_sequence(dv_rng *rng)
{
    enum { N = 120 };
    static const uint64_t windows[] = {1, 7, 1000, 60000, 3600000};
    const dv_rate_rule rule = {.limit = 1 + dv_rng_below(rng, 20),
                               .window_ms = windows[dv_rng_below(rng, 5)],
                               .burst = 1 + dv_rng_below(rng, 20)};
    event e[N];
    size_t n = 0;
    dv__gcra g = {0};
    uint64_t now = 1 + dv_rng_below(rng, 1000);
    for (int i = 0; i < N; i++) {
        dv_rate_answer a;
        uint64_t cost = dv_rng_below(rng, rule.burst + 3);
        bool charge = dv_rng_below(rng, 10) == 0;
        now += step(rng, rule.window_ms * 1000000 / rule.limit);
        const dv__gcra before = g;
        dv__gcra_take(&g, &rule, now, cost, charge, &a);
        assert_int_equal(a.allowed, may(e, n, &rule, now, cost));
        if (!a.allowed) {
            assert_true(could(before, &rule, now + a.retry_ms * 1000000, cost));
            assert_false(could(before, &rule, now + (a.retry_ms - 1) * 1000000, cost));
        } else {
            assert_int_equal(a.retry_ms, 0);
        }
        if (a.allowed || charge)
            e[n++] = (event){now, cost};
        assert_int_equal(may(e, n, &rule, now, a.remaining), a.remaining > 0 || may(e, n, &rule, now, 0));
        assert_true(a.remaining >= rule.burst || !may(e, n, &rule, now, a.remaining + 1));
        assert_true(may(e, n, &rule, now + a.reset_ms * 1000000, rule.burst));
        assert_true(a.reset_ms == 0 || !may(e, n, &rule, now + (a.reset_ms - 1) * 1000000, rule.burst));
    }
}

static void test_definition(void **state)
{
    dv_rng rng;
    dv_rng_seed(&rng, 4711);
    for (int i = 0; i < 3000; i++)
        one_sequence(&rng);
}

/* A rate that is no whole number of nanoseconds loses nothing, however long it goes on. */
static void test_exact(void **state)
{
    const dv_rate_rule rule = {.limit = 7, .window_ms = 1, .burst = 1};
    dv__gcra g = {0};
    dv_rate_answer a;
    uint64_t n = 0;
    for (uint64_t now = 1; now <= 3000000; now++) { /* three windows, every nanosecond */
        dv__gcra_take(&g, &rule, now, 1, false, &a);
        n += a.allowed;
    }
    assert_int_equal(n, 21);
}

static uint64_t clock_ms;
static uint64_t test_clock(void) { return clock_ms; }

static dv_rate *open_rate(size_t max_keys)
{
    dv_rate *r = NULL;
    const dv_rate_options o = {.max_keys = max_keys, .now_ms = test_clock};
    assert_int_equal(dv_rate_open(&r, &o, NULL), 0);
    return r;
}

static void keep(void *arg, const dv_rate_answer *a) { *(dv_rate_answer *)arg = *a; }

static dv_rate_answer take(dv_rate *r, const char *who, dv_rate_rule rule, uint64_t cost)
{
    dv_rate_answer a = {.retry_ms = 12345};
    dv_rate_key key = dv_rate_key_of("test", who);
    dv_rate_ask *ask = (dv_rate_ask *)&a;
    dv_rate_take(r, &key, &rule, cost, keep, &a, &ask);
    assert_null(ask);
    assert_int_not_equal(a.retry_ms, 12345);
    assert_false(a.shared);
    return a;
}

static void test_answers(void **state)
{
    const dv_rate_rule rule = {.limit = 60, .window_ms = 60000, .burst = 3};
    dv_rate_health h;
    clock_ms = 10;
    dv_rate *r = open_rate(0);
    for (uint64_t i = 0; i < 3; i++) {
        dv_rate_answer a = take(r, "a", rule, 1);
        assert_true(a.allowed);
        assert_int_equal(a.remaining, 2 - i);
        assert_int_equal(a.reset_ms, 1000 * (i + 1));
    }
    dv_rate_answer a = take(r, "a", rule, 1);
    assert_false(a.allowed);
    assert_int_equal(a.retry_ms, 1000);
    assert_int_equal(a.remaining, 0);
    assert_true(take(r, "b", rule, 1).allowed); /* somebody else */
    clock_ms = 1009;
    assert_false(take(r, "a", rule, 1).allowed);
    clock_ms = 1010;
    assert_true(take(r, "a", rule, 1).allowed);
    assert_false(take(r, "a", rule, 1).allowed);
    dv_rate_health_get(r, &h);
    assert_true(h.ok && !h.shared && h.text[0] != 0);
    dv_rate_close(&r);
    assert_null(r);
    dv_rate_close(&r);
}

static void test_no_limit(void **state)
{
    dv_rate *r = open_rate(0);
    const dv_rate_rule none = {.limit = 0, .window_ms = 1000};
    dv_rate_key key = dv_rate_key_of("test", "a");
    for (int i = 0; i < 1000; i++)
        assert_true(take(r, "a", none, UINT64_MAX).allowed);
    dv_rate_charge(r, &key, &none, 5);
    dv_rate_answer a;
    dv_rate_take_here(r, &key, &none, 5, &a);
    assert_true(a.allowed && a.remaining == UINT64_MAX && a.retry_ms == 0);
    dv_rate_close(&r);
}

static void test_charge(void **state)
{
    const dv_rate_rule rule = {.limit = 100, .window_ms = 100000};
    clock_ms = 5;
    dv_rate *r = open_rate(0);
    dv_rate_key key = dv_rate_key_of("test", "a");
    assert_true(take(r, "a", rule, 1).allowed);
    dv_rate_charge(r, &key, &rule, 299); /* as much as three windows give */
    dv_rate_answer a = take(r, "a", rule, 1);
    assert_false(a.allowed);
    assert_int_equal(a.retry_ms, 201000);
    assert_int_equal(a.reset_ms, 300000);
    clock_ms += 201000;
    assert_true(take(r, "a", rule, 1).allowed);
    assert_int_equal(take(r, "a", rule, 0).remaining, 0); /* asking costs nothing */
    assert_int_equal(take(r, "a", rule, 0).remaining, 0);
    dv_rate_close(&r);
}

static void test_clock_back(void **state)
{
    const dv_rate_rule rule = {.limit = 2, .window_ms = 2000};
    clock_ms = 1000000;
    dv_rate *r = open_rate(0);
    assert_true(take(r, "a", rule, 1).allowed);
    assert_true(take(r, "a", rule, 1).allowed);
    clock_ms = 10; /* neither a new budget nor one that never comes */
    dv_rate_answer a = take(r, "a", rule, 1);
    assert_false(a.allowed);
    assert_int_equal(a.retry_ms, 1000);
    assert_true(take(r, "b", rule, 1).allowed);
    clock_ms = 1001000;
    assert_true(take(r, "a", rule, 1).allowed);
    dv_rate_close(&r);
}

static void test_extremes(void **state)
{
    static const uint64_t v[] = {0, 1, 2, 1000, UINT32_MAX, UINT64_C(1) << 53, UINT64_MAX - 1, UINT64_MAX};
    enum { N = sizeof v / sizeof v[0] };
    clock_ms = UINT64_MAX / 2000000;
    for (int i = 0; i < N * N * N * N; i++) {
        const dv_rate_rule rule = {.limit = v[i % N], .window_ms = v[i / N % N], .burst = v[i / N / N % N]};
        uint64_t cost = v[i / N / N / N];
        dv_rate *r = open_rate(1);
        dv_rate_answer a = take(r, "a", rule, cost);
        assert_true(a.allowed); /* nothing was used before */
        dv_rate_key key = dv_rate_key_of("test", "a");
        dv_rate_charge(r, &key, &rule, cost);
        for (int k = 0; k < 3; k++) {
            a = take(r, "a", rule, cost);
            assert_true(a.allowed || (a.retry_ms > 0 && a.retry_ms <= a.reset_ms));
            assert_true(rule.limit == 0 || a.remaining <= (rule.burst != 0 ? rule.burst : rule.limit));
        }
        dv_rate_close(&r);
    }
}

static void test_keys(void **state)
{
    dv_rate_key a = dv_rate_key_of("rule", "identity"), b = dv_rate_key_of("rule", "identity");
    assert_memory_equal(&a, &b, sizeof a);
    b = dv_rate_key_of("rulei", "dentity");
    assert_memory_not_equal(&a, &b, sizeof a);
    b = dv_rate_key_of("rule", "Identity");
    assert_memory_not_equal(&a, &b, sizeof a);
}

/* A million identities in a moment, with room for a thousand: who is over his limit stays so, and memory stays what it is. */
static void test_flood(void **state)
{
    enum { MAX = 1000 };
    const dv_rate_rule rule = {.limit = 60, .window_ms = 60000, .burst = 1};
    char who[24];
    unsigned n_allowed = 0;
    clock_ms = 1;
    dv_rate *r = open_rate(MAX);
    assert_true(take(r, "attacker", rule, 1).allowed);
    dv_mem_peak_reset(DV_MEM_LIMIT);
    for (int i = 0; i < 1000000; i++) {
        snprintf(who, sizeof who, "%d", i);
        n_allowed += take(r, who, rule, 1).allowed;
        if (i % 1000 == 0)
            assert_false(take(r, "attacker", rule, 1).allowed);
    }
    assert_in_range(n_allowed, MAX - 1, MAX - 1 + 1024); /* its own counters and the shared ones */
    assert_in_range(dv_mem_peak(DV_MEM_LIMIT), 1, 400 << 10);
    clock_ms += 1000; /* all is paid back, so newcomers get counters again */
    for (int i = 0; i < MAX; i++) {
        snprintf(who, sizeof who, "new %d", i);
        assert_true(take(r, who, rule, 1).allowed);
    }
    dv_rate_close(&r);
}

/* The table against an array that forgets nothing: a counter that owes something is always the one it was. */
static void test_table(void **state)
{
    enum { KEYS = 4000, MAX = 3000 };
    static uint64_t owes_until[KEYS];
    dv_rng rng;
    dv_rng_seed(&rng, 99);
    dv__table *t = dv__table_new(MAX);
    assert_non_null(t);
    memset(owes_until, 0, sizeof owes_until);
    uint64_t now = 1;
    unsigned n_shared = 0, n_own = 0;
    for (int i = 0; i < 400000; i++) {
        now += dv_rng_below(&rng, 3);
        size_t k = dv_rng_below(&rng, KEYS);
        char who[16];
        snprintf(who, sizeof who, "%zu", k);
        dv_rate_key key = dv_rate_key_of("t", who);
        dv__gcra *g = dv__table_get(t, &key, now);
        if (owes_until[k] > now) {
            assert_int_equal(g->tat_ns, owes_until[k]);
            assert_int_equal(g->part, k); /* it is this one's */
        } else if (g->tat_ns == 0) {
            n_shared++; /* no room: not this one's alone, and this test writes nothing there */
            continue;
        }
        n_own++;
        g->part = k;
        g->tat_ns = owes_until[k] = now + 1 + dv_rng_below(&rng, i < 200000 ? 2000 : 20000);
        assert_in_range(dv__table_len(t), 1, MAX);
    }
    assert_true(n_shared > 0 && n_own > 300000);
    dv__table_free(t);
}

static void test_no_memory(void **state)
{
    const dv_rate_rule rule = {.limit = 1, .window_ms = 3600000};
    dv_rate *r = NULL;
    char who[24];
    for (uint64_t n = 1; r == NULL; n++) {
        const dv_rate_options o = {.now_ms = test_clock};
        dv_mem_fail_after(n);
        int code = dv_rate_open(&r, &o, NULL);
        dv_mem_fail_after(0);
        assert_int_equal(code, r != NULL ? 0 : DV_ENOMEM);
        assert_true(n < 10);
    }
    dv_mem_fail_after(1); /* the table cannot grow: nobody gets a second one */
    for (int i = 0; i < 4000; i++) {
        snprintf(who, sizeof who, "%d", i / 2);
        bool allowed = take(r, who, rule, 1).allowed;
        assert_true(i % 2 == 0 || !allowed);
    }
    dv_mem_fail_after(0);
    dv_rate_close(&r);
    assert_int_equal(dv_mem_used(DV_MEM_LIMIT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_exact),    cmocka_unit_test(test_answers),
        cmocka_unit_test(test_no_limit),   cmocka_unit_test(test_charge),   cmocka_unit_test(test_clock_back),
        cmocka_unit_test(test_extremes),   cmocka_unit_test(test_keys),     cmocka_unit_test(test_flood),
        cmocka_unit_test(test_table),      cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
