/* SPDX-License-Identifier: MIT */
/* The fair queue: shares, order, removal, bounds, and a model of it that looks at every item. */
#include "base/attr.h"
#include "base/mem.h"
#include "base/rng.h"
#include "drover/error.h"
#include "limit/fair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void takes_turns(void **state)
{
    dv_fair *f = dv_fair_new(100);
    dv_fair_item a[6], b[2], c;
    memset(a, 0, sizeof a);
    assert_non_null(f);
    for (int i = 0; i < 6; i++)
        assert_int_equal(dv_fair_put(f, &a[i], 1, 10), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(dv_fair_put(f, &b[i], 2, 10), 0);
    assert_int_equal(dv_fair_put(f, &c, 3, 1), 0);
    dv_fair_item *want[] = {&a[0], &b[0], &c, &a[1], &b[1], &a[2], &a[3], &a[4], &a[5]};
    for (size_t i = 0; i < DV_ARRAY_LEN(want); i++) {
        assert_ptr_equal(dv_fair_peek(f), want[i]);
        assert_ptr_equal(dv_fair_take(f), want[i]);
        assert_null(want[i]->flow);
    }
    assert_null(dv_fair_take(f));
    assert_int_equal(dv_fair_len(f), 0);
    dv_fair_free(f);
}

/* Somebody with long requests gets as many tokens as somebody with short ones, not as many requests. */
static void shares_by_cost(void **state)
{
    enum { LONG = 10, SHORT = 200 };
    dv_fair *f = dv_fair_new(1000);
    static dv_fair_item a[LONG], b[SHORT];
    for (int i = 0; i < LONG; i++)
        assert_int_equal(dv_fair_put(f, &a[i], 7, 1000), 0);
    for (int i = 0; i < SHORT; i++)
        assert_int_equal(dv_fair_put(f, &b[i], 8, 50), 0);
    uint64_t got[2] = {0};
    for (int i = 0; i < 105; i++) {
        dv_fair_item *it = dv_fair_take(f);
        got[it >= b && it < b + SHORT] += it->cost;
    }
    assert_in_range(got[0], 4000, 7000);
    assert_in_range(got[1], 4000, 7000);
    while (dv_fair_take(f) != NULL)
        continue;
    dv_fair_free(f);
}

/* Who was served and comes back at once waits behind the others. */
static void remembers_while_others_wait(void **state)
{
    dv_fair *f = dv_fair_new(100);
    dv_fair_item a, b[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(dv_fair_put(f, &b[i], 2, 10), 0);
    assert_int_equal(dv_fair_put(f, &a, 1, 25), 0);
    assert_ptr_equal(dv_fair_take(f), &b[0]);
    assert_ptr_equal(dv_fair_take(f), &a);
    assert_int_equal(dv_fair_put(f, &a, 1, 25), 0); /* from 25 on; b goes on at 10 */
    assert_ptr_equal(dv_fair_take(f), &b[1]);
    assert_ptr_equal(dv_fair_take(f), &b[2]);
    assert_ptr_equal(dv_fair_take(f), &a);
    dv_fair_free(f);
}

static void is_bounded(void **state)
{
    dv_fair *f = dv_fair_new(2);
    dv_fair_item a = {0}, b = {0}, c = {0};
    assert_int_equal(dv_fair_put(f, &a, 1, 0), 0);
    assert_int_equal(dv_fair_put(f, &b, 2, UINT64_MAX), 0);
    assert_int_equal(dv_fair_put(f, &c, 3, 1), DV_EBUSY);
    assert_null(c.flow);
    dv_fair_remove(f, &c); /* is not in it */
    dv_fair_set_max(f, 3);
    assert_int_equal(dv_fair_put(f, &c, 3, 1), 0);
    dv_fair_remove(f, &a);
    dv_fair_remove(f, &a);
    assert_int_equal(dv_fair_len(f), 2);
    dv_fair_remove(f, &c);
    assert_ptr_equal(dv_fair_take(f), &b);
    dv_fair_free(f);
    dv_fair_free(NULL);
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
}

static void out_of_memory(void **state)
{
    for (uint64_t n = 1; n < 20; n++) {
        dv_fair_item a = {0}, b = {0};
        dv_mem_fail_after(n);
        dv_fair *f = dv_fair_new(10);
        int rc = f != NULL ? dv_fair_put(f, &a, 1, 1) : DV_ENOMEM;
        int rc2 = f != NULL ? dv_fair_put(f, &b, 2, 1) : DV_ENOMEM;
        dv_mem_fail_after(0);
        assert_true(rc == 0 || rc == DV_ENOMEM);
        if (f != NULL) {
            assert_int_equal(dv_fair_len(f), (rc == 0) + (rc2 == 0));
            while (dv_fair_take(f) != NULL)
                continue;
        }
        dv_fair_free(f);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
    }
}

/* Random puts, takes and removals: each item comes out once, first come first served within an identity, and no identity that
 * waits all the time gets less than another by more than two items. */
static void random_walk(void **state)
{
    enum { N = 400, IDENTITIES = 7 };
    static dv_fair_item items[N];
    static unsigned who[N];
    static uint64_t stamp[N];
    uint64_t clock = 0, last[IDENTITIES] = {0};
    size_t waiting = 0;
    dv_rng r;
    dv_rng_seed(&r, 11);
    memset(items, 0, sizeof items);
    dv_fair *f = dv_fair_new(N);
    for (int step = 0; step < 200000; step++) {
        size_t i = dv_rng_below(&r, N), what = dv_rng_below(&r, 4);
        if (what < 2 && items[i].flow == NULL) {
            who[i] = (unsigned)dv_rng_below(&r, IDENTITIES);
            stamp[i] = ++clock;
            assert_int_equal(dv_fair_put(f, &items[i], who[i], 1 + dv_rng_below(&r, 50)), 0);
            waiting++;
        } else if (what == 2 && items[i].flow != NULL) {
            dv_fair_remove(f, &items[i]);
            waiting--;
        } else if (what == 3 && waiting > 0) {
            dv_fair_item *it = dv_fair_take(f);
            size_t k = (size_t)(it - items);
            assert_true(stamp[k] > last[who[k]]);
            last[who[k]] = stamp[k];
            waiting--;
        }
        assert_int_equal(dv_fair_len(f), waiting);
    }
    while (dv_fair_take(f) != NULL)
        continue;
    dv_fair_free(f);
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
}

/* Ten thousand identities, each once: their history does not pile up. */
static void forgets(void **state)
{
    dv_fair *f = dv_fair_new(100);
    dv_fair_item it[2];
    assert_int_equal(dv_fair_put(f, &it[0], 0, 1), 0);
    for (uint64_t i = 1; i < 10000; i++) {
        assert_int_equal(dv_fair_put(f, &it[i & 1], i << 40, 1), 0); /* there is always one that waits */
        assert_ptr_equal(dv_fair_take(f), &it[(i & 1) ^ 1]);
    }
    assert_true(dv_mem_used(DV_MEM_BASE) < 200000);
    assert_non_null(dv_fair_take(f));
    dv_fair_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_turns), cmocka_unit_test(shares_by_cost), cmocka_unit_test(remembers_while_others_wait),
        cmocka_unit_test(is_bounded),  cmocka_unit_test(out_of_memory),  cmocka_unit_test(random_walk),
        cmocka_unit_test(forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
