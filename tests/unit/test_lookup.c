/* SPDX-License-Identifier: MIT */
/* Names looked up by threads of their own, which may outlive whoever asked. */
#include "base/mem.h"
#include "limit/lookup.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 20 };

typedef struct answer {
    unsigned n;
    char ip[64];
} answer;

static void on_answer(void *arg, const char *ip)
{
    answer *a = arg;
    a->n++;
    strncpy(a->ip, ip != NULL ? ip : "none", sizeof a->ip - 1);
}

static void wait_until_freed(void)
{
    while (dv_mem_used(DV_MEM_LIMIT) != 0)
        usleep(1000);
}

static void test_answers(void **state)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "::1", "not a name", ""};
    struct event_base *base = event_base_new();
    answer a[N] = {0};
    for (size_t i = 0; i < N; i++)
        assert_non_null(dv__lookup_start(base, names[i % 5], on_answer, &a[i]));
    event_base_dispatch(base);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(a[i].n, 1);
        if (i % 5 == 0)
            assert_true(strcmp(a[i].ip, "127.0.0.1") == 0 || strcmp(a[i].ip, "::1") == 0);
        if (i % 5 == 1)
            assert_string_equal(a[i].ip, "127.0.0.1");
        if (i % 5 == 3)
            assert_string_equal(a[i].ip, "none");
    }
    wait_until_freed();
    event_base_free(base);
}

static void test_cancel(void **state)
{
    struct event_base *base = event_base_new();
    answer a = {0};
    for (int i = 0; i < 3 * N; i++) {
        dv__lookup *l = dv__lookup_start(base, "localhost", on_answer, &a);
        assert_non_null(l);
        usleep((unsigned)(i % 3) * 300);
        dv__lookup_cancel(l);
    }
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(a.n, 0);
    dv__lookup_cancel(NULL);
    wait_until_freed();
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
