/* SPDX-License-Identifier: MIT */
/* Claims: bounds of an identity and of the machine, given back by whoever and however often. */
#include "base/attr.h"
#include "base/mem.h"
#include "base/rng.h"
#include "limit/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t mem_now, clock_ms;
static unsigned cpu_now, n_looks;

static void look(void *arg, uint64_t *mem_available, unsigned *cpu_percent)
{
    *mem_available = mem_now;
    *cpu_percent = cpu_now;
    n_looks++;
}

static uint64_t test_clock(void) { return clock_ms; }

static dv_share *open_share(uint64_t reserve, unsigned cpu)
{
    dv_share *s = NULL;
    const dv_share_options o = {.memory_reserve = reserve, .cpu_load = cpu, .look = look, .now_ms = test_clock};
    assert_int_equal(dv_share_open(&s, &o, NULL), 0);
    return s;
}

static void test_identity(void **state)
{
    dv_share *s = open_share(0, 0);
    dv_claim c[4] = {0};
    dv_err err = {0};
    assert_int_equal(dv_share_claim(s, &c[0], 1, 2, NULL), 0);
    assert_int_equal(dv_share_claim(s, &c[1], 1, 2, NULL), 0);
    assert_int_equal(dv_share_claim(s, &c[2], 1, 2, &err), DV_ERATE);
    assert_true(err.msg[0] != 0);
    assert_int_equal(dv_share_claim(s, &c[2], 2, 2, NULL), 0);
    assert_int_equal(dv_share_claim(s, &c[2], 2, 2, NULL), DV_EINVAL); /* it has one */
    assert_int_equal(dv_share_running(s, 1), 2);
    assert_int_equal(dv_share_running(s, 2), 1);
    assert_int_equal(dv_share_running(s, 3), 0);
    assert_int_equal(dv_share_total(s), 3);
    dv_share_release(&c[3]); /* never made */
    dv_share_release(&c[0]);
    dv_share_release(&c[0]); /* twice */
    assert_int_equal(dv_share_running(s, 1), 1);
    assert_int_equal(dv_share_claim(s, &c[0], 1, 2, NULL), 0);
    assert_int_equal(dv_share_claim(s, &c[3], 1, 0, NULL), 0); /* no limit */
    dv_share_close(&s);
    assert_null(s);
    for (int i = 0; i < 4; i++) {
        assert_null(c[i].entry);
        dv_share_release(&c[i]); /* after the end */
    }
    dv_share_close(&s);
    assert_int_equal(dv_mem_used(DV_MEM_LIMIT), 0);
}

static void test_machine(void **state)
{
    dv_claim c[8] = {0};
    dv_err err = {0};
    clock_ms = 5;
    mem_now = 1000;
    cpu_now = 50;
    dv_share *s = open_share(1000, 80);
    assert_int_equal(dv_share_claim(s, &c[0], 1, 0, &err), 0);
    mem_now = 999;
    clock_ms += 100;
    assert_int_equal(dv_share_claim(s, &c[1], 1, 0, &err), DV_EBUSY);
    assert_non_null(strstr(err.msg, "memory"));
    assert_int_equal(dv_share_total(s), 1);
    mem_now = 1000;
    cpu_now = 1000;
    clock_ms += 100; /* a tenth of a second of it: 145 on average */
    err = (dv_err){0};
    assert_int_equal(dv_share_claim(s, &c[1], 1, 0, &err), DV_EBUSY);
    assert_non_null(strstr(err.msg, "cores"));
    cpu_now = 0;
    clock_ms += 1000;
    assert_int_equal(dv_share_claim(s, &c[1], 1, 0, NULL), 0);
    n_looks = 0;
    for (int i = 2; i < 8; i++)
        assert_int_equal(dv_share_claim(s, &c[i], 1, 0, NULL), 0);
    assert_int_equal(n_looks, 0); /* it was looked at in this moment */
    dv_share_tune(s, &(dv_share_options){.look = look, .now_ms = test_clock});
    dv_share_release(&c[7]);
    mem_now = 0;
    clock_ms += 1000;
    assert_int_equal(dv_share_claim(s, &c[7], 1, 0, NULL), 0); /* not looked at any more */
    assert_int_equal(n_looks, 0);
    dv_share_close(&s);
}

/* The machine as it is: it has some memory, and not more than there is. */
static void test_this_machine(void **state)
{
    dv_share *s = NULL;
    dv_claim c = {0};
    assert_int_equal(dv_share_open(&s, &(dv_share_options){.memory_reserve = 1, .cpu_load = UINT32_MAX}, NULL), 0);
    assert_int_equal(dv_share_claim(s, &c, 1, 1, NULL), 0);
    dv_share_release(&c);
    dv_share_tune(s, &(dv_share_options){.memory_reserve = UINT64_MAX});
    assert_int_equal(dv_share_claim(s, &c, 1, 1, NULL), DV_EBUSY);
    dv_share_close(&s);
}

/* Random claims and releases against plain counters, with identities that the table has to grow for. */
static void test_random(void **state)
{
    enum { N = 3000, IDS = 700 };
    static dv_claim c[N];
    static uint64_t id[N];
    static unsigned running[IDS];
    unsigned total = 0;
    dv_rng rng;
    dv_rng_seed(&rng, 5);
    dv_share *s = open_share(0, 0);
    for (int i = 0; i < 200000; i++) {
        size_t k = dv_rng_below(&rng, N);
        if (c[k].entry != NULL) {
            dv_share_release(&c[k]);
            running[id[k]]--;
            total--;
        } else {
            id[k] = dv_rng_below(&rng, IDS);
            int code = dv_share_claim(s, &c[k], id[k] << 40, 5, NULL);
            assert_int_equal(code, running[id[k]] < 5 ? 0 : DV_ERATE);
            running[id[k]] += code == 0;
            total += code == 0;
        }
        assert_int_equal(dv_share_running(s, id[k] << 40), running[id[k]]);
        assert_int_equal(dv_share_total(s), total);
    }
    dv_share_close(&s);
    assert_int_equal(dv_mem_used(DV_MEM_LIMIT), 0);
}

static void test_no_memory(void **state)
{
    dv_share *s = NULL;
    dv_claim c[200] = {0};
    for (uint64_t n = 1; n < 3; n++) {
        dv_mem_fail_after(n);
        assert_int_equal(dv_share_open(&s, &(dv_share_options){0}, NULL), DV_ENOMEM);
        dv_mem_fail_after(0);
        assert_int_equal(dv_mem_used(DV_MEM_LIMIT), 0);
    }
    s = open_share(0, 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(c); i++) {
        dv_mem_fail_after(1);
        assert_int_equal(dv_share_claim(s, &c[i], i, 1, NULL), DV_ENOMEM);
        dv_mem_fail_after(i < 100 ? 0 : 2); /* not for the table, from some time on */
        assert_int_equal(dv_share_claim(s, &c[i], i, 1, NULL), 0);
        dv_mem_fail_after(0);
    }
    assert_int_equal(dv_share_total(s), DV_ARRAY_LEN(c));
    dv_share_close(&s);
    assert_int_equal(dv_mem_used(DV_MEM_LIMIT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_identity), cmocka_unit_test(test_machine),
                                       cmocka_unit_test(test_this_machine), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
